package smartups

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
)

// A script is a line whose answers are said beforehand; it notes what was asked.
type script struct {
	asked  []string
	links  uint64
	timing modbus.Timing
	answer func(s span) ([]uint16, error)
}

func (l *script) Timing(uint8) modbus.Timing { return l.timing }

func (l *script) Links() uint64 { return l.links }

func (l *script) ReadHolding(_ context.Context, _ modbus.Priority, _ uint8, addr, count uint16, dst []uint16) ([]uint16, error) {
	s := span{addr, count}
	l.asked = append(l.asked, s.String())
	words, err := l.answer(s)
	return dst[:copy(dst, words)], err
}

// take returns what was asked since the last call.
func (l *script) take() []string {
	out := l.asked
	l.asked = nil
	return out
}

// newScript returns a driver on a line that answers as u does, with errors for what fail names.
func newScript(u *upssim.Unit, card bool, fail func(s span) error) (*script, *Driver) {
	l := &script{timing: nineSix, answer: func(s span) ([]uint16, error) {
		if err := fail(s); err != nil {
			return nil, err
		}
		return u.Registers(s.addr, s.count), nil
	}}
	return l, New(Config{Name: "rack-a", Line: l, UnitID: 1, Card: card})
}

func nothing(span) error { return nil }

var (
	refusedAddress = &modbus.ExceptionError{Function: 3, Code: illegalAddress}
	silence        = &modbus.RequestError{Function: 3, Unit: 1, Sent: true, Err: modbus.ErrTimeout}
	noise          = &modbus.RequestError{Function: 3, Unit: 1, Sent: true, Err: &modbus.FrameError{Reason: "noise"}}
)

func connected(t *testing.T, d *Driver) []ups.Block {
	t.Helper()
	plan, err := d.Connect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func find(t *testing.T, plan []ups.Block, tier ups.Tier) ups.Block {
	t.Helper()
	for _, b := range plan {
		if b.Tier == tier {
			return b
		}
	}
	t.Fatalf("no block of tier %s", tier)
	return ups.Block{}
}

func TestConnectAsksForEverythingOnce(t *testing.T) {
	l, d := newScript(upssim.New(upssim.Options{}), false, nothing)
	plan := connected(t, d)
	want := []string{"watch 0/3", "status 0/27", "live 128/35", "settings 1024/50", "identity 2048/14", "identity 512/1", "identity 516/104", "identity 644/2"}
	if diff := cmp.Diff(want, names(plan)); diff != "" {
		t.Errorf("plan of an SMT with a main group and SOG 0 (-want +got):\n%s", diff)
	}
	want = []string{"2048/14", "512/1", "516/120", "644/2", "0/27", "128/35", "1024/50"}
	if diff := cmp.Diff(want, l.take()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if n := len(d.Connected()); n != 7 {
		t.Errorf("%d readings of the connection, want 7", n)
	}
	for _, b := range plan {
		if b.Cost <= 0 {
			t.Errorf("%s costs %s", b.Name, b.Cost)
		}
	}
}

// TestConnectHandsReadingsOverAsTheyCount: who the unit is and then its status, with the live block and the settings still to be
// asked for; nothing twice, and nothing that was repeated before the verification block came in again.
func TestConnectHandsReadingsOverAsTheyCount(t *testing.T) {
	for _, silent := range []string{"", "0/27", "1024/50"} {
		asked := 0
		l, d := newScript(upssim.New(upssim.Options{}), false, func(s span) error {
			if name := fmt.Sprintf("%d/%d", s.addr, s.count); name == silent && asked == 0 {
				asked++
				return silence
			}
			return nil
		})
		var got []*ups.Reading
		var story []string
		_, err := d.Connect(t.Context(), func(r *ups.Reading) {
			got = append(got, r)
			story = append(append(story, l.take()...), r.Tier.String())
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, d.Connected()) || got[0].Text == nil {
			t.Errorf("%q silent once: handed over %d readings, Connected has %d; texts are first: %v", silent, len(got), len(d.Connected()), got[0].Text != nil)
		}
		want := map[string][]string{
			"":        {"2048/14", "512/1", "516/120", "644/2", "identity", "identity", "identity", "identity", "0/27", "status", "128/35", "live", "1024/50", "settings"},
			"0/27":    {"2048/14", "512/1", "516/120", "644/2", "identity", "identity", "identity", "identity", "0/27", "0/27", "2048/14", "128/35", "status", "live", "1024/50", "settings"},
			"1024/50": {"2048/14", "512/1", "516/120", "644/2", "identity", "identity", "identity", "identity", "0/27", "status", "128/35", "live", "1024/50", "1024/50", "2048/14", "settings"},
		}[silent]
		if diff := cmp.Diff(want, story); diff != "" {
			t.Errorf("%q silent once (-want +got):\n%s", silent, diff)
		}
	}
}

func TestAUnitThatRefusesUndefinedRegistersIsReadWithoutThem(t *testing.T) {
	pl := newPlanner(nineSix, profile{groups: 0b0011})
	l, d := newScript(upssim.New(upssim.Options{}), false, func(s span) error {
		if s.addr < verifyAddr && !pl.certain(s) {
			return refusedAddress
		}
		return nil
	})
	plan := connected(t, d)
	for _, b := range plan {
		var r ups.Reading
		if err := d.Read(t.Context(), b, &r); err != nil {
			t.Error(err)
		}
	}
	want := []string{"watch 0/3", "status 0/5", "status 6/2", "status 18/9"}
	if diff := cmp.Diff(want, names(plan)[:4]); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	l.take()
	connected(t, d)
	for _, name := range l.take() {
		if name == "516/120" || name == "0/27" {
			t.Errorf("asked for %s again, which the unit refuses", name)
		}
	}
}

// A unit that lacks items in the middle of the map: the items around them are still read.
func TestItemsThatTheUnitRefusesAreLeftOut(t *testing.T) {
	covers := func(s span, addr uint16) bool { return s.addr <= addr && addr < s.addr+s.count }
	_, d := newScript(upssim.New(upssim.Options{}), false, func(s span) error {
		if covers(s, 644) || covers(s, 512) || covers(s, 25) || covers(s, 1060) {
			return refusedAddress
		}
		return nil
	})
	plan := connected(t, d)
	s := ups.NewState()
	for _, b := range plan {
		var r ups.Reading
		if err := d.Read(t.Context(), b, &r); err != nil {
			t.Error(err)
		}
		s.Apply(&r)
	}
	for _, p := range []ups.Point{ups.StatusFlags, ups.UserInterface, ups.BatteryTest, ups.Runtime, ups.UpperTransfer} {
		if _, ok := s.Raw(p); !ok {
			t.Errorf("%s was not read; the plan is %v", p, names(plan))
		}
	}
	if _, ok := s.Raw(ups.BatteryLife); ok {
		t.Error("an item that is refused has a value")
	}
}

func TestAUnitThatRefusesItsStatusIsNotSupported(t *testing.T) {
	_, d := newScript(upssim.New(upssim.Options{}), false, func(s span) error {
		if s.addr < 3 {
			return refusedAddress
		}
		return nil
	})
	if _, err := d.Connect(t.Context(), nil); ups.FailureOf(err) != ups.FailureUnsupported {
		t.Errorf("Connect = %v, want unsupported", err)
	}
}

func TestGroupsThatDoNotExistAreAbsent(t *testing.T) {
	u := upssim.New(upssim.Options{})
	u.Poke(590, 0b0110)  // SOG 0 and 1, no main group, as on an SRT1000XLA
	u.Poke(3, 0, 0x0001) // though its items may be populated
	u.Poke(155, 0)       // and a countdown reads 0 through a card
	u.Poke(159, 0)
	_, d := newScript(u, true, nothing)
	connected(t, d)
	s := ups.NewState()
	for _, r := range d.Connected() {
		s.Apply(r)
	}
	for _, p := range []ups.Point{ups.MainOutlet, ups.MainTurnOff, ups.MainTurnOffDelay, ups.SOG2Outlet, ups.SOG2StayOff} {
		if raw, ok := s.Raw(p); ok {
			t.Errorf("%s is %d on a unit without the group", p, raw)
		}
	}
	if s.Text(ups.MainName) != "" {
		t.Errorf("the main group that does not exist is called %q", s.Text(ups.MainName))
	}
	if raw, ok := s.Raw(ups.SOG0TurnOff); !ok || raw != 0 {
		t.Errorf("the countdown of SOG 0 is %d (%v), want 0", raw, ok)
	}
}

func TestABlockOfOnesIsNoReading(t *testing.T) {
	u := upssim.New(upssim.Options{})
	_, d := newScript(u, false, nothing)
	for _, b := range connected(t, d) {
		rd := d.reads[b.Index]
		if rd.count < 3 || rd.tier == ups.TierSettings {
			continue
		}
		ones := make([]uint16, rd.count)
		for i := range ones {
			ones[i] = 0xFFFF
		}
		if err := d.plausible(rd, ones); ups.FailureOf(err) != ups.FailureImplausible {
			t.Errorf("%s full of 0xFFFF: %v, want implausible", b.Name, err)
		}
	}
}

func TestErrorsSayWhatWasAttempted(t *testing.T) {
	var fail error
	_, d := newScript(upssim.New(upssim.Options{}), false, func(span) error { return fail })
	plan := connected(t, d)
	fail = silence
	var r ups.Reading
	err := d.Read(t.Context(), find(t, plan, ups.TierStatus), &r)
	if err == nil || !strings.HasPrefix(err.Error(), "read status 0/27 of rack-a: ") || !errors.Is(err, modbus.ErrTimeout) {
		t.Errorf("Read = %v", err)
	}
	if err := d.Read(t.Context(), ups.Block{Index: 1, Name: "1/2"}, &r); err == nil {
		t.Error("a block of another plan was read")
	}
}

func TestAChangedRatingIsAnotherUnit(t *testing.T) {
	u := upssim.New(upssim.Options{})
	_, d := newScript(u, false, nothing)
	plan := connected(t, d)
	u.Poke(589, 4711)
	var failed *UnitChangedError
	for _, b := range plan {
		var r ups.Reading
		if err := d.Read(t.Context(), b, &r); err != nil && !errors.As(err, &failed) {
			t.Error(err)
		}
	}
	if failed == nil || failed.Point != ups.NominalPower || failed.Is != "4711" {
		t.Errorf("error %v, want the rating", failed)
	}
}

func TestAnUpdateChangesTheIdentity(t *testing.T) {
	u := upssim.New(upssim.Options{})
	_, d := newScript(u, false, nothing)
	plan := connected(t, d)
	words, err := row(t, ups.Firmware).encodeText("UPS 04.9")
	if err != nil {
		t.Fatal(err)
	}
	u.Poke(516, words...)
	for _, b := range plan {
		var r ups.Reading
		if err := d.Read(t.Context(), b, &r); err != nil {
			t.Error(err)
		}
	}
	if got := d.Identity().Firmware; got != "UPS 04.9" {
		t.Errorf("firmware %q after the update", got)
	}
}

func TestReadAllHasEverything(t *testing.T) {
	u := upssim.New(upssim.Options{})
	_, d := newScript(u, false, nothing)
	for _, when := range []string{"connecting", "connected"} {
		s, err := ReadAll(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if s.Identity().SKU != "SMT1500RM2UC" || s.Status()&ups.Online == 0 || s.Flags(ups.OutletConfig) != 0b0011 {
			t.Errorf("%s: %+v, %v", when, s.Identity(), s.Status().Names())
		}
	}
}

// At is when the reply was complete, Took how long it was on its way.
func TestReadingsCarryTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := upssim.New(upssim.Options{})
		l, d := newScript(u, false, func(span) error { time.Sleep(70 * time.Millisecond); return nil })
		b := find(t, connected(t, d), ups.TierLive)
		l.take()
		var r ups.Reading
		if err := d.Read(t.Context(), b, &r); err != nil {
			t.Fatal(err)
		}
		if !r.At.Equal(time.Now()) || r.Took != 70*time.Millisecond || r.Unit != "rack-a" || r.Tier != ups.TierLive {
			t.Errorf("reading of %s, tier %s, at %s, took %s", r.Unit, r.Tier, r.At, r.Took)
		}
	})
}

// A still line answers every read with the same words.
type still []uint16

func (l still) Timing(uint8) modbus.Timing { return nineSix }

func (l still) Links() uint64 { return 1 }

func (l still) ReadHolding(_ context.Context, _ modbus.Priority, _ uint8, _, count uint16, dst []uint16) ([]uint16, error) {
	return dst[:copy(dst, l[:count])], nil
}

func TestReadingAllocatesNothing(t *testing.T) {
	_, d := newScript(upssim.New(upssim.Options{}), false, nothing)
	plan := connected(t, d)
	words := make(still, modbus.MostRead)
	words[1] = 2              // online
	words[4], words[7] = 1, 1 // both outlet groups are on
	d.cfg.Line = words
	for _, b := range []ups.Block{find(t, plan, ups.TierWatch), find(t, plan, ups.TierStatus), find(t, plan, ups.TierLive), find(t, plan, ups.TierSettings)} {
		var r ups.Reading
		if n := testing.AllocsPerRun(50, func() {
			if err := d.Read(t.Context(), b, &r); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("a read of %s allocates %v times", b.Name, n)
		}
	}
}
