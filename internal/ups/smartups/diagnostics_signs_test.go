package smartups

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
)

// TestATestIsKnownByItsCause: behind a restart a result like the one before counts where the unit says that a test has ended since, and not
// where it said so before, where another test has ended, or where nothing was written.
func TestATestIsKnownByItsCause(t *testing.T) {
	for name, c := range map[string]struct {
		test          string
		before, after map[uint16][]uint16 // registers at the check, and for who judges
		want          ups.OutcomeState
	}{
		"a self-test ended":                       {"self", map[uint16][]uint16{2: {8}, 23: {0x44}}, map[uint16][]uint16{2: {10}}, ups.Done},
		"one that failed":                         {"self", map[uint16][]uint16{2: {8}, 23: {0x48}}, map[uint16][]uint16{2: {10}}, ups.Failed},
		"a weekly one":                            {"self", map[uint16][]uint16{2: {8}, 23: {0x104}}, map[uint16][]uint16{2: {10}}, ups.Unknown},
		"one had ended before":                    {"self", map[uint16][]uint16{2: {10}, 23: {0x44}}, map[uint16][]uint16{2: {10}}, ups.Unknown},
		"no test has ended":                       {"self", map[uint16][]uint16{2: {8}, 23: {0x44}}, nil, ups.Unknown},
		"an outage":                               {"self", map[uint16][]uint16{2: {12}, 23: {0x44}}, map[uint16][]uint16{2: {8}}, ups.Unknown},
		"a calibration ended":                     {"self", map[uint16][]uint16{2: {8}, 23: {0x44}, 24: {0x44}}, map[uint16][]uint16{2: {10}, 24: {0xA0}}, ups.Unknown},
		"the calibration":                         {"calibration", map[uint16][]uint16{2: {8}, 24: {0x44}}, map[uint16][]uint16{2: {10}, 130: {12800}}, ups.Done},
		"a test, not the calibration":             {"calibration", map[uint16][]uint16{2: {8}, 24: {0x44}}, map[uint16][]uint16{2: {10}, 130: {50600}}, ups.Unknown},
		"a test, and an outage":                   {"calibration", map[uint16][]uint16{2: {8}, 23: {0x44}, 24: {0x44}}, map[uint16][]uint16{2: {10}, 23: {0x104}, 130: {12800}}, ups.Unknown},
		"an outage, no calibration":               {"calibration", map[uint16][]uint16{2: {12}, 24: {0x44}}, map[uint16][]uint16{2: {8}, 130: {12800}}, ups.Unknown},
		"one of somebody at the unit, seen":       {"self", map[uint16][]uint16{2: {8}, 23: {0x44}}, map[uint16][]uint16{23: {0x84}}, ups.Unknown},
		"the unit was restarted and tells no end": {"self", map[uint16][]uint16{2: {8}, 23: {0x44}}, map[uint16][]uint16{2: {0}, 23: {0}}, ups.Unknown},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, ctl := newControl(t, upssim.Options{}, Config{})
			poke := func(regs map[uint16][]uint16) {
				for addr, words := range regs {
					b.Poke(addr, words...)
				}
			}
			poke(c.before)
			before, err := ctl.Check(t.Context(), diagnostics(c.test))
			if err != nil {
				t.Fatal(err)
			}
			poke(c.after)
			if out := ctl.Judge(t.Context(), diagnostics(c.test), before); out.State != c.want {
				t.Errorf("%s: %+v, want %v", name, out, c.want)
			}
			if b.Written() != 0 {
				t.Errorf("%s: %q", name, b.written())
			}
		})
	}
}

// TestAShortTestIsSeen: it is over within half a second, and its result is the one from before.
func TestAShortTestIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ctl := newControl(t, upssim.Options{Variants: []string{"no-pending"}}, Config{})
		b.Poke(23, 0x44)
		b.Poke(0, 0, 2)
		time.AfterFunc(1900*time.Millisecond, func() { b.Poke(23, 0x42) })
		time.AfterFunc(2400*time.Millisecond, func() { b.Poke(23, 0x44) })
		run(t, ctl, diagnostics("self"), ups.Done)
	})
}

// TestAResultOfAnotherTestIsNotTheOrders: somebody's own, or the weekly one, that shows instead.
func TestAResultOfAnotherTestIsNotTheOrders(t *testing.T) {
	for _, word := range []uint16{0x0084, 0x0104, 0x0108} {
		synctest.Test(t, func(t *testing.T) {
			b, ctl := newControl(t, upssim.Options{}, Config{})
			time.AfterFunc(5*time.Second, func() { b.Poke(23, word); b.Poke(0, 0, 2) })
			run(t, ctl, diagnostics("self"), ups.Unknown)
		})
	}
}

// TestSomethingSoundsBesideWhatIsMuted: both bits of register 26 are set.
func TestSomethingSoundsBesideWhatIsMuted(t *testing.T) {
	for _, c := range []struct {
		before, after uint16
		want          ups.OutcomeState
		detail        string
	}{
		{2, 6, ups.Done, "something else sounds since"},
		{6, 6, ups.Unknown, "no register tells"},
		{6, 4, ups.Done, "the beeper is muted"},
		{2, 2, ups.Failed, "the beeper sounds"},
		{2, 0, ups.Done, "nothing sounds"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, ctl := newControl(t, upssim.Options{}, Config{})
			b.Poke(26, c.before)
			before, err := ctl.Check(t.Context(), mute)
			if err != nil {
				t.Fatal(err)
			}
			b.Poke(26, c.after)
			out := ctl.Execute(t.Context(), mute, before, nil)
			if out.State != c.want || !strings.Contains(out.Detail, c.detail) || b.Written() != 1 {
				t.Errorf("from %d to %d: %+v, %d writes, want %v", c.before, c.after, out, b.Written(), c.want)
			}
		})
	}
}

// A clumsy line refuses to send the writes it is told to.
type clumsy struct {
	Writer
	drop []int // which writes, from 1
	n    int
}

func (l *clumsy) WriteHolding(ctx context.Context, p modbus.Priority, unit uint8, addr uint16, values []uint16) error {
	if l.n++; slices.Contains(l.drop, l.n) {
		return &modbus.RequestError{Function: 16, Unit: unit, Address: addr, Count: uint16(len(values)), Err: modbus.ErrTimeout}
	}
	return l.Writer.WriteHolding(ctx, p, unit, addr, values)
}

// TestAPanelTestIsEndedLater where the second write could not be sent.
func TestAPanelTestIsEndedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ctl := newControl(t, upssim.Options{}, Config{})
		ctl.line = &clumsy{Writer: ctl.line, drop: []int{2, 3}}
		run(t, ctl, diagnostics("panel"), ups.Done)
		if want := []string{"16 1543 0x0002", "16 1543 0x0001"}; !slices.Equal(b.written(), want) {
			t.Errorf("written %q, want %q", b.written(), want)
		}
	})
}

// TestAPanelTestThatIsTakenBackIsEndedOnce, though the unit takes its time.
func TestAPanelTestThatIsTakenBackIsEndedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ctl := newControl(t, upssim.Options{}, Config{})
		before, err := ctl.Check(t.Context(), diagnostics("panel"))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan ups.Outcome)
		go func() { ended <- ctl.Execute(t.Context(), diagnostics("panel"), before, nil) }()
		time.Sleep(3 * time.Second)
		b.Poke(26, 1)
		time.AfterFunc(6*time.Second, func() { b.Unpoke(26, 1) })
		if err := ctl.Cancel(t.Context(), diagnostics("panel")); err != nil {
			t.Error(err)
		}
		if out := <-ended; out.State != ups.Cancelled || b.Written() != 2 {
			t.Errorf("%+v, written %q", out, b.written())
		}
	})
}
