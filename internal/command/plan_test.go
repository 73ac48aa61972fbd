package command_test

import (
	"testing"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/trust"
)

// TestPLAN1EachDeviceHasItsPlan, kept over a restart.
func TestPLAN1EachDeviceHasItsPlan(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.unit("AS2")
		s.say(bind("AS1", 4, policy.Standard, 10), bind("AS2", 4, policy.Basic, 10))
		s.give(s.command(1, "AS1"))
		s.give(s.command(2, "AS2"))
		s.want(1, "done")
		s.want(2, "refused PLAN_BASIC")
		s.again()
		binds, _ := s.x.Binds()
		if binds["AS1"].Plan != policy.Standard || binds["AS2"].Plan != policy.Basic || binds["AS1"].ValidUntil.IsZero() {
			t.Errorf("after a restart: %+v", binds)
		}
	})
}

// TestPLAN3ADropLeavesTheGrants: a shared user's commands are refused on Basic and taken again from the statement that tells the
// higher plan, with no restart and no new grant.
func TestPLAN3ADropLeavesTheGrants(t *testing.T) { fallAndRise(t) }

func TestPLAN5AnUpgradeCountsFromItsStatement(t *testing.T) { fallAndRise(t) }

func fallAndRise(t *testing.T) {
	t.Helper()
	run(t, func(t *testing.T, s *site) {
		for i, step := range []struct {
			plan policy.Plan
			want string
		}{{policy.Standard, "done"}, {policy.Basic, "refused PLAN_BASIC"}, {policy.Advanced, "done"}} {
			version := uint64(10 + i)
			s.say(bind("AS1", 4, step.plan, version, trust.Ended{Actor: "u_9", GrantVersion: 10}))
			for j, actor := range []string{"u_1", "u_2"} {
				c := s.command(byte(10*i+j+1), "AS1")
				c.Actor, c.GrantVersion, c.Action, c.Params = actor, version, "diagnostics.run", map[string]string{"test": "self"}
				if c.Role = "owner"; j == 1 {
					c.Role, c.GrantVersion = "shared", 10 // from before the drop
				}
				s.give(c)
				s.want(byte(10*i+j+1), step.want)
			}
		}
	})
}

// TestPLAN9TheClockOnlyEndsAPlan: the earlier of the statement's time going on and the box's clock counts; no step of the clock, no older
// statement and no clock at all prolongs it, in a session that lives.
func TestPLAN9TheClockOnlyEndsAPlan(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // when statements were signed
	for name, c := range map[string]struct {
		after time.Duration // from the statement
		do    func(s *site)
		want  string
	}{
		"before its end":                  {9 * time.Minute, func(*site) {}, "done"},
		"at its end, no clock":            {10 * time.Minute, func(*site) {}, "refused PLAN_BASIC"},
		"the clock is set back":           {11 * time.Minute, func(s *site) { s.set(noon.Add(-24 * time.Hour)) }, "refused PLAN_BASIC"},
		"the clock is ahead":              {time.Minute, func(s *site) { s.set(noon.Add(24 * time.Hour)) }, "refused PLAN_BASIC"},
		"the clock was ahead and is back": {time.Minute, func(s *site) { s.set(noon.Add(24 * time.Hour)); s.set(noon) }, "done"},
		"an older statement comes again":  {11 * time.Minute, func(s *site) { s.sayAt(noon, bind("AS1", 4, policy.Advanced, 9)) }, "refused PLAN_BASIC"},
		"it is renewed": {11 * time.Minute, func(s *site) {
			s.sayAt(noon.Add(11*time.Minute), bind("AS1", 4, policy.Advanced, 11))
		}, "done"},
		"what was said is renewed, not the plan": {11 * time.Minute, func(s *site) {
			e := bind("AS1", 4, policy.Advanced, 10)
			e.Bind.ValidUntil = noon.Add(10 * time.Minute)
			s.sayAt(noon.Add(11*time.Minute), e)
		}, "refused PLAN_BASIC"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, s *site) {
				e := bind("AS1", 4, policy.Advanced, 10)
				e.Bind.ValidUntil = noon.Add(10 * time.Minute)
				s.say(e)
				time.Sleep(c.after)
				c.do(s)
				s.renew()
				o := s.command(1, "AS1")
				s.give(o)
				s.want(1, c.want)
			})
		})
	}
	t.Run("without a statement in this session", func(t *testing.T) {
		run(t, func(t *testing.T, s *site) {
			s.connect()
			s.give(s.command(1, "AS1"))
			s.want(1, "refused NOT_BOUND")
		})
	})
}

// set sets the machine's clock, and has a time service stand for it.
func (s *site) set(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wall, s.wallSet = at.Add(-time.Since(s.began)), true
}

func (s *site) sayAt(at time.Time, entries ...trust.Entry) {
	s.t.Helper()
	if _, err := s.x.Apply(s.session, &trust.Statement{Time: at, Entries: entries}, time.Now()); err != nil {
		s.t.Error(err)
	}
}
