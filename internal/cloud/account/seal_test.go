package account

import (
	"context"
	"errors"
	"strings"
	"testing"

	"upsedge/internal/cloud/secret"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// TestT84ADatabaseAloneGivesNoSecondFactor: what an earlier version kept as it was is sealed at the start, works as before, and opens
// neither with another key nor in another row.
func TestT84ADatabaseAloneGivesNoSecondFactor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.member("jo@example.com")
		w.member("mo@example.com")
		_, plain, _ := w.withFactor("jo@example.com")
		_, other, _ := w.withFactor("mo@example.com")
		ctx := t.Context()
		w.write(func(ctx context.Context, tx *store.Tx) error { // as it was before
			_, err := tx.Exec(ctx, `UPDATE identities SET totp_secret = $1, totp_pending = $1 WHERE email = 'jo@example.com'`, plain)
			return err
		})
		if err := w.SealFactors(ctx); err != nil {
			t.Fatal(err)
		}
		if where := holds(t, w, plain); len(where) > 0 {
			t.Errorf("it stands in %v", where)
		}
		if err := w.try(here, "jo@example.com", good, w.code(plain)); err != nil {
			t.Errorf("sealed afterwards: %v", err)
		}
		before := w.count(`SELECT COUNT(DISTINCT totp_secret) FROM identities`)
		w.secrets = secret.Random() // somebody else's
		if err := w.try(here, "mo@example.com", good, w.code(other)); !errors.Is(err, secret.ErrSealed) {
			t.Errorf("with another key: %v, want a fault", err)
		}
		if err := w.SealFactors(ctx); err == nil || before != w.count(`SELECT COUNT(DISTINCT totp_secret) FROM identities`) {
			t.Errorf("another key was put over what it does not open: %v", err)
		}
	})
}

// TestT84AnotherKeyInFrontSealsAnew: who rotates the key starts with both.
func TestT84AnotherKeyInFrontSealsAnew(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	old, fresh := secret.Make(), secret.Make()
	keys := func(lines ...string) {
		k, err := secret.Parse(strings.Join(lines, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		w.secrets = k
		if err := w.SealFactors(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	keys(old)
	w.member("jo@example.com")
	_, plain, _ := w.withFactor("jo@example.com")
	keys(fresh, old)
	keys(fresh)
	if err := w.try(here, "jo@example.com", good, w.code(plain)); err != nil {
		t.Error(err)
	}
	if err := w.try(here, "jo@example.com", good, "000000"); reasonOf(err) != policy.MFARequired {
		t.Error(err)
	}
}
