package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Backup copies a SQLite database into a new file, beside a server that is at work on it: what was committed when it began is in the copy, and
// nothing of what came later. The copy was read through by SQLite's own check, and is on disk. PostgreSQL has tools of its own.
func Backup(ctx context.Context, c Config, to string) (err error) {
	if c.Driver == Postgres {
		return errors.New("a PostgreSQL database is copied with pg_dump")
	}
	c.Existing = true
	db, err := Open(ctx, c) // is it one of ours, and of this version?
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is there already", to)
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // SQLite takes an empty file, and its rights
	if err != nil {
		return err
	}
	defer f.Close()
	path, err := filepath.Abs(c.DSN)
	if err != nil {
		return err
	}
	from := sql.OpenDB(connector{dsn(path)})
	defer from.Close()
	if _, err := from.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return errors.Join(fmt.Errorf("copy the database: %w", err), os.Remove(to))
	}
	if err := sound(ctx, to); err != nil {
		return err
	}
	return errors.Join(f.Sync(), SyncDir(filepath.Dir(to)))
}

// sound has SQLite read a whole file.
func sound(ctx context.Context, path string) error {
	db := sql.OpenDB(connector{dsn(path, "query_only(1)")})
	defer db.Close()
	var answer string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil || answer != "ok" {
		return fmt.Errorf("the copy %s is damaged: %s: %w", path, answer, err)
	}
	return nil
}
