package smartups

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
)

// newSerial returns a unit with faults at the end of a simulated serial line in the bubble of the test, and a driver.
func newSerial(t *testing.T, stats *upssim.Stats) (*upssim.Unit, *Driver) {
	unit := upssim.New(upssim.Options{})
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	o := upssim.SerialOptions{Turnaround: 10 * time.Millisecond, Stats: stats, SleepUntil: func(_ context.Context, u time.Time) error {
		time.Sleep(time.Until(u))
		return nil
	}}
	line := runLine(t, modbus.Config{Open: func(context.Context) (modbus.Link, error) {
		ours, theirs := net.Pipe()
		running.Go(func() { _ = upssim.ServeSerial(ctx, theirs, o, map[uint8]*upssim.Unit{1: unit}) })
		return ours, nil
	}}, &running)
	t.Cleanup(cancel) // runs before the line's end is waited for
	return unit, New(Config{Name: "rack-a", Line: line, UnitID: 1})
}

func TestConnectsOverANoisyLine(t *testing.T) {
	for _, c := range []struct {
		fault upssim.Fault
		every int
	}{
		{upssim.BadCRC, 2}, {upssim.BadCRC, 3}, {upssim.Cut, 2}, {upssim.Cut, 3}, {upssim.Deaf, 2}, {upssim.Deaf, 3}, {upssim.Stale, 3},
	} {
		t.Run(c.fault.String()+"="+string(rune('0'+c.every)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				unit, d := newSerial(t, nil)
				unit.Faults().Every(c.fault, c.every)
				connected(t, d)
				if n := len(d.Connected()); n != 7 || d.trust != inStep {
					t.Errorf("%d readings, trust %d; want 7, in step", n, d.trust)
				}
				for _, r := range d.Connected() {
					for i, col := range r.Layout.Columns {
						if col.Point.Info().Kind == ups.Text && r.Text[i] != d.word(unit, col.Point) {
							t.Errorf("%s is %q", col.Point, r.Text[i])
						}
					}
				}
			})
		})
	}
}

// word returns the text of a point as the unit holds it.
func (d *Driver) word(u *upssim.Unit, p ups.Point) string {
	for i := range registers {
		if r := &registers[i]; r.point == p {
			s, _ := text(u.Registers(r.addr, r.words))
			return s
		}
	}
	return ""
}

// Where nothing answers an attempt to connect costs one time-out.
func TestADeafUnitIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stats upssim.Stats
		unit, d := newSerial(t, &stats)
		unit.Faults().Set(upssim.Deaf, true)
		if _, err := d.Connect(t.Context(), nil); ups.FailureOf(err) != ups.FailureNoAnswer {
			t.Errorf("Connect = %v, want no answer", err)
		}
		if n := stats.Counts().Requests; n != 1 {
			t.Errorf("%d requests to a unit that is deaf, want 1", n)
		}
	})
}

// What is asked while connecting when some exchanges fail.
func TestConnectRepeatsWhatFailed(t *testing.T) {
	gone := &modbus.RequestError{Function: 3, Unit: 1, Err: &modbus.LinkError{Op: "open", Err: noise.Err}}
	all := []string{"2048/14", "512/1", "516/120", "644/2", "0/27", "128/35", "1024/50"}
	for _, c := range []struct {
		name string
		fail map[int]error // by exchange, from 0
		want []string
		ok   bool
	}{
		{"nothing failed", nil, all, true},
		{"noise at first", map[int]error{0: noise, 1: noise}, slices.Concat(all[:1], all[:1], all), true},
		{"noise only", map[int]error{0: noise, 1: noise, 2: noise}, []string{"2048/14", "2048/14", "2048/14"}, false},
		{"noise, then silence", map[int]error{0: noise, 1: silence}, []string{"2048/14", "2048/14"}, false},
		{
			"in the middle: the verification block before the next",
			map[int]error{2: noise},
			slices.Concat(all[:3], []string{"516/120", "2048/14"}, all[3:]), true,
		},
		{
			"twice: the serial number as well",
			map[int]error{4: silence, 5: silence},
			slices.Concat(all[:5], []string{"0/27", "0/27", "2048/14", "564/8"}, all[5:]), true,
		},
		{"at last: the verification block in the end", map[int]error{6: noise}, slices.Concat(all, []string{"1024/50", "2048/14"}), true},
		{"three times", map[int]error{2: noise, 3: silence, 4: noise}, slices.Concat(all[:3], []string{"516/120", "516/120"}), false},
		{"without a link", map[int]error{2: gone}, all[:3], false},
		{"refused", map[int]error{0: refusedAddress, 1: refusedAddress}, slices.Concat(all[:1], all[:1]), false},
		{"refused once", map[int]error{0: refusedAddress}, slices.Concat(all[:1], all), true},
		{"a false refusal", map[int]error{2: refusedAddress}, slices.Concat(all[:3], []string{"2048/14", "516/120"}, all[3:]), true},
		{
			"refusals while the controller restarts",
			map[int]error{2: refusedAddress, 3: refusedAddress},
			slices.Concat(all[:3], []string{"2048/14"}), false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := -1
			l, d := newScript(upssim.New(upssim.Options{}), false, func(span) error { n++; return c.fail[n] })
			if _, err := d.Connect(t.Context(), nil); (err == nil) != c.ok {
				t.Errorf("Connect = %v", err)
			}
			if diff := cmp.Diff(c.want, l.take()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// An answer that cannot be is asked for again, after the verification block.
func TestConnectRepeatsWhatIsImplausible(t *testing.T) {
	u := upssim.New(upssim.Options{})
	l, d := newScript(u, false, nothing)
	answer, bad := l.answer, 2
	l.answer = func(s span) ([]uint16, error) {
		words, err := answer(s)
		if s.addr == 0 && bad > 0 {
			bad--
			words[1] = 0 // no state at all
		}
		return words, err
	}
	connected(t, d)
	want := []string{"0/27", "2048/14", "0/27", "2048/14", "0/27", "128/35", "1024/50"}
	if diff := cmp.Diff(want, l.take()[4:]); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	bad = mostTries
	var implausible *ImplausibleError
	if _, err := d.Connect(t.Context(), nil); !errors.As(err, &implausible) {
		t.Errorf("Connect = %v, want implausible", err)
	}
}
