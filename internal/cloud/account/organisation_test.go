package account

import (
	"context"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// as is the actor of an account that is signed in.
func as(a *Account) cloud.Actor {
	return cloud.Actor{Ref: a.Actor, Account: a.ID, Org: a.Org.ID, Address: here.Address, Request: here.Request}
}

// invite sends an invitation and returns it with the code of its letter.
func (w *world) invite(a *Account, email string) (*Invitation, string) {
	w.t.Helper()
	var i *Invitation
	w.write(func(ctx context.Context, tx *store.Tx) (err error) {
		i, err = w.Invite(ctx, tx, as(a), email)
		return err
	})
	return i, w.last(email).code
}

// change runs fn in a transaction and returns its error.
func (w *world) change(fn func(ctx context.Context, tx *store.Tx) error) error {
	return w.db.Write(w.t.Context(), fn)
}

func TestORG2AMemberInvitesAndTheInvitedAddressAloneJoins(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		jo, li, eve := w.member("jo@example.com"), w.member("li@example.com"), w.member("eve@example.com")
		i, code := w.invite(jo, "li@example.com")
		if i.State != InviteOpen || !i.Expires.Equal(w.clock().Add(inviteLife)) || code == "" {
			t.Fatalf("%+v, code %q", i, code)
		}
		if _, err := w.Join(ctx, as(eve), w.signIn("eve@example.com").Token, code); reasonOf(err) != policy.CodeUnknown {
			t.Errorf("the code of another address: %v", err)
		}
		ss := w.signIn("li@example.com")
		second := w.signIn("li@example.com")
		if _, err := w.Join(ctx, as(li), ss.Token, "2222-2222-2222"); reasonOf(err) != policy.CodeUnknown {
			t.Errorf("a wrong code: %v", err)
		}
		joined, err := w.Join(ctx, as(li), ss.Token, code)
		if err != nil || joined.Account.Org.ID != jo.Org.ID || joined.Account.ID != li.ID || w.alive(ss.Token) || w.alive(second.Token) || !w.alive(joined.Token) {
			t.Fatalf("%+v, %v", joined, err)
		}
		if _, err := w.Join(ctx, as(li), joined.Token, code); reasonOf(err) != policy.CodeUsed {
			t.Errorf("twice: %v", err)
		}
		var members []*Account
		w.read(func(ctx context.Context, tx *store.Tx) (err error) {
			members, err = w.Members(ctx, tx, as(jo), "", 10)
			return err
		})
		if len(members) != 2 {
			t.Errorf("%d members", len(members))
		}
		want := "account.sign_up invitation.send invitation.wrong_code refused organisation.join"
		if log := strings.Join(w.logged(jo.Org.ID), " "); log != want {
			t.Errorf("log %s, want %s", log, want)
		}
		if log := strings.Join(w.logged(li.Org.ID), " "); log != "account.sign_up organisation.leave" {
			t.Errorf("log of the organisation that was left: %s", log)
		}
	})
}

func TestINV7AndINV9WhatTheInviterIsTold(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newWorld(t, db)
	jo := w.member("jo@example.com")
	w.member("known@example.com")
	invite := func(email string) error {
		return w.change(func(ctx context.Context, tx *store.Tx) error { _, err := w.Invite(ctx, tx, as(jo), email); return err })
	}
	for email, want := range map[string]policy.Reason{
		"": policy.EmailRequired, "nonsense": policy.EmailInvalid, "a@example.com, b@example.com": policy.EmailInvalid,
		" JO@example.com ": policy.Conflict, "known@example.com": "", "unknown@example.com": "",
	} {
		if err := invite(email); reasonOf(err) != want {
			t.Errorf("%q: %v, want %s", email, err, want)
		}
	}
	known, unknown := w.last("known@example.com"), w.last("unknown@example.com")
	if known.subject != unknown.subject || known.code == "" || unknown.code == "" {
		t.Errorf("%+v\n%+v", known, unknown)
	}
	for _, email := range []string{"Known@example.com", "unknown@EXAMPLE.com"} {
		if err := invite(email); reasonOf(err) != policy.AlreadyInvited {
			t.Errorf("%s, again: %v", email, err)
		}
	}
	if n := len(w.letters("")); n != 0 {
		t.Errorf("%d letters were sent all the same", n)
	}
	w.move(inviteLife)
	if err := invite("known@example.com"); err != nil {
		t.Errorf("after its time it can be sent anew: %v", err)
	}
}

func TestINV7OfTwentyInvitationsAtOnceOneIsSent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		jo := w.member("jo@example.com")
		got := in(atOnce(20, func(int) error {
			return w.change(func(ctx context.Context, tx *store.Tx) error {
				_, err := w.Invite(ctx, tx, as(jo), "li@example.com")
				return err
			})
		}))
		if got[""] != 1 || got[policy.AlreadyInvited] != 19 || len(w.letters("li@example.com")) != 1 {
			t.Errorf("%v, %d letters", got, len(w.letters("li@example.com")))
		}
	})
}

func TestINV11To13TheEndsOfAnInvitation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		jo, li := w.member("jo@example.com"), w.member("li@example.com")
		join := func(code string) policy.Reason {
			_, err := w.Join(ctx, as(li), w.signIn("li@example.com").Token, code)
			return reasonOf(err)
		}
		_, code := w.invite(jo, "li@example.com")
		for range codeTries {
			if r := join("2222-2222-2222"); r != policy.CodeUnknown {
				t.Errorf("wrong: %s", r)
			}
		}
		if r := join(code); r != policy.CodeLocked {
			t.Errorf("right, after %d wrong ones: %s", codeTries, r)
		}
		for _, who := range []string{"jo@example.com", "li@example.com"} {
			if l := w.last(who); !strings.Contains(l.text, "five wrong codes") {
				t.Errorf("%s is told: %+v", who, l)
			}
		}
		w.move(2 * time.Hour)
		i, code := w.invite(jo, "li@example.com")
		if err := w.change(func(ctx context.Context, tx *store.Tx) error { return w.CancelInvitation(ctx, tx, as(jo), i.ID) }); err != nil {
			t.Fatal(err)
		}
		if r := join(code); r != policy.CodeUnknown {
			t.Errorf("cancelled: %s", r)
		}
		_, code = w.invite(jo, "li@example.com")
		w.move(inviteLife)
		if err := w.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if r := join(code); r != policy.CodeExpired {
			t.Errorf("expired: %s", r)
		}
		if l := w.last("jo@example.com"); !strings.Contains(l.text, "not accepted in time") {
			t.Errorf("INV-15: %+v", l)
		}
		want := "account.sign_up invitation.send" + strings.Repeat(" invitation.wrong_code refused", codeTries) +
			" invitation.lock refused invitation.send invitation.cancel invitation.send invitation.expire"
		if log := strings.Join(w.logged(jo.Org.ID), " "); log != want {
			t.Errorf("log  %s\nwant %s", log, want)
		}
	})
}

func TestINV15WhoDeclinesToJoinIsNotAskedAgainAndTheInviterIsTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		jo, li, eve := w.member("jo@example.com"), w.member("li@example.com"), w.member("eve@example.com")
		_, code := w.invite(jo, "li@example.com")
		if err := w.DeclineInvitation(ctx, as(eve), w.signIn("eve@example.com").Token, code); reasonOf(err) != policy.CodeUnknown {
			t.Errorf("somebody else declines: %v", err)
		}
		ss := w.signIn("li@example.com")
		if err := w.DeclineInvitation(ctx, as(li), ss.Token, "2222-2222-2222"); reasonOf(err) != policy.CodeUnknown {
			t.Errorf("without the code: %v", err)
		}
		if err := w.DeclineInvitation(ctx, as(li), ss.Token, code); err != nil || !w.alive(ss.Token) {
			t.Fatal(err)
		}
		if l := w.last("jo@example.com"); !strings.Contains(l.text, "li@example.com") || !strings.Contains(l.text, "declined") {
			t.Errorf("%+v", l)
		}
		if _, err := w.Join(ctx, as(li), ss.Token, code); reasonOf(err) != policy.CodeUsed {
			t.Errorf("declined: %v", err)
		}
		w.invite(jo, "li@example.com") // there is room for another one
		want := "account.sign_up invitation.send invitation.wrong_code refused invitation.decline invitation.send"
		if log := strings.Join(w.logged(jo.Org.ID), " "); log != want {
			t.Errorf("log %s, want %s", log, want)
		}
	})
}

func TestINV14AnInvitationIsSentAgainWithANewCode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		jo, li := w.member("jo@example.com"), w.member("li@example.com")
		i, first := w.invite(jo, "li@example.com")
		resend := func(who *Account, id string) error {
			return w.change(func(ctx context.Context, tx *store.Tx) error {
				_, err := w.ResendInvitation(ctx, tx, as(who), id)
				return err
			})
		}
		if err := resend(jo, i.ID); err != nil {
			t.Fatal(err)
		}
		second := w.last("li@example.com").code
		if err := resend(jo, i.ID); reasonOf(err) != policy.RateLimit {
			t.Errorf("twice in a minute: %v", err)
		}
		for _, id := range []string{"", "i_", "x", "i_\x00", cloud.NewID("i_")} {
			if err := resend(jo, id); reasonOf(err) != policy.NotFound {
				t.Errorf("%q: %v", id, err)
			}
		}
		if err := resend(li, i.ID); reasonOf(err) != policy.NotFound {
			t.Errorf("T-80: of another organisation: %v", err)
		}
		if err := w.change(func(ctx context.Context, tx *store.Tx) error { return w.CancelInvitation(ctx, tx, as(li), i.ID) }); reasonOf(err) != policy.NotFound {
			t.Errorf("T-80: cancelled by another organisation: %v", err)
		}
		if _, err := w.Join(ctx, as(li), w.signIn("li@example.com").Token, first); reasonOf(err) != policy.CodeUnknown {
			t.Errorf("the old code: %v", err)
		}
		if _, err := w.Join(ctx, as(li), w.signIn("li@example.com").Token, second); err != nil {
			t.Errorf("the new code: %v", err)
		}
	})
}

func TestOneInvitationOfFiftyAtOnceIsAcceptedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		jo, li := w.member("jo@example.com"), w.member("li@example.com")
		_, code := w.invite(jo, "li@example.com")
		tokens := make([]string, 50)
		for i := range tokens {
			tokens[i] = w.signIn("li@example.com").Token
		}
		errs := atOnce(50, func(i int) error { _, err := w.Join(t.Context(), as(li), tokens[i], code); return err })
		if got := in(errs); got[""] != 1 || got[policy.Unauthenticated] != 49 { // the others' sessions ended with it
			t.Errorf("%v", got)
		}
		if n := strings.Count(strings.Join(w.logged(jo.Org.ID), " "), "organisation.join"); n != 1 {
			t.Errorf("joined %d times", n)
		}
	})
}

func TestDEV6WhoOwnsDevicesCannotLeaveTheirOrganisation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		jo, li := w.member("jo@example.com"), w.member("li@example.com")
		w.write(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
				VALUES ($1, 'S1', 1, 'agent', $2, $3, 'rack', 'basic', 0, 1, 1)`, cloud.NewID("d_"), li.ID, li.Org.ID)
			return err
		})
		_, code := w.invite(jo, "li@example.com")
		ss := w.signIn("li@example.com")
		if _, err := w.Join(ctx, as(li), ss.Token, code); reasonOf(err) != policy.Conflict || !w.alive(ss.Token) {
			t.Fatalf("%v", err)
		}
		w.write(func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE devices SET ended_at = 2`); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO enrolled_agents (agent, org, name, public_key, enrolled_at) VALUES ('g_1', $1, '', $2, 1)`, li.Org.ID, []byte{1})
			return err
		})
		if _, err := w.Join(ctx, as(li), ss.Token, code); reasonOf(err) != policy.Conflict {
			t.Fatalf("an organisation with an agent and nobody: %v", err)
		}
		w.write(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE enrolled_agents SET revoked_at = 2`)
			return err
		})
		if _, err := w.Join(ctx, as(li), ss.Token, code); err != nil {
			t.Errorf("the code must not be used up by a refusal: %v", err)
		}
	})
}

func TestNamesOfAccountAndOrganisationChange(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newWorld(t, db)
	jo := w.member("jo@example.com")
	var a *Account
	var o *Organisation
	err := w.change(func(ctx context.Context, tx *store.Tx) (err error) {
		if a, err = w.Rename(ctx, tx, as(jo), " Jo  March "); err != nil {
			return err
		}
		o, err = w.RenameOrganisation(ctx, tx, as(jo), "March & Söhne")
		return err
	})
	if err != nil || a.Name != "Jo March" || o.Name != "March & Söhne" || o.ID != jo.Org.ID {
		t.Fatalf("%+v, %+v, %v", a, o, err)
	}
	for _, name := range []string{"", "<script>", "a\nb", "https://x.example"} {
		if err := w.change(func(ctx context.Context, tx *store.Tx) error { _, err := w.Rename(ctx, tx, as(jo), name); return err }); (err == nil) != (name == "a\nb") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if log := strings.Join(w.logged(jo.Org.ID), " "); log != "account.sign_up account.rename organisation.rename account.rename" {
		t.Errorf("log: %s", log)
	}
}

func TestAnOperatorIsMadeWithoutAMail(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w, ctx := newWorld(t, db), t.Context()
	a, err := w.CreateOperator(ctx, Person{Email: "ops@example.com", Password: good, Name: "Ops"})
	if err != nil || !a.Operator || len(w.letters("")) != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	if ss := w.signIn("ops@example.com"); ss.Account.ID != a.ID || !ss.Account.Operator {
		t.Errorf("%+v", ss)
	}
	for p, want := range map[Person]policy.Reason{
		{Email: "OPS@example.com", Password: good, Name: "Ops"}:           policy.Conflict,
		{Email: "ops", Password: good, Name: "Ops"}:                       policy.EmailInvalid,
		{Email: "o@example.com", Password: "password123", Name: "Ops"}:    policy.Malformed,
		{Email: "o@example.com", Password: good}:                          policy.Malformed,
		{Email: "o@example.com", Password: good, Name: "Ops {{.Secret}}"}: policy.Malformed,
	} {
		if _, err := w.CreateOperator(ctx, p); reasonOf(err) != want {
			t.Errorf("%+v: %v, want %s", p, err, want)
		}
	}
}
