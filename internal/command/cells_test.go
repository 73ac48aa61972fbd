package command_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// cells is the matrix as it stands in the file: "BSA" by action and role. Nothing of package policy reads it here.
func cells(t testing.TB) (roles []string, table map[string]map[string]string) {
	t.Helper()
	f, err := os.Open("../policy/matrix.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) < 30 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	table = map[string]map[string]string{}
	for _, row := range rows[1:] {
		table[row[0]] = map[string]string{}
		for i, cell := range row[1:] {
			table[row[0]][rows[0][i+1]] = strings.TrimPrefix(cell, "p")
		}
	}
	return rows[0][1:], table
}

// passing are the actions marked **command** in section 2 of the rules, and those of them that this version carries out.
var passing = map[string]bool{
	"configure.device": false, "alarm.mute": false, "alarm.ack": false, "diagnostics.run": true, "support.bundle": false, "order.cancel": true,
	"firmware.upgrade": false, "reboot.ups": true, "reboot.group": false, "control.outlet": false,
}

// A cell is one order that the cloud signed.
type cell struct {
	action, role, stored, claimed string
	mfa                           bool
}

// want is how the order ends, by the table and sections 3 and 14 of the rules: role, then second factor, then plan.
func (c cell) want(table map[string]map[string]string) string {
	exists, command := passing[c.action]
	if !command {
		return "refused UNKNOWN_ACTION"
	}
	allowed := strings.Trim(table[c.action][c.role], "-")
	order := []string{"basic", "standard", "advanced"}
	least := min(slices.Index(order, c.stored), slices.Index(order, c.claimed)) // below 0: one is unknown
	switch {
	case allowed == "" && (c.role == "partner_ro" || c.role == "partner_api"):
		return "refused ROLE_READ_ONLY"
	case allowed == "" && slices.Contains([]string{"owner", "shared", "partner_admin"}, c.role):
		return "refused OWNER_ONLY"
	case allowed == "":
		return "refused NOT_FOUND"
	case strings.HasPrefix(c.role, "partner") && !c.mfa:
		return "refused MFA_REQUIRED"
	case least < 0 || !strings.Contains(allowed, "BSA"[least:least+1]):
		if strings.Contains(allowed, "S") {
			return "refused PLAN_BASIC"
		}
		return "refused PLAN_STANDARD"
	case !exists:
		return "refused UNSUPPORTED"
	}
	return "done"
}

// TestPERM1EveryCellIsEnforcedOnSite gives the executor validly signed orders for every action, role, plan and second factor, known or
// not, with the plan of the command below, at and above the one stored. What the file allows and this version can do runs, everything else is
// refused with its reason, and the unit sees no write.
func TestPERM1EveryCellIsEnforcedOnSite(t *testing.T) {
	roles, table := cells(t)
	plans := []string{"basic", "standard", "advanced", "platinum"}
	actions := []string{"output.off", "Reboot.ups"}
	for a := range table {
		actions = append(actions, a)
	}
	slices.Sort(actions)
	dir := inMemory(t)
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir)
		s.policy = command.Policy{Allow: policy.Groups[:], DailyMax: 1 << 30}
		for _, p := range plans {
			s.unit("AS-" + p)
		}
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		defer s.end()
		for _, p := range plans {
			s.say(bind("AS-"+p, 4, policy.Plan(p), 9))
		}
		orders, ran := 0, 0
		for _, action := range actions {
			for _, role := range append(slices.Clone(roles), "root", "system") {
				for _, stored := range plans {
					for _, claimed := range plans {
						for _, mfa := range []bool{false, true} {
							if _, command := passing[action]; !command && (claimed != stored || !mfa) {
								continue
							}
							c := cell{action, role, stored, claimed, mfa}
							orders++
							if s.inject(c, c.want(table)) {
								ran++
							}
						}
					}
				}
			}
		}
		if orders < 3000 || ran < 20 {
			t.Errorf("%d orders, of which %d ran: the test tries nothing", orders, ran)
		}
		t.Logf("%d orders, of which %d ran", orders, ran)
	})
}

// inject gives an order, holds its end and what the unit saw against what is wanted, and reports whether it ran.
func (s *site) inject(of cell, want string) bool {
	s.t.Helper()
	u := s.unit("AS-" + of.stored)
	target := wire.ID{}
	if of.action == "order.cancel" && want == "done" {
		u.takes, u.stays = time.Hour, true
		d := s.command(0, u.serial)
		d.ID = wire.ID{1, byte(s.counter >> 8), byte(s.counter)}
		s.give(d)
		target = d.ID
	}
	c := s.command(0, u.serial)
	c.ID = wire.ID{2, byte(s.counter >> 8), byte(s.counter)}
	c.Action, c.Role, c.Plan, c.MFA = of.action, of.role, of.claimed, of.mfa
	switch of.action {
	case "diagnostics.run":
		c.Params = map[string]string{ups.ParamTest: ups.TestSelf}
	case "order.cancel":
		c.Params = map[string]string{"order": target.String()}
	}
	writes, told := u.written(), u.recalled()
	s.give(c)
	s.sink.mu.Lock()
	got := ""
	for _, r := range s.sink.results {
		if r.Order == c.ID && r.State.Final() {
			got += strings.TrimSpace(fmt.Sprint(r.State, " ", r.Reason))
		}
	}
	s.sink.results = nil
	s.sink.mu.Unlock()
	acts := u.written() - writes + u.recalled() - told
	if got != want || (acts == 1) != (want == "done") || acts > 1 {
		s.t.Errorf("%+v: %q with %d writes, want %q", of, got, acts, want)
	}
	if target != (wire.ID{}) {
		time.Sleep(time.Hour)
		synctest.Wait()
		s.renew()
		u.takes, u.stays = 0, false
	}
	return want == "done"
}
