package command_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// TestLOG1WhatWasRefusedIsShownOnSite: the latest first, at most fifty, over a restart; nobody is named; what was no order is counted.
func TestLOG1WhatWasRefusedIsShownOnSite(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.set(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		for i := range 60 {
			c := s.command(byte(i+1), "AS1")
			c.Plan, c.Actor = "basic", "u_secret"
			s.give(c)
			time.Sleep(time.Second)
			s.renew()
		}
		s.give(s.command(100, "AS1"))
		for range 3 {
			s.x.Rejected(&trust.Refusal{Code: "MALFORMED", Detail: "x"})
		}
		s.x.Rejected(&trust.Refusal{Code: "BAD_SIGNATURE", Detail: "x"})
		look := func(when string) []command.Ended {
			t.Helper()
			ended, _ := s.x.Local()
			if len(ended) != 50 || ended[0].State != wire.OrderDone || ended[1].Reason != policy.PlanBasic || ended[1].Unit != "unit-AS1" || ended[1].At.IsZero() {
				t.Fatalf("%s: %d, %+v", when, len(ended), ended[:min(2, len(ended))])
			}
			if !slices.IsSortedFunc(ended, func(a, b command.Ended) int { return b.At.Compare(a.At) }) {
				t.Errorf("%s: not the latest first", when)
			}
			if strings.Contains(fmt.Sprintf("%+v", ended), "u_") {
				t.Errorf("%s: somebody is named", when)
			}
			return ended
		}
		before := look("at first")
		if _, r := s.x.Local(); r.Count != 4 || r.Reason != policy.BadSignature || r.At.IsZero() {
			t.Errorf("%+v", r)
		}
		s.again()
		after := look("after a restart")
		for i := range before {
			if !before[i].At.Equal(after[i].At) || before[i].Detail != after[i].Detail {
				t.Errorf("%+v became %+v", before[i], after[i])
			}
		}
		s.end() // a row that came to harm is left out
		s.sql("UPDATE orders SET body = replace(body, 'reboot', 'rebook') WHERE ended = (SELECT max(ended) FROM orders)")
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		if ended, _ := s.x.Local(); len(ended) != 49 {
			t.Errorf("%d orders beside a damaged one", len(ended))
		}
	})
}
