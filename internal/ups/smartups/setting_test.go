package smartups

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
)

func configure(setting, value string) ups.Command {
	return ups.Command{Action: ups.ActionConfigure, Params: map[string]string{ups.ParamSetting: setting, ups.ParamValue: value}}
}

// TestASettingIsWrittenAndReadBack: once, as the whole item, and the outcome tells what it was and is.
func TestASettingIsWrittenAndReadBack(t *testing.T) {
	for _, row := range []struct{ setting, value, written, detail string }{
		{"sog0_turn_on_delay", "30", "16 1035 0x001E", "sog0_turn_on_delay was 0 s, is 30 s"},
		{"main_stay_off_delay", "300", "16 1031 0x0000 0x012C", "main_stay_off_delay was 8 s, is 300 s"},
		{"test_interval", "Never", "16 1024 0x0001", "test_interval was StartUpAnd7DaysSinceTest, is Never"},
		{"upper_transfer", "130", "16 1026 0x0082", "upper_transfer was 127 V, is 130 V"},
		{"battery_installed", "2026-03-01", "16 595 0x2554", "is 2026-03-01"},
		{"name", "rack 4", "16 596 0x7261 0x636B 0x2034 0x2020 0x2020 0x2020 0x2020 0x2020", "is a text of 6 characters"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, c := newControl(t, upssim.Options{}, Config{})
			out := run(t, c, configure(row.setting, row.value), ups.Done)
			if !slices.Equal(b.written(), []string{row.written}) {
				t.Errorf("%s: written %q, want %q", row.setting, b.written(), row.written)
			}
			if !strings.Contains(out.Detail, row.detail) {
				t.Errorf("%s: %q, want %q", row.setting, out.Detail, row.detail)
			}
			out = run(t, c, configure(row.setting, row.value), ups.Done)
			if len(b.written()) != 1 || !strings.Contains(out.Detail, "already") {
				t.Errorf("%s, once more: written %q, %q", row.setting, b.written(), out.Detail)
			}
		})
	}
}

// TestT55OnlyTheListedSettingsAreWritten tries every register as one, two and eight, every value of each listed one, and each byte of a text.
// The list is typed here once more.
func TestT55OnlyTheListedSettingsAreWritten(t *testing.T) {
	delay := func(v uint32) bool { return v <= 32767 }
	stay := func(v uint32) bool { return v >= 4 && v <= 300 }
	one := map[uint16]func(uint32) bool{
		595: func(v uint32) bool { return v <= 36524 }, 1026: func(v uint32) bool { return v >= 100 && v <= 300 },
		1027: func(v uint32) bool { return v >= 60 && v <= 240 },
		1024: func(v uint32) bool { return v == 1 || v == 2 || v == 4 || v == 8 || v == 16 || v == 32 },
		1028: func(v uint32) bool { return v == 1 || v == 2 || v == 4 },
		1029: delay, 1030: delay, 1033: delay, 1034: delay, 1035: delay, 1038: delay, 1039: delay, 1040: delay, 1043: delay, 1044: delay, 1045: delay, 1048: delay,
	}
	two := map[uint16]func(uint32) bool{1031: stay, 1036: stay, 1041: stay, 1046: stay}
	text := []uint16{596, 604, 612, 620, 628}
	blank, double := slices.Repeat([]uint16{0x2020}, 8), slices.Repeat([]uint16{0x2020}, 16)
	try := func(ok bool, addr uint16, regs ...uint16) {
		if got := (setting{addr, regs}).listed(); got != ok {
			t.Fatalf("%d = %04x: taken %v, want %v", addr, regs, got, ok)
		}
	}
	for a := range 1 << 16 {
		addr := uint16(a)
		values := []int{1, 30, 0xFFFF}
		if one[addr] != nil || two[addr] != nil {
			values = values[:0]
			for v := range 1 << 16 {
				values = append(values, v)
			}
		}
		for _, v := range values {
			try(one[addr] != nil && one[addr](uint32(v)), addr, uint16(v))
			try(two[addr] != nil && two[addr](uint32(v)), addr, 0, uint16(v))
			try(false, addr, uint16(v|1), uint16(v))
		}
		if one[addr] != nil {
			try(false, addr, 30, 0x2020, 0x2020)
		}
		try(slices.Contains(text, addr), addr, blank...)
		try(false, addr)
		try(false, addr, double...)
	}
	for v := range 1 << 16 {
		regs := slices.Clone(blank)
		regs[v%8] = uint16(v)
		high, low := v>>8, v&0xFF
		try(high >= ' ' && high <= '~' && low >= ' ' && low <= '~', 596, regs...)
	}
}

// A setting that stands for no deed of another kind, and evidence of a journal that was altered, write nothing: what is written is looked
// up in the list once more, whatever the evidence says.
func TestT55EvidenceDoesNotWriteWhatTheListHasNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newControl(t, upssim.Options{SKU: "SRT1000XLA"}, Config{})
		cmd := configure("sog0_turn_on_delay", "30")
		before, err := c.Check(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		for _, swap := range [][2]string{{`"addr":1035`, `"addr":593`}, {`"words":[30]`, `"words":[65535]`}, {`"words":[30]`, `"words":[0,30]`}} {
			altered := strings.Replace(string(before), swap[0], swap[1], 1)
			if altered == string(before) {
				t.Fatalf("no %s in %s", swap[0], before)
			}
			ev, err := readEvidence([]byte(altered))
			if err != nil {
				continue
			}
			if err := c.send(t.Context(), ev.write()); err == nil || b.Written() != 0 {
				t.Errorf("%v was written: %v", ev.write(), b.written())
			}
		}
		for _, evidence := range []string{
			`"deed":"setting"`, `"deed":"setting","setting":{"point":65000}`, `"deed":"setting","setting":{"point":109},"addr":593`,
			`"deed":"reboot","setting":{"point":109}`,
		} {
			if out := c.Judge(t.Context(), cmd, []byte(`{"v":2,"action":"configure.device",`+evidence+`}`)); out.State != ups.Unknown || !strings.Contains(out.Detail, "cannot be read") {
				t.Errorf("by %s it is judged as %+v", evidence, out)
			}
		}
	})
}
