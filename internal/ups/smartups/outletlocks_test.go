package smartups

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
)

// What Check answered, in one word.
func verdict(t *testing.T, c *Control, cmd ups.Command) string {
	t.Helper()
	before, err := c.Check(t.Context(), cmd)
	if r, ok := err.(*ups.Refusal); ok {
		if r.Detail == "" {
			t.Errorf("%v: %s without a word", cmd, r.Reason)
		}
		return r.Reason
	}
	if err != nil {
		return err.Error()
	}
	if ev, err := readEvidence(before); err != nil {
		return err.Error()
	} else if ev.Already != "" {
		return "already"
	}
	return "may"
}

// TestT12EachInterlockOfOutlets is EDGE-8 and R10, each state with each verb. Group SOG0 is off and SOG1 waits to go off, both well otherwise;
// turning off and rebooting are about the main group or SOG2.
func TestT12EachInterlockOfOutlets(t *testing.T) {
	const lock, busy = ups.ReasonSafetyLock, ups.ReasonBusy
	for name, c := range map[string]struct {
		poke                   map[uint16][]uint16
		drops, on, cancel      string // of what drops the load, to=on of SOG0, to=cancel of SOG1
		pending                bool   // SOG1 waits
		onIsOn, offIsOff, none string // to=on of SOG2, which is on; to=off of SOG0, which is off; to=cancel of SOG2
	}{
		"well":                    {nil, "may", "may", "already", false, "already", "already", "already"},
		"SOG1 waits":              {nil, busy, busy, "may", true, "already", "already", "already"},
		"a self-test":             {map[uint16][]uint16{23: {0x42}}, lock, lock, "may", true, "already", "already", "already"},
		"a calibration":           {map[uint16][]uint16{24: {0x42}}, lock, lock, "may", true, "already", "already", "already"},
		"on battery":              {map[uint16][]uint16{0: {0, 0x0244}}, lock, lock, "may", true, "already", "already", "already"},
		"on battery for a test":   {map[uint16][]uint16{0: {0, 0x0084}}, lock, lock, "may", true, "already", "already", "already"},
		"in bypass":               {map[uint16][]uint16{0: {0, 0x0408}}, lock, lock, "may", true, "already", "already", "already"},
		"the input is bad":        {map[uint16][]uint16{0: {0, 0x0042}}, lock, lock, "may", true, "already", "already", "already"},
		"the input failed":        {map[uint16][]uint16{18: {1}}, lock, lock, "may", true, "already", "already", "already"},
		"a fault state":           {map[uint16][]uint16{0: {0, 0x8002}}, lock, lock, "may", true, "already", "already", "already"},
		"an overload":             {map[uint16][]uint16{20: {0, 1}}, lock, lock, "may", true, "already", "already", "already"},
		"emergency power off":     {map[uint16][]uint16{19: {0x80}}, lock, lock, "may", true, "already", "already", "already"},
		"the unit goes off":       {map[uint16][]uint16{0: {0, 0x0202}}, busy, busy, "may", true, "already", "already", "already"},
		"shutdown is imminent":    {map[uint16][]uint16{18: {2}}, busy, busy, "may", true, "already", "already", "already"},
		"the output is off":       {map[uint16][]uint16{0: {0, 0x0010}, 3: {0, 2}}, lock, lock, "may", true, "already", "already", "already"},
		"the main group waits":    {map[uint16][]uint16{3: {0, 0x0201}, 155: {60}}, busy, busy, busy, true, "already", "already", "already"},
		"SOG1 goes off now":       {map[uint16][]uint16{163: {5}}, busy, busy, busy, true, "already", "already", "already"},
		"SOG1 has no countdown":   {map[uint16][]uint16{163: {0xFFFF}}, busy, busy, busy, true, "already", "already", "already"},
		"SOG1 is off and waits":   {map[uint16][]uint16{9: {0, 0x0506}}, busy, busy, busy, true, "already", "already", "already"},
		"SOG1 may shed its load":  {map[uint16][]uint16{9: {0, 0x0081}}, busy, busy, "may", true, "already", "already", "already"},
		"SOG2 has no state":       {map[uint16][]uint16{12: {0, 0x4000}}, lock, "may", "already", false, lock, "already", lock},
		"SOG0 waits to come on":   {map[uint16][]uint16{6: {0, 0x0502}}, busy, busy, "already", false, "already", busy, "already"},
		"SOG2 waits to go off":    {map[uint16][]uint16{12: {0, 0x0201}, 167: {60}}, busy, busy, "already", false, busy, "already", "may"},
		"a fault of the battery":  {map[uint16][]uint16{0: {0, 0x2022}, 22: {4}}, "may", "may", "already", false, "already", "already", "already"},
		"a fault of the inverter": {map[uint16][]uint16{0: {0, 0x2022}, 20: {0, 0x2000}}, lock, lock, "may", true, "already", "already", "already"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, ctl := newControl(t, upssim.Options{SKU: "SRT10KXLI"}, Config{})
			b.raw(1538, 0, 0x4204) // SOG0 off
			time.Sleep(time.Second)
			if c.pending {
				b.Poke(9, 0, 0x0201)
				b.Poke(163, 60)
			}
			for addr, words := range c.poke {
				b.Poke(addr, words...)
			}
			n := b.Written()
			for cmd, want := range map[*ups.Command]string{
				ptr(outlet(ups.ToOff, "sog2", ups.DelayConfigured)):      c.drops,
				ptr(outlet(ups.ToShutdown, "sog2", ups.DelayConfigured)): c.drops,
				ptr(rebootGroup("sog2", ups.DelayConfigured)):            c.drops,
				ptr(outlet(ups.ToOn, "sog0", ups.DelayConfigured)):       c.on,
				ptr(outlet(ups.ToCancel, "sog1", ups.DelayConfigured)):   c.cancel,
				ptr(outlet(ups.ToOn, "sog2", ups.DelayConfigured)):       c.onIsOn,
				ptr(outlet(ups.ToOff, "sog0", ups.DelayConfigured)):      c.offIsOff,
				ptr(outlet(ups.ToCancel, "sog2", ups.DelayConfigured)):   c.none,
			} {
				if got := verdict(t, ctl, *cmd); got != want {
					_, err := ctl.Check(t.Context(), *cmd)
					t.Errorf("%s: %v: %s (%v), want %s", name, *cmd, got, err, want)
				}
			}
			if b.Written() != n {
				t.Errorf("%s: something was written", name)
			}
		})
	}
}

func ptr(c ups.Command) *ups.Command { return &c }

// TestGroupsNeedEachOther is rule 5 of section 7.3, in words, before anything is written; groups that the unit lacks are named.
func TestGroupsNeedEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newControl(t, upssim.Options{SKU: "SMX1500RM2U"}, Config{})
		check := func(cmd ups.Command, reason, says string) {
			t.Helper()
			_, err := c.Check(t.Context(), cmd)
			if r, ok := err.(*ups.Refusal); reason == "" && err != nil || reason != "" && (!ok || r.Reason != reason || !strings.Contains(r.Detail, says)) {
				t.Errorf("%v: %v, want %s %q", cmd, err, reason, says)
			}
		}
		for _, cmd := range []func(group string) ups.Command{
			func(g string) ups.Command { return rebootGroup(g, ups.DelayConfigured) },
			func(g string) ups.Command { return outlet(ups.ToOff, g, ups.DelayNone) },
			func(g string) ups.Command { return outlet(ups.ToShutdown, g, ups.DelayConfigured) },
		} {
			check(cmd("main"), ups.ReasonSafetyLock, "the main group cannot go off while group sog0 is on")
			check(cmd("main,sog0"), ups.ReasonSafetyLock, "while group sog1 is on")
			check(cmd("main,sog0,sog1"), "", "")
			check(cmd("sog1"), "", "")
			check(cmd("sog0,sog2"), ups.ReasonUnsupported, "the unit has no group sog2; it has main, sog0, sog1")
		}
		b.raw(1538, 0, 0x4204) // SOG0 off
		time.Sleep(time.Second)
		check(rebootGroup("sog0,sog1", ups.DelayConfigured), ups.ReasonSafetyLock, "group sog0 is not on")
		check(rebootGroup("main,sog1", ups.DelayConfigured), "", "") // SOG0 stays off
		b.raw(1538, 0, 0x4504)                                       // the others
		time.Sleep(time.Second)
		check(outlet(ups.ToOn, "sog0", ups.DelayNone), ups.ReasonSafetyLock, "the output is off")
		check(outlet(ups.ToOn, "main", ups.DelayNone), "", "")
		check(outlet(ups.ToOn, "main,sog0", ups.DelayNone), "", "")
		run(t, c, outlet(ups.ToOn, "main", ups.DelayNone), ups.Done)
		check(outlet(ups.ToOn, "main,sog0", ups.DelayNone), "", "")
		run(t, c, outlet(ups.ToOn, "main,sog0", ups.DelayNone), ups.Done)
		if got := b.written(); got[len(got)-1] != "16 1538 0x0000 0x4202" {
			t.Errorf("what is on was told to go on: %q", got)
		}
	})
}
