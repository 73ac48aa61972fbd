package licence_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/licence"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func TestLIC1OwnerAndSharedUserApplyLicencesAndNobodyElse(t *testing.T) {
	each(t, func(w *world) {
		d := w.device("AS1")
		for _, row := range []struct {
			who  cloud.Actor
			want policy.Reason
		}{{w.ada, ""}, {w.bob, ""}, {w.eve, policy.NotFound}, {cloud.Actor{Ref: "u_x"}, policy.NotFound}} {
			_, code := w.advanced(1)
			w.want(row.who, d, code, row.want)
		}
		if got := w.get(d.ID); got.PlanAt(w.now) != policy.Advanced || !got.ValidUntil.Equal(noon.Add(60*day)) {
			t.Errorf("%s until %v", got.Plan, got.ValidUntil)
		}
	})
}

// TestPERM5TheWayBackUpIsOpenOnBasic, and puts the new plan in force at once, with a version that the site is told of (LIC-4).
func TestPERM5TheWayBackUpIsOpenOnBasic(t *testing.T) {
	each(t, func(w *world) {
		d := w.device("AS1")
		before := w.get(d.ID)
		_, code := w.advanced(1)
		w.want(w.bob, d, strings.ToLower(strings.ReplaceAll(code, "-", " ")), "")
		after := w.get(d.ID)
		if before.PlanAt(w.now) != policy.Basic || after.PlanAt(w.now) != policy.Advanced || after.GrantVersion != before.GrantVersion+1 || w.told != 1 {
			t.Errorf("%s of version %d became %s of version %d, told %d times", before.Plan, before.GrantVersion, after.Plan, after.GrantVersion, w.told)
		}
	})
}

func TestLIC2OneCodeExtendsADeviceOnceAndIsAnsweredAlike(t *testing.T) {
	each(t, func(w *world) {
		d, other := w.device("AS1"), w.device("AS2")
		_, code := w.advanced(2)
		first, err := w.apply(w.bob, d, code)
		must(t, err)
		w.now = noon.Add(day)
		again, err := w.apply(w.ada, d, code)
		must(t, err)
		if first != again {
			t.Errorf("answered %+v, then %+v", first, again)
		}
		w.want(w.ada, other, code, "")
		w.now = noon.Add(10 * day)
		third, err := w.apply(w.bob, d, code) // used up, and still the same for the device that has it
		must(t, err)
		if got := w.get(d.ID); third != first || !got.ValidUntil.Equal(noon.Add(30*day)) {
			t.Errorf("%+v; until %v", third, got.ValidUntil)
		}
		if used := w.rows(`SELECT CAST(used AS TEXT) FROM licences`); !slices.Equal(used, []string{"2"}) {
			t.Errorf("used %v times", used)
		}
	})
}

// TestLIC2OfManyAtOnceOneGetsTheLastUse, on devices of their own; and the same device asked for many times at once is extended once.
func TestLIC2OfManyAtOnceOneGetsTheLastUse(t *testing.T) {
	each(t, func(w *world) {
		const many = 12
		var devices []*device.Device
		for i := range many {
			devices = append(devices, w.device(fmt.Sprintf("AS%d", i)))
		}
		_, code := w.advanced(1)
		var mu sync.Mutex
		got := map[policy.Reason]int{}
		var group sync.WaitGroup
		for _, d := range devices {
			group.Go(func() {
				_, err := w.apply(w.ada, d, code)
				mu.Lock()
				defer mu.Unlock()
				if got[reason(err)]++; err != nil && reason(err) == "" {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if got[""] != 1 || got[policy.CodeUsed] != many-1 {
			t.Errorf("%v", got)
		}
		_, code = w.advanced(5)
		before := w.get(devices[0].ID).EndAt(w.now)
		if before.Equal(device.Forever) {
			before = w.now
		}
		for range many {
			group.Go(func() { w.want(w.ada, devices[0], code, "") })
		}
		group.Wait()
		if end := w.get(devices[0].ID).EndAt(w.now); !end.Equal(before.Add(30 * day)) {
			t.Errorf("until %v, before until %v", end, before)
		}
	})
}

func TestLIC3WhatALeavingUserAppliedStays(t *testing.T) {
	each(t, func(w *world) {
		d := w.device("AS1")
		_, code := w.advanced(1)
		w.want(w.bob, d, code, "")
		w.do(func(ctx context.Context, tx *store.Tx) error { return w.devices.Leave(ctx, tx, w.bob, d.ID) })
		w.exec(`UPDATE accounts SET closed_at = 1 WHERE id = 'a_bob'`)
		if got := w.get(d.ID); got.PlanAt(noon.Add(29*day)) != policy.Advanced {
			t.Errorf("%+v", got)
		}
		w.want(w.bob, d, code, policy.NotFound)
		must(t, w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			uses, err := licence.Uses(ctx, tx, d.ID, time.Time{}, time.Time{}, "", 10)
			if err == nil && (len(uses) != 1 || uses[0].Actor != "u_bob" || uses[0].Days != 30) {
				t.Errorf("%+v", uses)
			}
			return err
		}))
	})
}

func TestLIC2WhatMakesACodeOfNoUse(t *testing.T) {
	each(t, func(w *world) {
		d := w.device("AS1")
		_, expired := w.issue(licence.Issue{Plan: policy.Standard, Days: 1, Uses: 1, Expires: noon.Add(time.Hour)})
		l, revoked := w.advanced(1)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.s.Revoke(ctx, tx, l.Number)
			return err
		})
		w.now = noon.Add(time.Hour)
		w.want(w.ada, d, expired, policy.CodeExpired)
		w.want(w.ada, d, revoked, policy.CodeExpired)
		for _, unknown := range []string{"", "AAAA", l.Number, revoked[:len(revoked)-1] + "2", revoked + "2", strings.Repeat("2", 24), strings.Repeat("é", 24)} {
			if unknown != revoked {
				w.want(w.ada, d, unknown, policy.CodeUnknown)
			}
		}
		_, good := w.advanced(1)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return w.devices.SetPlan(ctx, tx, w.ada, policy.Owner, d, policy.Advanced, device.Forever)
		})
		w.want(w.ada, d, good, policy.Conflict)
		if used := w.rows(`SELECT CAST(SUM(used) AS TEXT) FROM licences`); !slices.Equal(used, []string{"0"}) {
			t.Errorf("uses were taken: %v", used)
		}
	})
}

// TestINV12WrongLicenceCodesAreCounted per account and per source: then also the right one is refused, until the time is over.
func TestINV12WrongLicenceCodesAreCounted(t *testing.T) {
	each(t, func(w *world) {
		d := w.device("AS1")
		_, code := w.advanced(9)
		elsewhere := w.ada
		elsewhere.Address = "198.51.100.7"
		for i := range 20 {
			who := w.ada
			who.Address = fmt.Sprintf("10.0.%d.1", i)
			w.want(who, d, "none", policy.CodeUnknown)
		}
		w.want(elsewhere, d, code, policy.RateLimit)
		for range 20 {
			w.want(w.bob, d, "none", policy.CodeUnknown)
		}
		fresh := w.person("fay") // another account, from the source of bob's
		fresh.Address = w.bob.Address
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.devices.Share(ctx, tx, w.get(d.ID), fresh.Account, fresh.Ref, "fay@example.com")
			return err
		})
		w.want(fresh, d, code, policy.RateLimit)
		w.now = noon.Add(time.Hour)
		w.want(elsewhere, d, code, "")
		w.want(w.bob, d, code, "")
	})
}

// TestLOG10NoPartOfACodeStandsAnywhere: in no entry, in no letter, and nowhere in the tables but its number.
func TestLOG10NoPartOfACodeStandsAnywhere(t *testing.T) {
	each(t, func(w *world) {
		d := w.device("AS1")
		l, code := w.advanced(1)
		_, second := w.advanced(1)
		w.want(w.bob, d, code, "")
		w.want(w.eve, d, second, policy.NotFound)
		w.want(w.ada, w.device("AS2"), code, policy.CodeUsed)
		w.want(w.ada, d, second[:25]+"2222", policy.CodeUnknown)
		all := strings.Join(slices.Concat(
			w.rows(`SELECT params || actor || reason || request FROM event_log`), w.rows(`SELECT subject || body FROM mails`),
			w.rows(`SELECT id || plan || note FROM licences`), w.rows(`SELECT licence || device || actor || role FROM licence_uses`),
		), "\n")
		for _, c := range []string{code, second} {
			for _, part := range append(strings.Split(c, "-"), strings.ReplaceAll(c, "-", "")) {
				if strings.Contains(all, part) {
					t.Errorf("%q of a code stands there", part)
				}
			}
		}
		sealed := w.rows(`SELECT number FROM licences ORDER BY issued_at, id`)
		if len(sealed) != 2 || !slices.Contains(sealed, strings.ReplaceAll(code, "-", "")[:8]) || l.Number == "" {
			t.Errorf("%q", sealed)
		}
	})
}

func TestLOG3LicencesAppliedAndRefusedAreLogged(t *testing.T) {
	each(t, func(w *world) {
		d := w.device("AS1")
		l, code := w.issue(licence.Issue{Plan: policy.Standard, Days: 10, Uses: 1})
		used, gone := w.advanced(1)
		w.want(w.ada, w.device("AS2"), gone, "")
		w.want(w.bob, d, code, "")
		w.want(w.ada, d, gone, policy.CodeUsed)
		w.want(w.ada, d, "none", policy.CodeUnknown)
		w.want(w.eve, d, code, policy.NotFound)
		want := []string{
			`plan.change done  u_bob {"new":"standard","next":"basic","next_until":"","old":"basic","valid_until":"2026-03-11T12:00:00Z"}`,
			`licence.apply done  u_bob {"days":"10","licence":"` + l.ID + `","old":"basic","plan":"standard","valid_until":"2026-03-11T12:00:00Z"}`,
			`licence.apply refused CODE_USED u_ada {"licence":"` + used.ID + `"}`,
			`licence.apply refused CODE_UNKNOWN u_ada {}`,
		}
		if got := w.log(d)[1:]; !slices.Equal(got, want) {
			t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got := w.rows(`SELECT action || ' ' || reason FROM event_log WHERE chain = 'o_eve'`); !slices.Equal(got, []string{"licence.apply NOT_FOUND"}) {
			t.Errorf("PERM-9: %q", got)
		}
		if got := w.rows(`SELECT action FROM event_log WHERE chain = 'cloud' ORDER BY n`); !slices.Equal(got, []string{"licence.issue", "licence.issue"}) {
			t.Errorf("the operator's: %q", got)
		}
	})
}

func TestLIC1TheOwnerIsToldWhenSomebodyElseAppliedALicence(t *testing.T) {
	each(t, func(w *world) {
		d := w.device("AS1")
		_, hers := w.advanced(1)
		_, his := w.advanced(1)
		w.want(w.ada, d, hers, "")
		w.want(w.bob, d, his, "")
		w.want(w.bob, d, his, "")
		if got := w.letters(); !slices.Equal(got, []string{"ada@example.com: A licence was put on Hall https evil. example"}) {
			t.Errorf("%q", got)
		}
		body := strings.Join(w.rows(`SELECT body FROM mails`), "")
		if !strings.Contains(body, "BOB has put a licence") || !strings.Contains(body, "Advanced until 30 April 2026 12:00 UTC") || strings.Contains(body, "evil.example") || strings.Contains(body, "bob@") {
			t.Error(body)
		}
	})
}

func TestWhatCannotBeIssued(t *testing.T) {
	w := newWorld(t, storetestSQLite(t))
	for _, bad := range []licence.Issue{
		{Plan: policy.Basic, Days: 1, Uses: 1},
		{Plan: "gold", Days: 1, Uses: 1},
		{Plan: policy.Standard, Uses: 1},
		{Plan: policy.Standard, Days: licence.MaxDays + 1, Uses: 1},
		{Plan: policy.Standard, Days: 1},
		{Plan: policy.Standard, Days: 1, Uses: licence.MaxUses + 1},
		{Plan: policy.Standard, Days: 1, Uses: 1, Expires: noon},
		{Plan: policy.Standard, Days: 1, Uses: 1, Note: "a\nb"},
		{Plan: policy.Standard, Days: 1, Uses: 1, Note: strings.Repeat("a", 201)},
	} {
		err := w.write(func(ctx context.Context, tx *store.Tx) error {
			_, _, err := w.s.Issue(ctx, tx, bad)
			return err
		})
		if reason(err) != policy.Malformed {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if err := w.write(func(ctx context.Context, tx *store.Tx) error {
		_, err := w.s.Revoke(ctx, tx, "l_none")
		return err
	}); reason(err) != policy.NotFound {
		t.Error(err)
	}
}
