package upssim

import (
	"math/bits"
	"strings"
	"testing"
	"time"

	"upsedge/internal/ups/upstest"
)

func columnOf(t *testing.T, families []string) (c column) {
	for _, f := range families {
		bit, ok := map[string]column{"SMT": smt, "SRT": srt, "SURTD": surtd}[f]
		if !ok {
			t.Fatalf("family %q", f)
		}
		c |= bit
	}
	return c
}

func TestColumnsAreTheReferences(t *testing.T) {
	for i, m := range upstest.Families() {
		if it := &items[i]; int(it.addr) != m.Number || it.name != m.Name || it.fam != columnOf(t, m.Families) {
			t.Errorf("%d %s: columns %03b, want %d %s: %03b", it.addr, it.name, it.fam, m.Number, m.Name, columnOf(t, m.Families))
		}
	}
	marked := 0
	for _, m := range upstest.StatusBits() {
		if got, want := statusColumns[1<<m.Number], columnOf(t, m.Families); got != want {
			t.Errorf("status bit %d %s: columns %03b, want %03b", m.Number, m.Name, got, want)
		}
		if len(m.Families) > 0 {
			marked++
		}
	}
	if marked != len(statusColumns) {
		t.Errorf("%d bits, want %d", len(statusColumns), marked)
	}
}

// TestAModelLacksOnlyWhatItsRowSays: what differs from the column of the reference has a reason in the row.
func TestAModelLacksOnlyWhatItsRowSays(t *testing.T) {
	marked := upstest.Families()
	for i := range families {
		f := &families[i]
		for n, p := range Items(f.sku) {
			column := columnOf(t, marked[n].Families)&f.column != 0
			reason := f.groups&groupBitOf(p.Item) == 0
			for _, l := range f.lacks {
				reason = reason || strings.HasPrefix(p.Item, l.prefix)
			}
			switch {
			case p.Has == column, p.Item == productItem && f.product != 0, column && reason:
			default:
				t.Errorf("%s: %s: has %v, marked %v", f.sku, p.Item, p.Has, column)
			}
			if p.Has && !p.Defined || p.Source == "" {
				t.Errorf("%s: %+v", f.sku, p)
			}
		}
	}
}

// groupBitOf returns the bit of 590 an item hangs on, all ones for none and for the main group, which every unit has.
func groupBitOf(item string) uint16 {
	for g, prefix := range groupPrefix {
		if g > 0 && strings.HasPrefix(item, prefix) {
			return 1 << g
		}
	}
	return 0xFFFF
}

// TestAHealthyUnitShowsItsFamilysBits: one state, high efficiency where the family has it, nothing else.
func TestAHealthyUnitShowsItsFamilysBits(t *testing.T) {
	for _, sku := range SKUs() {
		u := newClock().unit(Options{SKU: sku})
		s := u.reg32(0)
		if s&^u.fam.shows() != 0 || bits.OnesCount32(s&(stateOnline|stateOnBattery|stateBypass|stateOutputOff)) != 1 {
			t.Errorf("%s: status %s", sku, describe("UPSStatus_BF", s))
		}
		want := uint32(0x2002)
		if sku == "SURTD5000RMXLT3U" {
			want = 0x2
		}
		expect(t, sku, s, want)
		expect(t, sku+" errors", uint32(u.reg(19))|u.reg32(20)|uint32(u.reg(22)), 0)
	}
}

// TestWhatReadsAtUndefinedAddresses is the table of section 3.3.
func TestWhatReadsAtUndefinedAddresses(t *testing.T) {
	read := func(sku string, variants []string, addr, count uint16) (byte, []uint16) {
		u := newClock().unit(Options{SKU: sku, Variants: variants})
		return code(u.Handle(readPDU(addr, count))), u.Registers(addr, count)
	}
	for _, c := range []struct {
		variant     string
		addr, count uint16
		code        byte
		at          int // index of the register to look at
		want        uint16
	}{
		{"", 134, 1, 0, 0, 0xFFFF},
		{"", 0, 27, 0, 5, 0xFFFF},
		{"", 512, 1, 0, 0, 0xFFFF},
		{"strict", 134, 1, 2, 0, 0xFFFF},
		{"strict", 0, 27, 2, 5, 0xFFFF},
		{"strict", 0, 5, 0, 4, 1},
		{"strict", 512, 1, 2, 0, 0xFFFF},
		{"strict", 9, 2, 0, 0, 0},        // not applicable, and known
		{"strict", 1028, 1, 0, 0, 1},     // sensitivity
		{"strict", 15, 2, 2, 0, 0},       // SOG[3]: no unit known
		{"strict", 132, 1, 0, 0, 0xFFFF}, // not applicable
		{"odd", 5, 1, 0, 0, 2},
		{"odd", 0, 27, 0, 8, 2},
		{"odd", 134, 1, 0, 0, 0},
		{"odd", 17, 1, 0, 0, 0xFFFF},
		{"card", 5, 1, 2, 0, 0},
		{"card", 0, 27, 0, 5, 0},
		{"card", 5, 4, 2, 0, 0},
		{"card", 128, 44, 0, 6, 1}, // 134 as seen through a card
		{"card", 128, 44, 0, 4, 0}, // 132, not applicable
		{"card", 163, 1, 0, 0, 0},  // a countdown of a group that is not there: 0, not "expired"
		{"card", 512, 1, 2, 0, 0},
	} {
		var v []string
		if c.variant != "" {
			v = []string{c.variant}
		}
		got, regs := read("SMT1500RM2UC", v, c.addr, c.count)
		if got != c.code {
			t.Errorf("%q %d+%d: exception %d, want %d", c.variant, c.addr, c.count, got, c.code)
		}
		if c.code == 0 && regs[c.at] != c.want {
			t.Errorf("%q %d+%d: register %d is %#04x, want %#04x", c.variant, c.addr, c.count, int(c.addr)+c.at, regs[c.at], c.want)
		}
	}
	if got, regs := read("SRT1000XLA", []string{"strict"}, 512, 1); got != 0 || regs[0] == 0xFFFF {
		t.Errorf("the product id of an SRT: exception %d, %#04x", got, regs)
	}
	if got, _ := read("SMX1500RM2U", []string{"strict"}, 644, 2); got != 2 {
		t.Errorf("644 on older firmware: exception %d", got)
	}
}

func TestFunctionSixByFirmware(t *testing.T) {
	setting, order, wrong := []byte{6, 0x04, 0x05, 0, 7}, []byte{6, 0x06, 0x05, 0, 1}, []byte{6, 0x04, 0x05, 0x80, 0}
	for _, c := range []struct {
		variant               string
		setting, order, wrong byte
	}{{"", 0, 0, 4}, {"no-six", 1, 1, 1}, {"no-six-commands", 0, 1, 4}, {"six-tells", 0, 0, 0}, {"read-only", 2, 2, 2}} {
		var v []string
		if c.variant != "" {
			v = []string{c.variant}
		}
		u := newClock().unit(Options{Variants: v})
		for what, r := range map[string]struct {
			pdu  []byte
			want byte
		}{"setting": {setting, c.setting}, "command": {order, c.order}, "wrong value": {wrong, c.wrong}} {
			if got := code(u.Handle(r.pdu)); got != r.want {
				t.Errorf("%q, %s: exception %d, want %d", c.variant, what, got, r.want)
			}
		}
	}
	u := newClock().unit(Options{Variants: []string{"six-tells"}})
	command(t, u, 0, 1029, 7)
	if got := u.Handle(wrong); len(got) != 5 || got[4] != 7 {
		t.Errorf("a refused value: % x, want the old one", got)
	}
}

func TestUnknownVariantPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(Options{Variants: []string{"nonsense"}})
}

// TestSURTDTakesNoWrite: 990, note 5.
func TestSURTDTakesNoWrite(t *testing.T) {
	u := newClock().unit(Options{SKU: "SURTD5000RMXLT3U"})
	for i := range items {
		it := &items[i]
		if got := code(u.Handle(writePDU(it.addr, make([]uint16, it.count)...))); got == 0 {
			t.Errorf("%s was written", it.name)
		}
	}
	if u.reg(590) != 0xFFFF || u.reg(143) == 0xFFFF || u.reg(152) == 0xFFFF || u.reg(153) != 0xFFFF || u.reg32(145) != 0xFFFFFFFF {
		t.Errorf("groups %#x, second phase %d and %d, third %d", u.reg(590), u.reg(143), u.reg(152), u.reg(153))
	}
}

// TestSRTSettings is sections 6.16 and 7.3 on an SRT1000XLA, and its refusals.
func TestSRTSettings(t *testing.T) {
	u := newClock().unit(Options{SKU: "SRT1000XLA"})
	for _, v := range []uint16{1, 2, 8, 16, 64} {
		command(t, u, 0, 593, v)
	}
	for _, v := range []uint16{0, 4, 32, 48, 128, 256} {
		command(t, u, 4, 593, v)
	}
	for _, v := range []uint16{0x4301, 0x4604, 0x4310, 0x0610, 0, 7} {
		command(t, u, 4, 1538, 0, v)
	}
	command(t, u, 2, 1028, 1)
	expect(t, "groups", uint32(u.reg(590)), 6)
	expect(t, "main group", u.reg32(3), outletOn)
	for _, bit := range []uint16{1, 2, 4, 64, 128, 256} {
		command(t, u, 4, 1536, 0, bit)
	}
}

// TestThreePhasesAndASplitBattery of the largest SRT.
func TestThreePhasesAndASplitBattery(t *testing.T) {
	u := newClock().unit(Options{SKU: "SRT10KXLI"})
	for _, a := range []uint16{131, 132, 151, 152, 153, 148} {
		if v := u.reg(a); v == 0 || v == 0xFFFF {
			t.Errorf("register %d: %#04x", a, v)
		}
	}
	command(t, u, 0, 1538, 0, 0x4F10) // every group
}

// TestThePortOfAVariant: a card is slow and always has TCP, some firmware answers once, and an SMC has no port.
func TestThePortOfAVariant(t *testing.T) {
	with := func(sku string, variants ...string) *Unit {
		return newClock().unit(Options{SKU: sku, Variants: variants})
	}
	fast := TCPOptions{Turnaround: 10 * time.Millisecond}
	if o := with("").Port(fast); o != fast {
		t.Errorf("its own port: %+v", o)
	}
	if o := with("", "card").Port(fast); o.Turnaround != 490*time.Millisecond || o.OneRequest {
		t.Errorf("a card: %+v", o)
	}
	if o := with("", "card").Port(TCPOptions{Turnaround: time.Second}); o.Turnaround != time.Second {
		t.Errorf("a slower card: %+v", o)
	}
	if o := with("", "one-request").Port(fast); !o.OneRequest {
		t.Errorf("one request a connection: %+v", o)
	}
	for _, sku := range SKUs() {
		if got, want := with(sku).HasTCP(), sku != "SMC1500IC"; got != want || !with(sku, "card").HasTCP() {
			t.Errorf("%s: TCP %v", sku, got)
		}
	}
}
