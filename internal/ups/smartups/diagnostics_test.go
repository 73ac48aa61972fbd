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

// diagnostics is an order for a test: "calibration", or "calibration abort".
func diagnostics(text string) ups.Command {
	test, do, _ := strings.Cut(text, " ")
	params := map[string]string{ups.ParamTest: test}
	if do != "" {
		params[ups.ParamDo] = do
	}
	return ups.Command{Action: ups.ActionDiagnostics, Params: params}
}

var (
	mute     = ups.Command{Action: ups.ActionMute}
	unmute   = ups.Command{Action: ups.ActionMute, Params: map[string]string{ups.ParamMute: ups.MuteOff}}
	ackOld   = ups.Command{Action: ups.ActionAck, Params: map[string]string{ups.ParamAlarm: ups.AlarmBattery}}
	ackWires = ups.Command{Action: ups.ActionAck, Params: map[string]string{ups.ParamAlarm: ups.AlarmWiring}}
)

// happens lets something happen to the unit, in the simulator's words.
func (b *bench) happens(t *testing.T, words ...string) {
	t.Helper()
	for _, w := range words {
		a, err := upssim.ParseAction(w)
		if err != nil {
			t.Fatal(err)
		}
		a.Do(b.Unit)
	}
}

// TestEachDiagnosticsOrderEndsByAStatusItem: what is written, once, how it ends and what the words of the end are.
func TestEachDiagnosticsOrderEndsByAStatusItem(t *testing.T) {
	for name, c := range map[string]struct {
		before  string // what happens to the unit first
		cmd     ups.Command
		during  string // and 10 s behind the write
		want    ups.OutcomeState
		detail  string
		written []string
	}{
		"self-test":             {"", diagnostics("self"), "", ups.Done, "passed", []string{"16 1541 0x0001"}},
		"self-test, bad":        {"battery-bad", diagnostics("self"), "", ups.Failed, "failed", []string{"16 1541 0x0001"}},
		"self-test, refused":    {"charge=0.3", diagnostics("self"), "", ups.Failed, "the charge is too low", []string{"16 1541 0x0001"}},
		"self-test, mains fail": {"", diagnostics("self"), "mains-fail", ups.Failed, "the state of the unit", []string{"16 1541 0x0001"}},
		"self-test, aborted":    {"", diagnostics("self"), "abort", ups.Cancelled, "aborted at the unit", []string{"16 1541 0x0001"}},

		"self-test abort":                {"self-test", diagnostics("self abort"), "", ups.Done, "was aborted", []string{"16 1541 0x0002"}},
		"self-test abort, none":          {"", diagnostics("self abort"), "", ups.Done, "already", nil},
		"self-test abort, a calibration": {"calibrate", diagnostics("self abort"), "", ups.Done, "already", nil},

		"calibration":               {"", diagnostics("calibration"), "", ups.Done, "passed", []string{"16 1542 0x0001"}},
		"calibration, bad":          {"battery-bad", diagnostics("calibration"), "", ups.Failed, "failed", []string{"16 1542 0x0001"}},
		"calibration, mains fail":   {"", diagnostics("calibration"), "mains-fail", ups.Failed, "input power", []string{"16 1542 0x0001"}},
		"calibration, load":         {"", diagnostics("calibration"), "load=0.6", ups.Failed, "load changed", []string{"16 1542 0x0001"}},
		"calibration, aborted":      {"", diagnostics("calibration"), "abort", ups.Cancelled, "aborted at the unit", []string{"16 1542 0x0001"}},
		"calibration, refused":      {"load=0.5", diagnostics("calibration"), "", ups.Failed, "load changed", []string{"16 1542 0x0001"}},
		"calibration abort":         {"calibrate", diagnostics("calibration abort"), "", ups.Done, "was aborted", []string{"16 1542 0x0002"}},
		"calibration abort, none":   {"", diagnostics("calibration abort"), "", ups.Done, "already", nil},
		"calibration abort, a test": {"self-test", diagnostics("calibration abort"), "", ups.Done, "already", nil},

		"panel":                 {"", diagnostics("panel"), "", ups.Done, "were turned off", []string{"16 1543 0x0002", "16 1543 0x0001"}},
		"panel abort":           {"panel-test", diagnostics("panel abort"), "", ups.Done, "no panel test runs", []string{"16 1543 0x0001"}},
		"panel abort, none":     {"", diagnostics("panel abort"), "", ups.Done, "already", nil},
		"mute":                  {"mains-fail", mute, "", ups.Done, "is muted", []string{"16 1543 0x0004"}},
		"mute, nothing sounds":  {"", mute, "", ups.Done, "already", nil},
		"unmute, nothing is":    {"mains-fail", unmute, "", ups.Done, "already", nil},
		"ack battery":           {"battery-life=10", ackOld, "", ups.Done, "is acknowledged", []string{"16 1543 0x0020"}},
		"ack battery, worn":     {"battery-worn", ackOld, "", ups.Done, "is acknowledged", []string{"16 1543 0x0020"}},
		"ack battery, exceeded": {"battery-life=-1", ackOld, "", ups.Done, "is acknowledged", []string{"16 1543 0x0020"}},
		"ack battery, error":    {"battery-disconnect", ackOld, "", ups.Unknown, "no register tells", []string{"16 1543 0x0020"}},
		"ack battery, none":     {"", ackOld, "", ups.Done, "already", nil},
		"ack wiring":            {"wiring-bad", ackWires, "", ups.Unknown, "no register tells", []string{"16 1543 0x0040"}},
		"ack wiring, mended":    {"wiring-bad", ackWires, "wiring-good", ups.Done, "no site wiring alarm", []string{"16 1543 0x0040"}},
		"ack wiring, none":      {"", ackWires, "", ups.Done, "already", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, ctl := newControl(t, upssim.Options{Speed: 20}, Config{})
				if c.before != "" {
					b.happens(t, c.before)
					time.Sleep(2 * time.Second)
				}
				if c.during != "" {
					time.AfterFunc(10*time.Second-500*time.Millisecond, func() { b.happens(t, c.during) })
				}
				out := run(t, ctl, c.cmd, c.want)
				if !strings.Contains(out.Detail, c.detail) {
					t.Errorf("it ended %q, want a word of %q", out.Detail, c.detail)
				}
				if got := b.written(); !slices.Equal(got, c.written) {
					t.Errorf("written: %q, want %q", got, c.written)
				}
			})
		})
	}
}
