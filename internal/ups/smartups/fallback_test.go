package smartups

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
)

// refuses makes the unit answer writes to 1538 with an exception.
func (b *bench) refuses(code byte) {
	b.refusal = func(addr, _ uint16) byte {
		if addr != outletCommand {
			return 0
		}
		if b.meanwhile != nil {
			b.meanwhile()
		}
		return code
	}
}

// acted are the writes that reached the simulated unit, past what the bench refused for it.
func (b *bench) acted(t *testing.T, want ...string) {
	t.Helper()
	if got := b.written(); !slices.Equal(got, want) {
		t.Errorf("written %q, want %q", got, want)
	}
}

// TestRebootByTheOtherPath: a unit that refuses 1538 is rebooted by 1540, and the next order takes that path at once. The path is told.
func TestRebootByTheOtherPath(t *testing.T) {
	for _, code := range []byte{illegalFunction, illegalAddress, deviceFailure} {
		synctest.Test(t, func(t *testing.T) {
			b, c := newControl(t, upssim.Options{}, Config{})
			b.refuses(code)
			cmd := ups.Command{Action: ups.ActionReboot}
			before, err := c.Check(t.Context(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			if ev, _ := readEvidence(before); ev.written() != "1538 = 0x000043D0 or 1540 = 1" {
				t.Errorf("noted before: %s", ev.written())
			}
			var told []string
			out := c.Execute(t.Context(), cmd, before, func(_ int, detail string) { told = append(told, detail) })
			if path := "1540 = 1, as the unit refused 1538"; out.State != ups.Done || !strings.Contains(out.Detail, path) || !strings.Contains(told[0], path) {
				t.Errorf("exception %d: %+v, told %q", code, out, told)
			}
			b.acted(t, "16 1540 0x0001")
			b.refusal = func(addr, _ uint16) byte { // 1538 is not tried again
				if addr == outletCommand {
					t.Error("1538 was tried again")
				}
				return 0
			}
			run(t, c, cmd, ups.Done)
			_, err = c.Check(t.Context(), ups.Command{Action: ups.ActionReboot, Params: map[string]string{ups.ParamDelay: ups.DelayNone}})
			if r, ok := err.(*ups.Refusal); !ok || r.Reason != ups.ReasonUnsupported {
				t.Errorf("without delays: %v, want %s", err, ups.ReasonUnsupported)
			}
			_, err = c.Check(t.Context(), rebootGroup("sog0", ups.DelayConfigured))
			if r, ok := err.(*ups.Refusal); code != deviceFailure && (!ok || r.Reason != ups.ReasonUnsupported) || code == deviceFailure && err != nil {
				t.Errorf("exception %d, of one group: %v", code, err)
			}
			if _, err := c.of.Connect(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			before, err = c.Check(t.Context(), cmd)
			if ev, _ := readEvidence(before); err != nil || ev.Addr != outletCommand {
				t.Errorf("connected anew: %v %v, want 1538 again", ev, err)
			}
		})
	}
}

// TestNothingFollowsWhatMayHaveBeenTaken: a lost answer, a lost request and other exceptions never lead to a second write.
func TestNothingFollowsWhatMayHaveBeenTaken(t *testing.T) {
	for name, c := range map[string]struct {
		make  func(b *bench)
		want  ups.OutcomeState
		wrote []string
	}{
		"the answer is lost":          {func(b *bench) { b.lose.Store(true) }, ups.Done, []string{"16 1538 0x0000 0x43D0"}},
		"the request is lost":         {func(b *bench) { b.drop.Store(true) }, ups.Unknown, nil},
		"exception 3":                 {func(b *bench) { b.refuses(3) }, ups.Failed, nil},
		"exception 6":                 {func(b *bench) { b.refuses(6) }, ups.Failed, nil},
		"refused as the mains failed": {func(b *bench) { b.refuses(4); b.meanwhile = func() { b.SetMains(false) } }, ups.Failed, nil},
		"refused as a user was faster": {func(b *bench) {
			b.refuses(4)
			b.meanwhile = func() { b.raw(1538, 0, 0x0210|byUser) }
		}, ups.Failed, []string{"16 1538 0x0000 0x2210"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, ctl := newControl(t, upssim.Options{}, Config{})
			c.make(b)
			out := run(t, ctl, ups.Command{Action: ups.ActionReboot}, c.want)
			b.acted(t, c.wrote...)
			if strings.Contains(out.Detail, "1540") {
				t.Errorf("%s: %+v", name, out)
			}
		})
	}
}

// TestGroupsAreNotRebootedByTheOtherPath: what names some groups is not replaced by what acts on all.
func TestGroupsAreNotRebootedByTheOtherPath(t *testing.T) {
	for _, code := range []byte{illegalFunction, illegalAddress, deviceFailure} {
		for _, cmd := range []ups.Command{rebootGroup("main,sog0", ups.DelayConfigured), outlet(ups.ToShutdown, "sog0", ups.DelayConfigured)} {
			synctest.Test(t, func(t *testing.T) {
				b, c := newControl(t, upssim.Options{}, Config{})
				b.refuses(code)
				out := run(t, c, cmd, ups.Failed)
				if want := map[byte]string{4: ups.ReasonUPSRefused}[code]; want != "" && out.Reason != want || want == "" && out.Reason != ups.ReasonUnsupported {
					t.Errorf("exception %d: %+v", code, out)
				}
				b.acted(t)
			})
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b, c := newControl(t, upssim.Options{SKU: "SRT1000XLA"}, Config{})
		for _, cmd := range []ups.Command{
			rebootGroup("sog0", ups.DelayConfigured), rebootGroup("sog0,sog1", ups.DelayNone),
			outlet(ups.ToOn, "sog0", ups.DelayConfigured), outlet(ups.ToOff, "sog0", ups.DelayConfigured),
			outlet(ups.ToShutdown, "sog0", ups.DelayConfigured), outlet(ups.ToCancel, "sog0", ups.DelayConfigured),
			{Action: ups.ActionReboot, Params: map[string]string{ups.ParamDelay: ups.DelayNone}},
		} {
			_, err := c.Check(t.Context(), cmd)
			if r, ok := err.(*ups.Refusal); !ok || r.Reason != ups.ReasonUnsupported || !strings.Contains(r.Detail, "1538") {
				t.Errorf("%v: %v, want %s", cmd, err, ups.ReasonUnsupported)
			}
		}
		b.acted(t)
	})
}

// TestJudgesBothPaths: the agent dies between the refused write and the second, or behind it.
func TestJudgesBothPaths(t *testing.T) {
	for _, second := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b, c := newControl(t, upssim.Options{}, Config{})
			cmd := ups.Command{Action: ups.ActionReboot}
			before, err := c.Check(t.Context(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			want := ups.Unknown
			if second {
				b.raw(1540, 1)
				want = ups.Done
			}
			time.Sleep(5 * time.Second)
			if out := NewControl(c.of, c.line).Judge(t.Context(), cmd, before); out.State != want || !strings.Contains(out.Detail, "1538 = 0x000043D0 or 1540 = 1") {
				t.Errorf("second write %v: %+v, want %s", second, out, want)
			}
		})
	}
}
