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
