package smartups

import (
	"encoding/binary"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upstest"
)

// row returns the register of a point.
func row(t testing.TB, p ups.Point) *register {
	t.Helper()
	for i := range registers {
		if registers[i].point == p {
			return &registers[i]
		}
	}
	t.Fatalf("no register for %s", p)
	return nil
}

// everything is the profile of a unit that has all there is.
var everything = profile{family: smt | srt | surtd, groups: 0b11111}

// decoded makes a read of the block from the registers given and returns what is known afterwards.
func decoded(t testing.TB, tier ups.Tier, p profile, addr uint16, words ...uint16) *ups.State {
	t.Helper()
	rd := newRead(tier, span{addr, uint16(len(words))}, wanted(tier, p))
	var r ups.Reading
	rd.decode(words, p, &r)
	s := ups.NewState()
	s.Apply(&r)
	return s
}

// Event catalogue, READ-6: the high word comes first.
func TestStatusWordsAreReadHighWordFirst(t *testing.T) {
	for _, c := range []struct {
		words []uint16
		want  ups.Status
	}{
		{[]uint16{0x0000, 0x0002}, ups.Online},
		{[]uint16{0x0000, 0x2002}, ups.Online | ups.HighEfficiency},
		{[]uint16{0x0020, 0x0002}, ups.Online | ups.Overload},
	} {
		if got := decoded(t, ups.TierStatus, everything, 0, c.words...).Status(); got != c.want {
			t.Errorf("%04X is %v, want %v", c.words, got.Names(), c.want.Names())
		}
	}
}

// Event catalogue, READ-4: register 22, not 18 or 19, holds the battery errors. The block is as a unit on battery shows it,
// with one bit in each of its error registers.
func TestBatteryErrorsAreInRegister22(t *testing.T) {
	block := make([]uint16, 27)
	block[1], block[2], block[18], block[19], block[21], block[22] = 0x0244, 2, 0x0001, 0x0002, 0x0008, 0x0004
	s := decoded(t, ups.TierStatus, everything, 0, block...)
	for p, want := range map[ups.Point]uint32{
		ups.BatteryError: ups.BNeedsReplacement, ups.Signalling: ups.SPowerFailure, ups.GeneralError: 2, ups.PowerError: 8, ups.StatusCause: 2,
	} {
		if got := s.Flags(p); got != want {
			t.Errorf("%s is 0x%X, want 0x%X", p, got, want)
		}
	}
	if got := s.Status(); got != ups.OnBattery|ups.ReplaceBattery {
		t.Errorf("status %v, want on_battery and replace_battery", got.Names())
	}
}

// Protocol reference, section 13, decoding example; section 4 for the negative number.
func TestDecodesTheExamples(t *testing.T) {
	block := make([]uint16, 44)
	copy(block, []uint16{0x0000, 0x0E10, 0xC800, 0x06C0})
	block[142-128], block[144-128], block[154-128] = 0x3C00, 0x1900, 0xFFFE
	s := decoded(t, ups.TierLive, everything, 128, block...)
	for p, want := range map[ups.Point]float64{
		ups.Runtime: 3600, ups.Charge: 100, ups.BatteryVoltage: 54, ups.OutputVoltage: 240, ups.OutputFrequency: 50,
	} {
		if got, ok := s.Value(p); !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", p, got, ok, want)
		}
	}
	if raw, ok := s.Raw(ups.Efficiency); !ok || raw != -2 {
		t.Errorf("efficiency is %d (%v), want the reason -2", raw, ok)
	}
	volts := row(t, ups.BatteryVoltage)
	if got := volts.value([]uint16{0xF8E6}, everything); got != -1818 { // -56.8 · 32, rounded
		t.Errorf("0xF8E6 is %d, want -1818", got)
	}
}

func TestWhatIsNotApplicableIsAbsent(t *testing.T) {
	card, smtCard := profile{card: true}, profile{card: true, family: smt, groups: 1}
	for _, c := range []struct {
		name  string
		point ups.Point
		words []uint16
		p     profile
		want  int64
	}{
		{"a measurement", ups.InputVoltage, []uint16{0xFFFF}, everything, ups.Absent},
		{"a signed measurement", ups.BatteryTemperature, []uint16{0xFFFF}, everything, ups.Absent},
		{"a signed measurement just below zero", ups.BatteryTemperature, []uint16{0xFFFE}, everything, -2},
		{"two registers", ups.OutputEnergy, []uint16{0xFFFF, 0xFFFF}, everything, ups.Absent},
		{"two registers, half of it", ups.OutputEnergy, []uint16{0x0000, 0xFFFF}, everything, 0xFFFF},
		{"the runtime, which has no mark", ups.Runtime, []uint16{0xFFFF, 0xFFFF}, everything, ups.Absent},
		{"a saturated runtime", ups.Runtime, []uint16{0x0000, 0xFFFF}, everything, 65535},
		{"a countdown that is not active", ups.MainTurnOff, []uint16{0xFFFF}, everything, ups.Absent},
		{"a countdown that expired", ups.MainTurnOff, []uint16{0}, smtCard, 0},
		{"a long countdown that is not active", ups.MainStayOff, []uint16{0xFFFF, 0xFFFF}, everything, ups.Absent},
		{"no efficiency", ups.Efficiency, []uint16{0xFFFF}, everything, ups.Absent},
		{"efficiency with a reason", ups.Efficiency, []uint16{0xFFF8}, everything, -8},
		{"an outlet without a state", ups.SOG0Outlet, []uint16{0, 0}, everything, ups.Absent},
		{"a setting without a choice", ups.Sensitivity, []uint16{0}, everything, ups.Absent},
		{"errors: none", ups.BatteryError, []uint16{0}, card, 0},
		{"bypass voltage on a card, SMT", ups.BypassVoltage, []uint16{0}, smtCard, ups.Absent},
		{"bypass voltage on a card, SRT", ups.BypassVoltage, []uint16{0}, profile{card: true, family: srt}, 0},
		{"bypass voltage, its own port", ups.BypassVoltage, []uint16{0}, profile{family: smt}, 0},
		{"input voltage on a card", ups.InputVoltage, []uint16{0}, card, 0},
	} {
		if got := row(t, c.point).value(c.words, c.p); got != c.want {
			t.Errorf("%s: %04X of %s is %d, want %d", c.name, c.words, c.point, got, c.want)
		}
	}
}

// TestBehindACardAZeroCountsOnceThereWasMore: only some SRT have a second input phase, and the others read 0 there.
func TestBehindACardAZeroCountsOnceThereWasMore(t *testing.T) {
	volts := row(t, ups.InputVoltage2)
	p := profile{card: true, family: srt, spoken: map[uint16]bool{}}
	for i, c := range []struct {
		word uint16
		want int64
	}{{0, ups.Absent}, {0, ups.Absent}, {230 * 64, 230 * 64}, {0, 0}, {0xFFFF, ups.Absent}, {0, 0}} {
		if got := volts.value([]uint16{c.word}, p); got != c.want {
			t.Errorf("reading %d: %04X is %d, want %d", i, c.word, got, c.want)
		}
	}
	if got := volts.value([]uint16{0}, profile{family: srt}); got != 0 {
		t.Errorf("its own port: 0 is %d, want 0", got)
	}
}

func TestAbsentGroupsHaveNoValues(t *testing.T) {
	p := profile{groups: 1 << 1} // SOG 0 only
	for _, tier := range []ups.Tier{ups.TierStatus, ups.TierLive, ups.TierSettings, ups.TierIdentity} {
		for _, r := range wanted(tier, p) {
			if g := r.point.Info().Group; g != ups.NoGroup && g != ups.SOG0 {
				t.Errorf("%s is wanted of a unit without the group", r.point)
			}
		}
	}
}

func TestTexts(t *testing.T) {
	for _, c := range []struct {
		words []uint16
		want  string
		ok    bool
	}{
		{[]uint16{0x5550, 0x5320, 0x3034, 0x2E31}, "UPS 04.1", true},
		{[]uint16{0x0000, 0x0041, 0x4200, 0x2000}, "AB", true},  // leading 0x00, mixed padding
		{[]uint16{0x4120, 0x4220, 0x2000, 0xFFFF}, "A B", true}, // space inside, 0x20, 0x00 and 0xFF behind
		{[]uint16{0x2041, 0x2020, 0x2020, 0x2020}, " A", true},  // leading spaces belong to it
		{[]uint16{0, 0, 0, 0}, "", true},                        // not supported
		{[]uint16{0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}, "", true},    // undefined
		{[]uint16{0x4100, 0x4200, 0, 0}, "", false},             // 0x00 inside
		{[]uint16{0x41E9, 0x4242, 0, 0}, "", false},             // not ASCII
		{[]uint16{0x417F, 0x4242, 0, 0}, "", false},             // not printable
	} {
		if got, ok := text(c.words); got != c.want || ok != c.ok {
			t.Errorf("%04X is %q (%v), want %q (%v)", c.words, got, ok, c.want, c.ok)
		}
	}
}

func TestFamilies(t *testing.T) {
	for sku, want := range map[string]family{
		"SMT1500RM2UC": smt, "SMX750": smt, "SRT1000XLA": srt, "SURTD3000RMXLT": surtd, "SMTL750RMI2UC": 0, "SRTL1000": 0, "SMC1500IC": 0, "SMT": 0, "": 0,
	} {
		if got := familyOf(sku); got != want {
			t.Errorf("%q is %v, want %v", sku, got, want)
		}
	}
}

// Whatever the registers hold, what is decoded is what the tables and the rules make of it in floating point.
func TestDecodesWhatTheTablesSay(t *testing.T) {
	table, na := upstest.Registers(), upstest.NotApplicable()
	rapid.Check(t, func(t *rapid.T) {
		for i, w := range table {
			r := &registers[i]
			if r.point == 0 {
				continue
			}
			words := rapid.SliceOfN(rapid.OneOf(rapid.Uint16(), rapid.SampledFrom([]uint16{0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x2020, 0x4100})), int(w.Count), int(w.Count)).Draw(t, w.Name)
			want := w.Decode(words, na[w.Name])
			got := upstest.Value{}
			if r.numeric() {
				if raw := r.value(words, everything); raw != ups.Absent {
					got = upstest.Value{Has: true, Number: float64(raw) / float64(r.div)}
				}
			} else {
				got.Text, _ = text(words)
				got.Has = got.Text != ""
			}
			if got != want {
				t.Fatalf("%s: %04X is %+v, and by the tables %+v", w.Name, words, got, want)
			}
		}
	})
}

func TestEncodesWhatItDecodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &registers[rapid.IntRange(0, len(registers)-1).Draw(t, "row")]
		if !r.numeric() {
			s := rapid.StringMatching(`[!-~]([ -~]{0,14}[!-~])?`).Draw(t, "text")
			words, err := r.encodeText(s)
			if len(s) > 2*int(r.words) {
				if err == nil {
					t.Fatalf("%q fits into %d registers", s, r.words)
				}
				return
			}
			if got, ok := text(words); err != nil || got != s || !ok {
				t.Fatalf("%q comes back as %q (%v, %v)", s, got, ok, err)
			}
			return
		}
		raw := rapid.Int64Range(-1<<33, 1<<33).Draw(t, "raw")
		words, err := r.encode(raw)
		if err != nil {
			return
		}
		if got := r.integer(r.bits(words)); got != raw {
			t.Fatalf("%d in %s comes back as %d", raw, r.enc, got)
		}
	})
}

func TestEncodeRefusesWhatDoesNotFit(t *testing.T) {
	if w, err := row(t, ups.MainTurnOffDelay).encode(32768); err == nil {
		t.Errorf("32768 in a signed register is %04X", w)
	}
	if w, err := row(t, ups.UpperTransfer).encode(-1); err == nil {
		t.Errorf("-1 in an unsigned register is %04X", w)
	}
	if w, err := row(t, ups.Name).encodeText("a\tb"); err == nil {
		t.Errorf("a tab in a text is %04X", w)
	}
	if w, err := row(t, ups.Name).encode(1); err == nil {
		t.Errorf("a number in a text is %04X", w)
	}
}

// FuzzDecode: any registers in any block decode to integers that the item can hold, the same ones every time, and a driver
// that checks them does not panic.
func FuzzDecode(f *testing.F) {
	block := make([]byte, 2*44)
	for i := range block {
		block[i] = byte(i)
	}
	f.Add(uint8(2), block)
	f.Add(uint8(1), append([]byte{0, 0, 0, 2, 0, 8}, block...))
	f.Add(uint8(4), block)
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		tier := ups.Tier(which) % ups.TierCount
		d := New(Config{Name: "rack-a"})
		for _, rd := range newPlanner(nineSix, everything).tier(tier) {
			words := make([]uint16, rd.count)
			for i := range words {
				if len(data) >= 2 {
					words[i], data = binary.BigEndian.Uint16(data), data[2:]
				}
			}
			var r, again ups.Reading
			rd.decode(words, everything, &r)
			rd.decode(words, everything, &again)
			for i, fl := range rd.fields {
				if fl.numeric() && r.Raw[i] != ups.Absent {
					w, err := fl.encode(r.Raw[i])
					if err != nil || fl.bits(w) != fl.bits(words[fl.off:]) || r.Raw[i] != again.Raw[i] {
						t.Errorf("%s: %04X is %d and that is %04X (%v)", fl.point, words[fl.off:][:fl.words], r.Raw[i], w, err)
					}
				}
			}
			_ = d.plausible(rd, words)
		}
		if len(data) >= 2*verifyCount {
			words := make([]uint16, verifyCount)
			for i := range words {
				words[i] = binary.BigEndian.Uint16(data[2*i:])
			}
			_, _ = verify(words)
		}
	})
}

// FuzzText: whatever a unit holds for a text, what comes out is printable, trimmed, no longer than it was, and what the contract's
// own decoder says.
func FuzzText(f *testing.F) {
	for _, s := range []string{"Smart-UPS 1500  ", "\x00\x00AS2130000001\xff\xff", "", "<script>\"\n", "\x00 \x00", "a\x00b", "\xc3\xa4", " x "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		words := make([]uint16, len(data)/2)
		for i := range words {
			words[i] = binary.BigEndian.Uint16(data[2*i:])
		}
		got, ok := text(words)
		want := upstest.Register{Type: "STR", Count: uint16(len(words))}.Decode(words, "-")
		if got != want.Text || !ok && got != "" || len(got) > 2*len(words) {
			t.Fatalf("% x is %q, %v; want %q", data, got, ok, want.Text)
		}
		for _, c := range got {
			if c < ' ' || c > '~' {
				t.Fatalf("% x is %q with %q in it", data, got, c)
			}
		}
		if ok && got != strings.TrimRight(got, " ") {
			t.Fatalf("% x is %q, not trimmed", data, got)
		}
	})
}

func BenchmarkDecodeLive(b *testing.B) {
	rd := newPlanner(nineSix, everything).tier(ups.TierLive)[0]
	words := make([]uint16, rd.count)
	var r ups.Reading
	b.ReportAllocs()
	for b.Loop() {
		rd.decode(words, everything, &r)
	}
}

func TestDecodingNumbersAllocatesNothing(t *testing.T) {
	d := New(Config{Name: "rack-a"})
	for _, tier := range []ups.Tier{ups.TierWatch, ups.TierStatus, ups.TierLive} {
		rd := newPlanner(nineSix, everything).tier(tier)[0]
		words := make([]uint16, rd.count)
		words[1] = 2 // online
		var r ups.Reading
		rd.decode(words, everything, &r)
		if n := testing.AllocsPerRun(100, func() {
			if err := d.plausible(rd, words); err != nil {
				t.Fatal(err)
			}
			rd.decode(words, everything, &r)
		}); n != 0 {
			t.Errorf("decoding %s allocates %v times", rd.name, n)
		}
	}
}
