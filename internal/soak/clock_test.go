package soak

import (
	"crypto/rand"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/wire"
)

// A watch is the wall clock of the box in one run of the agent: how far off it is, and whether a time service has set it, from some
// time after the start on. Its monotonic clock is the machine's.
type watch []setting

// A setting holds until the next one.
type setting struct {
	After  time.Duration // since the start of the run
	Wall   time.Time     // what the clock shows when it begins; zero: the true time
	Synced bool          // the time service says that it set it
}

// A boot is one of the box: its monotonic clock begins with it.
type boot struct {
	ID wire.ID
	At time.Duration // on the clock of the machine
}

// newClock returns the clock of the box for agent.Trial, the machine's where nothing is said.
func (r role) newClock() (*clock.Clock, error) {
	m, err := clock.ThisMachine()
	if err != nil {
		return nil, err
	}
	if r.Boot != nil {
		m.Boot, m.Mono = r.Boot.ID, func() time.Duration { return sinceBoot() - r.Boot.At }
	}
	if len(r.Clock) > 0 {
		r.Clock.wear(&m)
	}
	return clock.Of(m), nil
}

// wear makes the watch the wall clock of the box.
func (w watch) wear(m *clock.Machine) {
	start := time.Now()
	now := func() (s setting, since time.Duration) {
		passed := time.Since(start)
		for _, next := range w {
			if next.After <= passed {
				s = next
			}
		}
		return s, passed - s.After
	}
	m.Wall = func() time.Time {
		s, since := now()
		if s.Wall.IsZero() {
			return time.Now()
		}
		return s.Wall.Add(since)
	}
	m.Service = func() clock.Service {
		s, _ := now()
		return clock.Service{Set: s.Synced, Error: time.Millisecond}
	}
}

// wrongTimes are what boxes without a battery wake up to, and where 32 bits of seconds end.
var wrongTimes = []time.Time{
	time.Unix(1, 0), time.Date(2038, 1, 19, 3, 14, 6, 0, time.UTC), time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2106, 2, 7, 6, 28, 14, 0, time.UTC),
}

// reboot takes the power from the whole box: the next start of the agent is in another boot of the operating system.
func (w *world) reboot() {
	w.pause(300)
	w.killAgent()
	b := &boot{At: sinceBoot().Truncate(time.Millisecond)}
	_, _ = rand.Read(b.ID[:]) // never fails
	w.book.boots[b.ID], w.boot = b.At, b
	w.jump()
}

// real returns when a stamp was made, since the boot of the machine that all this runs on.
func (b *book) real(s wire.Stamp) time.Duration { return s.Mono + b.boots[s.BootID] }

// jump starts the agent with a clock that is wrong or not set, that jumps, and that a time service sets, or does not.
func (w *world) jump() {
	w.killAgent()
	var c watch
	for range 1 + w.rng.IntN(3) {
		s := setting{Wall: wrongTimes[w.rng.IntN(len(wrongTimes))]}
		if w.rng.IntN(3) == 0 {
			s = setting{Synced: true} // a time service that is right
		}
		if len(c) > 0 {
			s.After = c[len(c)-1].After + time.Duration(50+w.rng.IntN(600))*time.Millisecond
		}
		c = append(c, s)
	}
	w.start(role{Config: w.file("agent.yaml"), Clock: c})
	w.pause(1200)
}

// compareTimes: a wall time that a record has is the true one of its instant, whatever the clock of the box showed.
func (b *book) compareTimes(h *holding, c *complaints) {
	const within = 2 * time.Second // the machine's own clock may be set while the rounds go on
	offset := time.Now().UnixNano() - int64(sinceBoot())
	for _, r := range h.records {
		checkTime(describe(r), r.Stamp.Wall, offset+int64(b.real(r.Stamp)), within, c)
	}
	for _, g := range h.gaps {
		checkTime("end of a gap of "+g.Unit, g.To.Wall, offset+int64(b.real(g.To)), within, c)
	}
}

func checkTime(what string, said time.Time, really int64, within time.Duration, c *complaints) {
	if said.IsZero() {
		return
	}
	if off := said.Sub(time.Unix(0, really)); off.Abs() > within {
		c.add("time", "%s has %v, which is %v off", what, said, off)
	}
}
