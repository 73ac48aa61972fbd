package command_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/trust"
)

// losses are the ways to lose a right to what runs.
var losses = map[string]struct {
	lose func(s *site)
	want policy.Reason
}{
	"the plan falls": {func(s *site) { s.say(bind("AS1", 4, policy.Basic, 10)) }, policy.PlanBasic},
	"the plan ends": {func(s *site) {
		e := bind("AS1", 4, policy.Advanced, 10)
		e.Bind.ValidUntil = time.Date(2026, 3, 1, 12, 0, 10, 0, time.UTC)
		s.say(e)
	}, policy.PlanBasic},
	"the grant ends": {func(s *site) {
		s.say(bind("AS1", 4, policy.Advanced, 10, trust.Ended{Actor: "u_1", GrantVersion: 10}))
	}, policy.GrantStale},
	"another owner": {func(s *site) { s.say(bind("AS1", 5, policy.Advanced, 1)) }, policy.NotBound},
}

// detail is what the end of an order says.
func (s *site) detail(id byte) string { return (&life{site: s}).said(id) }

// TestPLAN11WhatWaitsInTheUnitIsTakenBack once, and ends with the right that was lost; what the unit does not give back is finished, and the
// result says so (PERM-10).
func TestPLAN11WhatWaitsInTheUnitIsTakenBack(t *testing.T) { losing(t) }

func TestPERM10ARightThatEndsWhileAnOrderWaitsInTheUnitTakesItBack(t *testing.T) { losing(t) }

func losing(t *testing.T) {
	t.Helper()
	for name, loss := range losses {
		for _, can := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " ", can), func(t *testing.T) {
				run(t, func(t *testing.T, s *site) {
					u := s.unit("AS1")
					u.takes, u.stays, u.early = time.Minute, can, true
					s.give(s.command(1, "AS1"))
					loss.lose(s)
					loss.lose(s) // again: a statement comes often
					time.Sleep(2 * time.Minute)
					want, told := "cancelled "+string(loss.want), 1
					if !can {
						want, told = "done", 0
					}
					s.want(1, want)
					if u.recalled() != told || u.written() != 1 {
						t.Errorf("told %d times, %d writes", u.recalled(), u.written())
					}
					if !can && !strings.Contains(s.detail(1), string(loss.want)+" came while it ran") {
						t.Errorf("the result says %q", s.detail(1))
					}
				})
			})
		}
	}
}

// TestPLAN11ATestThatRunsIsFinished.
func TestPLAN11ATestThatRunsIsFinished(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		u := s.unit("AS1")
		u.takes, u.stays = time.Minute, true
		c := s.command(1, "AS1")
		c.Action, c.Params = "diagnostics.run", map[string]string{"test": "self"}
		s.give(c)
		s.say(bind("AS1", 4, policy.Basic, 10))
		time.Sleep(2 * time.Minute)
		s.want(1, "done")
		if u.recalled() != 0 {
			t.Error("it was taken back")
		}
	})
}

// TestPLAN11ADropToStandardTakesBackNoRebootOfTheUnit.
func TestPLAN11ADropToStandardTakesBackNoRebootOfTheUnit(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		u := s.unit("AS1")
		u.takes, u.stays = time.Minute, true
		s.give(s.command(1, "AS1"))
		s.say(bind("AS1", 4, policy.Standard, 10))
		time.Sleep(2 * time.Minute)
		s.want(1, "done")
	})
}

// TestPLAN11OverARestart: the plan falls while the agent is down, or its word of it is the last thing it stored: the next run takes the
// order back; what was told before is not told again.
func TestPLAN11OverARestart(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		u := s.unit("AS1")
		u.takes, u.stays = 5*time.Minute, true
		s.give(s.command(1, "AS1"))
		s.end()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		s.say(bind("AS1", 4, policy.Basic, 10))
		time.Sleep(10 * time.Second)
		s.end()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		s.say(bind("AS1", 4, policy.Basic, 10))
		time.Sleep(10 * time.Minute)
		s.want(1, "cancelled PLAN_BASIC")
		if u.recalled() != 1 || u.written() != 1 {
			t.Errorf("told %d times, %d writes", u.recalled(), u.written())
		}
	})
}

// TestAnOrderIsTakenBackOnce: by whoever was first.
func TestAnOrderIsTakenBackOnce(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		u := s.unit("AS1")
		u.takes, u.stays = time.Minute, true
		s.give(s.command(1, "AS1"))
		s.give(s.cancelOf(1, 2))
		s.give(s.cancelOf(1, 3))
		s.say(bind("AS1", 4, policy.Basic, 10))
		time.Sleep(2 * time.Minute)
		s.want(1, "cancelled CANCELLED")
		s.want(2, "done")
		s.want(3, "refused BUSY")
		if u.recalled() != 1 {
			t.Errorf("told %d times", u.recalled())
		}
	})
}
