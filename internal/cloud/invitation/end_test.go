package invitation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func TestINV15TheOwnerIsToldOfADeclineAndOfAnExpiry(t *testing.T) {
	each(t, func(w *world) {
		one, two := w.device(w.ada, "one"), w.device(w.ada, "two")
		_, code := w.invited(w.ada, "bob@example.com", one, two)
		w.plan(two, policy.Basic)
		_, err := w.accept(w.bob, code)
		w.must(err)
		w.must(w.Decline(t.Context(), w.bob, code))
		if l := w.last("ada@example.com"); !strings.Contains(l.text, "bob@example.com") || !strings.Contains(l.text, "declined") || !strings.Contains(l.text, "2. two") || strings.Contains(l.text, "1. one") {
			t.Errorf("%s", l.text)
		}
		if w.role(w.bob, one) != policy.Shared || w.free(two) != device.MaxShares {
			t.Error("what was accepted stays, what was declined is free")
		}
		if _, err := w.accept(w.bob, code); reason(err) != policy.CodeUsed {
			t.Errorf("declined: %v", err)
		}
		w.invited(w.ada, "mia@example.com", one)
		w.move(life)
		got := atOnce(8, func(int) error { return w.Sweep(t.Context()) }) // as many processes
		if got[""] != 8 {
			t.Errorf("%v", got)
		}
		if l := w.last("ada@example.com"); !strings.Contains(l.text, "mia@example.com") || !strings.Contains(l.text, "not accepted in time") {
			t.Errorf("%s", l.text)
		}
		w.must(w.Sweep(t.Context()))
		if len(w.letters("")) != 0 {
			t.Error("told twice")
		}
	})
}

func TestINV16AcceptanceAsksEverythingAgain(t *testing.T) {
	each(t, func(w *world) {
		for what, row := range map[string]struct {
			change string
			want   policy.Reason
		}{
			"the device has ended":          {`UPDATE devices SET ended_at = 1 WHERE id = $1`, policy.NotFound},
			"it is of another epoch":        {`UPDATE devices SET epoch = 2 WHERE id = $1`, policy.NotFound},
			"the inviter is not the owner":  {`UPDATE devices SET owner = 'a_eve' WHERE id = $1`, policy.NotFound},
			"the plan is Basic":             {`UPDATE devices SET plan = 'basic' WHERE id = $1`, policy.PlanBasic},
			"the invitation is not open":    {`UPDATE device_invitations SET state = 'accepted' WHERE id IN (SELECT invitation FROM device_invitation_devices WHERE device = $1)`, policy.CodeUsed},
			"the device is shared by now":   {`INSERT INTO grants (id, device, account, actor, role, version, began_at) VALUES ('sh_' || $1, $1, 'a_bob', 'u_bob', 'shared', 1, 1)`, policy.AlreadyShared},
			"nothing of it is what it was ": {`SELECT 1 WHERE $1 = ''`, ""},
		} {
			id := w.device(w.ada, fmt.Sprint("rack", len(what)))
			_, code := w.invited(w.ada, "bob@example.com", id)
			w.exec(row.change, id)
			outcomes, err := w.accept(w.bob, code)
			if reason(err) != row.want {
				t.Errorf("%s: %v, %+v", what, err, outcomes)
			}
			if shares := w.count(`SELECT COUNT(*) FROM grants WHERE device = $1 AND id <> 'sh_' || $2`, id, id); shares != map[bool]int{true: 1}[row.want == ""] {
				t.Errorf("%s: %d shares", what, shares)
			}
		}
	})
}

func TestINV17UntilAcceptanceTheInviteeIsNobody(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		i, code := w.invited(w.ada, "bob@example.com", id)
		w.read(func(ctx context.Context, tx *store.Tx) error {
			for _, action := range policy.Actions() {
				_, _, none := device.May(ctx, tx, w.bob, "d_none", action, w.clock())
				_, right, err := device.May(ctx, tx, w.bob, id, action, w.clock())
				if err == nil || err.Error() != none.Error() || right.Role == policy.Shared {
					t.Errorf("%s: %v, of none: %v", action, err, none)
				}
			}
			return nil
		})
		if err := w.cancel(w.bob, i.ID); reason(err) != policy.NotFound {
			t.Errorf("the invitee cancels: %v", err)
		}
		// What is refused tells nothing that the letter did not.
		w.plan(id, policy.Basic)
		w.exec(`UPDATE devices SET name = 'secret' WHERE id = $1`, id)
		if outcomes, err := w.accept(w.bob, code); strings.Contains(fmt.Sprintf("%+v %+v", outcomes, refusedOf(err)), "secret") {
			t.Errorf("%+v", outcomes)
		}
	})
}

func TestINV18TheEndOfADeviceCancelsItsInvitations(t *testing.T) {
	each(t, func(w *world) {
		one, two := w.device(w.ada, "one"), w.device(w.ada, "two")
		_, code := w.invited(w.ada, "bob@example.com", one, two)
		w.invited(w.ada, "mia@example.com", one)
		w.write(func(ctx context.Context, tx *store.Tx) error {
			d, err := device.Get(ctx, tx, one)
			if err != nil {
				return err
			}
			return w.Devices.End(ctx, tx, w.ada, policy.Owner, d)
		})
		for _, who := range []string{"bob@example.com", "mia@example.com"} {
			if l := w.last(who); !strings.Contains(l.text, "1. one") || strings.Contains(l.text, "two") || !strings.Contains(l.text, "no longer available") {
				t.Errorf("SHARE-13: %s is told %s", who, l.text)
			}
		}
		if n := w.count(`SELECT COUNT(*) FROM device_invitations WHERE state = 'cancelled'`); n != 1 {
			t.Errorf("%d are cancelled as a whole", n)
		}
		outcomes, err := w.accept(w.bob, code)
		if err != nil || len(outcomes) != 1 || outcomes[0].Device != two {
			t.Errorf("the rest: %+v, %v", outcomes, err)
		}
		if got := w.log(one); got[len(got)-1] != "system share.cancel" {
			t.Errorf("%q", got)
		}
	})
}

func TestINV18TheEndOfAnAccountCancelsItsInvitationsAndNoneRevives(t *testing.T) {
	each(t, func(w *world) {
		id, his := w.device(w.ada, "rack"), w.device(w.bob, "his")
		_, toBob := w.invited(w.ada, "bob@example.com", id)
		_, byBob := w.invited(w.bob, "eve@example.com", his)
		w.closed(w.bob)
		if l := w.last("eve@example.com"); !strings.Contains(l.text, "no longer available") {
			t.Errorf("%s", l.text)
		}
		if len(w.letters("")) != 0 {
			t.Error("ada is told that bob has gone")
		}
		if _, err := w.accept(w.eve, byBob); reason(err) != policy.CodeUnknown {
			t.Errorf("sent by who has gone: %v", err)
		}
		if w.free(id) != device.MaxShares {
			t.Errorf("%d places", w.free(id))
		}
		w.exec(`UPDATE identities SET id = 's_again' WHERE id = 's_bob'`)
		w.exec(`INSERT INTO accounts (id, identity, actor, org, name, created_at) VALUES ('a_again', 's_again', 'u_again', 'o_bob', 'bob', 2)`)
		again := w.bob
		again.Ref, again.Account = "u_again", "a_again"
		if _, err := w.accept(again, toBob); reason(err) != policy.CodeUnknown || w.role(again, id) != policy.Nobody {
			t.Errorf("REG-4: an account of the same address: %v", err)
		}
		_, code := w.invited(w.ada, "bob@example.com", id)
		if _, err := w.accept(again, code); err != nil {
			t.Errorf("invited anew: %v", err)
		}
	})
}

func TestINV19EachStepIsInTheLogOfTheDevice(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		i, _ := w.invited(w.ada, "bob@example.com", id)
		w.must(w.resend(w.ada, i.ID))
		_ = w.resend(w.ada, i.ID)
		w.must(w.cancel(w.ada, i.ID))
		w.letters("")
		_, code := w.invited(w.ada, "bob@example.com", id)
		w.must(w.Decline(t.Context(), w.bob, code))
		_, _ = w.accept(w.bob, code)
		_, code = w.invited(w.ada, "bob@example.com", id)
		w.move(life)
		w.must(w.Sweep(t.Context()))
		_ = w.Decline(t.Context(), w.bob, code)
		w.invited(w.ada, "bob@example.com", id)
		for range codeTries {
			_, _ = w.accept(w.bob, wrong)
		}
		w.letters("")
		_, code = w.invited(w.ada, "bob@example.com", id)
		w.plan(id, policy.Basic)
		_, _ = w.accept(w.bob, code)
		w.plan(id, policy.Standard)
		_, err := w.accept(w.bob, code)
		w.must(err)
		want := []string{
			"u_ada owner share.invite", "u_ada owner share.resend", "u_ada owner share.resend refused RATE_LIMIT", "u_ada owner share.cancel",
			"u_ada owner share.invite", "u_bob nobody share.decline", "u_bob nobody share.accept refused CODE_USED",
			"u_ada owner share.invite", "system share.expire", "u_bob nobody share.decline refused CODE_EXPIRED", "u_ada owner share.invite",
		}
		want = append(want, slices.Repeat([]string{"u_bob nobody share.wrong_code refused CODE_UNKNOWN"}, codeTries)...)
		want = append(want, "u_bob nobody share.lock refused CODE_LOCKED", "u_ada owner share.invite", "u_bob nobody share.accept refused PLAN_BASIC", "u_bob shared share.accept")
		w.wantLog(id, want...)
		w.wantLog("o_bob", slices.Repeat([]string{"u_bob nobody share.accept refused CODE_UNKNOWN"}, codeTries)...)
		var at, arrived int64
		w.read(func(ctx context.Context, tx *store.Tx) error {
			return tx.QueryRow(ctx, `SELECT at, arrived FROM event_log WHERE action = 'share.expire'`).Scan(&at, &arrived)
		})
		if at == 0 || arrived < at {
			t.Errorf("expired at %d, known at %d", at, arrived)
		}
	})
}

// TestINV16WhoAcceptsWhileTheOwnerCancelsIsSharedWithOrIsNot: both at once; what is told is what is.
func TestINV16WhoAcceptsWhileTheOwnerCancelsIsSharedWithOrIsNot(t *testing.T) {
	each(t, func(w *world) {
		for n := range 10 {
			id := w.device(w.ada, fmt.Sprint("rack", n))
			i, code := w.invited(w.ada, "bob@example.com", id)
			var acceptErr, cancelErr error
			atOnce(2, func(n int) error {
				if n == 0 {
					_, acceptErr = w.accept(w.bob, code)
				} else {
					cancelErr = w.cancel(w.ada, i.ID)
				}
				return nil
			})
			shared := w.role(w.bob, id) == policy.Shared
			if shared != (acceptErr == nil) || shared != (reason(cancelErr) == policy.NotFound) || !shared && (cancelErr != nil || reason(acceptErr) != policy.CodeUnknown) {
				t.Errorf("accepted: %v, cancelled: %v, shared: %t", acceptErr, cancelErr, shared)
			}
			if free := w.free(id); free != device.MaxShares-map[bool]int{true: 1}[shared] {
				t.Errorf("%d places", free)
			}
			w.exec(`DELETE FROM limits`)
		}
	})
}

// TestSHARE4TheLastPlaceGoesToOneWhileSharesEndAndBegin: one accepts, one is revoked, three are invited, all at once; never are there six.
func TestSHARE4TheLastPlaceGoesToOneWhileSharesEndAndBegin(t *testing.T) {
	each(t, func(w *world) {
		for n := range 5 {
			id := w.device(w.ada, fmt.Sprint("rack", n))
			w.shared(w.ada, w.eve, id)
			for g := range 3 {
				w.invited(w.ada, fmt.Sprintf("guest%d@example.com", g), id)
			}
			_, code := w.invited(w.ada, "bob@example.com", id)
			sent := make([]error, 5)
			atOnce(5, func(n int) error {
				switch n {
				case 0:
					_, sent[0] = w.accept(w.bob, code)
				case 1:
					sent[1] = w.tryRevoke(id, w.eve)
				default:
					_, _, sent[n] = w.invite(w.ada, fmt.Sprintf("late%d@example.com", n), id)
				}
				return nil
			})
			went := 0
			for _, err := range sent[2:] {
				switch reason(err) {
				case "":
					went++
				case policy.ShareLimit:
				default:
					t.Error(err)
				}
			}
			if sent[0] != nil || sent[1] != nil || went > 1 || w.free(id) != 1-went {
				t.Errorf("accepted: %v, revoked: %v, %d more invited, %d places", sent[0], sent[1], went, w.free(id))
			}
			w.exec(`DELETE FROM limits`)
		}
	})
}

func TestOldInvitationsAreForgotten(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		_, code := w.invited(w.ada, "bob@example.com", id)
		_, err := w.accept(w.bob, code)
		w.must(err)
		w.invited(w.ada, "mia@example.com", id)
		w.move(keep)
		w.must(w.Sweep(t.Context())) // mia's expires only now
		if n := w.count(`SELECT COUNT(*) FROM device_invitations`); n != 1 || w.count(`SELECT COUNT(*) FROM device_invitation_devices`) != 1 {
			t.Errorf("%d are left", n)
		}
		if w.role(w.bob, id) != policy.Shared {
			t.Error("the share went with it")
		}
	})
}
