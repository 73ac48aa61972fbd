package invitation

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

func TestSHARE1ADeviceIsSharedAndTheOwnerStaysTheOwner(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		before := w.get(id)
		w.shared(w.ada, w.bob, id)
		after := w.get(id)
		if w.role(w.ada, id) != policy.Owner || w.role(w.bob, id) != policy.Shared || w.role(w.eve, id) != policy.Nobody {
			t.Errorf("ada is %s, bob %s, eve %s", w.role(w.ada, id), w.role(w.bob, id), w.role(w.eve, id))
		}
		if after.Epoch != before.Epoch || after.Owner != before.Owner || after.GrantVersion <= before.GrantVersion {
			t.Errorf("from %+v to %+v", before, after)
		}
	})
}

func TestSHARE2FiveOthersShareADeviceAndNoSixth(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		for n := range device.MaxShares {
			w.shared(w.ada, w.person(fmt.Sprint("guest", n)), id)
		}
		if _, _, err := w.invite(w.ada, "bob@example.com", id); reason(err) != policy.ShareLimit || w.free(id) != 0 {
			t.Errorf("the sixth: %v, %d places", err, w.free(id))
		}
		if n := len(w.letters("")); n != 0 {
			t.Errorf("%d letters were sent", n)
		}
	})
}

func TestSHARE3OpenInvitationsTakePlaces(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		w.shared(w.ada, w.bob, id)
		codes := map[string]string{}
		for n := 1; n < device.MaxShares; n++ {
			name := fmt.Sprint("guest", n)
			i, outcomes, err := w.invite(w.ada, name+"@example.com", id)
			w.must(err)
			if outcomes[0].Free != device.MaxShares-1-n {
				t.Errorf("invitation %d leaves %d places", n, outcomes[0].Free)
			}
			codes[name] = w.last(i.Email).code
		}
		_, _, err := w.invite(w.ada, "eve@example.com", id)
		if reason(err) != policy.ShareLimit {
			t.Errorf("the sixth: %v", err)
		}
		// Who was invited never finds the places taken.
		for name, code := range codes {
			if _, err := w.accept(w.person(name), code); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := w.log(id); len(got) != 11 || got[6] != "u_ada owner share.invite refused SHARE_LIMIT" {
			t.Errorf("the log tells %q", got)
		}
	})
}

func TestSHARE3FiveWhoAcceptAtOnceAllDo(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		people, codes := make([]cloud.Actor, device.MaxShares), make([]string, device.MaxShares)
		for n := range people {
			people[n] = w.person(fmt.Sprint("guest", n))
			_, codes[n] = w.invited(w.ada, fmt.Sprintf("guest%d@example.com", n), id)
		}
		if got := atOnce(len(people), func(n int) error { _, err := w.accept(people[n], codes[n]); return err }); got[""] != len(people) {
			t.Errorf("%v", got)
		}
		if shares := w.count(`SELECT COUNT(*) FROM grants`); shares != device.MaxShares || w.free(id) != 0 {
			t.Errorf("%d shares, %d places", shares, w.free(id))
		}
	})
}

func TestSHARE3AnInvitationThatHasExpiredFreesItsPlaceAtOnce(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		var code string
		for n := range device.MaxShares {
			_, code = w.invited(w.ada, fmt.Sprintf("guest%d@example.com", n), id)
		}
		w.move(life)
		if w.free(id) != device.MaxShares {
			t.Errorf("%d places, and nobody has swept", w.free(id))
		}
		if _, _, err := w.invite(w.ada, "bob@example.com", id); err != nil {
			t.Errorf("the place of one that has expired: %v", err)
		}
		// Whose clock is behind does not bring the old one back beside the new.
		w.move(-1)
		if _, err := w.accept(w.person("guest4"), code); reason(err) != policy.CodeExpired {
			t.Errorf("an old code on a clock that is behind: %v", err)
		}
	})
}

// TestSHARE4OfFiftyInvitationsAtOnceForOneFreePlaceOneIsSent on both databases, 20 runs each with UPSEDGE_SOAK, else two.
func TestSHARE4OfFiftyInvitationsAtOnceForOneFreePlaceOneIsSent(t *testing.T) {
	runs := 2
	if os.Getenv("UPSEDGE_SOAK") != "" {
		runs = 20
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		one := 0
		for run := range runs {
			id := w.device(w.ada, fmt.Sprint("rack", run))
			for n := 1; n < device.MaxShares; n++ {
				w.invited(w.ada, fmt.Sprintf("guest%d@example.com", n), id)
			}
			got := atOnce(50, func(n int) error {
				_, _, err := w.invite(w.ada, fmt.Sprintf("other%d@example.com", n), id)
				return err
			})
			letters, free := len(w.letters("")), w.free(id)
			if !maps.Equal(got, map[policy.Reason]int{"": 1, policy.ShareLimit: 49}) || letters != 1 || free != 0 {
				t.Errorf("run %d: %v, %d letters, %d places", run, got, letters, free)
				continue
			}
			one++
			if refused := w.count(`SELECT hits FROM refusals WHERE chain = $1`, id); refused != 49 {
				t.Errorf("run %d: %d refusals are written down", run, refused)
			}
			w.exec(`DELETE FROM limits`) // of letters: they have a test of their own
		}
		t.Logf("%s: of 50 at once for one free place exactly one was sent in %d of %d runs", db.Dialect(), one, runs)
	})
}

func TestSHARE5EachDeviceOfARequestIsDecidedAlone(t *testing.T) {
	each(t, func(w *world) {
		full, basic, good, other, his := w.device(w.ada, "full"), w.device(w.ada, "basic"), w.device(w.ada, "good"), w.device(w.ada, "other"), w.device(w.bob, "his")
		for n := range device.MaxShares {
			w.invited(w.ada, fmt.Sprintf("guest%d@example.com", n), full)
		}
		w.plan(basic, policy.Basic)
		i, outcomes, err := w.invite(w.ada, "eve@example.com", good, full, his, basic, other, "d_none")
		w.must(err)
		want := []policy.Reason{"", policy.ShareLimit, policy.NotFound, policy.PlanBasic, "", policy.NotFound}
		if got := reasons(outcomes); !slices.Equal(got, want) {
			t.Errorf("outcomes %q, want %q", got, want)
		}
		var free []int
		for _, o := range outcomes {
			free = append(free, o.Free)
		}
		if !slices.Equal(free, []int{4, 0, NotTold, 5, 4, NotTold}) {
			t.Errorf("places left: %v", free)
		}
		if len(i.Items) != 2 || i.Items[0] != (Item{good, 1, Open, 1}) || i.Items[1] != (Item{other, 2, Open, 1}) {
			t.Errorf("of the invitation: %+v", i.Items)
		}
		w.wantLog(good, "u_ada owner share.invite")
		w.wantLog(basic, "u_ada owner share.invite refused PLAN_BASIC")
		w.wantLog(his)
		w.wantLog("o_ada", "u_ada nobody share.invite refused NOT_FOUND", "u_ada nobody share.invite refused NOT_FOUND")
		// And where none can be shared, nothing is sent, and each is told why.
		w.letters("")
		_, _, err = w.invite(w.ada, "mia@example.com", his, basic)
		if reason(err) != policy.NotFound || !slices.Equal(refusedOf(err), []policy.Reason{policy.NotFound, policy.PlanBasic}) || len(w.letters("")) != 0 {
			t.Errorf("nothing to share: %v %v", err, refusedOf(err))
		}
	})
}

func TestSHARE6OnlyTheOwnerInvites(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		w.shared(w.ada, w.bob, id)
		i, _ := w.invited(w.ada, "mia@example.com", id)
		if _, _, err := w.invite(w.bob, "eve@example.com", id); reason(err) != policy.OwnerOnly {
			t.Errorf("a shared user invites: %v", err)
		}
		for name, err := range map[string]error{"cancels": w.cancel(w.bob, i.ID), "sends again": w.resend(w.bob, i.ID)} {
			if reason(err) != policy.NotFound {
				t.Errorf("a shared user %s: %v", name, err)
			}
		}
		if _, _, err := w.invite(w.eve, "mia@example.com", id); reason(err) != policy.NotFound {
			t.Errorf("nobody invites: %v", err)
		}
		w.wantLog(id, "u_ada owner share.invite", "u_bob shared share.accept", "u_ada owner share.invite", "u_bob shared share.invite refused OWNER_ONLY")
		w.wantLog("o_eve", "u_eve nobody share.invite refused NOT_FOUND")
		if len(w.letters("")) != 0 {
			t.Error("a letter was sent")
		}
	})
}

func TestSHARE10ARevokedShareFreesItsPlaceAndIsAcceptedAnew(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		_, old := w.invited(w.ada, "bob@example.com", id)
		if _, err := w.accept(w.bob, old); err != nil {
			t.Fatal(err)
		}
		for n := 1; n < device.MaxShares; n++ {
			w.invited(w.ada, fmt.Sprintf("guest%d@example.com", n), id)
		}
		w.revoke(id, w.bob)
		if w.free(id) != 1 || w.role(w.bob, id) != policy.Nobody {
			t.Fatalf("%d places, bob is %s", w.free(id), w.role(w.bob, id))
		}
		if _, err := w.accept(w.bob, old); reason(err) != policy.CodeUsed || w.role(w.bob, id) != policy.Nobody {
			t.Errorf("the old code: %v, bob is %s", err, w.role(w.bob, id))
		}
		_, code := w.invited(w.ada, "bob@example.com", id)
		if w.role(w.bob, id) != policy.Nobody {
			t.Error("he has not accepted")
		}
		if _, err := w.accept(w.bob, code); err != nil || w.role(w.bob, id) != policy.Shared {
			t.Errorf("invited again: %v", err)
		}
	})
}

func TestSHARE11NobodySharesWithThemselves(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		for _, email := range []string{"ada@example.com", " ADA@Example.COM ", "Ada@ＥＸＡＭＰＬＥ.com"} {
			if _, _, err := w.invite(w.ada, email, id); reason(err) != policy.SelfShare {
				t.Errorf("%q: %v", email, err)
			}
		}
		w.wantLog(id, slices.Repeat([]string{"u_ada owner share.invite refused SELF_SHARE"}, 3)...)
	})
}

// TestSHARE14AndSHARE3WhateverIsDoneOwnersStayAndPlacesHold: random steps by everybody; the owner never changes, no device is shared with more
// than five, and who is shared with has accepted.
func TestSHARE14AndSHARE3WhateverIsDoneOwnersStayAndPlacesHold(t *testing.T) {
	each(t, func(w *world) {
		rng := rand.New(rand.NewPCG(1, 2))
		devices := []string{w.device(w.ada, "a1"), w.device(w.ada, "a2"), w.device(w.bob, "b1")}
		people := []cloud.Actor{w.ada, w.bob, w.eve}
		for n := range 3 {
			people = append(people, w.person(fmt.Sprint("guest", n)))
		}
		codes := map[string][]string{}
		var sent []string
		for range 150 {
			who, other := people[rng.IntN(len(people))], people[rng.IntN(len(people))]
			id := devices[rng.IntN(len(devices))]
			email := other.Ref[2:] + "@example.com"
			switch rng.IntN(8) {
			case 0, 1, 2:
				if rng.IntN(4) > 0 {
					who = []cloud.Actor{w.ada, w.ada, w.bob}[slices.Index(devices, id)]
				}
				if i, _, err := w.invite(who, email, id, devices[(slices.Index(devices, id)+1)%3]); err == nil {
					sent, codes[email] = append(sent, i.ID), append(codes[email], w.last(email).code)
				}
			case 3, 4:
				code := wrong
				if mine := codes[who.Ref[2:]+"@example.com"]; len(mine) > 0 && rng.IntN(10) > 0 {
					code = mine[len(mine)-1-rng.IntN(min(2, len(mine)))]
				}
				_, err := w.accept(who, code)
				_ = err // whatever it is
			case 5:
				w.revoke(id, other)
			case 6:
				if len(sent) > 0 {
					_ = w.cancel(who, sent[rng.IntN(len(sent))])
				}
			case 7:
				w.plan(id, []policy.Plan{policy.Basic, policy.Standard, policy.Advanced, policy.Standard}[rng.IntN(4)])
				w.move(life / 20)
			}
			w.exec(`DELETE FROM limits`)
			w.read(func(ctx context.Context, tx *store.Tx) error {
				for n, id := range devices {
					var owner string
					var epoch, shares, open int
					err := tx.QueryRow(ctx, `SELECT owner, epoch, (SELECT COUNT(*) FROM grants WHERE device = $1 AND ended_at IS NULL),
						(SELECT COUNT(*) FROM device_invitation_devices WHERE device = $1 AND state = 'open') FROM devices WHERE id = $1`, id).Scan(&owner, &epoch, &shares, &open)
					if err != nil {
						return err
					}
					if owner != []string{"a_ada", "a_ada", "a_bob"}[n] || epoch != 1 || shares+open > device.MaxShares {
						t.Fatalf("%s is %s's, epoch %d, with %d shares and %d open invitations", id, owner, epoch, shares, open)
					}
				}
				return nil
			})
		}
		if n := w.count(`SELECT COUNT(*) FROM grants`); n < 3 {
			t.Errorf("only %d shares ever: the steps show little", n)
		}
	})
}

func TestPLAN2SharingIsStartedOnStandardOrAdvancedAlone(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		for plan, want := range map[policy.Plan]policy.Reason{policy.Basic: policy.PlanBasic, policy.Standard: "", policy.Advanced: ""} {
			w.plan(id, plan)
			if _, _, err := w.invite(w.ada, string(plan)+"@example.com", id); reason(err) != want {
				t.Errorf("%s: %v", plan, err)
			}
		}
	})
}

// TestPLAN6OnBasicAnInvitationWaitsAndItsClockRuns also shows how INV-11 goes with it: the code is used by each device once.
func TestPLAN6OnBasicAnInvitationWaitsAndItsClockRuns(t *testing.T) {
	each(t, func(w *world) {
		one, two := w.device(w.ada, "one"), w.device(w.ada, "two")
		_, code := w.invited(w.ada, "bob@example.com", one, two)
		w.plan(one, policy.Basic)
		w.plan(two, policy.Basic)
		if _, err := w.accept(w.bob, code); reason(err) != policy.PlanBasic || !slices.Equal(refusedOf(err), []policy.Reason{policy.PlanBasic, policy.PlanBasic}) {
			t.Errorf("both on Basic: %v", err)
		}
		w.plan(one, policy.Standard)
		outcomes, err := w.accept(w.bob, code)
		if err != nil || !slices.Equal(reasons(outcomes), []policy.Reason{"", policy.PlanBasic}) {
			t.Errorf("one on Basic: %v, %v", reasons(outcomes), err)
		}
		if w.role(w.bob, one) != policy.Shared || w.role(w.bob, two) != policy.Nobody || w.free(two) != device.MaxShares-1 {
			t.Error("one is shared, the other waits with its place")
		}
		if _, err := w.accept(w.bob, code); reason(err) != policy.PlanBasic || w.role(w.bob, two) != policy.Nobody {
			t.Errorf("the rest, still on Basic: %v", err)
		}
		w.plan(two, policy.Advanced)
		w.move(life - 1)
		if outcomes, err := w.accept(w.bob, code); err != nil || len(outcomes) != 1 || outcomes[0].Device != two || outcomes[0].Number != 2 {
			t.Errorf("the rest, up again: %+v, %v", outcomes, err)
		}
		if _, err := w.accept(w.bob, code); reason(err) != policy.CodeUsed {
			t.Errorf("nothing is left: %v", err)
		}
		three := w.device(w.ada, "three")
		_, code = w.invited(w.ada, "bob@example.com", three)
		w.plan(three, policy.Basic)
		w.move(life)
		if _, err := w.accept(w.bob, code); reason(err) != policy.CodeExpired {
			t.Errorf("the clock runs on Basic: %v", err)
		}
	})
}

func TestROLE7TheOwnerIsNeverASharedUserToo(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		_, code := w.invited(w.ada, "new@example.com", id)
		w.exec(`UPDATE identities SET email = 'new@example.com', email_key = 'new@example.com' WHERE id = 's_ada'`)
		if _, err := w.accept(w.ada, code); reason(err) != policy.SelfShare || w.count(`SELECT COUNT(*) FROM grants`) != 0 {
			t.Errorf("the owner accepts: %v", err)
		}
	})
}

func TestPERM9NobodyLearnsByInvitingThatADeviceExists(t *testing.T) {
	each(t, func(w *world) {
		mine, hers := w.device(w.eve, "mine"), w.device(w.ada, "rack")
		for _, devices := range [][2][]string{{{hers}, {"d_none"}}, {{mine, hers}, {mine, "d_none"}}} {
			var told [2]string
			for n, list := range devices {
				i, outcomes, err := w.invite(w.eve, "mia@example.com", list...)
				var each []string
				for _, o := range outcomes {
					each = append(each, fmt.Sprint(o.Refused, o.Free, o.Number))
				}
				told[n] = fmt.Sprint(err, each)
				if i != nil {
					w.must(w.cancel(w.eve, i.ID))
				}
			}
			if told[0] != told[1] {
				t.Errorf("of one that exists:\n%s\nof one that does not:\n%s", told[0], told[1])
			}
		}
		w.wantLog(hers)
		w.read(func(ctx context.Context, tx *store.Tx) error {
			list, err := OpenOf(ctx, tx, hers, w.clock())
			if len(list) != 0 {
				t.Errorf("%+v", list)
			}
			return err
		})
	})
}
