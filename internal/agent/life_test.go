package agent

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups/upssim"
)

// A life is one way to one id of the event catalogue, and back.
//
// enter and leave are words with spaces between: those of the simulator's scenarios ("mains-fail", "load=1.2"), durations that
// pass ("30s"), and what happens to the line and not to the unit:
//
//	closed       connections are refused
//	open         no longer
//	away=TIME    the agent is stopped and started again after that; the units stand still
//	swap=SERIAL  another unit of that number stands there, and every connection is new
//	swap-back    the first one again
type life struct {
	id     int
	sku    string // "" is SMT1500IC
	enter  string
	leave  string        // of an alarm: what ends it; "" if enter does
	within time.Duration // from the end of enter to the event, at most; 0 is a minute
	gone   time.Duration // from the end of leave to the clear, at most; 0 is a minute
	detail string        // a part of the detail of the raise
	as     string        // severity if it is not the catalogue's
	group  string        // the outlet group it is about
}

// A stage is an agent whose units live at the same time, each its own life: a bubble's clock is the same for all of them.
type stage struct {
	name  string
	poll  string        // of all units
	rest  time.Duration // before anything happens
	lives []life
}

// An outcome of a life, for the table.
type lived struct {
	life
	name            string
	raised, cleared time.Duration // after the end of enter and leave
	others          []string      // what else the unit said meanwhile
}

// play lets all lives of the stage happen, each on a unit of its own, and returns what came of them.
func (s stage) play(t *testing.T) (out []lived) {
	synctest.Test(t, func(t *testing.T) {
		out = make([]lived, len(s.lives))
		var units strings.Builder
		for i, l := range s.lives {
			out[i] = lived{life: l, name: fmt.Sprintf("row-%d-%d", l.id, i)}
			port := fmt.Sprintf("tcp: {address: \"%s:502\"}", out[i].name)
			if s.poll == serialRates {
				port = "serial: {device: /dev/" + out[i].name + "}"
			}
			fmt.Fprintf(&units, "- {name: %s, %s, poll: %s}\n", out[i].name, port, s.poll)
		}
		b := newBubble(t, units.String())
		b.telling = false // too many at once; each life tells what concerns it
		actors := make([]*actor, len(s.lives))
		for i, l := range s.lives {
			actors[i] = b.actor(out[i].name, l.sku, uint64(i+1))
		}
		b.start()
		time.Sleep(s.rest)
		var all sync.WaitGroup
		for i := range s.lives {
			all.Go(func() { actors[i].live(&out[i]) })
		}
		all.Wait()
		b.stop()
	})
	return out
}

// An actor lets things happen to one unit and sees what the receiver is told of it.
type actor struct {
	b     *bubble
	name  string
	sku   string
	unit  *upssim.Unit
	other *upssim.Unit // that stood there before a swap

	behind time.Duration // by how much the unit's clock is
}

func (b *bubble) actor(name, sku string, seed uint64) *actor {
	if sku == "" {
		sku = "SMT1500IC"
	}
	a := &actor{b: b, name: name, sku: sku}
	a.unit = upssim.New(upssim.Options{SKU: sku, Seed: seed, AliveWhenEmpty: true, Now: a.now})
	a.plug(a.unit)
	return a
}

func (a *actor) now() time.Time         { return time.Now().Add(-a.behind) }
func (a *actor) plug(u *upssim.Unit)    { a.b.plug(a.name, u) }
func (a *actor) events() (out []notice) { return a.b.cloud.of(a.name) }

// live plays enter, waits for the event, plays leave, waits for the end, and holds both against the catalogue.
func (a *actor) live(o *lived) {
	row := catalogueRow(o.id)
	fail := func(format string, args ...any) {
		a.b.t.Errorf("%d (%s): %s\n%v\n%s", o.id, o.enter, fmt.Sprintf(format, args...), a.events(), a.b.log.of(a.name))
	}
	before := len(a.events())
	if slices.ContainsFunc(a.events(), func(n notice) bool { return n.ID == o.id }) {
		fail("came before anything happened")
		return
	}
	a.do(o.enter)
	entered := time.Now()
	kind := map[byte]string{'A': "raise", 'E': "event"}[row.kind]
	raise, ok := a.await(kind, o.id, orMinute(o.within))
	if !ok {
		fail("did not come within %v", orMinute(o.within))
		return
	}
	o.raised = raise.came.Sub(entered)
	severity := map[byte]string{'I': "informational", 'W': "warning", 'C': "critical"}[row.severity]
	if o.as != "" {
		severity = o.as
	}
	switch {
	case raise.Severity != severity:
		fail("came as %s, want %s", raise.Severity, severity)
	case !strings.Contains(raise.Detail, o.detail):
		fail("came with %q, want %q in it", raise.Detail, o.detail)
	case raise.Group != o.group:
		fail("came about group %q, want %q", raise.Group, o.group)
	case raise.Text == "" || raise.Time.IsZero() || raise.RaisedBy != 0:
		fail("came without text or time, or raised by another: %+v", raise)
	case o.id < 700 && (len(raise.Raw) == 0 || raise.Device == ""):
		fail("came without the registers that decided it, or without the serial number: %+v", raise)
	}
	a.do(o.leave)
	left := time.Now()
	if row.kind == 'A' {
		clear, ok := a.await("clear", o.id, orMinute(o.gone))
		switch {
		case !ok:
			fail("was not cleared within %v", orMinute(o.gone))
		case clear.RaisedBy != raise.Seq || clear.Severity != raise.Severity || clear.Group != raise.Group:
			fail("cleared as %+v, raised as %+v", clear, raise)
		default:
			o.cleared = clear.came.Sub(left)
		}
	}
	for _, n := range a.events()[before:] {
		if w := fmt.Sprintf("%s %d", n.Kind, n.ID); n.ID != o.id && !slices.Contains(o.others, w) {
			o.others = append(o.others, w)
		}
	}
}

func orMinute(d time.Duration) time.Duration {
	if d == 0 {
		return time.Minute
	}
	return d
}

// await returns the first event of that kind and id, as soon as it has come.
func (a *actor) await(kind string, id int, within time.Duration) (notice, bool) {
	end := time.NewTimer(within)
	defer end.Stop()
	for {
		next := a.b.cloud.next()
		for _, n := range a.events() {
			if n.Kind == kind && n.ID == id {
				return n, true
			}
		}
		select {
		case <-next:
		case <-end.C:
			return notice{}, false
		}
	}
}

// do lets words happen, one after the other.
func (a *actor) do(words string) {
	for _, w := range strings.Fields(words) {
		if d, err := time.ParseDuration(w); err == nil {
			time.Sleep(d)
			continue
		}
		a.word(w)
	}
}

func (a *actor) word(w string) {
	name, value, _ := strings.Cut(w, "=")
	switch name {
	case "closed":
		a.b.unplug(a.name)
	case "open":
		a.plug(a.unit)
	case "away":
		a.b.stop()
		time.Sleep(duration(value))
		a.behind += duration(value)
		a.b.start()
	case "swap-back":
		a.unit, a.other = a.other, nil
		a.plug(a.unit)
	case "swap":
		a.other = a.unit
		a.unit = upssim.New(upssim.Options{SKU: a.sku, Serial: value, AliveWhenEmpty: true, Now: a.now})
		a.plug(a.unit)
	default:
		action, err := upssim.ParseAction(w)
		if err != nil {
			panic(fmt.Sprintf("%s: %v", a.name, err))
		}
		action.Do(a.unit)
	}
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}
