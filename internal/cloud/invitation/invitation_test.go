package invitation

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func TestINV1AndINV4OneCodeSharesSeveralDevices(t *testing.T) {
	each(t, func(w *world) {
		one, two, three := w.device(w.ada, "one"), w.device(w.ada, "two"), w.device(w.ada, "three")
		i, code := w.invited(w.ada, "bob@example.com", two, one, three)
		if len(i.Items) != 3 || i.State != Open {
			t.Errorf("%+v", i)
		}
		w.exec(`UPDATE devices SET ended_at = 1 WHERE id = $1`, three)
		outcomes, err := w.accept(w.bob, code)
		if err != nil || !slices.Equal(reasons(outcomes), []policy.Reason{"", "", policy.NotFound}) {
			t.Fatalf("%v, %v", reasons(outcomes), err)
		}
		for n, want := range []string{two, one, three} {
			if outcomes[n].Device != want || outcomes[n].Number != n+1 {
				t.Errorf("outcome %d: %+v", n, outcomes[n])
			}
		}
		if w.role(w.bob, one) != policy.Shared || w.role(w.bob, two) != policy.Shared {
			t.Error("they are not shared")
		}
		if len(w.letters("")) != 0 {
			t.Error("more than one letter")
		}
	})
}

func TestINV1WhatNoFormAsksForIsRefused(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		many := make([]string, MaxDevices+1)
		for n := range many {
			many[n] = fmt.Sprint("d_", n)
		}
		for _, list := range [][]string{nil, {id, id}, many} {
			if _, _, err := w.invite(w.ada, "bob@example.com", list...); reason(err) != policy.Malformed {
				t.Errorf("%d devices: %v", len(list), err)
			}
		}
		if _, _, err := w.invite(w.ada, "bob@example.com", many[1:]...); reason(err) != policy.NotFound {
			t.Errorf("the most there can be: %v", err)
		}
	})
}

func TestINV2TheLetterHasTheCodeAndTheDevicesAndNothingMore(t *testing.T) {
	each(t, func(w *world) {
		one, two := w.device(w.ada, "one"), w.device(w.ada, "two")
		w.exec(`UPDATE devices SET name = $1, site = 'Cellar', notes = 'key under the mat' WHERE id = $2`, "Rack\n\n    AAAA-BBBB-CCCC https://evil.example/?x@10.20.30.40", one)
		w.exec(`UPDATE sightings SET model = $1 WHERE serial = 'AS0000one1234'`, "Smart-UPS <b>http://x.example")
		_, _, err := w.invite(w.ada, "bob@example.com", one, two)
		w.must(err)
		l := w.last("bob@example.com")
		if l.code == "" || !strings.Contains(l.text, "ada wants to share with you at\nhttps://cloud.example\n") ||
			!strings.Contains(l.text, "\n    2. two, Smart-UPS 1500, serial number ending in 1234\n") || !strings.Contains(l.text, "until 8 March 2026 12:00 UTC") {
			t.Errorf("%s", l.text)
		}
		for what, form := range map[string]string{
			"a whole serial number": `AS0000`, "an id": `d_|si_|sh_`, "an address": `\d+\.\d+\.\d+\.\d+|@`, "notes": `mat`, "a site": `Cellar`,
			"a link of somebody's": `evil\.e|x\.example|//[^c]|<`, "a second line": `\n    AAAA`,
		} {
			if found := regexp.MustCompile(form).FindString(l.text); found != "" {
				t.Errorf("the letter has %s, %q:\n%s", what, found, l.text)
			}
		}
		if links := regexp.MustCompile(`https?://\S+`).FindAllString(l.text, -1); !slices.Equal(links, []string{"https://cloud.example"}) {
			t.Errorf("links: %q", links)
		}
	})
}

func TestINV3BothTheCodeAndTheAddressAreNeeded(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		_, code := w.invited(w.ada, "bob@example.com", id)
		if _, err := w.accept(w.eve, code); reason(err) != policy.CodeUnknown {
			t.Errorf("the code with another address: %v", err)
		}
		for _, typed := range []string{wrong, "", "x", strings.Repeat("A", 1000)} {
			if _, err := w.accept(w.bob, typed); reason(err) != policy.CodeUnknown {
				t.Errorf("the address without the code: %v", err)
			}
		}
		if w.role(w.eve, id) != policy.Nobody || w.role(w.bob, id) != policy.Nobody {
			t.Error("one of them was enough")
		}
		if _, err := w.accept(w.bob, strings.ToLower(strings.ReplaceAll(code, "-", " "))); err != nil || w.role(w.bob, id) != policy.Shared {
			t.Errorf("both: %v", err)
		}
	})
}

func TestINV3WhoHasNoAccountYetMakesOne(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		_, code := w.invited(w.ada, "new@example.com", id)
		if _, err := w.accept(w.person("new"), code); err != nil {
			t.Error(err)
		}
	})
}

func TestINV5WhatIsNotOneAddressIsRefusedAndLogged(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		for email, want := range map[string]policy.Reason{
			"": policy.EmailRequired, " ": policy.EmailRequired, "bob": policy.EmailInvalid, "a@example.com, b@example.com": policy.EmailInvalid,
			"a@example.com b@example.com": policy.EmailInvalid, "Bob <bob@example.com>": policy.EmailInvalid,
		} {
			if _, _, err := w.invite(w.ada, email, id); reason(err) != want {
				t.Errorf("%q: %v", email, err)
			}
		}
		if got := w.log(id); len(got) != 6 || len(w.letters("")) != 0 || w.free(id) != device.MaxShares {
			t.Errorf("log %q, %d places", got, w.free(id))
		}
	})
}

func TestINV6AddressesOfInvitationsCompareEqual(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		w.exec(`UPDATE identities SET email = 'Bob@xn--bcher-kva.example', email_key = 'bob@xn--bcher-kva.example' WHERE id = 's_bob'`)
		_, code := w.invited(w.ada, " BOB@BÜCHER.example ", id)
		if _, _, err := w.invite(w.ada, "bob@bücher.example", id); reason(err) != policy.AlreadyInvited {
			t.Errorf("in another spelling: %v", err)
		}
		if _, err := w.accept(w.bob, code); err != nil {
			t.Errorf("accepted in another spelling: %v", err)
		}
		if _, _, err := w.invite(w.ada, "BOB@xn--bcher-kva.example", id); reason(err) != policy.AlreadyShared {
			t.Errorf("in a third one: %v", err)
		}
	})
}

func TestINV7WhoHasAnOpenInvitationGetsNoSecond(t *testing.T) {
	each(t, func(w *world) {
		one, two := w.device(w.ada, "one"), w.device(w.ada, "two")
		_, code := w.invited(w.ada, "bob@example.com", one)
		if _, _, err := w.invite(w.ada, "Bob@example.com", one); reason(err) != policy.AlreadyInvited || len(w.letters("")) != 0 {
			t.Errorf("again: %v", err)
		}
		// Of several devices it is that one alone.
		if _, outcomes, err := w.invite(w.ada, "bob@example.com", one, two); err != nil || !slices.Equal(reasons(outcomes), []policy.Reason{policy.AlreadyInvited, ""}) {
			t.Errorf("with another: %v, %v", reasons(outcomes), err)
		}
		if _, err := w.accept(w.bob, code); err != nil {
			t.Errorf("the first code has changed: %v", err)
		}
		w.wantLog(one, "u_ada owner share.invite", "u_ada owner share.invite refused ALREADY_INVITED", "u_ada owner share.invite refused ALREADY_INVITED", "u_bob shared share.accept")
	})
}

func TestINV7OfTwentyInvitationsOfOneAddressToADeviceOneIsSent(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		got := atOnce(20, func(int) error { _, _, err := w.invite(w.ada, "bob@example.com", id); return err })
		if got[""] != 1 || got[policy.AlreadyInvited] != 19 || len(w.letters("")) != 1 || w.free(id) != device.MaxShares-1 {
			t.Errorf("%v", got)
		}
	})
}

func TestINV8WhoHasTheShareIsNotInvited(t *testing.T) {
	each(t, func(w *world) {
		one, two := w.device(w.ada, "one"), w.device(w.ada, "two")
		w.shared(w.ada, w.bob, one)
		if _, _, err := w.invite(w.ada, "bob@example.com", one); reason(err) != policy.AlreadyShared || len(w.letters("")) != 0 {
			t.Errorf("%v", err)
		}
		if _, _, err := w.invite(w.ada, "bob@example.com", two); err != nil {
			t.Errorf("another device: %v", err)
		}
	})
}

func TestINV9TheAnswerDoesNotTellWhetherThereIsAnAccount(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		w.person("nobodx")
		var told [2]string
		var letters [2]letter
		for n, email := range []string{"nobodx@example.com", "nobody@example.com"} {
			i, outcomes, err := w.invite(w.ada, email, id)
			w.must(err)
			told[n] = fmt.Sprint(len(i.ID), i.State, i.Expires, i.Items, outcomes)
			letters[n] = w.last(email)
			w.must(w.cancel(w.ada, i.ID))
		}
		if told[0] != told[1] || strings.Replace(letters[0].text, letters[0].code, letters[1].code, 1) != letters[1].text || letters[0].subject != letters[1].subject {
			t.Errorf("%s\n%s\n%s\n%s", told[0], told[1], letters[0].text, letters[1].text)
		}
	})
}

func TestINV10NoCodeAndNoAddressIsWhereItDoesNotBelong(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		i, first := w.invited(w.ada, "bob@example.com", id)
		if in := holds(w, first); len(in) > 0 {
			t.Errorf("a code is in %q", in)
		}
		_, _ = w.accept(w.bob, wrong)
		w.must(w.resend(w.ada, i.ID))
		second := w.last("bob@example.com").code
		if len(first) != 14 || second == first { // 12 characters of 5 bits and two hyphens
			t.Errorf("codes %s, %s", first, second)
		}
		_, _ = w.accept(w.bob, first)
		_, err := w.accept(w.bob, second)
		w.must(err)
		_, _ = w.accept(w.bob, second)
		for _, text := range []string{first, second, strings.ReplaceAll(first, "-", ""), strings.ReplaceAll(second, "-", ""), strings.ToLower(second)} {
			if in := holds(w, text); len(in) > 0 {
				t.Errorf("a code is in %q", in)
			}
		}
		if in := holds(w, "bob@example.com"); !slices.Equal(in, []string{"device_invitation_devices", "device_invitations", "grants", "identities"}) {
			t.Errorf("the address is in %q", in)
		}
		var sealed [2][]byte
		w.read(func(ctx context.Context, tx *store.Tx) error {
			return tx.QueryRow(ctx, `SELECT sealed FROM device_invitations`).Scan(&sealed[0])
		})
		if len(sealed[0]) != 16+32 {
			t.Errorf("salt and hash have %d bytes", len(sealed[0]))
		}
	})
}

// holds returns the tables in which a text stands.
func holds(w *world, text string) (tables []string) {
	w.t.Helper()
	for _, table := range []string{"accounts", "answers", "device_invitation_devices", "device_invitations", "devices", "event_log", "grants", "identities", "limits", "mails"} {
		w.read(func(ctx context.Context, tx *store.Tx) error {
			found, err := tx.Query(ctx, `SELECT * FROM `+table)
			if err != nil {
				return err
			}
			defer found.Close()
			columns, _ := found.Columns()
			row, at := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
			for i := range row {
				at[i] = &row[i]
			}
			for found.Next() {
				if err := found.Scan(at...); err != nil {
					return err
				}
				for _, v := range row {
					if strings.Contains(string(v), text) && !slices.Contains(tables, table) {
						tables = append(tables, table)
					}
				}
			}
			return found.Err()
		})
	}
	return tables
}

func TestINV11ACodeIsValidSevenDaysAndOnce(t *testing.T) {
	each(t, func(w *world) {
		one, two := w.device(w.ada, "one"), w.device(w.ada, "two")
		i, first := w.invited(w.ada, "bob@example.com", one)
		_, second := w.invited(w.ada, "bob@example.com", two)
		if i.Expires.Sub(w.clock()) != 7*24*time.Hour {
			t.Errorf("expires %s", i.Expires)
		}
		w.move(7*24*time.Hour - time.Millisecond)
		if _, err := w.accept(w.bob, first); err != nil {
			t.Errorf("at the last moment: %v", err)
		}
		if _, err := w.accept(w.bob, first); reason(err) != policy.CodeUsed {
			t.Errorf("twice: %v", err)
		}
		w.move(time.Millisecond)
		if _, err := w.accept(w.bob, second); reason(err) != policy.CodeExpired || w.role(w.bob, two) != policy.Nobody {
			t.Errorf("a moment late: %v", err)
		}
	})
}

func TestINV11OfTenWhoAcceptAtOnceOneDoes(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		_, code := w.invited(w.ada, "bob@example.com", id)
		got := atOnce(10, func(int) error { _, err := w.accept(w.bob, code); return err })
		if got[""] != 1 || got[policy.CodeUsed] != 9 || w.count(`SELECT COUNT(*) FROM grants`) != 1 {
			t.Errorf("%v", got)
		}
	})
}

func TestINV12FiveWrongCodesLockAndBothSidesAreTold(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		_, code := w.invited(w.ada, "bob@example.com", id)
		for n := range codeTries {
			if w.free(id) != device.MaxShares-1 {
				t.Fatalf("locked after %d", n)
			}
			if _, err := w.accept(w.bob, wrong); reason(err) != policy.CodeUnknown {
				t.Errorf("wrong: %v", err)
			}
		}
		if _, err := w.accept(w.bob, code); reason(err) != policy.CodeLocked || w.role(w.bob, id) != policy.Nobody {
			t.Errorf("right, after five wrong ones: %v", err)
		}
		for _, who := range []string{"ada@example.com", "bob@example.com"} {
			if l := w.last(who); !strings.Contains(l.text, "five wrong codes") || !strings.Contains(l.text, "1. rack, Smart-UPS 1500, serial number ending in 1234") || l.code != "" {
				t.Errorf("%s is told: %+v", who, l)
			}
		}
		if w.free(id) != device.MaxShares {
			t.Errorf("%d places", w.free(id))
		}
		_, code = w.invited(w.ada, "bob@example.com", id)
		if _, err := w.accept(w.bob, code); err != nil {
			t.Errorf("invited anew: %v", err)
		}
	})
}

func TestINV12WrongCodesAreLimitedByAccountAndByAddress(t *testing.T) {
	each(t, func(w *world) {
		id, mia := w.device(w.ada, "rack"), w.person("mia")
		_, code := w.invited(w.ada, "mia@example.com", id)
		for n := range 21 {
			w.bob.Address = fmt.Sprint("192.0.2.", n)
			_, err := w.accept(w.bob, wrong)
			if want := map[bool]policy.Reason{true: policy.RateLimit, false: policy.CodeUnknown}[n == 20]; reason(err) != want {
				t.Errorf("wrong code %d of an account: %v", n+1, err)
			}
		}
		mia.Address = "203.0.113.5"
		w.spend(account.CodesSource.Of(mia.Address), 19)
		w.eve.Address = mia.Address
		if _, err := w.accept(w.eve, wrong); reason(err) != policy.CodeUnknown {
			t.Errorf("the 20th from an address: %v", err)
		}
		if err := w.Decline(t.Context(), mia, code); reason(err) != policy.RateLimit {
			t.Errorf("the 21st from an address: %v", err)
		}
		w.move(time.Hour)
		if _, err := w.accept(mia, code); err != nil {
			t.Errorf("an hour later: %v", err)
		}
		if _, err := w.accept(w.bob, wrong); reason(err) != policy.CodeUnknown {
			t.Errorf("an hour later: %v", err)
		}
	})
}

func TestINV12OfWrongCodesAtOnceNoneIsForgotten(t *testing.T) {
	each(t, func(w *world) {
		id := w.device(w.ada, "rack")
		_, code := w.invited(w.ada, "bob@example.com", id)
		atOnce(codeTries, func(int) error { _, err := w.accept(w.bob, wrong); return err })
		if _, err := w.accept(w.bob, code); reason(err) != policy.CodeLocked {
			t.Errorf("%v", err)
		}
	})
}

func TestINV13WhatACodeIsAnsweredWith(t *testing.T) {
	each(t, func(w *world) {
		used, late, gone, other := w.device(w.ada, "used"), w.device(w.ada, "late"), w.device(w.ada, "gone"), w.device(w.ada, "other")
		_, usedCode := w.invited(w.ada, "bob@example.com", used)
		_, err := w.accept(w.bob, usedCode)
		w.must(err)
		_, lateCode := w.invited(w.ada, "bob@example.com", late)
		w.move(life)
		i, goneCode := w.invited(w.ada, "bob@example.com", gone)
		w.must(w.cancel(w.ada, i.ID))
		_, otherCode := w.invited(w.ada, "eve@example.com", other)
		told := map[string]bool{}
		for _, row := range []struct {
			code string
			want policy.Reason
		}{{usedCode, policy.CodeUsed}, {lateCode, policy.CodeExpired}, {goneCode, policy.CodeUnknown}, {otherCode, policy.CodeUnknown}, {wrong, policy.CodeUnknown}} {
			_, err := w.accept(w.bob, row.code)
			if reason(err) != row.want || w.Decline(t.Context(), w.bob, row.code) == nil {
				t.Errorf("%v, want %s", err, row.want)
			}
			if row.want == policy.CodeUnknown {
				told[err.Error()] = true
			}
		}
		if len(told) != 1 {
			t.Errorf("unknown codes are told apart: %v", told)
		}
		w.must(w.Sweep(t.Context()))
		if _, err := w.accept(w.bob, lateCode); reason(err) != policy.CodeExpired {
			t.Errorf("swept: %v", err)
		}
	})
}

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
