package smartups

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
)

// Each command that tests and silences, what has to be so before, and what it writes.
var everyDiagnostics = []struct {
	before string
	cmd    ups.Command
	writes []string
	done   ups.OutcomeState // where all goes well
	lost   ups.OutcomeState // where the write does not come to the unit
}{
	{"", diagnostics("self"), []string{"16 1541 0x0001"}, ups.Done, ups.Unknown},
	{"self-test 2s", diagnostics("self abort"), []string{"16 1541 0x0002"}, ups.Done, ups.Failed},
	{"", diagnostics("calibration"), []string{"16 1542 0x0001"}, ups.Done, ups.Unknown},
	{"calibrate 2s", diagnostics("calibration abort"), []string{"16 1542 0x0002"}, ups.Done, ups.Failed},
	{"", diagnostics("panel"), []string{"16 1543 0x0002", "16 1543 0x0001"}, ups.Done, ups.Unknown},
	{"panel-test", diagnostics("panel abort"), []string{"16 1543 0x0001"}, ups.Done, ups.Failed},
	{"mains-fail", mute, []string{"16 1543 0x0004"}, ups.Done, ups.Failed},
	{"mains-fail mute", unmute, []string{"16 1543 0x0008"}, ups.Done, ups.Failed},
	{"battery-life=9", ackOld, []string{"16 1543 0x0020"}, ups.Done, ups.Failed},
	{"wiring-bad", ackWires, []string{"16 1543 0x0040"}, ups.Unknown, ups.Unknown},
}

// prepare brings the unit to where a command has something to do.
func (b *bench) prepare(t *testing.T, before string) {
	t.Helper()
	for _, w := range strings.Fields(before) {
		if d, err := time.ParseDuration(w); err == nil {
			time.Sleep(d)
			continue
		}
		b.happens(t, w)
	}
}

// TestEveryDiagnosticsOrderOnEveryUnit: each model through each port, and as different firmwares answer: written once and seen to its end, or
// UNSUPPORTED with nothing written.
func TestEveryDiagnosticsOrderOnEveryUnit(t *testing.T) {
	for _, sku := range upssim.SKUs() {
		for _, variants := range [][]string{nil, {"strict"}, {"odd"}, {"card"}, {"no-pending", "no-six"}} {
			for _, c := range everyDiagnostics {
				synctest.Test(t, func(t *testing.T) {
					what := fmt.Sprint(sku, variants, c.cmd)
					b, ctl := newControl(t, upssim.Options{SKU: sku, Variants: variants, Speed: 60}, Config{Card: slices.Contains(variants, "card")})
					b.prepare(t, c.before)
					before, err := ctl.Check(t.Context(), c.cmd)
					if sku == "SURTD5000RMXLT3U" || sku == "SMC1500IC" {
						if r, _ := err.(*ups.Refusal); r == nil || r.Reason != ups.ReasonUnsupported || b.Written() != 0 {
							t.Errorf("%s: Check = %v, %d writes, want UNSUPPORTED and none", what, err, b.Written())
						}
						return
					}
					if err != nil {
						t.Errorf("%s: Check = %v", what, err)
						return
					}
					out := ctl.Execute(t.Context(), c.cmd, before, nil)
					if out.State != c.done || len(out.Raw) < 3 || !slices.Equal(b.written(), c.writes) {
						t.Errorf("%s: %+v, written %q, want %v and %q", what, out, b.written(), c.done, c.writes)
					}
				})
			}
		}
	}
}

// TestALostAnswerToADiagnosticsOrder: nothing is written again; where the answer alone was lost the status items tell the end all the same,
// and where the write was lost nothing is said to be done.
func TestALostAnswerToADiagnosticsOrder(t *testing.T) {
	for _, c := range everyDiagnostics {
		for _, dropped := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				b, ctl := newControl(t, upssim.Options{Speed: 60}, Config{})
				b.prepare(t, c.before)
				before, err := ctl.Check(t.Context(), c.cmd)
				if err != nil {
					t.Fatal(err)
				}
				want, writes := c.done, c.writes
				if b.lose.Store(!dropped); dropped {
					b.drop.Store(true)
					want, writes = c.lost, nil
				}
				out := ctl.Execute(t.Context(), c.cmd, before, nil)
				if out.State != want || !slices.Equal(b.written(), writes) {
					t.Errorf("%v, dropped %v: %+v, written %q, want %v and %q", c.cmd, dropped, out, b.written(), want, writes)
				}
			})
		}
	}
}

// TestTheEndOfAPanelTestIsLost: the second write is not repeated once it may have arrived, and is made later where it was not sent.
func TestTheEndOfAPanelTestIsLost(t *testing.T) {
	for _, c := range []struct {
		lost   string
		want   ups.OutcomeState
		writes int
	}{{"answer", ups.Done, 2}, {"write", ups.Failed, 1}, {"unit, for a minute", ups.Done, 2}} {
		synctest.Test(t, func(t *testing.T) {
			b, ctl := newControl(t, upssim.Options{}, Config{})
			time.AfterFunc(3*time.Second, func() {
				switch c.lost {
				case "answer":
					b.lose.Store(true)
				case "write":
					b.drop.Store(true)
				default:
					b.deaf.Store(true)
					time.AfterFunc(time.Minute, func() { b.deaf.Store(false) })
				}
			})
			out := run(t, ctl, diagnostics("panel"), c.want)
			if len(b.written()) != c.writes {
				t.Errorf("the %s lost: %q, %q", c.lost, b.written(), out.Detail)
			}
			if on := b.Registers(26, 1)[0]&1 != 0; on != (c.want == ups.Failed) || on && !strings.Contains(out.Detail, "press mute at the unit") {
				t.Errorf("the %s lost: the test runs %v, and it is said: %q", c.lost, on, out.Detail)
			}
		})
	}
}

// TestAFirmwareThatAbortsNoSelfTest: the order to abort fails with the unit's answer, taking back is refused, and the test runs to its end.
func TestAFirmwareThatAbortsNoSelfTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ctl := newControl(t, upssim.Options{Variants: []string{"no-abort"}}, Config{})
		b.prepare(t, "self-test 2s")
		out := run(t, ctl, diagnostics("self abort"), ups.Failed)
		if out.Reason != ups.ReasonUPSRefused || !strings.Contains(out.Detail, "the self-test runs on") {
			t.Errorf("outcome %+v", out)
		}
		time.Sleep(time.Minute)
		before, err := ctl.Check(t.Context(), diagnostics("self"))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan ups.Outcome)
		go func() { ended <- ctl.Execute(t.Context(), diagnostics("self"), before, nil) }()
		time.Sleep(5 * time.Second)
		if r, _ := ctl.Cancel(t.Context(), diagnostics("self")).(*ups.Refusal); r == nil || r.Reason != ups.ReasonUPSRefused {
			t.Errorf("Cancel = %v, want %s", r, ups.ReasonUPSRefused)
		}
		if out := <-ended; out.State != ups.Done {
			t.Errorf("outcome %+v, want done", out)
		}
		if want := []string{"16 1541 0x0002 !4", "16 1541 0x0001", "16 1541 0x0002 !4"}; !slices.Equal(b.written(), want) {
			t.Errorf("written %q, want %q", b.written(), want)
		}
	})
}

// TestDiagnosticsAreTakenBack by order.cancel while they run; nothing else is written then.
func TestDiagnosticsAreTakenBack(t *testing.T) {
	for _, c := range []struct{ test, begin, end string }{
		{"self", "16 1541 0x0001", "16 1541 0x0002"}, {"calibration", "16 1542 0x0001", "16 1542 0x0002"}, {"panel", "16 1543 0x0002", "16 1543 0x0001"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, ctl := newControl(t, upssim.Options{}, Config{})
			cmd := diagnostics(c.test)
			before, err := ctl.Check(t.Context(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan ups.Outcome)
			go func() { ended <- ctl.Execute(t.Context(), cmd, before, nil) }()
			time.Sleep(3500 * time.Millisecond)
			if err := ctl.Cancel(t.Context(), cmd); err != nil {
				t.Errorf("%s: Cancel = %v", c.test, err)
			}
			if out := <-ended; out.State != ups.Cancelled || out.Reason != ups.ReasonCancelled || !slices.Equal(b.written(), []string{c.begin, c.end}) {
				t.Errorf("%s: %+v, written %q", c.test, out, b.written())
			}
		})
	}
}

// TestEachReasonOfATestIsTold: the modifiers of 6.8 and 6.9, of a refusal and of an abort, in words; nothing of them is done.
func TestEachReasonOfATestIsTold(t *testing.T) {
	words := map[uint16]string{
		1 << 9: "state of the unit", 1 << 10: "internal fault", 1 << 11: "charge is too low", 1 << 12: "load changed", 1 << 13: "input power",
		1 << 14: "load is too low", 1 << 15: "charged beyond",
	}
	for bit, want := range words {
		for _, result := range []uint16{0x10, 0x20} { // refused, aborted
			for _, cmd := range []ups.Command{diagnostics("self"), diagnostics("calibration")} {
				addr := uint16(24)
				if cmd.Params[ups.ParamTest] == ups.TestSelf {
					if addr = 23; bit > 1<<11 {
						continue
					}
				}
				synctest.Test(t, func(t *testing.T) {
					b, ctl := newControl(t, upssim.Options{}, Config{})
					by := []uint16{0x40, 0x80}[int(bit>>9)%2] // also where somebody at the unit began or ended it
					time.AfterFunc(900*time.Millisecond, func() { b.Poke(addr, by|result|bit) })
					out := run(t, ctl, cmd, ups.Failed)
					if !strings.Contains(out.Detail, want) || (out.Reason == ups.ReasonUPSRefused) != (result == 0x10) {
						t.Errorf("%v with 0x%04X: %+v", cmd, by|result|bit, out)
					}
				})
			}
		}
	}
}

// TestACalibrationOfHoursIsFollowed: at its own pace, with few words, over a minute in which the unit is not to be read, and by who comes
// after a crash.
func TestACalibrationOfHoursIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ctl := newControl(t, upssim.Options{Load: 0.12}, Config{})
		cmd := diagnostics("calibration")
		before, err := ctl.Check(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(10*time.Minute, func() { b.deaf.Store(true) })
		time.AfterFunc(11*time.Minute, func() { b.deaf.Store(false) })
		var told []string
		reads := 0
		b.refusal = func(uint16, uint16) byte { reads++; return 0 }
		last, began := 0, time.Now()
		out := ctl.Execute(t.Context(), cmd, before, func(percent int, detail string) {
			if percent < last {
				t.Errorf("%d %% behind %d %%: %s", percent, last, detail)
			}
			last = percent
			told = append(told, fmt.Sprintf("%d %% %s", percent, detail))
		})
		t.Logf("%v, %d reads: %s; told %q", time.Since(began), reads, out.Detail, told)
		if reads > 3000 {
			t.Errorf("%d reads of a line that others use", reads)
		}
		if out.State != ups.Done || time.Since(began) < time.Hour || len(told) > 25 || len(told) < 15 {
			t.Errorf("after %v: %+v, told %d times", time.Since(began), out, len(told))
		}
	})
}
