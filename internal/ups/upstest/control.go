package upstest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
)

// A Control is what the suite asks of what carries out commands on a unit.
type Control interface {
	Check(ctx context.Context, c ups.Command) (before []byte, err error)
	Execute(ctx context.Context, c ups.Command, before []byte, progress func(percent int, detail string)) ups.Outcome
	Judge(ctx context.Context, c ups.Command, before []byte) ups.Outcome
	Cancel(ctx context.Context, c ups.Command) error
}

// A ControlWorld is a control and the unit on its line, connected and well: online, nothing pending, every outlet group on.
type ControlWorld struct {
	Control Control
	Written func() []string // the write requests that reached the unit, oldest first, "16 1541 0x0001"
	Mains   func(on bool)
	Bad     func(bool) // the battery fails its next test
	Deaf    func(bool)
	Drop    func() // the next write does not reach the unit
	Lose    func() // the answer to the next write does not come back
	// Reboot is what a reboot with the delays set in the unit writes, and SelfTest a self-test; "" where the unit is not to be told
	// so: then nothing may be written.
	Reboot, SelfTest string
	Abort            string // what taking a self-test back writes
	// Outlet is the word of 1538 that names the first switched group and the port, without a command; 0 where none is to be written.
	Outlet uint32
	// Keep makes the unit say yes to a setting and keep the old one; nil where no setting is to be written.
	Keep func(bool)
}

// A controlTest is one test of the suite.
type controlTest struct {
	name string
	test func(t *testing.T, w ControlWorld)
}

// ControlSuite is the contract of everything that carries out commands. Its worlds live in memory: it runs in bubbles.
type ControlSuite struct {
	Open func(t *testing.T) ControlWorld
}

var (
	reboot   = ups.Command{Action: ups.ActionReboot}
	selfTest = ups.Command{Action: ups.ActionDiagnostics, Params: map[string]string{ups.ParamTest: ups.TestSelf}}

	calibration = diagnostic(ups.TestCalibration, ups.DoStart)
	panel       = diagnostic(ups.TestPanel, ups.DoStart)
	mute        = ups.Command{Action: ups.ActionMute}
	unmute      = ups.Command{Action: ups.ActionMute, Params: map[string]string{ups.ParamMute: ups.MuteOff}}
)

func diagnostic(test, do string) ups.Command {
	return ups.Command{Action: ups.ActionDiagnostics, Params: map[string]string{ups.ParamTest: test, ups.ParamDo: do}}
}

// Run runs every test of the suite.
func (s ControlSuite) Run(t *testing.T) {
	for _, c := range slices.Concat([]controlTest{
		{"RebootIsWrittenOnceAndFollowed", func(t *testing.T, w ControlWorld) { w.runs(t, reboot, w.Reboot) }},
		{"SelfTestIsWrittenOnceAndFollowed", func(t *testing.T, w ControlWorld) { w.runs(t, selfTest, w.SelfTest) }},
		{"TwoSelfTestsWithOneResult", twoTests},
		{"AFailedSelfTestIsAFailure", failedTest},
		{"ALostAnswerIsNotRepeated", lostAnswer},
		{"ALostWriteIsNotRepeated", lostWrite},
		{"NothingIsWrittenOnBattery", onBattery},
		{"NothingIsWrittenTwiceAtATime", twoAtATime},
		{"NothingIsWrittenToASilentUnit", silentUnit},
		{"ATestIsTakenBack", takenBack},
		{"ACalibrationIsFollowedAndTakenBack", calibrates},
		{"APanelTestBeginsAndEnds", panelTest},
		{"TheBeeperIsMutedOnBattery", mutes},
		{"WhereNothingIsToBeDoneNothingIsWritten", nothingToDo},
		{"JudgesWithoutWriting", judges},
		{"WritesNothingItWasNotAskedFor", strangeCommands},
	}, settingTests, outletTests) {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.test(t, s.Open(t)) })
		})
	}
}

// wrote fails unless exactly this reached the unit.
func (w ControlWorld) wrote(t *testing.T, want ...string) {
	t.Helper()
	if got := w.Written(); !slices.Equal(got, want) {
		t.Errorf("written: %q, want %q", got, want)
	}
}

// check fails unless the command may go, or skips where the unit is not to be told it.
func (w ControlWorld) check(t *testing.T, c ups.Command, writes string) []byte {
	t.Helper()
	before, err := w.Control.Check(t.Context(), c)
	if writes == "" {
		refused(t, err, ups.ReasonUnsupported)
		w.wrote(t)
		t.SkipNow()
	}
	if err != nil {
		t.Fatalf("Check = %v", err)
	}
	return before
}

func refused(t *testing.T, err error, reason string) {
	t.Helper()
	if r, ok := err.(*ups.Refusal); !ok || r.Reason != reason || r.Detail == "" {
		t.Errorf("Check = %v, want a refusal %s with its detail", err, reason)
	}
}

func (w ControlWorld) ends(t *testing.T, out ups.Outcome, want ups.OutcomeState) {
	t.Helper()
	if out.State != want {
		t.Errorf("it ended %s (%s, %s), want %s", out.State, out.Reason, out.Detail, want)
	}
	if out.Detail == "" || out.State != ups.Refused && len(out.Raw) == 0 {
		t.Errorf("outcome %+v without detail or registers", out)
	}
}

func (w ControlWorld) runs(t *testing.T, c ups.Command, writes string) {
	before := w.check(t, c, writes)
	w.wrote(t)
	var told []string
	out := w.Control.Execute(t.Context(), c, before, func(percent int, detail string) {
		if percent < 0 || percent > 100 || detail == "" {
			t.Errorf("progress %d %q", percent, detail)
		}
		told = append(told, detail)
	})
	w.ends(t, out, ups.Done)
	w.wrote(t, writes)
	if len(told) == 0 {
		t.Error("no progress was told")
	}
}

// twoTests: the second result is the first one's word again.
func twoTests(t *testing.T, w ControlWorld) {
	for n := 1; n <= 2; n++ {
		out := w.Control.Execute(t.Context(), selfTest, w.check(t, selfTest, w.SelfTest), nil)
		w.ends(t, out, ups.Done)
		w.wrote(t, slices.Repeat([]string{w.SelfTest}, n)...)
	}
}

func failedTest(t *testing.T, w ControlWorld) {
	w.Bad(true)
	out := w.Control.Execute(t.Context(), selfTest, w.check(t, selfTest, w.SelfTest), nil)
	w.ends(t, out, ups.Failed)
	w.wrote(t, w.SelfTest)
}

func lostAnswer(t *testing.T, w ControlWorld) {
	before := w.check(t, selfTest, w.SelfTest)
	w.Lose()
	w.ends(t, w.Control.Execute(t.Context(), selfTest, before, nil), ups.Done)
	w.wrote(t, w.SelfTest)
	if w.Reboot == "" {
		return
	}
	before = w.check(t, reboot, w.Reboot)
	w.Lose()
	w.ends(t, w.Control.Execute(t.Context(), reboot, before, nil), ups.Done)
	w.wrote(t, w.SelfTest, w.Reboot)
}

func lostWrite(t *testing.T, w ControlWorld) {
	before := w.check(t, selfTest, w.SelfTest)
	w.Drop()
	w.ends(t, w.Control.Execute(t.Context(), selfTest, before, nil), ups.Unknown)
	if w.Reboot != "" {
		before = w.check(t, reboot, w.Reboot)
		w.Drop()
		w.ends(t, w.Control.Execute(t.Context(), reboot, before, nil), ups.Unknown)
	}
	w.wrote(t)
}

func onBattery(t *testing.T, w ControlWorld) {
	before := w.check(t, selfTest, w.SelfTest)
	w.Mains(false)
	time.Sleep(5 * time.Second)
	for _, c := range []ups.Command{reboot, selfTest} {
		if c.Action == ups.ActionReboot && w.Reboot == "" {
			continue
		}
		_, err := w.Control.Check(t.Context(), c)
		refused(t, err, ups.ReasonSafetyLock)
	}
	// The check is older than it may be, and the unit went on battery since.
	if out := w.Control.Execute(t.Context(), selfTest, before, nil); out.State != ups.Refused || out.Reason != ups.ReasonSafetyLock {
		t.Errorf("Execute = %+v, want refused with %s", out, ups.ReasonSafetyLock)
	}
	w.wrote(t)
}

func twoAtATime(t *testing.T, w ControlWorld) {
	before := w.check(t, selfTest, w.SelfTest)
	ended := make(chan ups.Outcome)
	go func() { ended <- w.Control.Execute(t.Context(), selfTest, before, nil) }()
	time.Sleep(3 * time.Second)
	for _, c := range []ups.Command{reboot, selfTest} {
		if c.Action == ups.ActionReboot && w.Reboot == "" {
			continue
		}
		_, err := w.Control.Check(t.Context(), c)
		refused(t, err, ups.ReasonSafetyLock)
	}
	w.ends(t, <-ended, ups.Done)
	if w.Reboot != "" {
		before = w.check(t, reboot, w.Reboot)
		go func() { ended <- w.Control.Execute(t.Context(), reboot, before, nil) }()
		time.Sleep(3 * time.Second)
		_, err := w.Control.Check(t.Context(), selfTest)
		refused(t, err, ups.ReasonBusy)
		w.ends(t, <-ended, ups.Done)
		w.wrote(t, w.SelfTest, w.Reboot)
		return
	}
	w.wrote(t, w.SelfTest)
}

func silentUnit(t *testing.T, w ControlWorld) {
	w.check(t, selfTest, w.SelfTest)
	w.Deaf(true)
	_, err := w.Control.Check(t.Context(), selfTest)
	refused(t, err, ups.ReasonUnreachable)
	w.wrote(t)
}

func takenBack(t *testing.T, w ControlWorld) {
	before := w.check(t, selfTest, w.SelfTest)
	ended := make(chan ups.Outcome)
	go func() { ended <- w.Control.Execute(t.Context(), selfTest, before, nil) }()
	time.Sleep(5 * time.Second)
	if err := w.Control.Cancel(t.Context(), selfTest); err != nil {
		t.Errorf("Cancel = %v", err)
	}
	w.ends(t, <-ended, ups.Cancelled)
	w.wrote(t, w.SelfTest, w.Abort)
}

// ended goes on until a command has ended, and takes it back meanwhile.
func (w ControlWorld) ended(t *testing.T, c ups.Command, back time.Duration) ups.Outcome {
	t.Helper()
	before := w.may(t, c)
	ended := make(chan ups.Outcome)
	go func() { ended <- w.Control.Execute(t.Context(), c, before, nil) }()
	if back > 0 {
		time.Sleep(back)
		if err := w.Control.Cancel(t.Context(), c); err != nil {
			t.Errorf("Cancel of %v = %v", c, err)
		}
	}
	return <-ended
}

// may is check with a unit that is told nothing at all, where it takes no self-test.
func (w ControlWorld) may(t *testing.T, c ups.Command) []byte {
	t.Helper()
	return w.check(t, c, w.SelfTest)
}

func calibrates(t *testing.T, w ControlWorld) {
	w.ends(t, w.ended(t, calibration, time.Minute), ups.Cancelled)
	w.wrote(t, "16 1542 0x0001", "16 1542 0x0002")
	_, err := w.Control.Check(t.Context(), calibration) // the battery is not full any more
	refused(t, err, ups.ReasonSafetyLock)
}

func panelTest(t *testing.T, w ControlWorld) {
	w.ends(t, w.ended(t, panel, 0), ups.Done)
	w.wrote(t, "16 1543 0x0002", "16 1543 0x0001")
}

// mutes: that is when it beeps, and when no test and no reboot may go.
func mutes(t *testing.T, w ControlWorld) {
	w.may(t, mute)
	w.Mains(false)
	time.Sleep(5 * time.Second)
	for range 2 { // the second time it is so already
		w.ends(t, w.ended(t, mute, 0), ups.Done)
		w.wrote(t, "16 1543 0x0004")
	}
	w.ends(t, w.ended(t, unmute, 0), ups.Done)
	w.wrote(t, "16 1543 0x0004", "16 1543 0x0008")
	for _, c := range []ups.Command{panel, calibration} {
		_, err := w.Control.Check(t.Context(), c)
		refused(t, err, ups.ReasonSafetyLock)
	}
}

// nothingToDo: what an order asks for is so already.
func nothingToDo(t *testing.T, w ControlWorld) {
	for _, c := range []ups.Command{
		mute, unmute, diagnostic(ups.TestSelf, ups.DoAbort), diagnostic(ups.TestCalibration, ups.DoAbort), diagnostic(ups.TestPanel, ups.DoAbort),
		{Action: ups.ActionAck, Params: map[string]string{ups.ParamAlarm: ups.AlarmBattery}},
		{Action: ups.ActionAck, Params: map[string]string{ups.ParamAlarm: ups.AlarmWiring}},
	} {
		out := w.ended(t, c, 0)
		w.ends(t, out, ups.Done)
		if !strings.Contains(out.Detail, "already") {
			t.Errorf("%v ended with %q, want a word of its being so already", c, out.Detail)
		}
	}
	w.wrote(t)
}

// judges: after a crash the outcome of what never reached the unit is unknown, and of what still runs it is followed.
func judges(t *testing.T, w ControlWorld) {
	before := w.check(t, selfTest, w.SelfTest)
	w.ends(t, w.Control.Judge(t.Context(), selfTest, before), ups.Unknown)
	w.wrote(t)
	crash := func(c ups.Command, before []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		w.ends(t, w.Control.Execute(ctx, c, before, nil), ups.Unknown)
	}
	before = w.check(t, selfTest, w.SelfTest)
	crash(selfTest, before)
	w.ends(t, w.Control.Judge(t.Context(), selfTest, before), ups.Done)
	want := []string{w.SelfTest}
	if w.Reboot != "" {
		before = w.check(t, reboot, w.Reboot)
		crash(reboot, before)
		w.ends(t, w.Control.Judge(t.Context(), reboot, before), ups.Done)
		want = append(want, w.Reboot)
	}
	w.wrote(t, want...)
}

func strangeCommands(t *testing.T, w ControlWorld) {
	for _, c := range []ups.Command{
		{},
		{Action: "control.outlet"},
		{Action: "reboot.group"},
		{Action: ups.ActionReboot, Params: map[string]string{"delay": "60"}},
		{Action: ups.ActionReboot, Params: map[string]string{"delay": ""}},
		{Action: ups.ActionReboot, Params: map[string]string{"delay": "none", "group": "main"}},
		{Action: ups.ActionReboot, Params: map[string]string{"test": "self"}},
		{Action: ups.ActionDiagnostics},
		{Action: ups.ActionDiagnostics, Params: map[string]string{"test": "everything"}},
		{Action: ups.ActionDiagnostics, Params: map[string]string{"test": "panel", "do": "twice"}},
		{Action: ups.ActionMute, Params: map[string]string{"mute": "yes"}},
		{Action: ups.ActionAck},
		{Action: ups.ActionAck, Params: map[string]string{"alarm": "all"}},
		{Action: ups.ActionDiagnostics, Params: map[string]string{"test": "self", "register": "593"}},
	} {
		_, err := w.Control.Check(t.Context(), c)
		refused(t, err, ups.ReasonUnsupported)
	}
	for _, before := range []string{"", "{}", `{"v":9}`, strings.Repeat("[", 1000)} {
		if out := w.Control.Judge(t.Context(), selfTest, []byte(before)); out.State != ups.Unknown {
			t.Errorf("Judge by %.20q = %+v, want unknown", before, out)
		}
	}
	w.wrote(t)
}
