// Package clock turns instants into stamps: always on the monotonic clock of this boot of the operating system, and on the wall
// clock when that can be trusted (design, section 5; T-06, T-27). The box may have no battery-backed clock, so its wall clock is
// a witness and not a judge: it counts once the time service has published that it set it, and only while it says so; or the
// cloud has told the time in a signed statement. The machine's clock itself is never touched.
//
// What is known is a history of relations: wall time = monotonic time + offset. The first one holds for everything since the
// boot, so that what was stamped before anybody knew the time gets its time afterwards. A correction holds from when it was
// noticed: what was stamped before it keeps the time it had, and no instant ever gets two times. Order never comes from the wall
// clock.
//
// A Clock is safe for concurrent use. It polls: Watch looks once a second, and every stamp looks when the last look is old.
package clock

import (
	"sync"
	"sync/atomic"
	"time"

	"upsedge/internal/wire"
)

const (
	// lookEvery bounds how old what is known of the wall clock may be when it is used.
	lookEvery = 250 * time.Millisecond
	// step is the least that the wall clock must move against the monotonic one to count as a jump; slewing moves it by drift.
	step = time.Second
	// drift is the most that an oscillator may be off, and the rate at which the kernel slews and lets its bound of the error grow
	// (500 ppm: MAXFREQ of Linux' timex.h).
	drift = 500
	// loose is where the kernel takes a clock for unsynchronised (NTP_PHASE_LIMIT of Linux' timex.h), and we the cloud's word for
	// holdover: nine hours after it.
	loose = 16 * time.Second
	// fine is the bound with which the cloud's word is taken at once. What is stamped with it keeps its time, and says nothing of the bound.
	fine = time.Second
	// patience is how long a better word is waited for while only others come. It is asked for all the while (package uplink).
	patience = 5 * time.Minute
	// slack is how far below the floor a time service may be, since the clock of who built the program was no better.
	slack = 24 * time.Hour
	// wrong is how far off a clock may be before that is news (event catalogue, 833).
	wrong = time.Minute
)

// A Clock stamps instants. Use New.
type Clock struct {
	m       Machine
	anchors atomic.Pointer[[]anchor]

	mu      sync.Mutex
	looked  time.Duration // when the machine's clocks were last looked at; 0: never
	raw     int64         // wall − mono of the machine then
	known   history
	source  source
	state   wire.ClockState
	bound   time.Duration // of the error, when it was confirmed ...
	boundAt time.Duration // ... last; it grows since. 0: none is known
	best    word          // of the cloud, too loose to be taken at once; none: its since is 0
	dispute time.Duration // by how much the cloud's last word and the time service differ beyond their bounds
	floor   floor
	changes []Change // not yet told
}

// A source is where the wall time comes from.
type source uint8

const (
	nobody source = iota
	service
	cloud
)

// A Status is what is known of the wall clock.
type Status struct {
	State wire.ClockState
	Error time.Duration // bound of the error; 0 where none is known
}

// New returns the clock of this machine. It fails where the kernel tells no boot id.
func New() (*Clock, error) {
	m, err := ThisMachine()
	if err != nil {
		return nil, err
	}
	return Of(m), nil
}

// Of returns the clock of a machine.
func Of(m Machine) *Clock {
	c := &Clock{m: m, floor: newFloor()}
	c.anchors.Store(&[]anchor{m.anchor()})
	return c
}

// Boot returns the id of this boot.
func (c *Clock) Boot() wire.ID { return c.m.Boot }

// Stamp returns t as a stamp. The wall time is attached while the clock is trusted. t must come from this process and carry the
// monotonic clock.
func (c *Clock) Stamp(t time.Time) wire.Stamp {
	return c.Complete(wire.Stamp{BootID: c.m.Boot, Mono: c.Mono(t)})
}

// Time returns t on the wall clock in UTC, zero while that is not known. What t itself says on the machine's clock is not asked.
func (c *Clock) Time(t time.Time) time.Time { return c.Stamp(t).Wall }

// Complete attaches the wall time to a stamp of this boot that has none, if it is known by now.
func (c *Clock) Complete(s wire.Stamp) wire.Stamp {
	if !s.Wall.IsZero() || s.BootID != c.m.Boot {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookIfOld()
	if offset, ok := c.known.at(s.Mono); ok {
		s.Wall = wall(offset, s.Mono)
	}
	return s
}

// Trusted reports whether the wall time is known, now or since an earlier time in this boot.
func (c *Clock) Trusted() bool { return c.Status().State != wire.ClockUnset }

// Status returns what is known of the wall clock now.
func (c *Clock) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookIfOld()
	return Status{c.state, c.errorAt(c.looked)}
}

// Told takes the time from a signed statement of the cloud, which was made after its nonce was announced and before it came.
// While a time service sets the clock it is only compared. One that took so long that its bound is above fine waits for a better one,
// and only the best of patience is taken: see Wanting.
func (c *Clock) Told(signed, announced, came time.Time) {
	from, to := c.Mono(announced), c.Mono(came)
	half := (to - from) / 2
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	w := word{at: to, offset: signed.UnixNano() - int64(to-half), bound: half + time.Millisecond}
	if early := c.floor.certain().Sub(signed); early > slack {
		c.change(Change{Off: early}) // the cloud's clock is wrong
		return
	}
	if c.source == service && c.state == wire.ClockSynced {
		before, apart := c.dispute, time.Duration(c.raw-w.offset).Abs()
		if c.dispute = max(0, apart-w.bound-c.bound); c.dispute > wrong && before <= wrong {
			c.change(Change{Off: apart})
		}
		if c.dispute == 0 { // or one of the two would stay the floor for ever
			c.floor.signed(signed)
		}
		return
	}
	c.floor.signed(signed)
	c.hear(w)
}

func (c *Clock) lookIfOld() {
	if c.looked == 0 || c.m.Mono()-c.looked >= lookEvery {
		c.look()
	}
}

// look compares the machine's clocks with what is known. The caller holds mu.
func (c *Clock) look() {
	mono, raw := c.m.measure()
	jump := time.Duration(raw - c.raw)
	if c.looked == 0 || jump.Abs() < step+(mono-c.looked)/1e6*drift {
		jump = 0
	}
	c.looked, c.raw = mono, raw
	said := c.m.Service()
	if now := wall(raw, mono); (said.Set || said.Was) && now.Before(c.floor.certain().Add(-slack)) {
		// It was never that early: whoever set the clock did not know.
		if said.Set && !c.floor.below {
			c.change(Change{Off: c.floor.certain().Sub(now)})
		}
		c.floor.below, said = said.Set, Service{}
	} else {
		c.floor.below = false
	}
	if jump != 0 && c.source != nobody {
		c.change(Change{Step: jump})
	}
	if !said.Set && c.best.since != 0 && mono-c.best.since >= patience {
		c.take(c.best)
	}
	switch {
	case said.Set:
		c.best = word{}
		c.source, c.bound, c.boundAt = service, said.Error, mono
		c.known.follow(mono, raw)
		c.floor.kept.sync = wall(raw, mono)
		c.enter(wire.ClockSynced)
	case c.source == nobody && said.Was: // this run has not seen it
		c.source, c.bound, c.boundAt = service, 0, mono
		c.known.follow(mono, raw)
		c.enter(wire.ClockHoldover)
	case c.source == cloud && c.errorAt(mono) <= loose, c.source == nobody:
	default:
		c.enter(wire.ClockHoldover)
	}
}

// errorAt returns the bound of the error at an instant.
func (c *Clock) errorAt(mono time.Duration) time.Duration {
	if c.source == nobody || c.bound == 0 {
		return 0
	}
	return c.bound + c.dispute + max(0, mono-c.boundAt)/1e6*drift
}

func (c *Clock) enter(s wire.ClockState) {
	if s != c.state {
		c.state = s
		c.change(Change{})
	}
}

// wall returns the instant mono on the wall clock.
func wall(offset int64, mono time.Duration) time.Time { return time.Unix(0, offset+int64(mono)).UTC() }
