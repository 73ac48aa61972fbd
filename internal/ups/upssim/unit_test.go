package upssim

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// A clock is a time a test moves by hand.
type clock struct{ t time.Time }

func (c *clock) now() time.Time        { return c.t }
func (c *clock) pass(d time.Duration)  { c.t = c.t.Add(d) }
func (c *clock) unit(o Options) *Unit  { o.Now = c.now; return New(o) }
func newClock() *clock                 { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }
func (u *Unit) reg(addr uint16) uint16 { return u.Registers(addr, 1)[0] }

func (u *Unit) reg32(addr uint16) uint32 {
	r := u.Registers(addr, 2)
	return uint32(r[0])<<16 | uint32(r[1])
}

func readPDU(addr, count uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{readHolding}, addr), count)
}

func writePDU(addr uint16, raw ...uint16) []byte {
	b := binary.BigEndian.AppendUint16([]byte{writeMultiple}, addr)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(raw))), byte(2*len(raw)))
	for _, r := range raw {
		b = binary.BigEndian.AppendUint16(b, r)
	}
	return b
}

// code returns the exception code of a reply, 0 for none.
func code(pdu []byte) byte {
	if len(pdu) == 2 && pdu[0]&0x80 != 0 {
		return pdu[1]
	}
	return 0
}

// command writes and fails the test unless the unit answers with this exception code.
func command(t *testing.T, u *Unit, want byte, addr uint16, raw ...uint16) {
	t.Helper()
	if got := code(u.Handle(writePDU(addr, raw...))); got != want {
		t.Fatalf("write %#04x to %d: exception %d, want %d", raw, addr, got, want)
	}
}

func expect(t *testing.T, what string, got, want uint32) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %#x, want %#x", what, got, want)
	}
}

// TestItemRules is the table of section 3.2, with items that lie like its A and B.
func TestItemRules(t *testing.T) {
	const a, b = 2050, 2054 // four registers and two
	u := New(Options{})
	for _, c := range []struct {
		start, count uint16
		want         byte
	}{
		{a + 1, 1, 2},
		{a + 2, 1, 2},
		{a + 3, 1, 2},
		{a + 1, 3, 2},
		{a + 3, 3, 2},
		{a, 1, 2},
		{a, 2, 2},
		{a, 3, 2},
		{a, 5, 2},
		{a, 4, 0},
		{a, 6, 0},
		{b, 1, 2},
		{b, 2, 0},
		// Reads proven on real units.
		{0, 3, 0},
		{0, 27, 0},
		{128, 32, 0},
		{128, 44, 0},
		{516, 80, 0},
		{516, 120, 0},
		{596, 40, 0},
		{1026, 7, 0},
		{1026, 22, 0},
		{2048, 14, 0},
		// Ends inside UPSStatus_BF, inside an outlet status, in the middle of 145.
		{0, 1, 2},
		{0, 4, 2},
		{144, 2, 2},
		{146, 1, 2},
		// Undefined addresses stand for themselves.
		{5, 1, 0},
		{134, 1, 0},
		{5, 3, 0},
		{5, 2, 2},
		{524, 8, 0},
		{1025, 1, 0},
		{40000, 125, 0},
		{65535, 1, 0},
		{65535, 2, 2},
		// Commands: the double words do not read, the others do.
		{1536, 2, 2},
		{1538, 2, 2},
		{1539, 2, 2},
		{1535, 2, 2},
		{1540, 1, 0},
		{1541, 3, 0},
		{1530, 14, 2},
		// Sizes.
		{0, 0, 3},
		{128, 126, 3},
		{640, 125, 0},
	} {
		if got := code(u.Handle(readPDU(c.start, c.count))); got != c.want {
			t.Errorf("read %d+%d: exception %d, want %d", c.start, c.count, got, c.want)
		}
	}
}

func TestUndefinedReadsOnes(t *testing.T) {
	u := New(Options{})
	for _, a := range []uint16{5, 8, 11, 14, 17, 127, 134, 174 + 1, 512, 524, 594, 636, 1025, 1053, 2062, 3000} {
		if got := u.reg(a); got != 0xFFFF {
			t.Errorf("register %d: %#04x, want 0xffff", a, got)
		}
	}
}

func TestWriteRules(t *testing.T) {
	name := slices.Repeat([]uint16{0x4142}, 8)
	for _, c := range []struct {
		addr uint16
		raw  []uint16
		want byte
	}{
		{596, name, 0},
		{596, name[:7], 2},
		{597, name[:7], 2},
		{596, append(name, name...), 2},
		{1031, []uint16{0, 8}, 0},
		{1031, []uint16{8}, 2},
		{1032, []uint16{8}, 2},
		{1029, []uint16{1, 1}, 2},
		{1030, []uint16{1, 0, 8}, 2},
		{1034, []uint16{90}, 0},
		{1029, []uint16{32767}, 0},
		{1029, []uint16{32768}, 4},
		{1030, []uint16{0xFFFF}, 4},
		{1033, []uint16{32767}, 0},
		{1033, []uint16{32768}, 4},
		{1031, []uint16{0x8000, 0}, 4},
		{1031, []uint16{0, 301}, 0},
		{1024, []uint16{1}, 0},
		{1024, []uint16{2}, 0},
		{1024, []uint16{16}, 0},
		{1024, []uint16{32}, 0},
		{1024, []uint16{4}, 4},
		{1024, []uint16{8}, 4},
		{1024, []uint16{3}, 4},
		{1026, []uint16{130}, 0},
		{1026, []uint16{90}, 4},
		{1027, []uint16{106}, 0},
		{1027, []uint16{127}, 4},
		{1028, []uint16{4}, 0},
		{1028, []uint16{0}, 4},
		{1028, []uint16{3}, 4},
		{595, []uint16{9000}, 0},
		{595, []uint16{0xFFFF}, 4},
		{604, slices.Repeat([]uint16{0x2020}, 8), 0},
		{612, append(name[:7:7], 0x4100), 4},
		{612, append(name[:7:7], 0x1F20), 4},
		{612, append(name[:7:7], 0x207F), 4},
		// What is not there, or not for writing.
		{5, []uint16{1}, 2},
		{130, []uint16{1}, 2},
		{0, []uint16{0, 2}, 2},
		{593, []uint16{1}, 2},
		{620, name, 2},
		{1039, []uint16{1}, 2},
		{1054, []uint16{0, 1}, 2},
		{1064, []uint16{1}, 2},
		{1073, []uint16{1}, 2},
		{2054, []uint16{0, 1}, 2},
		{60000, []uint16{1}, 2},
	} {
		u := New(Options{})
		before := u.Registers(c.addr, uint16(len(c.raw)))
		if got := code(u.Handle(writePDU(c.addr, c.raw...))); got != c.want {
			t.Errorf("write %#04x to %d: exception %d, want %d", c.raw, c.addr, got, c.want)
		}
		want := c.raw
		if c.want != 0 {
			want = before
		}
		if got := u.Registers(c.addr, uint16(len(c.raw))); !slices.Equal(got, want) {
			t.Errorf("write %#04x to %d: reads back %#04x, want %#04x", c.raw, c.addr, got, want)
		}
	}
}

func TestFunctionSixWritesOneRegister(t *testing.T) {
	u := New(Options{})
	if got := u.Handle([]byte{6, 0x04, 0x05, 0, 7}); !bytes.Equal(got, []byte{6, 0x04, 0x05, 0, 7}) {
		t.Errorf("reply % x", got)
	}
	if got := u.reg(1029); got != 7 {
		t.Errorf("reads back %d", got)
	}
	if got := u.Handle([]byte{6, 0x04, 0x07, 0, 7}); code(got) != 2 {
		t.Errorf("half of an item: % x, want exception 2", got)
	}
}

func TestMalformedRequests(t *testing.T) {
	u := New(Options{})
	for in, want := range map[string]string{
		"": "", "03": "8303", "030000": "8303", "0300000001ff": "8303", "01": "8101", "04000000 02": "8401", "2b0e0100": "ab01", "80": "8001",
		"06": "8603", "10": "9003", "1004050001": "9003", "10040500010300070000": "9003", "1004050001020007ff": "9003", "100405000000": "9003",
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(in, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(u.Handle(b)); got != want {
			t.Errorf("% x: reply %s, want %s", b, got, want)
		}
	}
}

// TestExampleFrames is section 13, checksums included: each request is framed, and answered as the section says where it does.
func TestExampleFrames(t *testing.T) {
	const ok = ""
	for _, c := range []struct{ request, reply string }{
		{"01 03 00 00 00 1B 05 C1", ok},
		{"01 03 00 00 00 03 05 CB", ok},
		{"01 03 00 80 00 2C 45 FF", ok},
		{"01 03 02 04 00 50 05 8F", ok},
		{"01 03 02 54 00 28 05 BC", ok},
		{"01 03 04 02 00 16 64 F4", ok},
		{"01 03 08 00 00 0E C6 6E", "01 03 1C 30 30 2E 35 31 32 33 34 35 36 37 38 12 34 56 78 FF FF FF FB 12 34 FF FB 20 20 DF E0 8E 70"},
		{"01 10 06 05 00 01 02 00 01 01 C5", "01 10 06 05 00 01 11 40"},
		{"01 10 06 04 00 01 02 00 01 00 14", ok},
		{"01 10 06 02 00 02 04 00 00 43 D0 69 7A", ok},
		{"01 10 06 07 00 01 02 00 01 00 27", ok},
		{"01 03 00 01 00 02", "01 83 02 C0 F1"},                // half of an item
		{"01 10 06 05 00 01 02 00 04", "01 90 04 4D C3"},       // a bit that is none
		{"01 10 06 02 00 02 04 00 00 00 07", "01 90 04 4D C3"}, // three commands
	} {
		b := unhex(t, c.request)
		if c.reply == ok || len(b) > 0 && strings.Count(c.request, " ") >= 7 && c.reply[4] != '8' && c.reply[3] != '9' {
			if want := crc(b[:len(b)-2]); binary.LittleEndian.Uint16(b[len(b)-2:]) != want {
				t.Errorf("%s: checksum %04x computed", c.request, want)
			}
			if n := requestLength(b); n != len(b) {
				t.Errorf("%s: length %d computed, has %d", c.request, n, len(b))
			}
			b = b[:len(b)-2]
		}
		pdu := New(Options{}).Handle(b[1:])
		got := append([]byte{1}, pdu...)
		got = binary.LittleEndian.AppendUint16(got, crc(got))
		if c.reply != ok && !bytes.Equal(got, unhex(t, c.reply)) {
			t.Errorf("%s: % X, want %s", c.request, got, c.reply)
		}
		if c.reply == ok && code(pdu) != 0 {
			t.Errorf("%s: exception %d", c.request, code(pdu))
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestValuesFitTogether(t *testing.T) {
	for _, sku := range SKUs() {
		c := newClock()
		u := c.unit(Options{SKU: sku, Load: 0.5})
		for range 600 {
			c.pass(time.Second)
			v := func(a uint16) float64 { it := find(a); return float64(u.reg(a)) / float64(it.div) }
			real, apparent, amps, volts := v(136)/100*v(589), v(138)/100*v(588), v(140), v(142)
			if math.Abs(amps*volts*float64(u.fam.outputs)-apparent) > 0.02*apparent || real > apparent {
				t.Fatalf("%s: %.0f W, %.0f VA, but %.2f A at %.1f V", sku, real, apparent, amps, volts)
			}
			if math.Abs(v(136)-50) > 8 {
				t.Fatalf("%s: load %.1f %%, set to 50", sku, v(136))
			}
			if math.Abs(v(151)-u.fam.nominal) > 0.05*u.fam.nominal || math.Abs(v(144)-u.fam.hertz) > 0.3 {
				t.Fatalf("%s: input %.1f V, %.2f Hz", sku, v(151), v(144))
			}
			if e := v(154); u.have[154] && (e < 85 || e > 99) {
				t.Fatalf("%s: efficiency %.1f %%", sku, e)
			}
		}
		if e := u.reg32(145); u.have[145] && e < 100_000 {
			t.Errorf("%s: energy %d", sku, e)
		}
	}
}

func TestEnergyCounts(t *testing.T) {
	c := newClock()
	u := c.unit(Options{Load: 0.5})
	before := u.reg32(145)
	c.pass(4 * time.Hour)
	if got := u.reg32(145) - before; got < 1900 || got > 2100 {
		t.Errorf("4 h at 500 W: %d Wh", got)
	}
}

// TestSameSeedSameUnit also shows that asking more often changes nothing.
func TestSameSeedSameUnit(t *testing.T) {
	one, two, other := newClock(), newClock(), newClock()
	a, b, d := one.unit(Options{Seed: 7}), two.unit(Options{Seed: 7}), other.unit(Options{Seed: 8})
	for range 50 {
		one.pass(time.Second)
		for range 10 {
			two.pass(100 * time.Millisecond)
			b.Registers(0, 1)
		}
		other.pass(time.Second)
		ra, rb := a.Registers(128, 44), b.Registers(128, 44)
		if !slices.Equal(ra[8:], rb[8:]) {
			t.Fatalf("same seed:\n%v\n%v", ra, rb)
		}
	}
	if slices.Equal(a.Registers(128, 44), d.Registers(128, 44)) {
		t.Error("two seeds, one unit")
	}
}

func TestPokeOverrides(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	u.Poke(0, 0x0020, 0x0002)
	c.pass(time.Minute)
	expect(t, "poked", u.reg32(0), 0x00200002)
	u.Unpoke(0, 2)
	expect(t, "given back", u.reg32(0), 0x2002)
}

func BenchmarkLiveRead(b *testing.B) {
	c := newClock()
	u, req := c.unit(Options{}), readPDU(128, 44)
	b.ReportAllocs()
	for b.Loop() {
		c.pass(100 * time.Millisecond)
		u.Handle(req)
	}
}
