package smartups

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
)

const settingsPage = "../../../docs/settings.md"

const settingsHead = `# Settings

For whoever changes settings by order. What ` + "`configure.device`" + ` writes: one setting in an order, by the name of its point (` + "`setting`" + `) and the value as text (` + "`value`" + `). Made by a
test (` + "`go test ./internal/ups/smartups -run SettingsPage -update`" + `) that sets every one of them on every simulated model; not to be edited.
**None of it was ever written to a unit.** What happens to such an order: [orders.md](orders.md#settings).

Each value has one form: a number is decimal digits, with no sign, unit, leading zero or exponent; a choice is one of the names; a date is
` + "`2026-03-01`" + `. A text cannot be emptied. Cloud and agent refuse what is not in the column "takes" (` + "`MALFORMED`" + `) before anything goes out. The
numbers of sections are those of the protocol reference.

Beyond that the unit decides: it answers exception 4 to what it does not take, and the order fails with ` + "`UPS_REFUSED`" + ` (712). Two things are
judged by the unit's own settings before: an upper transfer point lies 3 to 20 % above the nominal output voltage (644, 592), a lower one 3 to
35 % below it, and the upper one above the lower. What each model takes is not public; these bounds keep out typing errors.

What is not written at all, by no order: the output frequency (593) and voltage, every bit of 1536 (factory settings among them), the items of a
fourth switched group, and load shedding (1054 to 1073): it turns outlets off by itself, one unit refused every write there, and another
had to be mended to take it (6.19). Set it at the unit. -1, which may mean "disabled" in a delay (9), is not written; a delay that shows it is
not set either.

| cell | meaning |
| --- | --- |
| set | written, and read back with the new value |
| - 990 | units of its family have no such item (990-9840B): ` + "`UNSUPPORTED`" + ` |
| - 590 | the outlet group is not there: ` + "`UNSUPPORTED`" + ` |
| - read-only | the family is read-only through Modbus (D12): ` + "`UNSUPPORTED`" + ` |
| - no document | no document says what units of its family take: ` + "`UNSUPPORTED`" + ` |

`

// settingExamples returns a value of a setting that no model has from the factory.
func settingExamples(s ups.Setting, nominal float64) string {
	switch s.Point {
	case ups.UpperTransfer:
		return fmt.Sprintf("%.0f", nominal*1.13)
	case ups.LowerTransfer:
		return fmt.Sprintf("%.0f", nominal*0.86)
	case ups.TestInterval:
		return "StartUpAnd14DaysSinceTest"
	case ups.Sensitivity:
		return "Reduced"
	case ups.BatteryInstalled:
		return "2026-03-01"
	}
	if s.Point.Info().Kind == ups.Text {
		return "~ rack 4, left !"
	}
	return "123"
}

// settingCell sets a setting of a model and says what came of it.
func settingCell(t *testing.T, sku string, s ups.Setting) (cell string) {
	nominal := 120.0
	if strings.HasSuffix(sku, "I") || strings.HasSuffix(sku, "IC") {
		nominal = 230
	}
	b, c := newControl(t, upssim.Options{SKU: sku}, Config{})
	cmd := configure(s.Point.String(), settingExamples(s, nominal))
	before, err := c.Check(t.Context(), cmd)
	if r, ok := err.(*ups.Refusal); ok {
		if b.Written() != 0 || r.Reason != ups.ReasonUnsupported {
			t.Errorf("%s of %s: %v, %d writes", s.Point, sku, r, b.Written())
		}
		for mark, word := range map[string]string{
			"(990-9840B)": "- 990", "(590 = ": "- 590", "read-only through Modbus": "- read-only", "no document says": "- no document",
		} {
			if strings.Contains(r.Detail, mark) {
				return word
			}
		}
		return r.Error()
	} else if err != nil {
		t.Fatal(err)
	}
	out := c.Execute(t.Context(), cmd, before, nil)
	is, err := ReadAll(t.Context(), c.of)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := s.Parse(cmd.Params[ups.ParamValue])
	if got, ok := valueOf(is, s.Point); out.State != ups.Done || !ok || got != want || b.Written() != 1 {
		return fmt.Sprintf("%v: %s; it reads %v", out.State, out.Detail, got)
	}
	return "set"
}

// TestSettingsPage sets every setting of every model, and keeps docs/settings.md as it is.
func TestSettingsPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(settingsHead)
	b.WriteString("| setting | register | takes | source |\n| --- | --- | --- | --- |\n")
	for _, s := range ups.Settings {
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s |\n", s.Point, registerOf(s.Point).addr, s.Form(), s.Source)
	}
	fmt.Fprintf(&b, "\n| setting | %s |\n%s|\n", strings.Join(upssim.SKUs(), " | "), strings.Repeat("| --- ", 1+len(upssim.SKUs())))
	for _, s := range ups.Settings {
		fmt.Fprintf(&b, "| `%s` |", s.Point)
		for _, sku := range upssim.SKUs() {
			synctest.Test(t, func(t *testing.T) { fmt.Fprintf(&b, " %s |", settingCell(t, sku, s)) })
		}
		b.WriteString("\n")
	}
	if *update {
		if err := os.WriteFile(settingsPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if was, err := os.ReadFile(settingsPage); err != nil || string(was) != b.String() {
		t.Errorf("docs/settings.md is not what the driver does (%v): run the test with -update and look at the difference", err)
	}
}

// TestEveryItemASettingIsWrittenToIsWritable: the two lists, of what may be ordered and of what is ever written, are of one size and agree
// with the map.
func TestEveryItemASettingIsWrittenToIsWritable(t *testing.T) {
	if len(settables) != len(ups.Settings) {
		t.Errorf("%d items may be written and %d settings ordered", len(settables), len(ups.Settings))
	}
	for _, s := range ups.Settings {
		r := registerOf(s.Point)
		if r.access != readWrite || r.div != 1 {
			t.Errorf("%s is access %d, divisor %d", s.Point, r.access, r.div)
		}
		if r.numeric() && s.Point.Info().Kind != ups.Choice {
			for _, v := range []struct {
				raw int64
				ok  bool
			}{{s.Least - 1, false}, {s.Least, true}, {s.Most, true}, {s.Most + 1, false}} {
				words, err := r.encode(v.raw)
				if err == nil {
					_, _, err = setting{r.addr, words}.words()
				}
				if (err == nil) != v.ok {
					t.Errorf("%s = %d: %v", s.Point, v.raw, err)
				}
			}
		}
	}
}
