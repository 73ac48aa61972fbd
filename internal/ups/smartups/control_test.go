package smartups

import (
	"bytes"
	"go/parser"
	"go/token"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/ups/upstest"
)

// newControl returns a simulated unit and what commands it, connected.
func newControl(t *testing.T, o upssim.Options, c Config) (*bench, *Control) {
	t.Helper()
	b, d := newBench(t, o, c)
	if _, err := d.Connect(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return b, NewControl(d, d.cfg.Line.(Writer))
}

func (b *bench) written() (out []string) {
	for _, w := range b.Writes() {
		out = append(out, w.String())
	}
	return out
}

func (b *bench) controlWorld(c *Control) upstest.ControlWorld {
	return upstest.ControlWorld{
		Control: c, Written: b.written, Mains: b.SetMains, Bad: b.SetBatteryBad, Deaf: b.deaf.Store,
		Drop: func() { b.drop.Store(true) }, Lose: func() { b.lose.Store(true) },
		SelfTest: "16 1541 0x0001", Abort: "16 1541 0x0002", Keep: b.KeepSettings,
	}
}

// TestEveryFamilyObeysTheContract runs the contract of commands on every model, on its serial port: what is written to which says the
// list here, and where nothing stands nothing may be.
func TestEveryFamilyObeysTheContract(t *testing.T) {
	reboots := map[string]string{
		"SMT1500RM2UC": "16 1538 0x0000 0x43D0", "SMT1500IC": "16 1538 0x0000 0x43D0", "SMX1500RM2U": "16 1538 0x0000 0x47D0",
		"SRT1000XLA": "16 1540 0x0001", "SRT10KXLI": "16 1540 0x0001",
	}
	outlets := map[string]uint32{"SMT1500RM2UC": 0x4200, "SMT1500IC": 0x4200, "SMX1500RM2U": 0x4200, "SRT10KXLI": 0x4200}
	for _, sku := range upssim.SKUs() {
		for _, variants := range [][]string{nil, {"strict"}} {
			t.Run(sku+"/"+join(variants), func(t *testing.T) {
				upstest.ControlSuite{Open: func(t *testing.T) upstest.ControlWorld {
					b, c := newControl(t, upssim.Options{SKU: sku, Variants: variants}, Config{})
					w := b.controlWorld(c)
					w.Outlet = outlets[sku]
					if w.Reboot = reboots[sku]; w.Reboot == "" {
						w.SelfTest, w.Keep = "", nil
					}
					return w
				}}.Run(t)
			})
		}
	}
}

// TestACardObeysTheContractOfOutlets runs it behind a card, and on the unit's own TCP port, where it is the source that differs.
func TestACardObeysTheContractOfOutlets(t *testing.T) {
	upstest.ControlSuite{Open: func(t *testing.T) upstest.ControlWorld {
		b, c := newControl(t, upssim.Options{Variants: []string{"card"}}, Config{Card: true})
		w := b.controlWorld(c)
		w.Reboot, w.Outlet = "16 1538 0x0000 0x83D0", 0x8200
		return w
	}}.Run(t)
	upstest.ControlSuite{Open: func(t *testing.T) upstest.ControlWorld {
		b, d := newBench(t, upssim.Options{}, Config{})
		if _, err := d.Connect(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		d.cfg.Line = onTCP{d.cfg.Line.(Writer)}
		w := b.controlWorld(NewControl(d, d.cfg.Line.(Writer)))
		w.Reboot, w.Outlet = "16 1538 0x0002 0x03D0", 0x20200
		return w
	}}.Run(t)
}

func join(variants []string) string {
	if len(variants) == 0 {
		return "direct"
	}
	return variants[0]
}

// Behind a card the source is the SmartSlot (section 7.3, rule 3), also where the card was found out on its RS-485 port.
func TestTheSourceOfACardIsTheSlot(t *testing.T) {
	for _, told := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b, c := newControl(t, upssim.Options{Variants: []string{"card"}}, Config{Card: told})
			w := b.controlWorld(c)
			run(t, c, ups.Command{Action: ups.ActionReboot, Params: map[string]string{"delay": "none"}}, ups.Done)
			if got := w.Written(); !slices.Equal(got, []string{"16 1538 0x0000 0x8310"}) {
				t.Errorf("written: %q", got)
			}
		})
	}
}

// run checks and executes a command.
func run(t *testing.T, c *Control, cmd ups.Command, want ups.OutcomeState) ups.Outcome {
	t.Helper()
	before, err := c.Check(t.Context(), cmd)
	if err != nil {
		t.Fatalf("Check = %v", err)
	}
	out := c.Execute(t.Context(), cmd, before, nil)
	if out.State != want {
		t.Fatalf("Execute = %s (%s, %s), want %s", out.State, out.Reason, out.Detail, want)
	}
	return out
}

// TestT12EachInterlock: each state in which a command must not go is named, and nothing is written (EDGE-8).
func TestT12EachInterlock(t *testing.T) {
	for name, c := range map[string]struct {
		sku    string
		addr   uint16
		words  []uint16
		reason string
	}{
		"a self-test runs":          {"", 23, []uint16{0x0042}, ups.ReasonSafetyLock},
		"a self-test waits":         {"", 23, []uint16{0x0001}, ups.ReasonSafetyLock},
		"test by the status word":   {"", 0, []uint16{0, 0x0084}, ups.ReasonSafetyLock},
		"a calibration runs":        {"", 24, []uint16{0x0042}, ups.ReasonSafetyLock},
		"on battery":                {"", 0, []uint16{0, 0x0244}, ups.ReasonSafetyLock},
		"in bypass":                 {"SRT1000XLA", 0, []uint16{0, 0x0408}, ups.ReasonSafetyLock},
		"the output is off":         {"", 0, []uint16{0, 0x0010}, ups.ReasonSafetyLock},
		"the input is bad":          {"", 0, []uint16{0, 0x0042}, ups.ReasonSafetyLock},
		"the input failed":          {"", 18, []uint16{1}, ups.ReasonSafetyLock},
		"a fault state":             {"", 0, []uint16{0, 0x8002}, ups.ReasonSafetyLock},
		"an overload":               {"", 20, []uint16{0, 1}, ups.ReasonSafetyLock},
		"emergency power off":       {"", 19, []uint16{0x80}, ups.ReasonSafetyLock},
		"a fault of the power path": {"", 0, []uint16{0, 0x0022, 8, 0, 1}, ups.ReasonSafetyLock},
		"a shutdown is pending":     {"", 0, []uint16{0, 0x0202}, ups.ReasonBusy},
		"a shutdown is imminent":    {"", 18, []uint16{2}, ups.ReasonBusy},
		"a reboot is pending":       {"", 3, []uint16{0, 0x0705}, ups.ReasonBusy},
		"an off-delay runs":         {"", 6, []uint16{0, 0x0201}, ups.ReasonBusy},
		"a load shed is pending":    {"", 6, []uint16{0, 0x0081}, ups.ReasonBusy},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, ctl := newControl(t, upssim.Options{SKU: c.sku}, Config{})
			if name == "a fault of the power path" {
				b.Poke(20, 0, 0x2000)
			}
			b.Poke(c.addr, c.words...)
			// What ends or silences something is wanted most when the unit is not well.
			for _, cmd := range []ups.Command{mute, unmute, ackOld, ackWires, diagnostics("self abort"), diagnostics("calibration abort"), diagnostics("panel abort")} {
				if _, err := ctl.Check(t.Context(), cmd); err != nil {
					t.Errorf("%s: Check of %v = %v, want nil", name, cmd, err)
				}
			}
			for _, cmd := range []ups.Command{{Action: ups.ActionReboot}, diagnostics("self"), diagnostics("calibration"), diagnostics("panel")} {
				_, err := ctl.Check(t.Context(), cmd)
				r, ok := err.(*ups.Refusal)
				if !ok || r.Reason != c.reason || r.Detail == "" {
					t.Errorf("%s: Check of %v = %v, want %s", name, cmd, err, c.reason)
				}
			}
			if n := b.Written(); n != 0 {
				t.Errorf("%s: %d writes", name, n)
			}
		})
	}
}

// A group that somebody turned off is not turned on by a reboot: by 1538 the reboot is refused, by 1540 the group stays off.
func TestAGroupThatIsOffStaysOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newControl(t, upssim.Options{}, Config{})
		b.Handle([]byte{16, 0x06, 0x02, 0, 2, 4, 0, 0, 0x42, 0x04}) // SOG0 off
		time.Sleep(time.Second)
		_, err := c.Check(t.Context(), ups.Command{Action: ups.ActionReboot})
		if r, ok := err.(*ups.Refusal); !ok || r.Reason != ups.ReasonSafetyLock {
			t.Errorf("Check = %v, want %s", err, ups.ReasonSafetyLock)
		}
		if n := b.Written(); n != 1 {
			t.Errorf("%d writes, want the one of the test", n)
		}
	})
}

// Another unit at the same place gets nothing of what is for this one (DEV-5).
func TestDEV5AnotherUnitIsNotCommanded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newControl(t, upssim.Options{}, Config{})
		b.Poke(564, 0x5858)
		_, err := c.Check(t.Context(), ups.Command{Action: ups.ActionReboot})
		if r, ok := err.(*ups.Refusal); !ok || r.Reason != ups.ReasonUnreachable {
			t.Errorf("Check = %v, want %s", err, ups.ReasonUnreachable)
		}
		if n := b.Written(); n != 0 {
			t.Errorf("%d writes", n)
		}
	})
}

// A unit whose port takes no writes, or that refuses a command, is one that failed, with the unit's answer.
func TestARefusedWriteIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		_, c := newControl(t, upssim.Options{Variants: []string{"read-only"}}, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if out := run(t, c, ups.Command{Action: ups.ActionReboot}, ups.Failed); out.Reason != ups.ReasonUnsupported || len(out.Raw) == 0 {
			t.Errorf("outcome %+v, want %s", out, ups.ReasonUnsupported)
		}
		if got := log.String(); !strings.Contains(got, "refused") || strings.Contains(got, "written") {
			t.Errorf("the log says of a refused write: %s", got)
		}
	})
}

// What a unit refuses in its status word is told apart from an earlier result (section 6.8).
func TestASelfTestRefusedByTheUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newControl(t, upssim.Options{}, Config{})
		selfTest := ups.Command{Action: ups.ActionDiagnostics, Params: map[string]string{"test": "self"}}
		run(t, c, selfTest, ups.Done)
		b.SetCharge(0.3)
		for range 2 { // the second time the word is the one from before
			if out := run(t, c, selfTest, ups.Failed); out.Reason != ups.ReasonUPSRefused {
				t.Errorf("outcome %+v, want %s", out, ups.ReasonUPSRefused)
			}
		}
	})
}

// A reboot that waits for its off-delay is taken back, by order and at the unit; one that has begun is not.
func TestARebootIsTakenBackBeforeItActs(t *testing.T) {
	for _, byOrder := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b, c := newControl(t, upssim.Options{}, Config{})
			cmd := ups.Command{Action: ups.ActionReboot}
			before, err := c.Check(t.Context(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan ups.Outcome)
			go func() { ended <- c.Execute(t.Context(), cmd, before, nil) }()
			time.Sleep(10 * time.Second) // the off-delay is 90 s
			if byOrder {
				err = c.Cancel(t.Context(), cmd)
			} else {
				b.Handle([]byte{16, 0x06, 0x02, 0, 2, 4, 0, 0, 0x23, 0x01}) // a user
			}
			out := <-ended
			if err != nil || out.State != ups.Cancelled || (out.Reason == ups.ReasonCancelled) != byOrder {
				t.Errorf("Cancel = %v, outcome %+v, want cancelled", err, out)
			}
			if byOrder && !slices.Equal(b.written(), []string{"16 1538 0x0000 0x43D0", "16 1538 0x0000 0x4301"}) {
				t.Errorf("written: %q", b.written())
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b, c := newControl(t, upssim.Options{}, Config{})
		cmd := ups.Command{Action: ups.ActionReboot, Params: map[string]string{"delay": "none"}}
		before, err := c.Check(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan ups.Outcome)
		go func() { ended <- c.Execute(t.Context(), cmd, before, nil) }()
		time.Sleep(3 * time.Second)
		if err := c.Cancel(t.Context(), cmd); err == nil || b.Written() != 1 {
			t.Errorf("Cancel of a reboot whose outlets are off = %v, %d writes", err, b.Written())
		}
		if out := <-ended; out.State != ups.Done {
			t.Errorf("outcome %+v, want done", out)
		}
	})
}

// The mains fail while the outlets are off: they wait for them, and how that ends is not known.
func TestARebootThatWaitsForTheMains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newControl(t, upssim.Options{}, Config{})
		cmd := ups.Command{Action: ups.ActionReboot, Params: map[string]string{"delay": "none"}}
		time.AfterFunc(4*time.Second, func() { b.SetMains(false) })
		run(t, c, cmd, ups.Unknown)
	})
}

// After a crash a reboot that is over is known by the unit's cause (section 6.2); one that cannot be told from nothing is unknown.
func TestARebootIsJudgedByTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newControl(t, upssim.Options{}, Config{})
		cmd := ups.Command{Action: ups.ActionReboot, Params: map[string]string{"delay": "none"}}
		before, err := c.Check(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		if out := c.Judge(t.Context(), cmd, before); out.State != ups.Unknown {
			t.Errorf("judged before anything was written: %+v, want unknown", out)
		}
		b.Handle([]byte{16, 0x06, 0x02, 0, 2, 4, 0, 0, 0x43, 0x10}) // as the agent that crashed did
		time.Sleep(time.Minute)
		if out := c.Judge(t.Context(), cmd, before); out.State != ups.Done {
			t.Errorf("judged afterwards: %+v, want done", out)
		}
		if n := b.Written(); n != 1 {
			t.Errorf("%d writes, want the one of the test", n)
		}
	})
}

// TestT55OnlyTheListIsWritten tries every register, every single bit of each command item, and every word of 1538.
func TestT55OnlyTheListIsWritten(t *testing.T) {
	try := func(o order) {
		t.Helper()
		_, _, err := o.words()
		ok := o.addr == 1540 && o.v == 1 || (o.addr == 1541 || o.addr == 1542) && (o.v == 1 || o.v == 2) ||
			o.addr == 1543 && slices.Contains([]uint32{1, 2, 4, 8, 32, 64}, o.v)
		if (err == nil) != ok {
			t.Fatalf("%v: %v, want taken %v", o, err, ok)
		}
	}
	for addr := range uint32(1 << 16) {
		for _, v := range []uint32{0, 1, 2, 0xFFFF} {
			try(order{uint16(addr), v})
		}
	}
	for addr := uint16(1536); addr < 1544; addr++ {
		for bit := range 32 {
			try(order{addr, 1 << bit})
		}
	}
	for v := range uint32(1 << 20) {
		command, source := v&0x1F, v&0x7F000
		modifiers, one := map[uint32]uint32{1: 0, 2: 0x40, 4: 0x80, 8: 0xC0, 16: 0xC0}[command]
		known := source == 0x4000 || source == 0x8000 || source == 0x20000
		ok := v&0xF00 != 0 && known && v&0x80000 == 0 && one && v&0xE0&^modifiers == 0
		if mayOutlets(v) != ok || mayOutlets(v|1<<20) {
			t.Fatalf("1538 = 0x%08X: taken %v, want %v", v, !ok, ok)
		}
	}
}

// TestT55OnePlaceWrites: of the program's sources one function calls WriteHolding, and it looks into the list.
func TestT55OnePlaceWrites(t *testing.T) {
	calls := 0
	for _, file := range goFiles(t, "../../..") {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, where := range callsOf(f, "WriteHolding") {
			if calls++; where != "send" {
				t.Errorf("%s: WriteHolding is called in %s", file, where)
			}
		}
	}
	if calls != 1 {
		t.Errorf("%d calls of WriteHolding, want the one in send", calls)
	}
}

// TestPLAN11AfterACrashARecallIsNoReboot: the unit's trace of a command that was taken back is that of one that was carried out. Who is told that
// it was taken back does not say done.
func TestPLAN11AfterACrashARecallIsNoReboot(t *testing.T) {
	for _, recalled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b, c := newControl(t, upssim.Options{}, Config{})
			cmd := ups.Command{Action: ups.ActionReboot}
			before, err := c.Check(t.Context(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan ups.Outcome)
			go func() { ended <- c.Execute(t.Context(), cmd, before, nil) }()
			time.Sleep(10 * time.Second)
			if err := c.Cancel(t.Context(), cmd); err != nil {
				t.Fatal(err)
			}
			<-ended
			next := NewControl(c.of, c.line)
			if recalled {
				next.Recalled(cmd)
			}
			if out := next.Judge(t.Context(), cmd, before); recalled && out.State == ups.Done {
				t.Errorf("after a recall it is judged as %+v", out)
			} else if !recalled {
				t.Logf("without a word of it: %s, %s", out.State, out.Detail)
			}
			if b.Written() != 2 {
				t.Errorf("%d writes", b.Written())
			}
		})
	}
}
