package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"upsedge/internal/ups"
)

// TestApplyKeepsWhatTheInstallerWrote: units, groups and outlet come into the file in one step; every other byte stays, and a second time nothing
// changes.
func TestApplyKeepsWhatTheInstallerWrote(t *testing.T) {
	ch := Change{
		Units: []Unit{{Name: "new", TCP: &TCP{"192.0.2.30:502", true}, UnitID: 2}},
		Allow: &[]string{"diagnostics", "reboot"},
		FedBy: &FedBy{Unit: "new", Group: ups.SOG0},
	}
	units := "units:\n" + indent(added, 2)
	for name, row := range map[string]struct{ before, after string }{
		"only comments": {"# nothing yet\n# run setup\n", "# nothing yet\n# run setup\n" + units + "orders:\n  fed_by: {unit: new, group: sog0}\n  allow: [diagnostics, reboot]\n"},
		"nothing":       {"", units + "orders:\n  fed_by: {unit: new, group: sog0}\n  allow: [diagnostics, reboot]\n"},
		"orders is empty": {
			"orders:\n# units below\n" + units[:0],
			"orders:\n  fed_by: {unit: new, group: sog0}\n  allow: [diagnostics, reboot]\n# units below\n" + units,
		},
		"a block": {
			"orders:\n  # by ann\n  allow: [] # none yet\n  daily_max: 3\n\nlog: {level: debug}\n",
			"orders:\n  # by ann\n  fed_by: {unit: new, group: sog0}\n  allow: [diagnostics, reboot] # none yet\n  daily_max: 3\n\nlog: {level: debug}\n" + units,
		},
		"a list over lines": {
			"orders:\n  allow:\n    - outlets\n    - reboot\n  daily_max: 3\n  fed_by:\n    unit: new\n    group: main\n",
			"",
		},
		"in one line": {
			"# top\norders: {daily_max: 3} # few\n",
			"# top\norders: {fed_by: {unit: new, group: sog0}, allow: [diagnostics, reboot], daily_max: 3} # few\n" + units,
		},
	} {
		if row.after == "" { // fed_by names a unit that has to be there already
			row.before += units
			row.after = "orders:\n  allow: [diagnostics, reboot]\n  daily_max: 3\n  fed_by: {unit: new, group: sog0}\n" + units
		}
		t.Run(name, func(t *testing.T) {
			for _, eol := range []string{"\n", "\r\n"} {
				path := filepath.Join(t.TempDir(), "agent.yaml")
				if err := os.WriteFile(path, []byte(strings.ReplaceAll(row.before, "\n", eol)), 0o640); err != nil {
					t.Fatal(err)
				}
				ch := ch
				if strings.Contains(row.before, "name: new") {
					ch.Units = nil
				}
				if err := CheckApply(path, ch); err != nil {
					t.Fatal(err)
				}
				for again := range 2 {
					changed, err := Apply(path, ch)
					if err != nil || changed != (again == 0) {
						t.Fatalf("changed %v, %v", changed, err)
					}
					got, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					want := row.after
					if eol == "\r\n" && row.before != "" {
						want = strings.ReplaceAll(want, "\n", eol)
					}
					if d := cmp.Diff(want, string(got)); d != "" && row.before != "" {
						t.Errorf("(-want +got):\n%s", d)
					}
					ch.Units = nil
				}
				if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
					t.Errorf("files: %v", left)
				}
			}
		})
	}
}

// TestSaysTellsAnAnswerFromNone: that no unit feeds the box is an answer, and is not asked for again.
func TestSaysTellsAnAnswerFromNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if Says(path, "orders", "fed_by") {
		t.Error("a file that is not there says something")
	}
	for range 2 {
		if _, err := Apply(path, Change{FedBy: &FedBy{}, Allow: &[]string{}}); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil || !Says(path, "orders", "fed_by") || !Says(path, "orders", "allow") || Says(path, "orders", "hours") {
			t.Error(err, "the answer is not there")
		}
		if c.Orders.FedBy != (FedBy{}) || len(c.Orders.Allow) > 0 {
			t.Errorf("%+v", c.Orders)
		}
	}
}

func TestApplyWritesNothingThatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yaml")
	for text, ch := range map[string]Change{
		"unknown: 1\n":     {Allow: &[]string{}},
		"units: []\n":      {FedBy: &FedBy{Unit: "nobody", Group: ups.MainGroup}},
		"log: {}\n":        {Allow: &[]string{"everything"}},
		"orders: [1, 2]\n": {Allow: &[]string{}},
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{"check": CheckApply(path, ch), "apply": func() error { _, err := Apply(path, ch); return err }()} {
			if err == nil || !strings.Contains(err.Error(), "nothing was written") {
				t.Errorf("%s of %q: %v", name, text, err)
			}
		}
		if got, _ := os.ReadFile(path); string(got) != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// TestTwoWhoChangeTheFileLoseNothing: a setup at the terminal and one over ssh, and what a power cut has left of a third.
func TestTwoWhoChangeTheFileLoseNothing(t *testing.T) {
	dir := t.TempDir()
	path, left := filepath.Join(dir, "agent.yaml"), filepath.Join(dir, ".agent-123.yaml")
	if err := os.WriteFile(left, []byte("half of"), 0o600); err != nil {
		t.Fatal(err)
	}
	var all errgroup.Group
	for n := range 16 {
		all.Go(func() error {
			return AppendUnits(path, []Unit{{Name: fmt.Sprint("rack-", n), TCP: &TCP{fmt.Sprintf("192.0.2.%d:502", n+1), false}, UnitID: 1}})
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(path)
	if err != nil || len(cfg.Units) != 16 {
		t.Errorf("%d units, %v", len(cfg.Units), err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("files: %v", files)
	}
}
