package account

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// refuse tries a sign-in and returns why it was refused.
func (w *world) try(who cloud.Actor, email, password, code string) error {
	_, err := w.SignIn(w.t.Context(), who, Credentials{Email: email, Password: password, Code: code}, "")
	return err
}

func TestT84GuessersAreStoppedOverRestartsAndTheAnswerTellsNothing(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newWorld(t, db)
	w.member("known@example.com")
	for _, email := range []string{"known@example.com", "unknown@example.com"} {
		for n := range signInHere.Most {
			if err := w.try(here, email, "wrong "+good, ""); err.Error() != wrongSignIn().Error() {
				t.Fatalf("%s, try %d: %v", email, n, err)
			}
			if n == signInHere.Most/2 {
				again := newWorld(t, db) // a restart, with the same clock
				again.at = w.at
				w = again
			}
		}
		err := w.try(here, email, good, "")
		if reasonOf(err) != policy.RateLimit || err.(*cloud.Error).Retry != signInHere.Per {
			t.Errorf("%s: the right password after %d wrong ones: %v", email, signInHere.Most, err)
		}
		if err := w.try(here, strings.ToUpper(email), good, ""); reasonOf(err) != policy.RateLimit {
			t.Errorf("in another spelling: %v", err)
		}
	}
	if err := w.try(from("198.51.100.9"), "known@example.com", good, ""); err != nil {
		t.Errorf("its owner, from elsewhere, is kept out: %v", err)
	}
	w.move(signInHere.Per)
	for n := range signInHere.Most - 1 { // the count begins anew
		if err := w.try(here, "known@example.com", "wrong "+good, ""); reasonOf(err) != policy.Unauthenticated {
			t.Fatalf("after %v, try %d: %v", signInHere.Per, n, err)
		}
	}
	if err := w.try(here, "known@example.com", good, ""); err != nil {
		t.Errorf("after %v: %v", signInHere.Per, err)
	}
}

func TestT84GuessesAtOnceAreNoMoreThanOneAfterTheOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.member("jo@example.com")
		got := in(atOnce(40, func(int) error { return w.try(here, "jo@example.com", "wrong "+good, "") }))
		if got[policy.Unauthenticated] != int(signInHere.Most) || got[policy.RateLimit] != 40-int(signInHere.Most) {
			t.Errorf("%v, want %d tries", got, signInHere.Most)
		}
	})
}

func TestT84AListOfStolenPasswordsFromOneSourceIsStopped(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newWorld(t, db)
	w.member("jo@example.com")
	for n := range signInSource.Most {
		if err := w.try(here, "somebody"+strings.Repeat("a", int(n)%40+1)+strings.Repeat("b", int(n)/40)+"@example.com", good, ""); reasonOf(err) != policy.Unauthenticated {
			t.Fatalf("try %d: %v", n, err)
		}
	}
	if err := w.try(here, "jo@example.com", good, ""); reasonOf(err) != policy.RateLimit {
		t.Errorf("%v", err)
	}
}

func TestThePasswordIsOneWhateverTheKeyboardMakesOfIt(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w, ctx := newWorld(t, db), t.Context()
	composed, decomposed := "größe im café", "gro\u0308ße im cafe\u0301"
	p, err := w.SignUp(ctx, here, Person{Email: "jo@example.com", Password: composed, Name: "Jo"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Verify(ctx, here, p.ID, w.last("jo@example.com").code); err != nil {
		t.Fatal(err)
	}
	if err := w.try(here, "jo@example.com", decomposed, ""); err != nil {
		t.Error(err)
	}
	for _, password := range []string{"", strings.ToUpper(composed), composed + " ", strings.Repeat("x", 1<<20), "\x00", "\xff"} {
		if err := w.try(from("198.51.100.9"), "jo@example.com", password, ""); reasonOf(err) != policy.Unauthenticated {
			t.Errorf("%.20q: %v", password, err)
		}
	}
}

func TestAHashAtAnotherCostIsMadeAnewAtTheNextSignIn(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newWorld(t, db)
	w.member("jo@example.com")
	dearer := newHasher(HashCost{Time: 2, Memory: 32, Threads: 1})
	w.hasher = dearer
	if err := w.try(here, "jo@example.com", "wrong "+good, ""); reasonOf(err) != policy.Unauthenticated {
		t.Fatal(err)
	}
	if n := w.count(`SELECT COUNT(*) FROM identities WHERE password >= $1 AND password < $2`, "$argon2id$v=19$m=32,t=2", "$argon2id$v=19$m=32,t=3"); n != 0 {
		t.Error("a wrong password has changed the hash")
	}
	w.signIn("jo@example.com")
	if n := w.count(`SELECT COUNT(*) FROM identities WHERE password >= $1 AND password < $2`, "$argon2id$v=19$m=32,t=2", "$argon2id$v=19$m=32,t=3"); n != 1 {
		t.Error("the hash is the old one")
	}
	w.signIn("jo@example.com")
}

func TestLOG3ASignInFromANewPlaceIsLoggedAndTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.member("jo@example.com")
		for _, row := range []struct {
			address string
			news    bool
		}{
			{"192.0.2.7", false}, // the first of all
			{"192.0.2.200", false},
			{"203.0.113.5", true},
			{"203.0.113.9", false},
			{"2001:db8:1:2::3", true},
			{"2001:db8:1:ffff::9", false},
			{"::ffff:203.0.113.77", false},
			{"not an address", true},
		} {
			if err := w.try(from(row.address), "jo@example.com", good, ""); err != nil {
				t.Fatal(err)
			}
			letters := w.letters("jo@example.com")
			if (len(letters) == 1) != row.news || row.news && letters[0].subject != "A sign-in from a new place" {
				t.Errorf("%s: %+v", row.address, letters)
			}
			w.write(clearMails)
		}
		if got := strings.Join(w.logged(a.Org.ID), " "); got != "account.sign_up"+strings.Repeat(" session.new_place", 3) {
			t.Errorf("log: %s", got)
		}
		w.move(placesStay)
		if err := w.try(from("203.0.113.5"), "jo@example.com", good, ""); err != nil || len(w.letters("")) != 0 {
			t.Errorf("after half a year no place is known, and the first is no news: %v, %v", err, w.letters(""))
		}
	})
}

func TestAResetNeedsTheMailEndsAllSessionsAndLeavesTheFactor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		a := w.member("jo@example.com")
		ss, secret, _ := w.withFactor("jo@example.com")
		w.write(clearMails)
		p, err := w.StartReset(ctx, here, "jo@example.com")
		if err != nil {
			t.Fatal(err)
		}
		code := w.last("jo@example.com").code
		q, err := w.StartReset(ctx, here, "jo@example.com")
		if err != nil {
			t.Fatal(err)
		}
		other := w.last("jo@example.com").code
		if err := w.FinishReset(ctx, here, p.ID, code, "password123"); reasonOf(err) != policy.Malformed {
			t.Errorf("a bad password: %v", err)
		}
		if err := w.FinishReset(ctx, here, p.ID, other, "another "+good); reasonOf(err) != policy.CodeUnknown {
			t.Errorf("the code of another request: %v", err)
		}
		if _, err := w.Verify(ctx, here, p.ID, code); reasonOf(err) != policy.CodeUnknown {
			t.Errorf("a code for a reset makes an account: %v", err)
		}
		if err := w.FinishReset(ctx, here, p.ID, code, "another "+good); err != nil || w.alive(ss.Token) {
			t.Fatalf("%v, and the sessions must end", err)
		}
		if err := w.FinishReset(ctx, here, q.ID, other, "third "+good); reasonOf(err) != policy.CodeUsed {
			t.Errorf("another code of the time before: %v", err)
		}
		if err := w.try(here, "jo@example.com", good, ""); reasonOf(err) != policy.Unauthenticated {
			t.Errorf("the old password: %v", err)
		}
		if err := w.try(here, "jo@example.com", "another "+good, ""); reasonOf(err) != policy.MFARequired {
			t.Errorf("the factor must stay: %v", err)
		}
		if err := w.try(here, "jo@example.com", "another "+good, w.code(secret)); err != nil {
			t.Error(err)
		}
		if log := w.logged(a.Org.ID); log[len(log)-1] != "account.password_reset" {
			t.Errorf("log: %v", log)
		}
	})
}

func TestWhatIsOverIsTakenOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		w.member("jo@example.com")
		_ = w.try(here, "jo@example.com", "wrong "+good, "")
		w.move(codesStay + 2*time.Hour)
		if err := w.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"codes", "limits", "sign_ins"} {
			if n := w.count(`SELECT COUNT(*) FROM ` + table); n != 0 {
				t.Errorf("%d rows in %s", n, table)
			}
		}
	})
}

// TestASignInWithThePasswordFromBeforeAResetFails: the hash takes its time, and the password changes meanwhile.
func TestASignInWithThePasswordFromBeforeAResetFails(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newWorld(t, db)
	w.member("jo@example.com")
	for range hashers {
		w.hasher.working <- struct{}{}
	}
	result := make(chan error, 1)
	go func() { result <- w.try(here, "jo@example.com", good, "") }()
	for len(w.hasher.waiting) == 0 { // it has read the hash of now
		time.Sleep(time.Millisecond)
	}
	w.write(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE identities SET password = $1`, w.hasher.seal("another "+good))
		return err
	})
	for range hashers {
		<-w.hasher.working
	}
	if err := <-result; reasonOf(err) != policy.Unauthenticated {
		t.Errorf("%v", err)
	}
}

func TestSignInsThatAreTooManyAtOnceAreToldToComeAgain(t *testing.T) {
	h := newHasher(cheap)
	for range cap(h.waiting) {
		h.waiting <- struct{}{}
	}
	if _, err := h.make(t.Context(), good); reasonOf(err) != policy.RateLimit {
		t.Errorf("%v", err)
	}
	<-h.waiting
	for range hashers {
		h.working <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.fits(ctx, "", good); !errors.Is(err, context.Canceled) || len(h.waiting) != cap(h.waiting)-1 {
		t.Errorf("%v, %d wait", err, len(h.waiting))
	}
}
