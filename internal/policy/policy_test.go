package policy

import (
	"encoding/csv"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestPERM1EveryCellOfTheMatrixIsDecidedAsItStands reads the table a second way, letter by letter.
func TestPERM1EveryCellOfTheMatrixIsDecidedAsItStands(t *testing.T) {
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

func TestPERM1WhatIsNotListedIsRefused(t *testing.T) {
	for _, c := range []struct {
		action Action
		role   Role
		plan   Plan
		want   Reason
	}{
		{"reboot.everything", Owner, Advanced, UnknownAction},
		{"", Owner, Advanced, UnknownAction},
		{RebootUPS, "root", Advanced, NotFound},
		{RebootUPS, "", Advanced, NotFound},
		{RebootUPS, Owner, "platinum", PlanBasic},
		{RebootUPS, Owner, "", PlanBasic},
		{MonitorStatus, Owner, "", PlanBasic},
		{RebootUPS, Nobody, Advanced, NotFound},
		{DeviceTransfer, Owner, Advanced, OwnerOnly},
	} {
		if d := Decide(c.action, c.role, c.plan, true); d.Allowed || d.Reason != c.want {
			t.Errorf("%s by %s on %q: %+v, want %s", c.action, c.role, c.plan, d, c.want)
		}
	}
}

// TestReasonsComeInTheirOrder: role before second factor before plan (rules, section 14).
func TestReasonsComeInTheirOrder(t *testing.T) {
	for _, c := range []struct {
		rule   string
		action Action
		role   Role
		plan   Plan
		mfa    bool
		want   Reason
	}{
		{"PERM-8", RebootUPS, PartnerRO, Basic, false, RoleReadOnly},
		{"PERM-8", RebootUPS, PartnerAPI, Basic, false, RoleReadOnly},
		{"EDGE-7", RebootUPS, PartnerAdmin, Basic, false, MFARequired},
		{"PERM-7", RebootUPS, PartnerAdmin, Basic, true, PlanBasic},
		{"PERM-4", RebootUPS, Owner, Basic, false, PlanBasic},
		{"PERM-6", RebootGroup, Owner, Standard, false, PlanStandard},
		{"PERM-6", RebootGroup, Owner, Basic, false, PlanStandard},
		{"PERM-6", RebootUPS, Owner, Standard, false, ""},
		{"PERM-3", DeviceDelete, Shared, Basic, false, OwnerOnly},
		{"PERM-3", DeviceDelete, PartnerAdmin, Advanced, true, OwnerOnly},
		{"PERM-5", LicenceApply, Shared, Basic, false, ""},
	} {
		if d := Decide(c.action, c.role, c.plan, c.mfa); d.Reason != c.want || d.Allowed != (c.want == "") {
			t.Errorf("%s: %s by %s on %s: %+v, want %q", c.rule, c.action, c.role, c.plan, d, c.want)
		}
	}
}

func TestPERM2SharedUsersAreOwnersForEveryCommand(t *testing.T) {
	for action := range commands {
		for _, plan := range Plans {
			o, s := Decide(action, Owner, plan, false), Decide(action, Shared, plan, false)
			if o != s && action != SupportBundle { // facts about the box: PRIV-8
				t.Errorf("%s on %s: owner %+v, shared %+v", action, plan, o, s)
			}
		}
	}
}

func TestPERM4NoCommandOnBasic(t *testing.T) {
	for action := range commands {
		for _, role := range Roles {
			if Decide(action, role, Basic, true).Allowed {
				t.Errorf("%s allowed to %s on Basic", action, role)
			}
		}
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

func TestLesser(t *testing.T) {
	for _, c := range [][3]Plan{{Basic, Advanced, Basic}, {Advanced, Standard, Standard}, {"x", Basic, "x"}, {Basic, "", ""}, {Advanced, Advanced, Advanced}} {
		if got := Lesser(c[0], c[1]); got != c[2] {
			t.Errorf("Lesser(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
