package account

import (
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

func TestASecondFactorIsAskedForFromItsFirstCodeOn(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w, ctx := newWorld(t, db), t.Context()
	w.member("jo@example.com")
	ss := w.signIn("jo@example.com")
	if _, err := w.StartFactor(ctx, here, ss.Token, "wrong "+good); reasonOf(err) != policy.Unauthenticated {
		t.Errorf("a stolen session sets up a factor: %v", err)
	}
	if _, _, err := w.ConfirmFactor(ctx, here, ss.Token, "123456"); reasonOf(err) != policy.Conflict {
		t.Errorf("nothing waits: %v", err)
	}
	f, err := w.StartFactor(ctx, here, ss.Token, good)
	if err != nil || !strings.HasPrefix(f.URI, "otpauth://totp/upsedge:jo@example.com?") || !strings.Contains(f.URI, f.Secret) || len(f.Secret) != 32 {
		t.Fatalf("%+v, %v", f, err)
	}
	if err := w.try(here, "jo@example.com", good, ""); err != nil {
		t.Errorf("before the first code nothing is asked for: %v", err)
	}
	if _, _, err := w.ConfirmFactor(ctx, here, ss.Token, "000000"); reasonOf(err) != policy.MFARequired {
		t.Errorf("%v", err)
	}
	late := w.code(f.Secret)
	w.move(pendingLife + time.Second)
	if _, _, err := w.ConfirmFactor(ctx, here, ss.Token, w.code(f.Secret)); reasonOf(err) != policy.Conflict {
		t.Errorf("a secret waits for a quarter of an hour: %v", err)
	}
	if f, err = w.StartFactor(ctx, here, ss.Token, good); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.ConfirmFactor(ctx, here, ss.Token, late); reasonOf(err) != policy.MFARequired {
		t.Errorf("a code of the secret before: %v", err)
	}
	code := w.code(f.Secret)
	ss, recovery, err := w.ConfirmFactor(ctx, here, ss.Token, code)
	if err != nil || len(recovery) != recoveryCodes || !ss.Account.Factor {
		t.Fatalf("%+v, %v, %v", ss, recovery, err)
	}
	if err := w.try(here, "jo@example.com", good, ""); reasonOf(err) != policy.MFARequired {
		t.Errorf("without it: %v", err)
	}
	if err := w.try(here, "jo@example.com", "wrong "+good, w.code(f.Secret)); reasonOf(err) != policy.Unauthenticated {
		t.Errorf("a wrong password with a right code: %v", err)
	}
	if err := w.try(here, "jo@example.com", good, code); reasonOf(err) != policy.MFARequired {
		t.Errorf("the code that set it up, once more: %v", err)
	}
	if _, err := w.StartFactor(ctx, here, ss.Token, good); reasonOf(err) != policy.Conflict {
		t.Errorf("a second one: %v", err)
	}
}

func TestACodeIsTakenOnceAndNoneFromBeforeIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.member("jo@example.com")
		_, secret, _ := w.withFactor("jo@example.com")
		before := w.code(secret)
		w.move(30 * time.Second)
		now := w.code(secret)
		w.move(30 * time.Second)
		// Of now, the one before and the one after count.
		if err := w.try(here, "jo@example.com", good, now); err != nil {
			t.Errorf("the step before: %v", err)
		}
		if err := w.try(here, "jo@example.com", good, now); reasonOf(err) != policy.MFARequired {
			t.Errorf("twice: %v", err)
		}
		if err := w.try(here, "jo@example.com", good, before); reasonOf(err) != policy.MFARequired {
			t.Errorf("two steps before: %v", err)
		}
		w.move(-30 * time.Second)
		if err := w.try(here, "jo@example.com", good, before); reasonOf(err) != policy.MFARequired {
			t.Errorf("one of before the last taken: %v", err)
		}
		w.move(60 * time.Second)
		fresh := w.code(secret)
		got := in(atOnce(20, func(int) error { return w.try(here, "jo@example.com", good, fresh) }))
		if got[""] != 1 {
			t.Errorf("one code, twenty at once: %v", got)
		}
	})
}

func TestWrongCodesOfAFactorAreLimited(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newWorld(t, db)
	a := w.member("jo@example.com")
	_, secret, _ := w.withFactor("jo@example.com")
	for range factorHere.Most {
		if err := w.try(here, "jo@example.com", good, "000000"); reasonOf(err) != policy.MFARequired {
			t.Fatal(err)
		}
	}
	if err := w.try(here, "jo@example.com", good, w.code(secret)); reasonOf(err) != policy.RateLimit {
		t.Errorf("the right one after %d wrong ones: %v", factorHere.Most, err)
	}
	for n := range factorAll.Most - factorHere.Most {
		_ = w.try(from("198.51.100."+string('0'+rune(n%8))), "jo@example.com", good, "000000")
	}
	if err := w.try(from("203.0.113.1"), "jo@example.com", good, w.code(secret)); reasonOf(err) != policy.RateLimit {
		t.Errorf("after %d from everywhere: %v", factorAll.Most, err)
	}
	w.move(time.Hour)
	if err := w.try(here, "jo@example.com", good, w.code(secret)); err != nil {
		t.Error(err)
	}
	if n := strings.Count(strings.Join(w.logged(a.Org.ID), " "), "factor.give refused"); n != int(factorAll.Most) {
		t.Errorf("%d refusals are logged, want %d: %v", n, factorAll.Most, w.logged(a.Org.ID))
	}
}

func TestARecoveryCodeReplacesThePhoneOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, ctx := newWorld(t, db), t.Context()
		w.member("jo@example.com")
		ss, secret, recovery := w.withFactor("jo@example.com")
		w.write(clearMails)
		got := in(atOnce(10, func(int) error {
			return w.try(here, "jo@example.com", good, strings.ToLower(strings.ReplaceAll(recovery[3], "-", "")))
		}))
		if got[""] != 1 {
			t.Errorf("one code, ten at once: %v", got)
		}
		if l := w.last("jo@example.com"); !strings.Contains(l.text, "9 are left") {
			t.Errorf("%+v", l)
		}
		w.move(time.Hour)
		if _, err := w.StepUp(ctx, here, ss.Token, recovery[0]); err != nil {
			t.Error(err)
		}
		if n := w.count(`SELECT COUNT(*) FROM recovery_codes`); n != 8 {
			t.Errorf("%d are left", n)
		}
		again, err := w.SignIn(ctx, here, Credentials{Email: "jo@example.com", Password: good, Code: w.code(secret)}, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.RemoveFactor(ctx, here, again.Token, good, ""); reasonOf(err) != policy.MFARequired {
			t.Errorf("removed without a code: %v", err)
		}
		if _, err := w.RemoveFactor(ctx, here, again.Token, "wrong "+good, recovery[1]); reasonOf(err) != policy.Unauthenticated {
			t.Errorf("removed without the password: %v", err)
		}
		if _, err := w.RemoveFactor(ctx, here, again.Token, good, recovery[1]); err != nil {
			t.Errorf("the phone is lost, and a recovery code must do: %v", err)
		}
		if err := w.try(here, "jo@example.com", good, ""); err != nil || w.count(`SELECT COUNT(*) FROM recovery_codes`) != 0 {
			t.Errorf("%v", err)
		}
	})
}
