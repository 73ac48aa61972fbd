package smartups

import (
	"slices"
	"strings"
	"testing"

	"upsedge/internal/ups"
)

// FuzzSetting: what the parser of settings takes is one form of one value, is in the list of what is ever written, and is read back as what
// it was; the rest is refused before the line.
func FuzzSetting(f *testing.F) {
	for _, v := range []string{
		"0", "4", "300", "301", "32767", "32768", "-1", "+1", "007", "1e3", "0x1F", "١", "9999999999999999999", "Never", "never", "Low", "2026-03-01",
		"1999-12-31", "2099-12-31", "2100-01-01", "2026-3-1", "name", "sixteen letters!", "seventeen letters", " a", "a ", "ü", "\x00", "", "a\x7f",
	} {
		for i := range ups.Settings {
			if i < 12 { // one of each kind, and the delays of one group
				f.Add(i, v)
			}
		}
	}
	f.Fuzz(func(t *testing.T, i int, value string) {
		if i < 0 || i >= len(ups.Settings) {
			return
		}
		s := ups.Settings[i]
		params, err := ups.CheckParams(ups.ActionConfigure, configure(s.Point.String(), value).Params)
		if err != nil {
			return
		}
		_, v, err := ups.ParseSetting(params)
		if err != nil {
			t.Fatalf("%s %q: taken and not parsed: %v", s.Point, value, err)
		}
		r := registerOf(s.Point)
		words, err := r.settingWords(v)
		if err != nil {
			t.Fatalf("%s %q: %v", s.Point, value, err)
		}
		if _, _, err := (setting{r.addr, words}).words(); err != nil {
			t.Fatalf("%s %q: %v", s.Point, value, err)
		}
		if slices.Contains(words, 0xFFFF) {
			t.Fatalf("%s %q: %04x", s.Point, value, words)
		}
		if !r.numeric() {
			if back, ok := text(words); !ok || back != value {
				t.Fatalf("%s %q is read back as %q", s.Point, value, back)
			}
			return
		}
		if back := r.value(words, profile{}); back != v.Raw {
			t.Fatalf("%s %q: %d is read back as %d", s.Point, value, v.Raw, back)
		}
		if said, _, _ := strings.Cut(s.Say(v), " "); said != value {
			t.Fatalf("%s %q is said as %q: two forms of one value", s.Point, value, said)
		}
	})
}
