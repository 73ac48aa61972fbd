package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

func TestAnOrderIsCarriedOutOnceAndEachStateIsTold(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		c := s.command(1, "AS1")
		s.give(c)
		s.want(1, "done")
		if n := s.writes(); n != 1 {
			t.Errorf("%d writes", n)
		}
		var states []wire.OrderState
		for _, r := range s.sink.of(c.ID) {
			states = append(states, r.State)
			if r.Unit != "unit-AS1" || r.Device != "AS1" || r.Actor != "u_1" || r.Role != "owner" {
				t.Errorf("%+v", r)
			}
		}
		want := []wire.OrderState{wire.OrderReceived, wire.OrderAccepted, wire.OrderRunning, wire.OrderRunning, wire.OrderDone}
		if len(states) != len(want) {
			t.Fatalf("states %v, want %v", states, want)
		}
		for i := range want {
			if states[i] != want[i] {
				t.Errorf("states %v, want %v", states, want)
			}
		}
		s.give(s.command(2, "AS1"))
		s.want(2, "refused RATE_LIMIT")
	})
}

// alter is a table of orders of which one thing is wrong: what is altered, and the code it is refused with.
var altered = []struct {
	name string
	do   func(s *site, c *trust.Command)
	want string
}{
	{"as it should be", func(*site, *trust.Command) {}, "done"},
	{"EDGE-3 another device", func(_ *site, c *trust.Command) { c.Device = "AS2" }, "refused NOT_BOUND"},
	{"EDGE-3 the epoch before", func(_ *site, c *trust.Command) { c.Epoch-- }, "refused NOT_BOUND"},
	{"EDGE-3 the next epoch", func(_ *site, c *trust.Command) { c.Epoch++ }, "refused NOT_BOUND"},
	{"EDGE-4 the nonce of nobody", func(_ *site, c *trust.Command) { c.Nonce = wire.ID{1, 2, 3} }, "refused EXPIRED"},
	{"EDGE-4 no nonce", func(_ *site, c *trust.Command) { c.Nonce = wire.ID{} }, "refused EXPIRED"},
	{"EDGE-4 too old", func(_ *site, _ *trust.Command) { time.Sleep(61 * time.Second) }, "refused EXPIRED"},
	{"EDGE-4 of the session before", func(s *site, _ *trust.Command) {
		s.connect()
		s.say(bind("AS1", 4, policy.Advanced, 9))
	}, "refused EXPIRED"},
	{"EDGE-5 a session without a statement", func(s *site, c *trust.Command) { s.connect(); c.Nonce = s.nonce }, "refused NOT_BOUND"},
	{"EDGE-5 a session whose statement does not name it", func(s *site, c *trust.Command) {
		s.connect()
		c.Nonce = s.nonce
		s.say(bind("AS3", 4, policy.Advanced, 9))
	}, "refused NOT_BOUND"},
	{"EDGE-5 an actor whose grant ended", func(s *site, c *trust.Command) {
		s.say(bind("AS1", 4, policy.Advanced, 10, trust.Ended{Actor: "u_1", GrantVersion: 10}))
	}, "refused GRANT_STALE"},
	{"EDGE-5 another actor with the version before", func(s *site, c *trust.Command) {
		s.say(bind("AS1", 4, policy.Advanced, 10, trust.Ended{Actor: "u_2", GrantVersion: 10}))
	}, "done"},
	{"EDGE-5 the actor, invited again", func(s *site, c *trust.Command) {
		s.say(bind("AS1", 4, policy.Advanced, 11, trust.Ended{Actor: "u_1", GrantVersion: 10}))
		c.GrantVersion = 11
	}, "done"},
	{"EDGE-5 the actor, invited again, with what it was given before", func(s *site, c *trust.Command) {
		s.say(bind("AS1", 4, policy.Advanced, 11, trust.Ended{Actor: "u_1", GrantVersion: 10}))
	}, "refused GRANT_STALE"},
	{"EDGE-10 a grant that nobody has stated", func(_ *site, c *trust.Command) { c.GrantVersion = 10 }, "refused GRANT_STALE"},
	{"EDGE-10 a role that is not known", func(_ *site, c *trust.Command) { c.Role, c.MFA = "administrator", true }, "refused NOT_FOUND"},
	{"EDGE-10 a stored plan that is not known", func(s *site, _ *trust.Command) { s.say(bind("AS1", 4, "platinum", 10)) }, "refused PLAN_BASIC"},
	{"EDGE-2 a lower plan stored than in the command", func(s *site, c *trust.Command) { s.say(bind("AS1", 4, policy.Basic, 10)) }, "refused PLAN_BASIC"},
	{"EDGE-2 a lower plan in the command than stored", func(_ *site, c *trust.Command) { c.Plan = "basic" }, "refused PLAN_BASIC"},
	{"PERM-1 an unknown action", func(_ *site, c *trust.Command) { c.Action = "reboot.everything" }, "refused UNKNOWN_ACTION"},
	{"PERM-1 an action that is no command", func(_ *site, c *trust.Command) { c.Action = "device.delete" }, "refused UNKNOWN_ACTION"},
	{"PERM-1 an unknown role", func(_ *site, c *trust.Command) { c.Role = "root" }, "refused NOT_FOUND"},
	{"PERM-1 an unknown plan", func(_ *site, c *trust.Command) { c.Plan = "platinum" }, "refused PLAN_BASIC"},
	{"PERM-4 Basic in the command", func(_ *site, c *trust.Command) { c.Plan = "basic" }, "refused PLAN_BASIC"},
	{"PERM-4 Basic stored", func(s *site, _ *trust.Command) { s.say(bind("AS1", 4, policy.Basic, 10)) }, "refused PLAN_BASIC"},
	{"PERM-6 a group on Standard", func(s *site, c *trust.Command) {
		c.Action, c.Plan, c.Params["group"] = "reboot.group", "standard", "sog0"
	}, "refused PLAN_STANDARD"},
	{"PERM-6 a group, stored Standard", func(s *site, c *trust.Command) {
		s.say(bind("AS1", 4, policy.Standard, 10))
		c.Action, c.Params["group"] = "reboot.group", "sog0"
	}, "refused PLAN_STANDARD"},
	{"PERM-6 the unit with all its groups named", func(_ *site, c *trust.Command) { c.Params["group"] = "main,sog0,sog1,sog2" }, "refused MALFORMED"},
	{"PERM-6 all groups are not the unit", func(_ *site, c *trust.Command) {
		c.Action, c.Plan, c.Params["group"] = "reboot.group", "standard", "main,sog0,sog1,sog2"
	}, "refused PLAN_STANDARD"},
	{"PLAN-8 a group after a drop to Standard", func(s *site, c *trust.Command) {
		c.Action, c.Params["group"] = "reboot.group", "sog0"
		s.say(bind("AS1", 4, policy.Standard, 10))
	}, "refused PLAN_STANDARD"},
	{"PLAN-8 the unit after a drop to Standard", func(s *site, c *trust.Command) { s.say(bind("AS1", 4, policy.Standard, 10)) }, "done"},
	{"PERM-6 the unit on Standard", func(s *site, c *trust.Command) { c.Plan = "standard" }, "done"},
	{"PERM-8 a partner that reads", func(_ *site, c *trust.Command) { c.Role, c.MFA = "partner_ro", true }, "refused ROLE_READ_ONLY"},
	{"PERM-8 a partner of the API", func(_ *site, c *trust.Command) { c.Role, c.MFA = "partner_api", true }, "refused ROLE_READ_ONLY"},
	{"EDGE-7 a partner without a second factor", func(_ *site, c *trust.Command) { c.Role = "partner_admin" }, "refused MFA_REQUIRED"},
	{"EDGE-7 a partner with it", func(_ *site, c *trust.Command) { c.Role, c.MFA = "partner_admin", true }, "done"},
	{"PLAN-9 a plan that has ended", func(s *site, _ *trust.Command) {
		e := bind("AS1", 4, policy.Advanced, 10)
		e.Bind.ValidUntil = time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)
		s.say(e)
		time.Sleep(31 * time.Second)
	}, "refused PLAN_BASIC"},
	{"R7 a group that is not allowed", func(s *site, _ *trust.Command) {
		s.x.SetPolicy(command.Policy{Allow: []policy.Group{policy.GroupDiagnostics}, DailyMax: 12})
	}, "refused LOCAL_POLICY"},
	{"R7 hours without a clock", func(s *site, _ *trust.Command) {
		hours, _ := policy.ParseHours("00:00-23:59")
		s.x.SetPolicy(command.Policy{Allow: policy.Groups[:], Hours: hours, DailyMax: 12})
	}, "refused LOCAL_POLICY"},
	{"T-07 none a day", func(s *site, _ *trust.Command) { s.x.SetPolicy(command.Policy{Allow: policy.Groups[:]}) }, "refused RATE_LIMIT"},
	{"T-04 the counter of the one before", func(s *site, c *trust.Command) {
		d := s.command(7, "AS1")
		d.Action, d.Params = "diagnostics.run", map[string]string{"test": "self"}
		s.give(d)
	}, "refused OUT_OF_ORDER"},
	{"T-12 a lock", func(s *site, _ *trust.Command) {
		s.unit("AS1").locked = &ups.Refusal{Reason: ups.ReasonSafetyLock, Detail: "on battery"}
	}, "refused SAFETY_LOCK"},
	{"a unit that is away", func(s *site, _ *trust.Command) { s.unit("AS1").away.Store(true) }, "refused UPS_UNREACHABLE"},
	{"what no unit is told yet", func(_ *site, c *trust.Command) { c.Action = "firmware.upgrade" }, "refused UNSUPPORTED"},
	{"a delay that is a number", func(_ *site, c *trust.Command) { c.Params["delay"] = "30" }, "refused MALFORMED"},
	{"a delay that is none", func(_ *site, c *trust.Command) { c.Params["delay"] = "none" }, "done"},
	{"a parameter beside it", func(_ *site, c *trust.Command) { c.Params["group"] = "main" }, "refused MALFORMED"},
	{"a test without its name", func(_ *site, c *trust.Command) { c.Action = "diagnostics.run" }, "refused MALFORMED"},
	{"a test of another name", func(_ *site, c *trust.Command) {
		c.Action, c.Params = "diagnostics.run", map[string]string{"test": "all"}
	}, "refused MALFORMED"},
	{"the cancellation of nothing", func(_ *site, c *trust.Command) {
		c.Action, c.Params = "order.cancel", map[string]string{"order": wire.ID{99}.String()}
	}, "refused NOT_FOUND"},
	{"the cancellation of an id in capitals", func(_ *site, c *trust.Command) {
		c.Action, c.Params = "order.cancel", map[string]string{"order": "AB000000000000000000000000000000"}
	}, "refused MALFORMED"},
}

// TestEveryCheckHasItsCode is the order of checks of the design, section 7, from "id known" on: T-05, T-07, T-08, T-12. What is refused
// writes nothing.
func TestEveryCheckHasItsCode(t *testing.T) { tryRows(t, "") }

// tryRows tries the rows of a rule, "" for all.
func tryRows(t *testing.T, rule string) {
	t.Helper()
	for _, row := range altered {
		if !strings.HasPrefix(row.name, rule) {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			run(t, func(t *testing.T, s *site) {
				c := s.command(1, "AS1")
				row.do(s, &c)
				s.unit("AS1")
				before := s.writes()
				s.give(c)
				s.want(1, row.want)
				if n := s.writes() - before; (n == 1) != (row.want == "done") || n > 1 {
					t.Errorf("%d writes", n)
				}
			})
		})
	}
}

// TestChecksComeInTheirOrder: of an order of which everything is wrong, the first check says so, and mended there, the next.
func TestChecksComeInTheirOrder(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.x.SetPolicy(command.Policy{})
		s.unit("AS1").locked = &ups.Refusal{Reason: ups.ReasonSafetyLock}
		s.say(bind("AS1", 4, policy.Standard, 10, trust.Ended{Actor: "u_1", GrantVersion: 10}))
		s.counter = 5
		s.give(s.command(100, "AS1")) // raises the counter
		bad := trust.Command{
			Device: "AS1", Epoch: 3, Counter: 1, Nonce: wire.ID{1}, MaxAge: time.Minute, Action: "nothing", Params: map[string]string{"x": "y"}, Actor: "u_1",
			Role: "partner_ro", Plan: "basic",
		}
		for i, step := range []struct {
			want string
			mend func()
		}{
			{"UNKNOWN_ACTION", func() { bad.Action = "reboot.ups" }},
			{"MALFORMED", func() { bad.Params = nil }},
			{"NOT_BOUND", func() { bad.Epoch = 4 }},
			{"EXPIRED", func() { bad.Nonce = s.nonce }},
			{"OUT_OF_ORDER", func() { bad.Counter = 100 }},
			{"GRANT_STALE", func() { bad.GrantVersion = 10 }},
			{"ROLE_READ_ONLY", func() { bad.Role = "partner_admin" }},
			{"MFA_REQUIRED", func() { bad.MFA = true }},
			{"PLAN_BASIC", func() { bad.Plan = "advanced" }},
			{"LOCAL_POLICY", func() { s.x.SetPolicy(command.Policy{Allow: policy.Groups[:]}) }},
			{"RATE_LIMIT", func() { s.x.SetPolicy(command.Policy{Allow: policy.Groups[:], DailyMax: 5}) }},
			{"SAFETY_LOCK", func() {}},
		} {
			bad.ID = wire.ID{byte(i + 1)}
			bad.Counter += uint64(min(i/5, 1)) // from where it counts on
			s.give(bad)
			s.want(byte(i+1), "refused "+step.want)
			step.mend()
		}
		if s.writes() != 0 {
			t.Error("something was written")
		}
	})
}

// TestEDGE6AReplayIsAnsweredFromTheJournal is T-03: in the session, after a restart, with a new nonce and counter, and with the journal deleted.
func TestEDGE6AReplayIsAnsweredFromTheJournal(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		c := s.command(1, "AS1")
		s.give(c)
		again := func(what, want string, repeated int) {
			t.Helper()
			s.want(1, want)
			n := 0
			for _, r := range s.sink.of(c.ID) {
				if r.Repeated {
					n++
				}
			}
			if n != repeated || s.writes() != 1 {
				t.Errorf("%s: %d repeated answers, want %d; %d writes", what, n, repeated, s.writes())
			}
		}
		s.give(c)
		again("in the session", "done", 1)
		s.end()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		s.say(bind("AS1", 4, policy.Advanced, 9))
		s.give(c)
		again("after a restart", "done", 2)
		fresh := s.command(1, "AS1")
		s.give(fresh)
		again("signed again after a restart", "done", 3)
		s.end()
		for _, end := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(filepath.Join(s.dir, "orders.db"+end))
		}
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		s.give(c)
		s.say(bind("AS1", 4, policy.Advanced, 9))
		again("without a journal, before a statement", "done, refused NOT_BOUND", 3)
		other := c
		other.ID = wire.ID{2}
		s.give(other)
		s.want(2, "refused EXPIRED")
		if s.writes() != 1 {
			t.Errorf("%d writes", s.writes())
		}
	})
}

func TestEDGE8OneOrderOfADeviceAtATime(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.unit("AS1").takes = time.Minute
		s.unit("AS2").takes = time.Minute
		s.say(bind("AS2", 4, policy.Advanced, 9))
		s.give(s.command(1, "AS1"))
		d := s.command(2, "AS1")
		d.Action, d.Params = "diagnostics.run", map[string]string{"test": "self"}
		s.give(d)
		s.want(2, "refused BUSY")
		s.give(s.command(3, "AS2")) // another device does not wait
		if n := s.unit("AS2").written(); n != 1 {
			t.Errorf("%d writes to the other device", n)
		}
		time.Sleep(2 * time.Minute)
		s.want(1, "done")
		s.want(3, "done")
	})
}

// TestPERM10RightsAreJudgedOnceMoreBeforeTheWrite: they are lost while the unit is asked.
func TestPERM10RightsAreJudgedOnceMoreBeforeTheWrite(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(s *site)
		want string
	}{
		"grant": {func(s *site) {
			s.say(bind("AS1", 4, policy.Advanced, 10, trust.Ended{Actor: "u_1", GrantVersion: 10}))
		}, "refused GRANT_STALE"},
		"plan":      {func(s *site) { s.say(bind("AS1", 4, policy.Basic, 10)) }, "refused PLAN_BASIC"},
		"epoch":     {func(s *site) { s.say(bind("AS1", 5, policy.Advanced, 1)) }, "refused NOT_BOUND"},
		"erased":    {func(s *site) { s.say(trust.Entry{Device: "AS1", Erase: &trust.Erase{Epoch: 4, Role: "owner"}}) }, "refused NOT_BOUND"},
		"age":       {nil, "refused EXPIRED"},
		"site":      {func(s *site) { s.x.SetPolicy(command.Policy{}) }, "refused LOCAL_POLICY"},
		"session":   {func(s *site) { s.connect(); s.say() }, "refused NOT_BOUND"},
		"cancelled": {func(s *site) { s.give(s.cancelOf(1, 2)) }, "cancelled CANCELLED"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, s *site) {
				s.unit("AS1").slow = 20 * time.Second
				o := s.command(1, "AS1")
				if c.lose == nil {
					o.MaxAge = 10 * time.Second
					c.lose = func(*site) {}
				}
				s.give(o)
				time.Sleep(5 * time.Second)
				c.lose(s)
				time.Sleep(time.Minute)
				s.want(1, c.want)
				if s.writes() != 0 {
					t.Error("written all the same")
				}
			})
		})
	}
}

// cancelOf is an order to cancel another one of AS1.
func (s *site) cancelOf(id, own byte) trust.Command {
	c := s.command(own, "AS1")
	c.Action, c.Params = "order.cancel", map[string]string{"order": wire.ID{id}.String()}
	return c
}

func TestARunningOrderIsTakenBackIfTheUnitCan(t *testing.T) {
	for _, can := range []bool{true, false} {
		run(t, func(t *testing.T, s *site) {
			u := s.unit("AS1")
			u.takes, u.stays = time.Minute, can
			s.give(s.command(1, "AS1"))
			mine := s.cancelOf(1, 2)
			mine.Actor, mine.Role = "u_2", "shared"
			s.give(mine)
			s.want(2, "refused OWNER_ONLY")
			s.give(s.cancelOf(1, 3))
			time.Sleep(2 * time.Minute)
			if can {
				s.want(3, "done")
				s.want(1, "cancelled CANCELLED")
			} else {
				s.want(3, "refused BUSY")
				s.want(1, "done")
			}
			s.renew()
			s.give(s.cancelOf(1, 4))
			s.want(4, "refused NOT_FOUND")
		})
	}
}

// TestT07LimitsHoldOverRestarts: whatever the cloud signs.
func TestT07LimitsHoldOverRestarts(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.x.SetPolicy(command.Policy{Allow: policy.Groups[:], MinInterval: 2 * time.Minute, DailyMax: 2})
		s.policy = command.Policy{Allow: policy.Groups[:], MinInterval: 2 * time.Minute, DailyMax: 2}
		next := func(id byte, want string) {
			t.Helper()
			s.end()
			if err := s.start(); err != nil {
				t.Fatal(err)
			}
			s.say(bind("AS1", 4, policy.Advanced, 9))
			s.give(s.command(id, "AS1"))
			s.want(id, want)
		}
		next(1, "done")
		next(2, "refused RATE_LIMIT")
		time.Sleep(2*time.Minute + time.Second)
		next(3, "done")
		time.Sleep(3 * time.Minute)
		next(4, "refused RATE_LIMIT")
		time.Sleep(24 * time.Hour)
		next(5, "done")
	})
}
