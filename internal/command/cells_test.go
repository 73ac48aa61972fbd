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
	"upsedge/internal/trust"
	"upsedge/internal/ups/upstest"
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
	"configure.device": true, "alarm.mute": true, "alarm.ack": true, "diagnostics.run": true, "support.bundle": true, "order.cancel": true,
	"firmware.upgrade": false, "reboot.ups": true, "reboot.group": true, "control.outlet": true,
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
		if least == 1 {
			return "refused PLAN_STANDARD"
		}
		return "refused PLAN_BASIC" // PERM-4, whatever would be needed
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
		var all []cell
		for _, action := range actions {
			_, command := passing[action]
			for _, role := range append(slices.Clone(roles), "root", "system") {
				for _, stored := range plans {
					for _, claimed := range plans {
						for _, mfa := range []bool{false, true} {
							// Of what is no command every role and every plan; of the pairs of plans that differ those with the second factor.
							if claimed != stored && (!command || !mfa) || !command && !mfa || !command && stored != "advanced" && role != "owner" {
								continue
							}
							all = append(all, cell{action, role, stored, claimed, mfa})
						}
					}
				}
			}
		}
		ran := 0
		var refused []cell
		for _, c := range all {
			switch c.want(table) {
			case "done":
				s.inject(c)
				ran++
				continue
			case "refused UNSUPPORTED": // it is in hand for a moment, like what runs
				s.refuses(table, []cell{c})
				continue
			}
			if refused = append(refused, c); len(refused) == 100 {
				s.refuses(table, refused)
				refused = nil
			}
		}
		s.refuses(table, refused)
		if len(all) < 1800 || ran < 30 {
			t.Errorf("%d orders, of which %d ran: the test tries nothing", len(all), ran)
		}
		t.Logf("%d orders, of which %d ran", len(all), ran)
	})
}

// order signs a cell: target is what order.cancel is about.
func (s *site) order(of cell, target wire.ID) trust.Command {
	c := s.command(0, "AS-"+of.stored)
	c.ID = wire.ID{2, byte(s.counter >> 8), byte(s.counter)}
	c.Action, c.Role, c.Plan, c.MFA = of.action, of.role, of.claimed, of.mfa
	switch c.Params = upstest.Params(of.action); of.action {
	case "order.cancel":
		c.Params = map[string]string{"order": target.String()}
	}
	return c
}

// ends returns how each order ended since it was asked last.
func (s *site) ends() map[wire.ID]string {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	out := map[wire.ID]string{}
	for _, r := range s.sink.results {
		if r.State.Final() {
			out[r.Order] += strings.TrimSpace(fmt.Sprint(r.State, " ", r.Reason))
		}
	}
	s.sink.results = nil
	return out
}

// refuses gives orders that must not run.
func (s *site) refuses(table map[string]map[string]string, all []cell) {
	s.t.Helper()
	checked := 0
	for _, u := range s.units {
		checked += u.written() + u.recalled()
	}
	var ids []wire.ID
	for _, of := range all {
		c := s.order(of, wire.ID{})
		ids = append(ids, c.ID)
		s.post(c)
	}
	synctest.Wait()
	ends := s.ends()
	for i, of := range all {
		if got, want := ends[ids[i]], of.want(table); got != want {
			s.t.Errorf("%+v: %q, want %q", of, got, want)
		}
	}
	for _, u := range s.units {
		checked -= u.written() + u.recalled()
	}
	if checked != 0 {
		s.t.Errorf("%d writes by orders that are refused, of %+v", -checked, all)
	}
}

// inject gives an order that runs, once, and nothing else does.
func (s *site) inject(of cell) {
	s.t.Helper()
	u, target := s.unit("AS-"+of.stored), wire.ID{}
	if of.action == "order.cancel" {
		u.takes, u.stays = time.Hour, true
		d := s.command(0, u.serial)
		d.ID = wire.ID{1, byte(s.counter >> 8), byte(s.counter)}
		s.give(d)
		target = d.ID
	}
	c := s.order(of, target)
	acts := u.written() + u.recalled()
	s.give(c)
	if got := s.ends()[c.ID]; got != "done" || u.written()+u.recalled()-acts != 1 {
		s.t.Errorf("%+v: %q with %d writes, want it done", of, got, u.written()+u.recalled()-acts)
	}
	if target != (wire.ID{}) {
		time.Sleep(time.Hour)
		synctest.Wait()
		s.renew()
		u.takes, u.stays = 0, false
	}
}
