package policy

import (
	"encoding/csv"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestEveryCellOfTheMatrixIsDecidedAsItStands reads the table a second way, letter by letter. What the letters should be, the tests say that are
// named after rules.
func TestEveryCellOfTheMatrixIsDecidedAsItStands(t *testing.T) {
	text, err := os.ReadFile("matrix.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	letters := map[Plan]string{Basic: "B", Standard: "S", Advanced: "A"}
	cells := 0
	for _, row := range rows[1:] {
		for i, role := range Roles {
			for _, plan := range Plans {
				d := Decide(Action(row[0]), role, plan, true)
				want := strings.Contains(row[i+1], letters[plan])
				if d.Allowed != want || (d.Reason == "") != want || d.Projected != (want && row[i+1][0] == 'p') {
					t.Errorf("%s by %s on %s: %+v, the table says %q", row[0], role, plan, d, row[i+1])
				}
				cells++
			}
		}
	}
	if want := len(Actions()) * len(Roles) * len(Plans); cells != want || len(Actions()) < 30 {
		t.Errorf("%d cells of %d", cells, want)
	}
}

func TestEveryConstantStandsInTheMatrixAndEveryCommandHasItsGroup(t *testing.T) {
	for action, group := range commands {
		if matrix[action] == nil {
			t.Errorf("%s is no row of the matrix", action)
		}
		if group != "" && !slices.Contains(Groups[:], group) {
			t.Errorf("%s has the group %q", action, group)
		}
	}
	src, err := os.ReadFile("action.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range Actions() {
		if !strings.Contains(string(src), `Action = "`+string(a)+`"`) {
			t.Errorf("%s has no constant", a)
		}
	}
	if n := strings.Count(string(src), ` Action = "`); n != len(Actions()) {
		t.Errorf("%d constants, %d rows", n, len(Actions()))
	}
}

func TestWrongTablesAreRefused(t *testing.T) {
	head := "action,owner,shared,partner_ro,partner_admin,partner_api,nobody\n"
	for _, text := range []string{
		"", "action,owner\n", head + "a,BSA,BSA,-,-,-\n", head + "a,,-,-,-,-,-\n", head + "a,p,-,-,-,-,-\n", head + "a,AS,-,-,-,-,-\n", head + "a,BB,-,-,-,-,-\n",
		head + "a,BX,-,-,-,-,-\n", head + "a,-,-,-,-,-,-\na,-,-,-,-,-,-\n",
	} {
		if _, err := parse(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
