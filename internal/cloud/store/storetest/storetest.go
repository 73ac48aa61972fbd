// Package storetest runs tests of the cloud on both of its databases: SQLite, and a PostgreSQL server of the test binary's own with
// one database for each test. For tests only.
//
// With UPSEDGE_TEST_DATABASES=sqlite they run on SQLite alone: make mutate asks whether a check is missed, not how a database behaves.
package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"upsedge/internal/cloud/store"
	"upsedge/internal/testenv"
)

// Each runs fn on SQLite, and on a PostgreSQL database of its own.
func Each(t *testing.T, fn func(t *testing.T, db *store.DB)) {
	t.Helper()
	EachConfig(t, func(t *testing.T, c store.Config) { fn(t, Open(t, c)) })
}

// EachConfig is Each for tests that open their database themselves, or more than once.
func EachConfig(t *testing.T, fn func(t *testing.T, c store.Config)) {
	t.Helper()
	t.Run(store.SQLite, func(t *testing.T) { fn(t, SQLite(t)) })
	if os.Getenv("UPSEDGE_TEST_DATABASES") == store.SQLite {
		return
	}
	t.Run(store.Postgres, func(t *testing.T) { fn(t, Postgres(t)) })
}

// SQLite is a file of the test's own, with all tables, empty: making them costs as much as all else that a usual test does.
func SQLite(t testing.TB) store.Config {
	t.Helper()
	c := EmptySQLite(t)
	file, err := modelFile()
	if err == nil {
		err = os.WriteFile(c.DSN, file, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// modelFile returns what is in the file that others are copied from.
var modelFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "cloud.db")
	db, err := store.Open(context.Background(), store.Config{Driver: store.SQLite, DSN: file})
	if err == nil {
		err = db.Close() // and nothing is left in its log
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

// EmptySQLite is a file that is not there yet.
func EmptySQLite(t testing.TB) store.Config {
	t.Helper()
	return store.Config{Driver: store.SQLite, DSN: filepath.Join(t.TempDir(), "cloud.db")}
}

// model is the database that others are copied from.
const model = "model"

var makeModel sync.Once

// Postgres is a database of the test's own, with all tables, empty.
func Postgres(t testing.TB) store.Config {
	t.Helper()
	c := testenv.Postgres(t)
	makeModel.Do(func() {
		ask(t, c, "CREATE DATABASE "+model)
		db, err := store.Open(context.Background(), config(c, model))
		if err == nil {
			err = db.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	name := spare.take()
	if name == "" {
		name = fmt.Sprintf("t%d", last.Add(1))
		ask(t, c, "CREATE DATABASE "+name+" TEMPLATE "+model)
	}
	t.Cleanup(func() {
		if !t.Failed() && emptied(c, name) == nil {
			spare.give(name)
		} else {
			ask(t, c, "DROP DATABASE "+name+" WITH (FORCE)")
		}
	})
	return config(c, name)
}

// EmptyPostgres is a database without tables.
func EmptyPostgres(t testing.TB) store.Config {
	t.Helper()
	return PostgresOn(t, testenv.Postgres(t))
}

// PostgresOn is a database without tables on another server.
func PostgresOn(t testing.TB, c *testenv.Cluster) store.Config {
	t.Helper()
	name := fmt.Sprintf("t%d", last.Add(1))
	ask(t, c, "CREATE DATABASE "+name)
	return config(c, name)
}

var last atomic.Int64

func config(c *testenv.Cluster, name string) store.Config {
	return store.Config{Driver: store.Postgres, DSN: c.DSN(name)}
}

func ask(t testing.TB, c *testenv.Cluster, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", c.DSN("postgres"))
	if err == nil {
		defer db.Close()
		_, err = db.Exec(statement)
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Open opens a database that is closed with the test.
func Open(t testing.TB, c store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	return db
}
