package store_test

import (
	"context"
	"errors"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func table(t testing.TB, db *store.DB) {
	t.Helper()
	must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `CREATE TABLE things (name TEXT PRIMARY KEY, count BIGINT NOT NULL)`)
		return err
	}))
}

func count(t testing.TB, db *store.DB, name string) (n int64) {
	t.Helper()
	must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.QueryRow(ctx, `SELECT COALESCE(MAX(count), -1) FROM things WHERE name = $1`, name).Scan(&n)
	}))
	return n
}

func put(name string, n int64) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO things (name, count) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET count = excluded.count`, name, n)
		return err
	}
}

func TestWhatIsWrittenIsThereAndWhatFailedIsNot(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		table(t, db)
		var after []string
		must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			tx.After(func() { after = append(after, "one") })
			tx.After(func() { after = append(after, "two") })
			return put("a", 1)(ctx, tx)
		}))
		if len(after) != 2 || after[0] != "one" {
			t.Errorf("ran behind the commit: %q", after)
		}
		no := errors.New("no")
		err := db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			tx.After(func() { t.Error("ran though nothing was committed") })
			return errors.Join(put("a", 2)(ctx, tx), no)
		})
		if !errors.Is(err, no) || count(t, db, "a") != 1 {
			t.Errorf("%v, and the count is %d", err, count(t, db, "a"))
		}
	})
}
