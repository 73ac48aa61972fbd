package invitation

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

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
