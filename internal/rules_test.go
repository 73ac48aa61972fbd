package internal

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"upsedge/internal/rules"
)

var updateRules = flag.Bool("update", false, "write docs/rule-tests.md anew")

const ruleTests = "../docs/rule-tests.md"

// required are the rules that must have a test named after them, by their families: rules, sections 2 to 7, and what the agent does about them.
var required = []struct {
	family   string
	from, to int
}{
	{"ROLE", 1, 7}, {"PERM", 1, 11}, {"PLAN", 1, 13}, {"LIC", 1, 4}, {"REP", 1, 3}, {"NOTE", 1, 2}, {"SHARE", 1, 14}, {"INV", 1, 19}, {"TIME", 1, 3},
}

// alsoRequired are single ones.
var alsoRequired = []string{"EDGE-2", "EDGE-5", "EDGE-7", "EDGE-10", "Section-14"}

// notYet have no test, and why.
var notYet = map[string]string{
	"REP-1": "reports come later", "REP-2": "reports come later", "REP-3": "reports come later",
}

func requiredRules() (ids []string) {
	for _, f := range required {
		for n := f.from; n <= f.to; n++ {
			ids = append(ids, fmt.Sprintf("%s-%d", f.family, n))
		}
	}
	return append(ids, alsoRequired...)
}

// TestEachRuleHasItsTests: one that runs always, and is named after it. With -update it writes the table of them.
func TestEachRuleHasItsTests(t *testing.T) {
	tests, err := rules.Tests("..")
	if err != nil {
		t.Fatal(err)
	}
	of := map[string][]rules.Test{}
	for _, test := range tests {
		for _, id := range test.IDs {
			of[id] = append(of[id], test)
		}
	}
	for _, id := range requiredRules() {
		some := slices.ContainsFunc(of[id], func(t rules.Test) bool { return !t.Soak() })
		if _, later := notYet[id]; some == later {
			t.Errorf("%s: has a test %v, is said to come later %v", id, some, later)
		}
	}
	want := ruleTable(of)
	if *updateRules {
		if err := os.WriteFile(ruleTests, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(ruleTests)
	if err != nil {
		t.Fatal(err)
	}
	have := string(text)
	for _, id := range requiredRules() {
		if !strings.Contains(have, "\n| "+id+" |") {
			t.Errorf("docs/rule-tests.md has no row of %s: go test ./internal -run TestEachRuleHasItsTests -update", id)
		}
	}
	for _, row := range strings.Split(have, "\n") {
		id, named, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		for _, m := range testForm.FindAllStringSubmatch(named, -1) {
			if !slices.ContainsFunc(of[id], func(t rules.Test) bool { return t.Name == m[2] }) {
				t.Errorf("docs/rule-tests.md: no test of %s is called %s any more: go test ./internal -run TestEachRuleHasItsTests -update", id, m[2])
			}
		}
	}
	if have != want { // what it says is true, and not all
		t.Log("docs/rule-tests.md does not have the newest tests: go test ./internal -run TestEachRuleHasItsTests -update")
	}
}

// ruleTable is the document.
func ruleTable(of map[string][]rules.Test) string {
	var b strings.Builder
	b.WriteString("# Which tests show which rule\n\nFor whoever changes the programs. Written by `go test ./internal -run TestEachRuleHasItsTests -update` from the names of the tests. What the rules say stands in\n" +
		"[rules.md](rules.md), and in [threats.md](threats.md) what T- stands for. `make mutate` shows that these tests can fail.\n\n| rule | tests |\n| --- | --- |\n")
	ids := requiredRules()
	var others []string
	for id := range of {
		if !slices.Contains(ids, id) {
			others = append(others, id)
		}
	}
	slices.SortFunc(others, byFamily)
	for _, id := range append(ids, others...) {
		if why := notYet[id]; why != "" {
			fmt.Fprintf(&b, "| %s | none: %s |\n", id, why)
			continue
		}
		fmt.Fprintf(&b, "| %s | %s |\n", id, strings.Join(byPackage(of[id]), "; "))
	}
	return b.String()
}

func byFamily(a, b string) int {
	fa, na, _ := strings.Cut(a, "-")
	fb, nb, _ := strings.Cut(b, "-")
	if fa != fb {
		return strings.Compare(fa, fb)
	}
	if len(na) != len(nb) {
		return len(na) - len(nb)
	}
	return strings.Compare(na, nb)
}

// byPackage are tests with their packages before them; tests are sorted by these.
func byPackage(tests []rules.Test) (out []string) {
	last := ""
	for _, t := range tests {
		name := "`" + t.Name + "`"
		if t.Dir == last {
			out[len(out)-1] += ", " + name
			continue
		}
		last = t.Dir
		out = append(out, strings.TrimPrefix(t.Dir, "internal/")+": "+name)
	}
	return out
}
