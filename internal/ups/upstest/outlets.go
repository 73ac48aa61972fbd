package upstest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/ups"
)

// outletTests are those of commands to outlet groups, on the first switched one.
var outletTests = []controlTest{
	{"OutletsAreSwitchedByOneWriteEach", switchesOutlets},
	{"OutletsAreNotSwitchedTwice", lostOutletAnswers},
	{"NothingGoesOffOnBattery", outletsOnBattery},
	{"WhatWaitsToGoOffIsTakenBack", outletTakenBack},
	{"JudgesOutletsWithoutWriting", judgesOutlets},
}

// Bits of the command word (protocol reference, section 7.3).
const (
	cancelWord   = 0x01
	onWord       = 0x02
	offWord      = 0x04
	shutdownWord = 0x08
	rebootWord   = 0x10
	onDelayed    = 0x40
	offDelayed   = 0x80
)

func outlet(to, delay string) ups.Command {
	return ups.Command{Action: ups.ActionOutlet, Params: map[string]string{ups.ParamGroup: "sog0", ups.ParamTo: to, ups.ParamDelay: delay}}
}

func rebootGroup(delay string) ups.Command {
	return ups.Command{Action: ups.ActionRebootGroup, Params: map[string]string{ups.ParamGroup: "sog0", ups.ParamDelay: delay}}
}

// word is the write of a command.
func (w ControlWorld) word(command uint16) string {
	if w.Outlet == 0 {
		return ""
	}
	return fmt.Sprintf("16 1538 0x%04X 0x%04X", w.Outlet>>16, uint16(w.Outlet)|command)
}

func switchesOutlets(t *testing.T, w ControlWorld) {
	var want []string
	for _, c := range []struct {
		command ups.Command
		word    uint16
	}{
		{outlet(ups.ToOff, ups.DelayConfigured), offWord | offDelayed},
		{outlet(ups.ToOn, ups.DelayConfigured), onWord | onDelayed},
		{outlet(ups.ToOff, ups.DelayNone), offWord},
		{outlet(ups.ToOn, ups.DelayNone), onWord},
		{outlet(ups.ToShutdown, ups.DelayConfigured), shutdownWord | onDelayed | offDelayed},
		{outlet(ups.ToShutdown, ups.DelayNone), shutdownWord},
		{rebootGroup(ups.DelayConfigured), rebootWord | onDelayed | offDelayed},
		{rebootGroup(ups.DelayNone), rebootWord},
	} {
		before := w.check(t, c.command, w.word(c.word))
		told := 0
		w.ends(t, w.Control.Execute(t.Context(), c.command, before, func(int, string) { told++ }), ups.Done)
		want = append(want, w.word(c.word))
		w.wrote(t, want...)
		if told == 0 {
			t.Errorf("%v: no progress was told", c.command)
		}
	}
	for _, c := range []ups.Command{outlet(ups.ToOn, ups.DelayNone), outlet(ups.ToCancel, ups.DelayNone)} { // it is so
		out := w.Control.Execute(t.Context(), c, w.check(t, c, w.word(onWord)), nil)
		if w.ends(t, out, ups.Done); !strings.Contains(out.Detail, "already") {
			t.Errorf("%v: %+v, want already", c, out)
		}
	}
	w.wrote(t, want...)
}

func lostOutletAnswers(t *testing.T, w ControlWorld) {
	off, word := outlet(ups.ToOff, ups.DelayNone), w.word(offWord)
	before := w.check(t, off, word)
	w.Drop()
	w.ends(t, w.Control.Execute(t.Context(), off, before, nil), ups.Unknown)
	w.wrote(t)
	again := rebootGroup(ups.DelayConfigured)
	before = w.check(t, again, word)
	w.Lose()
	w.ends(t, w.Control.Execute(t.Context(), again, before, nil), ups.Done)
	before = w.check(t, off, word)
	w.Lose()
	w.ends(t, w.Control.Execute(t.Context(), off, before, nil), ups.Done)
	w.wrote(t, w.word(rebootWord|onDelayed|offDelayed), word)
}

// outletsOnBattery: what goes off stays on, and what is off is not turned on; taking back is not forbidden.
func outletsOnBattery(t *testing.T, w ControlWorld) {
	off := outlet(ups.ToOff, ups.DelayNone)
	w.check(t, off, w.word(offWord))
	w.Mains(false)
	time.Sleep(5 * time.Second)
	for _, c := range []ups.Command{off, outlet(ups.ToShutdown, ups.DelayConfigured), rebootGroup(ups.DelayConfigured)} {
		_, err := w.Control.Check(t.Context(), c)
		refused(t, err, ups.ReasonSafetyLock)
	}
	if _, err := w.Control.Check(t.Context(), outlet(ups.ToCancel, ups.DelayNone)); err != nil {
		t.Errorf("Check of a cancel on battery = %v", err)
	}
	w.Mains(true)
	time.Sleep(10 * time.Second)
	w.ends(t, w.Control.Execute(t.Context(), off, w.check(t, off, w.word(offWord)), nil), ups.Done)
	w.Mains(false)
	time.Sleep(5 * time.Second)
	_, err := w.Control.Check(t.Context(), outlet(ups.ToOn, ups.DelayNone))
	refused(t, err, ups.ReasonSafetyLock)
	w.wrote(t, w.word(offWord))
}

// outletTakenBack: by who takes back the order, and by an order that takes back what is pending.
func outletTakenBack(t *testing.T, w ControlWorld) {
	var want []string
	for _, c := range []struct {
		command ups.Command
		word    uint16
	}{
		{outlet(ups.ToOff, ups.DelayConfigured), offWord | offDelayed},
		{outlet(ups.ToShutdown, ups.DelayConfigured), shutdownWord | onDelayed | offDelayed},
		{rebootGroup(ups.DelayConfigured), rebootWord | onDelayed | offDelayed},
	} {
		before := w.check(t, c.command, w.word(c.word))
		ended := make(chan ups.Outcome)
		go func() { ended <- w.Control.Execute(t.Context(), c.command, before, nil) }()
		time.Sleep(5 * time.Second)
		if err := w.Control.Cancel(t.Context(), c.command); err != nil {
			t.Errorf("Cancel = %v", err)
		}
		if out := <-ended; out.State != ups.Cancelled || out.Reason != ups.ReasonCancelled {
			t.Errorf("%v, taken back: %+v", c.command, out)
		}
		w.crash(t, c.command, w.check(t, c.command, w.word(c.word)))
		cancel := outlet(ups.ToCancel, ups.DelayNone)
		w.ends(t, w.Control.Execute(t.Context(), cancel, w.check(t, cancel, w.word(cancelWord)), nil), ups.Done)
		want = append(want, w.word(c.word), w.word(cancelWord), w.word(c.word), w.word(cancelWord))
	}
	w.wrote(t, want...)
}

// crash leaves a command three seconds after its write.
func (w ControlWorld) crash(t *testing.T, c ups.Command, before []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	w.ends(t, w.Control.Execute(ctx, c, before, nil), ups.Unknown)
}

func judgesOutlets(t *testing.T, w ControlWorld) {
	var want []string
	for _, c := range []struct {
		command ups.Command
		word    uint16
	}{
		{rebootGroup(ups.DelayConfigured), rebootWord | onDelayed | offDelayed},
		{outlet(ups.ToOff, ups.DelayConfigured), offWord | offDelayed},
		{outlet(ups.ToOn, ups.DelayConfigured), onWord | onDelayed},
	} {
		before := w.check(t, c.command, w.word(c.word))
		w.ends(t, w.Control.Judge(t.Context(), c.command, before), ups.Unknown) // nothing was written
		if w.wrote(t, want...); c.command.Params[ups.ParamTo] == ups.ToOn {
			w.ends(t, w.Control.Execute(t.Context(), c.command, before, nil), ups.Done)
		} else {
			w.crash(t, c.command, before)
		}
		w.ends(t, w.Control.Judge(t.Context(), c.command, before), ups.Done)
		want = append(want, w.word(c.word))
		w.wrote(t, slices.Clone(want)...)
	}
}
