package invitation

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func TestINV14OpenInvitationsAreSeenAndCancelled(t *testing.T) {
	each(t, func(w *world) {
		one, two := w.device(w.ada, "one"), w.device(w.ada, "two")
		first, code := w.invited(w.ada, "bob@example.com", one, two)
		second, _ := w.invited(w.ada, "mia@example.com", two)
		list := func(device, after string, limit int) (out []string) {
			w.read(func(ctx context.Context, tx *store.Tx) error {
				found, err := List(ctx, tx, w.ada, device, after, w.clock(), limit)
				out = nil
				for _, i := range found {
					out = append(out, i.ID)
				}
				return err
			})
			return out
		}
		both := slices.Sorted(slices.Values([]string{first.ID, second.ID}))
		if !slices.Equal(list("", "", 9), both) || !slices.Equal(list(two, "", 9), both) || !slices.Equal(list(one, "", 9), []string{first.ID}) ||
			!slices.Equal(list("", both[0], 9), both[1:]) || len(list("", "", 1)) != 1 {
			t.Errorf("%q, %q, %q", list("", "", 9), list(two, "", 9), list(one, "", 9))
		}
		w.read(func(ctx context.Context, tx *store.Tx) error {
			open, err := OpenOf(ctx, tx, one, w.clock())
			if len(open) != 1 || open[0].ID != first.ID || open[0].Email != "bob@example.com" {
				t.Errorf("%+v", open)
			}
			return err
		})
		w.plan(one, policy.Basic)
		w.must(w.cancel(w.ada, first.ID))
		if _, err := w.accept(w.bob, code); reason(err) != policy.CodeUnknown || w.free(one) != device.MaxShares || w.free(two) != device.MaxShares-1 {
			t.Errorf("cancelled: %v", err)
		}
		if !slices.Equal(list("", "", 9), []string{second.ID}) {
			t.Error("it is still listed")
		}
		for _, id := range []string{first.ID, "", "si_", "x"} {
			if err := w.cancel(w.ada, id); reason(err) != policy.NotFound {
				t.Errorf("%q: %v", id, err)
			}
			if err := w.resend(w.ada, id); reason(err) != policy.NotFound {
				t.Errorf("%q: %v", id, err)
			}
		}
		w.move(life)
		if len(list("", "", 9)) != 0 || reason(w.cancel(w.ada, second.ID)) != policy.NotFound {
			t.Error("one whose time is over is open")
		}
	})
}

func TestINV14ANewCodeVoidsTheOldAndItsTimeBegins(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		i, first := w.invited(w.ada, "bob@example.com", id)
		for range 4 {
			_, _ = w.accept(w.bob, wrong)
		}
		w.move(life - time.Minute)
		w.must(w.resend(w.ada, i.ID))
		second := w.last("bob@example.com").code
		if err := w.resend(w.ada, i.ID); reason(err) != policy.RateLimit {
			t.Errorf("twice in a minute: %v", err)
		}
		w.move(life - time.Minute)
		if _, err := w.accept(w.bob, first); reason(err) != policy.CodeUnknown {
			t.Errorf("the old code: %v", err)
		}
		if _, err := w.accept(w.bob, second); err != nil {
			t.Errorf("the new code, at the end of its time: %v", err)
		}
		if err := w.resend(w.ada, i.ID); reason(err) != policy.NotFound {
			t.Errorf("accepted: %v", err)
		}
	})
}

func TestINV14FiveTimesADayAndOnStandardOrBetter(t *testing.T) {
	each(t, func(w *world) {
		id, also := w.device(w.ada, "rack"), w.device(w.ada, "also")
		i, _ := w.invited(w.ada, "bob@example.com", id, also)
		w.plan(id, policy.Basic)
		w.must(w.resend(w.ada, i.ID))
		if l := w.last("bob@example.com"); strings.Contains(l.text, "1. rack") || !strings.Contains(l.text, "2. also") {
			t.Errorf("what cannot be shared now is offered: %s", l.text)
		}
		w.plan(also, policy.Basic)
		w.move(time.Minute)
		if err := w.resend(w.ada, i.ID); reason(err) != policy.PlanBasic {
			t.Errorf("on Basic: %v", err)
		}
		w.plan(id, policy.Standard)
		for n := range 4 {
			if err := w.resend(w.ada, i.ID); err != nil {
				t.Errorf("repetition %d: %v", n+2, err)
			}
			w.move(time.Minute)
		}
		if err := w.resend(w.ada, i.ID); reason(err) != policy.RateLimit {
			t.Errorf("the sixth of a day: %v", err)
		}
		w.move(24 * time.Hour)
		if err := w.resend(w.ada, i.ID); err != nil {
			t.Errorf("the next day: %v", err)
		}
	})
}

func TestT85NobodyIsFloodedWithLetters(t *testing.T) {
	each(t, func(w *world) {
		hers, his, last := w.device(w.ada, "rack"), w.device(w.bob, "his"), w.device(w.eve, "last")
		w.spend(lettersTo.Of("mia@example.com"), 11)
		w.spend(lettersBy.Of("a_eve"), 49)
		for n, row := range []struct {
			who       cloud.Actor
			email, id string
			want      policy.Reason
		}{
			{w.ada, "mia@example.com", hers, ""},
			{w.bob, "mia@example.com", his, policy.RateLimit},
			{w.bob, "other@example.com", his, ""},
			{w.eve, "one@example.com", last, ""},
			{w.eve, "two@example.com", last, policy.RateLimit},
		} {
			if _, _, err := w.invite(row.who, row.email, row.id); reason(err) != row.want {
				t.Errorf("letter %d: %v", n+1, err)
			}
		}
		if n := len(w.letters("")); n != 3 {
			t.Errorf("%d letters", n)
		}
		w.wantLog(last, "u_eve owner share.invite", "u_eve owner share.invite refused RATE_LIMIT")
	})
}
