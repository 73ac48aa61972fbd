package command_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/ups/upstest"
	"upsedge/internal/wire"
)

// locally gives an order on site, and returns what its giver was told, joined, and how the watching ended.
func (s *site) locally(l command.LocalOrder) (told string, err error) {
	var states []string
	err = s.x.OnSite(context.Background(), l, func(r wire.Result) {
		if r.Actor != wire.OnSite || r.Role != wire.OnSite || r.Plan != "" {
			s.t.Errorf("a local order is told of as %+v", r)
		}
		text := string(r.State)
		if r.Reason != "" {
			text += " " + r.Reason
		}
		states = append(states, text)
	})
	return strings.Join(states, ", "), err
}

func onSite(id byte, action string, params map[string]string) command.LocalOrder {
	return command.LocalOrder{ID: wire.ID{id}, Device: "AS1", Action: action, Params: params}
}

const allDone = "received, accepted, running, running, done"

// tryLocal fails unless a local order is told of so.
func (s *site) tryLocal(l command.LocalOrder, want string) {
	s.t.Helper()
	if got, err := s.locally(l); got != want || err != nil {
		s.t.Errorf("%s on site is told as %q, %v; want %q", l.Action, got, err, want)
	}
	synctest.Wait()
}

// TestLOG4ALocalOrderTakesTheWayOfEveryOther over journal, unit and results, and says that it was given on site. Neither orders.allow nor
// orders.hours has a say, nor plan, session or grant.
func TestLOG4ALocalOrderTakesTheWayOfEveryOther(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		hours, err := policy.ParseHours("00:00-00:01")
		if err != nil {
			t.Fatal(err)
		}
		s.x.SetPolicy(command.Policy{MinInterval: 2 * time.Minute, DailyMax: 12, Hours: hours})
		s.say(bind("AS1", 4, policy.Basic, 10))
		s.connect() // and no statement in this session
		s.tryLocal(onSite(1, "reboot.ups", nil), allDone)
		if got := s.sink.of(wire.ID{1}); len(got) != 5 || got[4].Unit != "unit-AS1" || got[4].Role != wire.OnSite {
			t.Errorf("results: %+v", got)
		}
		if got := s.sink.units[wire.ID{1}]; got != "unit-AS1/4" {
			t.Errorf("they are of %q", got)
		}
		s.tryLocal(onSite(1, "reboot.ups", nil), "done") // EDGE-6
		if s.writes() != 1 {
			t.Errorf("%d writes", s.writes())
		}
		ended, _ := s.x.Local()
		if len(ended) != 1 || ended[0].Role != wire.OnSite || ended[0].State != wire.OrderDone {
			t.Errorf("shown: %+v", ended)
		}
	})
}

// TestT07LocalOrdersShareTheLimits of what drops the load with those from afar, in both directions, and over a restart.
func TestT07LocalOrdersShareTheLimits(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.tryLocal(onSite(1, "reboot.ups", nil), allDone)
		s.give(s.command(2, "AS1"))
		s.want(2, "refused RATE_LIMIT")
		s.end()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		s.tryLocal(onSite(3, "reboot.ups", nil), "received, refused RATE_LIMIT")
		s.tryLocal(onSite(4, "alarm.mute", nil), allDone)
		time.Sleep(3 * time.Minute)
		s.say(bind("AS1", 4, policy.Advanced, 9))
		s.renew()
		s.give(s.command(5, "AS1"))
		s.want(5, "done")
		s.tryLocal(onSite(6, "reboot.ups", nil), "received, refused RATE_LIMIT")
		s.x.SetPolicy(command.Policy{DailyMax: 2})
		s.tryLocal(onSite(7, "reboot.ups", nil), "received, refused RATE_LIMIT")
		s.tryLocal(onSite(8, "control.outlet", map[string]string{"group": "sog0", "to": "on"}), allDone)
	})
}

// TestEDGE8ALocalOrderOfALockedUnitIsRefused as any other, and so is one beside another (BUSY).
func TestEDGE8ALocalOrderOfALockedUnitIsRefused(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.unit("AS1").locked = &ups.Refusal{Reason: ups.ReasonSafetyLock, Detail: "on battery"}
		s.tryLocal(onSite(1, "reboot.ups", nil), "received, refused SAFETY_LOCK")
		s.unit("AS1").locked, s.unit("AS1").takes = nil, time.Minute
		s.give(s.command(2, "AS1"))
		s.tryLocal(onSite(3, "alarm.mute", nil), "received, refused BUSY")
		if hand := s.x.Unended(); len(hand) != 1 || hand[0].Order != (wire.ID{2}) || hand[0].State != wire.OrderRunning {
			t.Errorf("in hand: %+v", hand)
		}
		time.Sleep(2 * time.Minute)
		s.want(2, "done")
		if hand := s.x.Unended(); len(hand) != 0 {
			t.Errorf("in hand: %+v", hand)
		}
	})
}

// TestR9WhoIsOnSiteTakesBackWhatIsInHand, whoever ordered it, by its id or without; and the owner what was ordered on site.
func TestR9WhoIsOnSiteTakesBackWhatIsInHand(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.x.SetPolicy(command.Policy{Allow: policy.Groups[:], DailyMax: 12})
		s.unit("AS1").takes, s.unit("AS1").stays = time.Minute, true
		s.tryLocal(onSite(1, "order.cancel", nil), "received, refused NOT_FOUND")
		s.give(s.command(2, "AS1"))
		s.tryLocal(onSite(3, "order.cancel", nil), "received, accepted, running, done")
		time.Sleep(2 * time.Minute)
		s.want(2, "cancelled CANCELLED")
		s.renew()
		s.give(s.command(4, "AS1"))
		s.tryLocal(onSite(5, "order.cancel", map[string]string{"order": wire.ID{9}.String()}), "received, refused NOT_FOUND")
		s.tryLocal(onSite(6, "order.cancel", map[string]string{"order": wire.ID{4}.String()}), "received, accepted, running, done")
		time.Sleep(2 * time.Minute)
		s.want(4, "cancelled CANCELLED")

		told := make(chan string)
		go func() {
			got, _ := s.locally(onSite(7, "reboot.ups", nil))
			told <- got
		}()
		synctest.Wait()
		s.renew()
		c := s.command(8, "AS1")
		c.Action, c.Params = "order.cancel", map[string]string{"order": wire.ID{7}.String()}
		s.give(c)
		s.want(8, "done")
		if got := <-told; got != "received, accepted, running, running, cancelled CANCELLED" {
			t.Errorf("the one given on site: %q", got)
		}
	})
}

// TestPLAN11NoCloudTakesBackALocalOrder: the plan ends, the owner changes, and what was ordered on site goes on.
func TestPLAN11NoCloudTakesBackALocalOrder(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.unit("AS1").takes, s.unit("AS1").stays = time.Minute, true
		told := make(chan string)
		go func() {
			got, _ := s.locally(onSite(1, "reboot.ups", nil))
			told <- got
		}()
		time.Sleep(5 * time.Second)
		s.say(bind("AS1", 4, policy.Basic, 10))
		time.Sleep(5 * time.Second)
		s.say(bind("AS1", 5, policy.Basic, 11))
		if got := <-told; got != allDone || s.unit("AS1").recalled() != 0 {
			t.Errorf("it ended as %q, taken back %d times", got, s.unit("AS1").recalled())
		}
	})
}

// TestERASE5NothingOfALocalOrderLeavesForAUnitThatNobodyOwns (design, section 5): no result, no event; it is in the journal all the same.
// Without a cloud the broker's owner is the owner.
func TestERASE5NothingOfALocalOrderLeavesForAUnitThatNobodyOwns(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.unit("AS2")
		l := onSite(1, "reboot.ups", nil)
		l.Device = "AS2"
		s.tryLocal(l, allDone)
		s.tryLocal(l, "done")
		l.ID = wire.ID{2}
		s.tryLocal(l, "received, refused RATE_LIMIT")
		if n := len(s.sink.results); n != 0 || len(s.told()) != 0 {
			t.Errorf("%d results, events %v", n, s.told())
		}
		s.end()
		s.alone = true
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		l.ID, l.Action = wire.ID{3}, "alarm.mute"
		s.tryLocal(l, allDone)
		if n, of := len(s.sink.results), s.sink.units[wire.ID{3}]; n != 5 || of != "unit-AS2/0" {
			t.Errorf("alone: %d results of %q", n, of)
		}
	})
}

// TestEDGE4ALocalOrderSurvivesTheAgent as any other: what ran is judged from the unit, and its giver is let go.
func TestEDGE4ALocalOrderSurvivesTheAgent(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.unit("AS1").takes = time.Minute
		ended := make(chan error)
		go func() {
			_, err := s.locally(onSite(1, "reboot.ups", nil))
			ended <- err
		}()
		time.Sleep(5 * time.Second)
		s.end()
		if err := <-ended; !errors.Is(err, command.ErrStopped) {
			t.Errorf("the watching ended with %v", err)
		}
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		s.tryLocal(onSite(1, "reboot.ups", nil), "running, done")
		s.want(1, "done")
		if s.writes() != 1 {
			t.Errorf("%d writes", s.writes())
		}
	})
}

// TestWhoStopsWatchingEndsNoOrder.
func TestWhoStopsWatchingEndsNoOrder(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.unit("AS1").takes = time.Minute
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		defer stop()
		if err := s.x.OnSite(ctx, onSite(1, "reboot.ups", nil), func(wire.Result) {}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		time.Sleep(2 * time.Minute)
		s.want(1, "done")
	})
}

// TestT63WhatIsNoOrderOnSiteLeavesNoTrace: not in the journal, not at the unit, and too many leave room for those from afar.
func TestT63WhatIsNoOrderOnSiteLeavesNoTrace(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		for _, l := range []command.LocalOrder{
			onSite(1, "reboot", nil), onSite(1, "reboot.ups", map[string]string{"delay": "7"}), onSite(0, "reboot.ups", nil), onSite(1, "", nil),
			onSite(1, strings.Repeat("x", 5000), nil), onSite(1, "order.cancel", map[string]string{"x": "y"}),
			{ID: wire.ID{1}, Action: "alarm.mute"},
			{ID: wire.ID{1}, Action: "alarm.mute", Device: strings.Repeat("A", 65)},
		} {
			var r *ups.Refusal
			if got, err := s.locally(l); !errors.As(err, &r) || got != "" {
				t.Errorf("%+v: told %q, %v", l, got, err)
			}
		}
		s.tryLocal(onSite(2, "support.bundle", upstest.Params("support.bundle")), "received, refused UNSUPPORTED")
		rows, _ := s.x.Fill()
		limited := 0
		for i := range 60 {
			switch got, _ := s.locally(onSite(byte(10+i), "alarm.mute", nil)); {
			case got == "refused RATE_LIMIT":
				limited++
			case strings.Contains(got, "BUSY"): // who has heard of the end may go on
				t.Errorf("order %d: %s", i, got)
			}
		}
		after, _ := s.x.Fill()
		if rows != 1 || limited < 25 || after != rows+60-int64(limited) {
			t.Errorf("%d rows, then %d; %d were too many", rows, after, limited)
		}
		s.tryLocal(onSite(100, "control.outlet", map[string]string{"group": "sog0", "to": "cancel"}), allDone)
	})
}

// TestR8NoCommandFromAfarIsLocal: the cloud has no such role, and what claims it is no order.
func TestR8NoCommandFromAfarIsLocal(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		c := s.command(1, "AS1")
		c.Role, c.Actor = wire.OnSite, wire.OnSite // package trust lets none through
		s.give(c)
		if got := s.final(1); !strings.HasPrefix(got, "refused ") || s.writes() != 0 {
			t.Errorf("%q, %d writes", got, s.writes())
		}
	})
}

// TestLocalOrdersOfEveryAction: each action that a unit carries out goes on site, too.
func TestLocalOrdersOfEveryAction(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.x.SetPolicy(command.Policy{DailyMax: 100})
		actions := []string{ups.ActionReboot, ups.ActionRebootGroup, ups.ActionOutlet, ups.ActionDiagnostics, ups.ActionMute, ups.ActionAck, ups.ActionConfigure}
		for i, a := range actions {
			s.tryLocal(onSite(byte(1+i), a, upstest.Params(a)), allDone)
		}
		if s.writes() != len(actions) {
			t.Errorf("%d writes", s.writes())
		}
	})
}
