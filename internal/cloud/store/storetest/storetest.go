// Package storetest runs tests of the cloud on both of its databases. For tests only.
package storetest

import (
	"path/filepath"
	"testing"

	"upsedge/internal/cloud/store"
)

// Each runs fn on SQLite, and on a PostgreSQL database of its own.
func Each(t *testing.T, fn func(t *testing.T, db *store.DB)) {
	t.Helper()
	EachConfig(t, func(t *testing.T, c store.Config) { fn(t, Open(t, c)) })
}

// EachConfig is Each for tests that open their database themselves, or more than once. It is empty.
func EachConfig(t *testing.T, fn func(t *testing.T, c store.Config)) {
	t.Helper()
	t.Run(store.SQLite, func(t *testing.T) { fn(t, SQLite(t)) })
}

// SQLite is a file of the test's own.
func SQLite(t testing.TB) store.Config {
	return store.Config{Driver: store.SQLite, DSN: filepath.Join(t.TempDir(), "cloud.db")}
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
