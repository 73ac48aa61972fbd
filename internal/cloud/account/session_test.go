package account

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

func TestT84ATokenFromBeforeTheSignInIsWorthNothingBehindIt(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w, ctx := newWorld(t, db), t.Context()
	w.member("jo@example.com")
	// Fixation: the thief plants a token of nothing, and one of his own session.
	w.member("thief@example.com")
	for _, planted := range []string{"chosen-by-the-thief", w.signIn("thief@example.com").Token} {
		ss, err := w.SignIn(ctx, here, Credentials{Email: "jo@example.com", Password: good}, planted)
		if err != nil || ss.Token == planted || w.alive(planted) || !w.alive(ss.Token) {
			t.Errorf("planted %q: %+v, %v", planted, ss, err)
		}
	}
}

func TestT84SessionsEndByThemselvesBySignOutAndEverywhere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		a := w.member("jo@example.com")
		w.member("li@example.com")
		one, two, other := w.signIn("jo@example.com"), w.signIn("jo@example.com"), w.signIn("li@example.com")
		if err := w.SignOut(ctx, one.Token); err != nil || w.alive(one.Token) || !w.alive(two.Token) {
			t.Errorf("sign-out: %v", err)
		}
		if err := errors.Join(w.SignOut(ctx, one.Token), w.SignOut(ctx, ""), w.SignOut(ctx, "x")); err != nil {
			t.Errorf("sign-out of what is none: %v", err)
		}
		three := w.signIn("jo@example.com")
		if err := w.SignOutEverywhere(ctx, two.actor()); err != nil || w.alive(two.Token) || w.alive(three.Token) || !w.alive(other.Token) {
			t.Errorf("everywhere: %v", err)
		}
		if log := w.logged(a.Org.ID); log[len(log)-1] != "session.end_all" {
			t.Errorf("log: %v", log)
		}
		last := w.signIn("jo@example.com")
		w.move(DefaultLifetime - time.Minute)
		if !w.alive(last.Token) {
			t.Error("ended too early")
		}
		w.move(time.Minute)
		if w.alive(last.Token) {
			t.Error("a session has an end")
		}
		if err := w.Sweep(ctx); err != nil || w.count(`SELECT COUNT(*) FROM sign_ins`) != 0 {
			t.Errorf("%v, %d rows stay", err, w.count(`SELECT COUNT(*) FROM sign_ins`))
		}
		for _, token := range []string{"", "x", strings.Repeat("x", 200), "\x00", "' OR 1=1 --", string(hashToken(other.Token))} {
			if w.alive(token) {
				t.Errorf("%q is a session", token)
			}
		}
	})
}

func TestT84TheTokenInTheDatabaseOpensNothing(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newWorld(t, db)
	w.member("jo@example.com")
	ss := w.signIn("jo@example.com")
	var kept []byte
	w.read(func(ctx context.Context, tx *store.Tx) error {
		return tx.QueryRow(ctx, `SELECT token FROM sign_ins`).Scan(&kept)
	})
	if string(kept) == ss.Token || w.alive(string(kept)) {
		t.Error("what a copy of the database holds is a session")
	}
}

func TestT84ChangesOfRightGiveAnotherTokenAndEndTheOthers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		a := w.member("jo@example.com")
		thief := w.signIn("jo@example.com")
		first := w.signIn("jo@example.com")
		f, err := w.StartFactor(ctx, here, first.Token, good)
		if err != nil {
			t.Fatal(err)
		}
		ss, _, err := w.ConfirmFactor(ctx, here, first.Token, w.code(f.Secret))
		if err != nil || ss.Token == first.Token || w.alive(first.Token) || w.alive(thief.Token) || !w.alive(ss.Token) || ss.FactorAt.IsZero() {
			t.Fatalf("factor set up: %+v, %v", ss, err)
		}
		w.move(time.Minute)
		before := ss
		if ss, err = w.StepUp(ctx, here, before.Token, w.code(f.Secret)); err != nil || w.alive(before.Token) || !w.alive(ss.Token) || !ss.Expires.Equal(before.Expires) {
			t.Fatalf("step up: %+v, %v; the session must not live longer by it", ss, err)
		}
		w.move(time.Minute)
		other, err := w.SignIn(ctx, here, Credentials{Email: "jo@example.com", Password: good, Code: w.code(f.Secret)}, "")
		if err != nil {
			t.Fatal(err)
		}
		before = ss
		if ss, err = w.ChangePassword(ctx, here, before.Token, good, "another "+good); err != nil || w.alive(before.Token) || w.alive(other.Token) || !w.alive(ss.Token) {
			t.Fatalf("password: %+v, %v", ss, err)
		}
		w.move(time.Minute)
		before = ss
		if ss, err = w.RemoveFactor(ctx, here, before.Token, "another "+good, w.code(f.Secret)); err != nil || w.alive(before.Token) || !w.alive(ss.Token) || !ss.FactorAt.IsZero() || ss.Account.Factor {
			t.Fatalf("factor removed: %+v, %v", ss, err)
		}
		if _, err := w.SignIn(ctx, here, Credentials{Email: "jo@example.com", Password: good}, ""); reasonOf(err) != policy.Unauthenticated {
			t.Errorf("the old password works: %v", err)
		}
		want := "account.sign_up factor.set account.password factor.remove"
		if log := strings.Join(w.logged(a.Org.ID), " "); log != want {
			t.Errorf("log %s, want %s", log, want)
		}
		if n := len(w.letters("jo@example.com")); n != 3 {
			t.Errorf("%d letters tell of it, want 3", n)
		}
	})
}

func TestT07AnOldFactorIsAskedForAgain(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w, ctx := newWorld(t, db), t.Context()
	w.member("jo@example.com")
	ss, secret, _ := w.withFactor("jo@example.com")
	actor := func(token string) cloud.Actor {
		a, err := w.Authenticate(request("Authorization", "Bearer "+token))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := actor(ss.Token); !a.MFA || !a.HasFactor || a.StepUp(w.clock()) != nil {
		t.Errorf("%+v", a)
	}
	w.move(cloud.FactorLife)
	if a := actor(ss.Token); !a.MFA || reasonOf(a.StepUp(w.clock())) != policy.StepUpRequired {
		t.Errorf("%+v", a)
	}
	if _, err := w.ChangePassword(ctx, here, ss.Token, good, "another "+good); reasonOf(err) != policy.StepUpRequired {
		t.Errorf("the password was changed without a fresh factor: %v", err)
	}
	for _, code := range []string{"", "000000", "12345", "1234567", "abcdef", w.code(secret) + "0"} {
		if _, err := w.StepUp(ctx, from("198.51.100.1"), ss.Token, code); reasonOf(err) != policy.MFARequired {
			t.Errorf("%q: %v", code, err)
		}
	}
	ss, err := w.StepUp(ctx, here, ss.Token, w.code(secret))
	if err != nil || actor(ss.Token).StepUp(w.clock()) != nil {
		t.Errorf("%v", err)
	}
	none := w.member("li@example.com")
	plain := w.signIn("li@example.com")
	if a := actor(plain.Token); a.MFA || a.HasFactor || a.StepUp(w.clock()) != nil || a.Ref != none.Actor || a.Org != none.Org.ID || a.Account != none.ID {
		t.Errorf("%+v", a)
	}
	if _, err := w.StepUp(ctx, here, plain.Token, "123456"); reasonOf(err) != policy.Conflict {
		t.Errorf("without a factor: %v", err)
	}
}

func TestTokensComeInTheHeaderOrTheCookie(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newWorld(t, db)
	w.member("jo@example.com")
	ss := w.signIn("jo@example.com")
	c := w.Cookie(ss)
	if c.Name != "__Host-session" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != int(DefaultLifetime/time.Second) {
		t.Errorf("%+v", c)
	}
	if gone := w.Cookie(nil); gone.Value != "" || gone.MaxAge >= 0 {
		t.Errorf("%+v", gone)
	}
	for header, want := range map[[2]string]bool{
		{"Cookie", "__Host-session=" + ss.Token}: true,
		{"Authorization", "Bearer " + ss.Token}:  true,
		{"Authorization", "bearer  " + ss.Token}: true,
		{"Authorization", "Basic " + ss.Token}:   false,
		{"Authorization", ss.Token}:              false,
		{"Authorization", "Bearer"}:              false,
		{"Cookie", "session=" + ss.Token}:        false,
		{"X-Session", ss.Token}:                  false,
		{"", ""}:                                 false,
	} {
		_, err := w.Authenticate(request(header[0], header[1]))
		if (err == nil) != want || err != nil && reasonOf(err) != policy.Unauthenticated {
			t.Errorf("%v: %v", header, err)
		}
	}
	both := request("Authorization", "Bearer wrong")
	both.Header.Set("Cookie", "__Host-session="+ss.Token)
	if _, err := w.Authenticate(both); reasonOf(err) != policy.Unauthenticated {
		t.Errorf("a wrong header is not made good by a cookie: %v", err)
	}
}

func TestAClosedAccountIsSignedOut(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newWorld(t, db)
	a := w.member("jo@example.com")
	ss := w.signIn("jo@example.com")
	w.write(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE accounts SET closed_at = $1 WHERE id = $2`, 1, a.ID)
		return err
	})
	_, err := w.SignIn(t.Context(), here, Credentials{Email: "jo@example.com", Password: good}, "")
	if w.alive(ss.Token) || reasonOf(err) != policy.Unauthenticated {
		t.Errorf("%v", err)
	}
}

// TestT84SessionsOfAnAccountAreBounded: the one that ends first goes; nobody else's does.
func TestT84SessionsOfAnAccountAreBounded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.member("jo@example.com")
		w.member("mo@example.com")
		other := w.signIn("mo@example.com")
		var tokens []string
		for range mostSessions + 2 {
			w.move(time.Second)
			tokens = append(tokens, w.signIn("jo@example.com").Token)
		}
		if n := w.count(`SELECT COUNT(*) FROM sign_ins`); n != mostSessions+1 {
			t.Errorf("%d sessions, want %d and one of somebody else's", n, mostSessions)
		}
		if w.alive(tokens[0]) || w.alive(tokens[1]) || !w.alive(tokens[2]) || !w.alive(tokens[mostSessions+1]) || !w.alive(other.Token) {
			t.Error("another one than the oldest went")
		}
	})
}
