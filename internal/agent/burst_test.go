package agent

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/sampler"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// TestWhatHappensToAUnitSetsOffABurst: a change of the status word, an alarm about the power, a test; not that time passes.
func TestWhatHappensToAUnitSetsOffABurst(t *testing.T) {
	status := &ups.Layout{Columns: []ups.Column{{Point: ups.StatusFlags, Divisor: 1}, {Point: ups.Calibration, Divisor: 1}}}
	calibrating := func(at time.Time, bits int64) *ups.Reading {
		return &ups.Reading{Unit: "rack-a", Tier: ups.TierStatus, At: at, Layout: status, Raw: []int64{ups.UOnline, bits}}
	}
	w := newWorld(t)
	s, u := w.site(), w.unit(config.Unit{Name: "rack-a"})
	var bursts []time.Duration
	u.hasten = func(_ string, d time.Duration) { bursts = append(bursts, d) }
	to := &sink{units: map[string]*unit{"rack-a": u}, recorder: s.recorder, changed: s.notify}
	at := time.Now()
	later := func(r func(time.Time) *ups.Reading) *ups.Reading { at = at.Add(100 * time.Millisecond); return r(at) }
	flags := func(f int64) func(time.Time) *ups.Reading {
		return func(at time.Time) *ups.Reading { return word("rack-a", at, f) }
	}
	for _, row := range []struct {
		what string
		r    func(time.Time) *ups.Reading
		want bool
	}{
		{"the first word", flags(ups.UOnline), false},
		{"the same word", flags(ups.UOnline), false},
		{"a live reading", func(at time.Time) *ups.Reading { return measured("rack-a", at, 230, 1) }, false},
		{"high efficiency begins", flags(ups.UOnline | ups.UHighEfficiency), true},
		{"and goes on", flags(ups.UOnline | ups.UHighEfficiency), false},
		{"the mains fail", flags(onBattery), true},
		{"a live reading on battery", func(at time.Time) *ups.Reading { return measured("rack-a", at, 230, 2) }, false},
		{"on battery still", flags(onBattery), false},
		{"a test begins", flags(ups.UOnline | ups.UTest), true},
		{"the test goes on", flags(ups.UOnline | ups.UTest), true},
		{"it is over", flags(ups.UOnline), true},
		{"a calibration runs", func(at time.Time) *ups.Reading { return calibrating(at, ups.TInProgress) }, true},
		{"and its result stays", func(at time.Time) *ups.Reading { return calibrating(at, ups.TPassed) }, false},
	} {
		before := len(bursts)
		to.Put(later(row.r))
		if got := len(bursts) > before; got != row.want {
			t.Errorf("%s: a burst %v, want %v", row.what, got, row.want)
		}
	}
	if slices.ContainsFunc(bursts, func(d time.Duration) bool { return d != sampler.BurstFor }) {
		t.Errorf("bursts of %v, want %v", bursts, sampler.BurstFor)
	}
}

// TestBehindABurstItsSamplesAreStored: the mains fail and return; what was read until half a minute later is on disk without waiting
// for the interval, and what the unit says then is read at the usual rates again.
func TestBehindABurstItsSamplesAreStored(t *testing.T) {
	// The decoder is one for the process. It must not be made inside of the bubble, where no other test could use it.
	rows := wire.Rows{Layout: liveLayout, At: make([]int64, 1000), Raw: make([]int64, 2000)}
	for i := range rows.Raw {
		rows.Raw[i] = int64(i*i) % 1000
	}
	body, err := wire.NewEncoder().EncodeAlone(nil, &wire.Block{Sections: []wire.Rows{rows}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := new(wire.Schemas).DecodeBody(body); err != nil || body[0] != 1 {
		t.Fatalf("%v; packing %d, want zstd", err, body[0])
	}
	synctest.Test(t, func(t *testing.T) {
		l := newSerialLine(t, 1)
		defer l.stop()
		time.Sleep(time.Minute)
		if n := l.liveRows(); n != 0 {
			t.Fatalf("%d live readings stored before anything happened", n)
		}
		l.sims[1].SetMains(false)
		time.Sleep(5 * time.Second)
		l.sims[1].SetMains(true)
		time.Sleep(20 * time.Second)
		if n := l.liveRows(); n != 0 { // the recorder, which asks for that at an event, does not run here
			t.Fatalf("%d live readings stored in the burst", n)
		}
		time.Sleep(5 * time.Minute)
		// A minute at two a second, and 35 s in which the line never rested.
		if n := l.liveRows(); n < 190 || n > 240 {
			t.Errorf("%d live readings stored behind the burst, want about 120 and 90", n)
		}
	})
}

// liveRows counts the readings of the live tier that are stored.
func (l *serialLine) liveRows() (n int) {
	l.t.Helper()
	var schemas wire.Schemas
	for _, r := range l.records(wire.Samples) {
		b, err := schemas.DecodeBody(r.Payload)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, s := range b.Sections {
			if s.Tier == ups.TierLive {
				n += len(s.At)
			}
		}
	}
	return n
}

func TestACardIsSparedInABurst(t *testing.T) {
	card := config.Unit{TCP: &config.TCP{Card: true}}
	if d := fastest(card); d != time.Second {
		t.Errorf("a card is asked every %v", d)
	}
	if d := fastest(config.Unit{TCP: &config.TCP{}}); d != 0 {
		t.Errorf("the unit's own port is asked every %v, want what the line allows", d)
	}
}
