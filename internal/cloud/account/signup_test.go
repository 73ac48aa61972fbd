package account

import (
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

func TestAnAccountBeginsWithAVerifiedAddress(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		p, err := w.SignUp(ctx, here, Person{Email: " Jo@Example.com", Password: good, Name: "Jo March", Organisation: "March & Co"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.SignIn(ctx, here, Credentials{Email: "jo@example.com", Password: good}, "")
		if reasonOf(err) != policy.Unauthenticated || w.count(`SELECT COUNT(*) FROM accounts`) != 0 {
			t.Fatalf("signed in before the address was verified: %v", err)
		}
		l := w.last("Jo@example.com")
		if l.code == "" || !strings.Contains(l.text, "https://cloud.example") || strings.Contains(l.text, good) {
			t.Fatalf("letter %+v", l)
		}
		a, err := w.Verify(ctx, here, p.ID, strings.ToLower(strings.ReplaceAll(l.code, "-", " ")))
		if err != nil || a.Name != "Jo March" || a.Org.Name != "March & Co" || a.Email != "Jo@example.com" || a.Operator || a.Factor {
			t.Fatalf("%+v, %v", a, err)
		}
		if got := w.logged(a.Org.ID); len(got) != 1 || got[0] != "account.sign_up" {
			t.Errorf("log: %v", got)
		}
		ss := w.signIn("JO@EXAMPLE.COM")
		if ss.Account.ID != a.ID || !w.alive(ss.Token) {
			t.Errorf("%+v", ss)
		}
		if _, err := w.Verify(ctx, here, p.ID, l.code); reasonOf(err) != policy.CodeUsed {
			t.Errorf("a code works twice: %v", err)
		}
	})
}

func TestINV10AndLOG10NothingThatIsSecretIsAtRest(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newWorld(t, db)
	p, err := w.SignUp(t.Context(), here, person("jo@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	code := w.last("jo@example.com").code
	if _, err := w.Verify(t.Context(), here, p.ID, code); err != nil {
		t.Fatal(err)
	}
	ss, secret, recovery := w.withFactor("jo@example.com")
	w.write(clearMails)
	for _, secret := range append(recovery, good, code, ss.Token, strings.ReplaceAll(code, "-", ""), strings.ReplaceAll(recovery[0], "-", "")) {
		if where := holds(t, w, secret); len(where) > 0 {
			t.Errorf("%q stands in %v", secret, where)
		}
	}
	if where := holds(t, w, secret); len(where) > 0 {
		t.Errorf("the secret of the second factor stands in %v", where)
	}
}

func TestCodesOfSignUps(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		begin := func(email string) (id, code string) {
			p, err := w.SignUp(ctx, here, person(email))
			if err != nil {
				t.Fatal(err)
			}
			return p.ID, w.last(email).code
		}
		verify := func(id, code string) policy.Reason {
			_, err := w.Verify(ctx, here, id, code)
			return reasonOf(err)
		}
		id, code := begin("late@example.com")
		w.move(codeLife)
		if r := verify(id, code); r != policy.CodeExpired {
			t.Errorf("after an hour: %s", r)
		}
		id, code = begin("locked@example.com")
		for range codeTries {
			if r := verify(id, "2222-2222-2222"); r != policy.CodeUnknown {
				t.Errorf("wrong: %s", r)
			}
		}
		if r := verify(id, code); r != policy.CodeLocked {
			t.Errorf("right, after %d wrong ones: %s", codeTries, r)
		}
		w.move(time.Hour)
		// Somebody else signs up with the address and another password. The code of the one's mail fits the one's sign-up alone.
		mine, code := begin("jo@example.com")
		his, other := begin("jo@example.com")
		if r := verify(his, code); r != policy.CodeUnknown {
			t.Errorf("the code of my sign-up completed another's: %s", r)
		}
		if r := verify(mine, code); r != "" {
			t.Errorf("my own: %s", r)
		}
		if r := verify(his, other); r != policy.CodeUsed {
			t.Errorf("a second account of one address: %s", r)
		}
		for _, id := range []string{"", "c_", "x", strings.Repeat("c_", 99), "c_' OR 1=1 --", "c_\x00"} {
			if r := verify(id, code); r != policy.CodeUnknown {
				t.Errorf("id %q: %s", id, r)
			}
		}
	})
}

func TestOneCodeOfFiftyAtOnceMakesOneAccount(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		p, err := w.SignUp(t.Context(), here, person("jo@example.com"))
		if err != nil {
			t.Fatal(err)
		}
		code := w.last("jo@example.com").code
		got := in(atOnce(50, func(int) error { _, err := w.Verify(t.Context(), here, p.ID, code); return err }))
		if got[""] != 1 || got[policy.CodeUsed] != 49 || w.count(`SELECT COUNT(*) FROM accounts`) != 1 {
			t.Errorf("%v", got)
		}
	})
}

func TestWrongCodesAtOnceAreAllCounted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		p, err := w.SignUp(t.Context(), here, person("jo@example.com"))
		if err != nil {
			t.Fatal(err)
		}
		got := in(atOnce(30, func(int) error { _, err := w.Verify(t.Context(), here, p.ID, "2222-2222-2222"); return err }))
		if got[policy.CodeUnknown] != codeTries || got[policy.CodeLocked] != 30-codeTries {
			t.Errorf("%v, want %d tries", got, codeTries)
		}
	})
}

// TestINV9SignUpAndResetTellNobodyWhoHasAnAccount: the whole life of a code, for an address with an account and one without, answer by answer.
func TestINV9SignUpAndResetTellNobodyWhoHasAnAccount(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		w.member("known@example.com")
		for name, f := range map[string]struct {
			begin  func(email string) (*Pending, error)
			finish func(id, code string) error
		}{
			"signup": {
				func(email string) (*Pending, error) { return w.SignUp(ctx, here, person(email)) },
				func(id, code string) error { _, err := w.Verify(ctx, here, id, code); return err },
			},
			"reset": {
				func(email string) (*Pending, error) { return w.StartReset(ctx, here, email) },
				func(id, code string) error { return w.FinishReset(ctx, here, id, code, "another "+good) },
			},
		} {
			tell := func(email string) (answers []string) {
				p, err := f.begin(email)
				if err != nil || len(p.ID) != 28 || !p.Expires.Equal(w.clock().Add(codeLife)) {
					t.Fatalf("%s %s: %+v, %v", name, email, p, err)
				}
				for range codeTries + 1 {
					answers = append(answers, f.finish(p.ID, "2222-2222-2222").Error())
				}
				w.move(codeLife)
				answers = append(answers, f.finish(p.ID, "2222-2222-2222").Error())
				for range LettersTo.Most + 1 {
					_, err = f.begin(email)
				}
				return append(answers, err.Error())
			}
			known := tell("known@example.com")
			w.move(2 * time.Hour) // the source has had its wrong codes
			unknown := tell("unknown-" + name + "@example.com")
			for i := range known {
				if cutTime(known[i]) != cutTime(unknown[i]) {
					t.Errorf("%s, answer %d: %q where there is an account, %q where there is none", name, i, known[i], unknown[i])
				}
			}
			w.write(clearMails)
			w.move(2 * time.Hour)
		}
		// What differs goes by mail.
		if _, err := w.SignUp(ctx, here, person("known@example.com")); err != nil {
			t.Fatal(err)
		}
		if l := w.last("known@example.com"); l.code != "" || l.subject != "You have an account" {
			t.Errorf("%+v", l)
		}
		if _, err := w.StartReset(ctx, here, "nobody@example.com"); err != nil {
			t.Fatal(err)
		}
		if l := w.last("nobody@example.com"); l.code != "" || l.subject != "There is no account with this address" {
			t.Errorf("%+v", l)
		}
	})
}

func TestLettersToAnAddressAndFromASourceAreLimited(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w, ctx := newWorld(t, db), t.Context()
	got := in(atOnce(20, func(int) error { _, err := w.StartReset(ctx, here, "jo@example.com"); return err }))
	if got[""] != int(LettersTo.Most) || got[policy.RateLimit] != 20-int(LettersTo.Most) || len(w.letters("jo@example.com")) != int(LettersTo.Most) {
		t.Errorf("%v, %d letters", got, len(w.letters("")))
	}
	w = newWorld(t, db) // a restart forgets nothing
	if _, err := w.SignUp(ctx, from("2001:db8::1"), person("JO@example.com")); reasonOf(err) != policy.RateLimit {
		t.Errorf("from elsewhere, in another spelling, after a restart: %v", err)
	}
	w.move(time.Hour)
	if _, err := w.SignUp(ctx, here, person("jo@example.com")); err != nil {
		t.Errorf("after an hour: %v", err)
	}
	var err error
	for n := range lettersFrom.Most {
		if _, err = w.StartReset(ctx, from("2001:db8::1"), "somebody"+strings.Repeat("x", int(n)%50)+string('a'+rune(n%26))+"@example.com"); err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err = w.StartReset(ctx, from("2001:db8::2"), "other@example.com"); reasonOf(err) != policy.RateLimit {
		t.Errorf("another address of the same site: %v", err)
	}
	if _, err = w.StartReset(ctx, from("2001:db8:0:1::1"), "other@example.com"); err != nil {
		t.Errorf("another site: %v", err)
	}
}
