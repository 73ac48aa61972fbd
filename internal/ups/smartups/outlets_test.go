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

// outlet makes a control.outlet.
func outlet(to, group, delay string) ups.Command {
	return ups.Command{Action: ups.ActionOutlet, Params: map[string]string{ups.ParamTo: to, ups.ParamGroup: group, ups.ParamDelay: delay}}
}

func rebootGroup(group, delay string) ups.Command {
	return ups.Command{Action: ups.ActionRebootGroup, Params: map[string]string{ups.ParamGroup: group, ups.ParamDelay: delay}}
}

// TestOutletsGoOffAndOn: each order to a group writes its word, once, and ends by what the group shows.
func TestOutletsGoOffAndOn(t *testing.T) {
	for _, delay := range []string{ups.DelayConfigured, ups.DelayNone} {
		synctest.Test(t, func(t *testing.T) {
			b, c := newControl(t, upssim.Options{SKU: "SMX1500RM2U"}, Config{})
			b.Handle([]byte{16, 0x04, 0x0B, 0, 1, 2, 0, 20}) // 1035, on-delay of SOG0
			words := map[string][]string{
				ups.DelayConfigured: {"16 1538 0x0000 0x4284", "16 1538 0x0000 0x4242", "16 1538 0x0000 0x42C8", "16 1538 0x0000 0x46D0", "16 1538 0x0000 0x47D0"},
				ups.DelayNone:       {"16 1538 0x0000 0x4204", "16 1538 0x0000 0x4202", "16 1538 0x0000 0x4208", "16 1538 0x0000 0x4610", "16 1538 0x0000 0x4710"},
			}[delay]
			for i, cmd := range []ups.Command{
				outlet(ups.ToOff, "sog0", delay), outlet(ups.ToOn, "sog0", delay), outlet(ups.ToShutdown, "sog0", delay),
				rebootGroup("sog0,sog1", delay), rebootGroup("main,sog0,sog1", delay),
			} {
				out := run(t, c, cmd, ups.Done)
				if got := b.written()[1:]; len(got) != i+1 || got[i] != words[i] {
					t.Fatalf("%v: written %q, want %q last", cmd, got, words[i])
				}
				if strings.Contains(out.Detail, "already") || len(out.Raw) < 3 {
					t.Errorf("%v: outcome %+v", cmd, out)
				}
				if i == 0 || i == 1 {
					if out := run(t, c, cmd, ups.Done); !strings.Contains(out.Detail, "already") {
						t.Errorf("%v again: %+v, want already", cmd, out)
					}
				}
			}
		})
	}
}

// TestWhatIsPendingIsTakenBack, whoever began it; where nothing is pending nothing is written.
func TestWhatIsPendingIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newControl(t, upssim.Options{}, Config{})
		if out := run(t, c, outlet(ups.ToCancel, "main,sog0", ups.DelayConfigured), ups.Done); !strings.Contains(out.Detail, "already") || b.Written() != 0 {
			t.Errorf("nothing pending: %+v, %d writes", out, b.Written())
		}
		b.Handle([]byte{16, 0x06, 0x02, 0, 2, 4, 0, 0, 0x22, 0xD0}) // a user reboots SOG0
		time.Sleep(time.Second)
		run(t, c, outlet(ups.ToCancel, "main,sog0", ups.DelayConfigured), ups.Done)
		if got := b.written()[1:]; !slices.Equal(got, []string{"16 1538 0x0000 0x4201"}) {
			t.Errorf("written %q", got)
		}
	})
}

// TestNoDelayIsCalledAtOnce: "after up to 0 s" is no time that anybody waits for.
func TestNoDelayIsCalledAtOnce(t *testing.T) {
	if got := within(0) + ", " + within(30); got != "at once, after up to 30 s" {
		t.Error(got)
	}
}
