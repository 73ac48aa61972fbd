package smartups

import (
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
)

// A boxFate is a reboot whose box is gone before its end, and what the next run of the agent makes of it.
type boxFate struct {
	sku      string
	group    string        // "": reboot.ups
	twice    bool          // the cause is a command's already, and high efficiency is gone
	old      bool          // the cause is a command's already, long ago
	lost     bool          // the word never reached the unit
	word     string        // what somebody does meanwhile at the unit
	progress int           // as noted
	rebooted bool          // the box was off
	recalled bool          // it may have been told to take it back
	later    time.Duration // when the box is there again; 0: two minutes and a half
	want     ups.OutcomeState
}

// TestARebootOfTheBoxsOwnOutletIsJudgedByAllThereIs: what was noted before the box went, whether it was off, and the registers. What does not
// prove it stays unknown.
func TestARebootOfTheBoxsOwnOutletIsJudgedByAllThereIs(t *testing.T) {
	for name, c := range map[string]boxFate{
		"the first reboot: its cause tells":                  {rebooted: true, want: ups.Done},
		"the second, seen to begin":                          {twice: true, progress: tookIt, rebooted: true, want: ups.Done},
		"the second, seen to begin, only the agent was gone": {twice: true, progress: tookIt, want: ups.Done},
		"the second, not seen":                               {twice: true, rebooted: true, want: ups.Unknown},
		"the second long after: high efficiency is no proof": {old: true, rebooted: true, want: ups.Unknown},
		"the same, and the box was never off":                {old: true, want: ups.Unknown},
		"the same, told to take it back":                     {old: true, rebooted: true, recalled: true, want: ups.Unknown},
		"the same, ten minutes on: it is back":               {old: true, rebooted: true, later: 20 * time.Minute, want: ups.Unknown},
		"never written, and the box was off":                 {old: true, rebooted: true, lost: true, want: ups.Unknown},
		"never written, high efficiency gone before":         {twice: true, rebooted: true, lost: true, want: ups.Unknown},
		"a group, seen to begin":                             {group: "sog0", progress: tookIt, rebooted: true, want: ups.Done},
		"a group, seen to begin, only the agent was gone":    {group: "sog0", progress: tookIt, want: ups.Unknown},
		"a group, seen off":                                  {group: "sog0", progress: allOff, want: ups.Done},
		"a group, not seen":                                  {group: "sog0", rebooted: true, want: ups.Unknown},
		"a group, told to take it back":                      {group: "sog0", progress: tookIt, rebooted: true, recalled: true, want: ups.Unknown},
		"an SRT, the second, seen to begin":                  {sku: "SRT1000XLA", twice: true, progress: tookIt, rebooted: true, want: ups.Done},
		"an SRT, the second long after":                      {sku: "SRT1000XLA", old: true, rebooted: true, want: ups.Unknown},
		"taken back at the panel, seen to begin":             {progress: tookIt, word: "outlet=cancel", want: ups.Unknown},
		"the same, and the box was off for another reason":   {progress: tookIt, rebooted: true, word: "outlet=cancel", want: ups.Unknown},
		"some groups wait still when the box is back":        {twice: true, rebooted: true, progress: tookIt, later: 92 * time.Second, want: ups.Done},
		"the mains failed and the battery ended in between":  {progress: tookIt, group: "sog0", rebooted: true, word: "dip", want: ups.Unknown},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, ctl := newControl(t, upssim.Options{SKU: c.sku}, Config{})
			cmd := ups.Command{Action: ups.ActionReboot, Params: map[string]string{}}
			if c.group != "" {
				cmd = ups.Command{Action: ups.ActionRebootGroup, Params: map[string]string{ups.ParamGroup: c.group}}
			}
			if c.twice || c.old {
				run(t, ctl, ups.Command{Action: ups.ActionReboot}, ups.Done)
			}
			if c.old {
				time.Sleep(10 * time.Minute)
			}
			before, err := ctl.Check(t.Context(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			ev, err := readEvidence(before)
			if err != nil {
				t.Fatal(err)
			}
			if !c.lost {
				if err := ctl.send(t.Context(), ev.write()); err != nil {
					t.Fatal(err)
				}
			}
			later := c.later
			if later == 0 {
				later = 150 * time.Second
			}
			if c.word != "" {
				time.Sleep(20 * time.Second)
				later -= 20 * time.Second
				a, err := upssim.ParseAction(c.word)
				if err != nil {
					t.Fatal(err)
				}
				a.Do(b.Unit)
			}
			time.Sleep(later)
			next := NewControl(ctl.of, ctl.line)
			if c.recalled {
				next.Recalled(cmd)
			}
			next.Witnessed(cmd, c.progress, c.rebooted)
			if out := next.Judge(t.Context(), cmd, before); out.State != c.want {
				t.Errorf("%s: %s (%s), want %s", name, out.State, out.Detail, c.want)
			}
			if w := next.testimony(); w != (past{}) {
				t.Errorf("%s: the next command would be judged by %+v", name, w)
			}
		})
	}
}

// TestWhatIsToldOfARebootIsWhatAWitnessMayBelieve: ten and more only where the command is certain to be ours.
func TestWhatIsToldOfARebootIsWhatAWitnessMayBelieve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newControl(t, upssim.Options{}, Config{})
		cmd := ups.Command{Action: ups.ActionReboot}
		before, err := c.Check(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		var told []int
		c.Execute(t.Context(), cmd, before, func(percent int, _ string) {
			if percent >= tookIt && (len(told) == 0 || told[len(told)-1] != percent) {
				told = append(told, percent)
			}
		})
		if len(told) < 2 || told[0] != tookIt || told[len(told)-1] != allOff {
			t.Errorf("told %v, want %d first and %d at last", told, tookIt, allOff)
		}
	})
}
