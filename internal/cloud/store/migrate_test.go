package store_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
)

func empty(t *testing.T, fn func(t *testing.T, c store.Config)) {
	t.Helper()
	t.Run(store.SQLite, func(t *testing.T) { fn(t, storetest.EmptySQLite(t)) })
	t.Run(store.Postgres, func(t *testing.T) { fn(t, storetest.EmptyPostgres(t)) })
}

func tables(t testing.TB, db *store.DB) (n int) {
	t.Helper()
	query := `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'`
	if db.Dialect() == store.Postgres {
		query = `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'public'`
	}
	must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.QueryRow(ctx, query).Scan(&n) }))
	return n
}

// Several processes that start at once make the tables once.
func TestProcessesThatStartAtOnce(t *testing.T) {
	empty(t, func(t *testing.T, c store.Config) {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				db, err := store.Open(t.Context(), c)
				if err != nil {
					t.Error(err)
					return
				}
				if tables(t, db) < 10 {
					t.Error("opened without tables")
				}
				must(t, db.Close())
			})
		}
		all.Wait()
	})
}

// A database of a newer version is refused with one clear error, and not touched.
func TestANewerDatabaseIsRefusedAndNotTouched(t *testing.T) {
	empty(t, func(t *testing.T, c store.Config) {
		db := storetest.Open(t, c)
		version := func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, $1)`, true)
			return err
		}
		// One of ours is missing: it would be made.
		gone := func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, `DROP TABLE notices`); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `DELETE FROM goose_db_version WHERE version_id = 1`)
			return err
		}
		must(t, db.Write(t.Context(), version))
		must(t, db.Write(t.Context(), gone))
		before := tables(t, db)
		_, err := store.Open(t.Context(), c)
		if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "99999") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v", err)
		}
		if n := tables(t, db); n != before {
			t.Errorf("%d tables, %d before", n, before)
		}
	})
}

func TestADatabaseThatIsNone(t *testing.T) {
	for _, c := range []store.Config{
		{Driver: "mysql"}, {DSN: "/dev/null"}, {Driver: store.Postgres, DSN: "postgres://user:secret@127.0.0.1:1/x"},
	} {
		db, err := store.Open(t.Context(), c)
		if err == nil {
			t.Errorf("%+v opens", c)
			must(t, db.Close())
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is told: %v", err)
		}
	}
}

// An operator's command changes no table and makes no database: not where there is none, not of an older version, not of a newer one.
func TestExistingMakesNothing(t *testing.T) {
	empty(t, func(t *testing.T, c store.Config) {
		here := c
		here.Existing = true
		if _, err := store.Open(t.Context(), here); !errors.Is(err, store.ErrNone) {
			t.Errorf("nothing there: %v", err)
		}
		if c.Driver != store.Postgres {
			if _, err := os.Stat(c.DSN); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a file was made: %v", err)
			}
		}
		db := storetest.Open(t, c)
		before := tables(t, db)
		again, err := store.Open(t.Context(), here)
		must(t, err)
		must(t, again.Close())
		for _, change := range []struct {
			sql  string
			args []any
			want error
		}{
			{`DELETE FROM goose_db_version WHERE version_id = 1`, nil, store.ErrOlder},
			{`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, $1)`, []any{true}, store.ErrNewer},
		} {
			must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, change.sql, change.args...)
				return err
			}))
			if _, err := store.Open(t.Context(), here); !errors.Is(err, change.want) {
				t.Errorf("%v, want %v", err, change.want)
			}
		}
		if n := tables(t, db); n != before {
			t.Errorf("%d tables, %d before", n, before)
		}
	})
}
