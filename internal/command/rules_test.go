package command_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// The rows of the table of altered orders, each under the name of its rule.

func TestEDGE2TheStricterOfStoredAndClaimedPlanCounts(t *testing.T)    { tryRows(t, "EDGE-2") }
func TestEDGE3WhatIsNotBoundIsNotCommanded(t *testing.T)               { tryRows(t, "EDGE-3") }
func TestEDGE4WhatIsOldOrOfAnotherSessionExpires(t *testing.T)         { tryRows(t, "EDGE-4") }
func TestEDGE5AGrantThatEndedIsStaleAndOthersAreNot(t *testing.T)      { tryRows(t, "EDGE-5") }
func TestEDGE7PartnersNeedTheSecondFactor(t *testing.T)                { tryRows(t, "EDGE-7") }
func TestEDGE10WhatCannotBeVerifiedIsAbsentForCommands(t *testing.T)   { tryRows(t, "EDGE-10") }
func TestPERM1WhatIsUnknownIsRefusedAndNeverGuessed(t *testing.T)      { tryRows(t, "PERM-1 ") }
func TestPERM4NoCommandOnBasicWhereverItStands(t *testing.T)           { tryRows(t, "PERM-4") }
func TestPERM6AGroupIsNotTheUnitAndAllGroupsAreNotEither(t *testing.T) { tryRows(t, "PERM-6") }
func TestPERM8WhoReadsNeverCommands(t *testing.T)                      { tryRows(t, "PERM-8") }
func TestPLAN8AdvancedAndStandardDifferInGroupsAlone(t *testing.T)     { tryRows(t, "PLAN-8") }
func TestPLAN9APlanThatEndedByItselfIsBasic(t *testing.T)              { tryRows(t, "PLAN-9") }
func TestT04AnOrderComesInItsTurn(t *testing.T)                        { tryRows(t, "T-04") }

func TestT04AnOlderCounterIsOutOfOrder(t *testing.T) { tryRows(t, "T-04") }
func TestT12ALockIsALock(t *testing.T)               { tryRows(t, "T-12") }
func TestPERM7AnAdministratorCommandsWithASecondFactor(t *testing.T) {
	commandsAs(t, "partner_admin", true)
}

func TestPERM2ASharedUserCommandsAsTheOwnerDoes(t *testing.T) { commandsAs(t, "shared", false) }

// commandsAs holds every command of a role against the owner's, on each plan: all but support.bundle end alike (PERM-2, PERM-7).
func commandsAs(t *testing.T, role string, mfa bool) {
	t.Helper()
	run(t, func(t *testing.T, s *site) {
		version := uint64(9)
		for _, plan := range policy.Plans {
			for _, action := range slices.Sorted(maps.Keys(passing)) {
				version++
				s.say(bind("AS1", 4, plan, version))
				var ends []string
				for _, r := range []string{"owner", role} {
					time.Sleep(3 * time.Hour) // orders.min_interval, and twelve a day
					s.renew()
					c := s.command(byte(s.counter+1), "AS1")
					c.ID[1] = byte(s.counter >> 8)
					c.Action, c.Role, c.MFA, c.GrantVersion = action, r, r == role && mfa, version
					if action == "diagnostics.run" {
						c.Params = map[string]string{"test": "self"}
					}
					if action == "order.cancel" {
						c.Params = map[string]string{"order": wire.ID{250}.String()}
					}
					s.give(c)
					for _, r := range s.sink.of(c.ID) {
						if r.State.Final() {
							ends = append(ends, fmt.Sprint(r.State, " ", r.Reason))
						}
					}
				}
				if len(ends) != 2 || (ends[0] == ends[1]) != (action != "support.bundle") {
					t.Errorf("%s on %s: %q", action, plan, ends)
				}
			}
		}
	})
}

// events are the details of the security events of an id.
func (s *site) eventsOf(id int) (out []string) {
	for _, e := range s.told() {
		if int(e.ID) == id {
			out = append(out, e.Detail)
		}
	}
	return out
}

// TestPERM11WhatNoRaceExplainsIsTold, once, and what a race explains is not: a plan or a grant that changed behind the signature has
// another grant version.
func TestPERM11WhatNoRaceExplainsIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		stored  policy.Plan
		version uint64 // stored
		alter   func(*trust.Command)
		want    string
		told    string // "": nothing
	}{
		"by its own word Basic":      {policy.Advanced, 9, func(c *trust.Command) { c.Plan = "basic" }, "refused PLAN_BASIC", "on plan basic; here it is PLAN_BASIC"},
		"by its own word a reader":   {policy.Advanced, 9, func(c *trust.Command) { c.Role = "partner_ro" }, "refused ROLE_READ_ONLY", "here it is ROLE_READ_ONLY"},
		"by its own word one factor": {policy.Advanced, 9, func(c *trust.Command) { c.Role = "partner_admin" }, "refused MFA_REQUIRED", "here it is MFA_REQUIRED"},
		"another plan, same version": {policy.Basic, 9, func(*trust.Command) {}, "refused PLAN_BASIC", "on plan advanced, and stated basic with grant version 9"},
		"and allowed on the lower":   {policy.Standard, 9, func(*trust.Command) {}, "done", "on plan advanced, and stated standard with grant version 9"},
		"the plan fell since":        {policy.Basic, 10, func(*trust.Command) {}, "refused PLAN_BASIC", ""},
		"a lower plan claimed":       {policy.Advanced, 9, func(c *trust.Command) { c.Plan = "standard" }, "done", ""},
		"the plan rises":             {policy.Basic, 9, func(c *trust.Command) { c.GrantVersion = 10 }, "refused GRANT_STALE", ""},
		"as it should be":            {policy.Advanced, 9, func(*trust.Command) {}, "done", ""},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, s *site) {
				s.say(bind("AS2", 4, c.stored, c.version))
				s.unit("AS2")
				o := s.command(1, "AS2")
				c.alter(&o)
				s.give(o)
				s.want(1, c.want)
				told := s.eventsOf(841)
				if (len(told) == 1) != (c.told != "") || len(told) > 1 || c.told != "" && !strings.HasSuffix(told[0], c.told) {
					t.Errorf("told %q, want %q", told, c.told)
				}
			})
		})
	}
	t.Run("a plan that ended by itself", func(t *testing.T) {
		run(t, func(t *testing.T, s *site) {
			e := bind("AS1", 4, policy.Advanced, 10)
			e.Bind.ValidUntil = time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)
			s.say(e)
			c := s.command(1, "AS1")
			c.GrantVersion = 10
			time.Sleep(31 * time.Second)
			s.give(c)
			s.want(1, "refused PLAN_BASIC")
			if told := s.eventsOf(841); len(told) != 0 {
				t.Errorf("told %q", told)
			}
		})
	})
}

// TestSHARE9AnErasureForWhoMayNotIsRefusedAndTold: nothing ends by it, and it is told once however often the statement comes.
func TestSHARE9AnErasureForWhoMayNotIsRefusedAndTold(t *testing.T) {
	for _, role := range []string{"shared", "partner_ro", "partner_admin", "partner_api", "nobody", "root"} {
		run(t, func(t *testing.T, s *site) {
			for range 3 {
				if changes := s.say(trust.Entry{Device: "AS1", Erase: &trust.Erase{Order: wire.ID{5}, Epoch: 4, Role: role}}); len(changes) != 0 {
					t.Errorf("%s: %+v", role, changes)
				}
			}
			if told := s.eventsOf(841); len(told) != 1 || !strings.HasSuffix(told[0], "an erasure for "+role+"; here it is OWNER_ONLY") {
				t.Errorf("%s: told %q", role, told)
			}
			s.give(s.command(1, "AS1"))
			s.want(1, "done")
		})
	}
}

// TestPERM3OnlyTheOwnerAndTheCloudErase: on Basic, too; deleting is no remote control (PERM-4).
func TestPERM3OnlyTheOwnerAndTheCloudErase(t *testing.T) {
	roles, table := cells(t)
	for _, role := range append(roles, "system", "root") {
		run(t, func(t *testing.T, s *site) {
			s.say(bind("AS1", 4, policy.Basic, 10))
			s.say(trust.Entry{Device: "AS1", Erase: &trust.Erase{Order: wire.ID{5}, Epoch: 4, Role: role}})
			binds, _ := s.x.Binds()
			may := role == "system" || strings.Contains(table["device.delete"][role], "B")
			if (binds["AS1"].Epoch == 0) != may || len(s.eventsOf(841)) == 1 == may {
				t.Errorf("%s: bound %+v, told %q", role, binds["AS1"], s.eventsOf(841))
			}
		})
	}
}

// TestSHARE14NoShareMovesTheOwner: whatever is said of grants and plans, in any order and again, the epoch is that of the registration,
// also after a restart, and an order of any other epoch is nobody's.
func TestSHARE14NoShareMovesTheOwner(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		for n := range 300 {
			epoch := uint32(1 + rand.IntN(4))
			e := bind("AS1", epoch, policy.Plans[rand.IntN(3)], uint64(rand.IntN(40)), trust.Ended{Actor: fmt.Sprint("u_", rand.IntN(9)), GrantVersion: uint64(rand.IntN(40))})
			s.say(e)
			if n%100 == 99 {
				s.again()
			}
			if binds, _ := s.x.Binds(); binds["AS1"].Epoch != 4 {
				t.Fatalf("after %+v: bound %+v", e.Bind, binds["AS1"])
			}
		}
		s.say(bind("AS1", 4, policy.Advanced, 1000))
		for i, epoch := range []uint32{1, 2, 3, 5} {
			c := s.command(byte(i+1), "AS1")
			c.Epoch = epoch
			s.give(c)
			s.want(byte(i+1), "refused NOT_BOUND")
		}
		s.say(bind("AS1", 5, policy.Advanced, 1)) // a registration
		if binds, _ := s.x.Binds(); binds["AS1"].Epoch != 5 {
			t.Errorf("bound %+v", binds["AS1"])
		}
	})
}

// TestSHARE8LeavingRevokingAndAPlanDropEndNoBind (ERASE-13): only commands end, and only of whom it concerns; so does a device that a
// statement leaves out.
func TestSHARE8LeavingRevokingAndAPlanDropEndNoBind(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		for i, e := range [][]trust.Entry{
			{bind("AS1", 4, policy.Advanced, 10, trust.Ended{Actor: "u_2", GrantVersion: 10})}, // u_2 leaves
			{bind("AS1", 4, policy.Basic, 11, trust.Ended{Actor: "u_2", GrantVersion: 10})},    // the plan falls
			{bind("AS1", 4, policy.Basic, 12, trust.Ended{Actor: "u_3", GrantVersion: 12})},    // u_3 is revoked
			{}, // a statement without it
		} {
			s.say(e...)
			if binds, known := s.x.Binds(); binds["AS1"].Epoch != 4 || !known {
				t.Errorf("step %d: bound %+v", i, binds["AS1"])
			}
		}
		s.say(bind("AS1", 4, policy.Advanced, 13))
		c := s.command(1, "AS1")
		c.GrantVersion = 13
		s.give(c)
		s.want(1, "done")
		c = s.command(2, "AS1")
		c.Actor, c.Role, c.Action, c.Params = "u_2", "shared", "diagnostics.run", map[string]string{"test": "self"}
		s.give(c)
		s.want(2, "refused GRANT_STALE")
	})
}

// TestSHARE7ARevocationCountsForWhatWasSignedBefore, on any plan, and the epoch stays (SHARE-1).
func TestSHARE7ARevocationCountsForWhatWasSignedBefore(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		before := s.command(1, "AS1")
		before.Actor, before.Role = "u_2", "shared"
		changes := s.say(bind("AS1", 4, policy.Advanced, 10, trust.Ended{Actor: "u_2", GrantVersion: 10}))
		if len(changes) != 1 || changes[0].Before.Epoch != changes[0].After.Epoch || changes[0].After.GrantVersion != 10 {
			t.Errorf("%+v", changes)
		}
		s.give(before)
		s.want(1, "refused GRANT_STALE")
	})
}

// TestSHARE1AShareRaisesTheGrantVersionAndNotTheEpoch: of an invitation that is accepted both come together (INV-16), and older orders of
// others go on (EDGE-5).
func TestSHARE1AShareRaisesTheGrantVersionAndNotTheEpoch(t *testing.T) { shared(t) }

func TestINV16AnAcceptedGrantComesWithEpochAndVersion(t *testing.T) { shared(t) }

func shared(t *testing.T) {
	t.Helper()
	run(t, func(t *testing.T, s *site) {
		owners := s.command(1, "AS1")
		changes := s.say(bind("AS1", 4, policy.Advanced, 10))
		if len(changes) != 1 || changes[0].After.Epoch != 4 || changes[0].After.GrantVersion != 10 {
			t.Errorf("%+v", changes)
		}
		s.give(owners)
		s.want(1, "done")
		c := s.command(2, "AS1")
		c.Actor, c.Role, c.GrantVersion, c.Action, c.Params = "u_2", "shared", 10, "diagnostics.run", map[string]string{"test": "self"}
		s.give(c)
		s.want(2, "done")
	})
}

// TestEDGE5EndedActorsAreKept: over a restart, over statements that do not name them any more, and more of them than a statement or the agent
// can carry; checked against all that was ever said. What is forgotten ends grants for everybody, and never lets one live.
func TestEDGE5EndedActorsAreKept(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		all := map[string]uint64{} // everything that was said
		version, id := uint64(9), 0
		for round := range 8 {
			var ended []trust.Ended
			for range trust.MaxEnded - 56 {
				version++
				actor := fmt.Sprint("u_", 100+rand.IntN(6000))
				if slices.ContainsFunc(ended, func(e trust.Ended) bool { return e.Actor == actor }) {
					continue
				}
				ended, all[actor] = append(ended, trust.Ended{Actor: actor, GrantVersion: version}), version
			}
			version++
			s.say(bind("AS1", 4, policy.Advanced, version, ended...))
			if round == 4 {
				s.end()
				if err := s.start(); err != nil {
					t.Fatal(err)
				}
				s.say(bind("AS1", 4, policy.Advanced, version, ended...))
			}
		}
		try := func(actor string, v uint64) string {
			id++
			c := s.command(0, "AS1")
			c.ID, c.Actor, c.GrantVersion, c.Action, c.Role = wire.ID{3, byte(id >> 8), byte(id)}, actor, v, "firmware.upgrade", "shared"
			s.give(c)
			for _, r := range s.sink.of(c.ID) {
				if r.State.Final() {
					return r.Reason
				}
			}
			return "nothing"
		}
		n := 0
		for actor, at := range all {
			if got := try(actor, at-1); got != "GRANT_STALE" {
				t.Fatalf("%s, whose grant ended at %d of %d, with the version before: %s", actor, at, version, got)
			}
			if n++; n == 300 {
				break
			}
		}
		if len(all) < 1100 {
			t.Errorf("%d actors: fewer than are kept", len(all))
		}
		for _, actor := range []string{"u_1", slices.Sorted(maps.Keys(all))[0]} { // never ended, and invited again
			if got := try(actor, version); got != "UNSUPPORTED" {
				t.Errorf("%s with the present version: %s", actor, got)
			}
		}
	})
}

// TestEDGE5AFullListMayHaveBeenCut: what ended before the oldest of it is taken as ended for everybody.
func TestEDGE5AFullListMayHaveBeenCut(t *testing.T) {
	for _, n := range []int{trust.MaxEnded - 1, trust.MaxEnded} {
		run(t, func(t *testing.T, s *site) {
			var ended []trust.Ended
			for i := range n {
				ended = append(ended, trust.Ended{Actor: fmt.Sprint("u_", 1000+i), GrantVersion: uint64(1000 - i)})
			}
			s.say(bind("AS1", 4, policy.Advanced, 1001, ended...))
			s.give(s.command(1, "AS1")) // version 9 of somebody that is not named
			s.want(1, map[bool]string{true: "refused GRANT_STALE", false: "done"}[n == trust.MaxEnded])
		})
	}
}

// TestLIC4WhatIsStoredIsWhatIsConfirmed, within the statement's own turn (TIME-2), and not before it is on disk.
func TestLIC4WhatIsStoredIsWhatIsConfirmed(t *testing.T) { confirmed(t) }

func TestTIME2APlanIsStoredWhenItsStatementWasTaken(t *testing.T) { confirmed(t) }

func confirmed(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir)
		s.driver = "mortal"
		mortal.crash.arm(0, false)
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		defer s.end()
		began := time.Now()
		s.say(bind("AS1", 4, policy.Standard, 10))
		if b, _ := s.x.Binds(); b["AS1"].Plan != policy.Standard || b["AS1"].GrantVersion != 10 || time.Since(began) > time.Second {
			t.Errorf("stored %+v", b["AS1"])
		}
		mortal.crash.arm(1, false) // the disk refuses
		s.say(bind("AS1", 4, policy.Advanced, 11))
		if b, _ := s.x.Binds(); b["AS1"].GrantVersion != 10 {
			t.Errorf("confirmed and not stored: %+v", b["AS1"])
		}
		mortal.crash.arm(0, false)
		time.Sleep(time.Minute)
		s.say(bind("AS1", 4, policy.Advanced, 11))
		if b, _ := s.x.Binds(); b["AS1"].GrantVersion != 11 {
			t.Errorf("stored %+v", b["AS1"])
		}
	})
}

// TestPERM2WhoSharesCancelsTheirOwnAndTheOwnerAny (rules, section 2).
func TestPERM2WhoSharesCancelsTheirOwnAndTheOwnerAny(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		u := s.unit("AS1")
		u.takes, u.stays = 3*time.Minute, true
		o := s.command(1, "AS1")
		o.Actor, o.Role = "u_2", "shared"
		s.give(o)
		for i, c := range []struct{ actor, role, want string }{{"u_3", "shared", "refused OWNER_ONLY"}, {"u_1", "owner", "done"}} {
			x := s.cancelOf(1, byte(i+2))
			x.Actor, x.Role = c.actor, c.role
			s.give(x)
			time.Sleep(2 * time.Minute)
			s.renew()
			s.want(byte(i+2), c.want)
		}
		s.want(1, "cancelled CANCELLED")
	})
}

// TestR7WhereNobodyKnowsTheHourNoOrderKeepsToIt: with orders.hours set, each kind of order is refused until the box knows the time.
func TestR7WhereNobodyKnowsTheHourNoOrderKeepsToIt(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		hours, err := policy.ParseHours("00:00-23:59")
		if err != nil {
			t.Fatal(err)
		}
		s.x.SetPolicy(command.Policy{Allow: policy.Groups[:], Hours: hours, DailyMax: 100})
		try := func(first byte, want, why string) {
			t.Helper()
			for i, k := range kinds {
				s.give(k.of(s.command(first+byte(i), "AS1")))
				if s.want(first+byte(i), want); !strings.Contains(s.detail(first+byte(i)), why) {
					t.Errorf("%v: %s", k, s.detail(first+byte(i)))
				}
			}
		}
		try(1, "refused LOCAL_POLICY", "does not know the time")
		if n := s.writes(); n != 0 {
			t.Errorf("%d writes", n)
		}
		s.mu.Lock()
		s.wall, s.wallSet = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), true
		s.mu.Unlock()
		time.Sleep(time.Minute)
		s.renew()
		try(101, "done", "")
	})
}
