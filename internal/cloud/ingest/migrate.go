package ingest

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNewer means that a later version of this program has written the database. Nothing was changed.
var ErrNewer = errors.New("the database is of a newer version")

// migrate brings the tables up to date: each file of migrations once, in the order of their numbers, with its number in the same
// transaction. The files have the form of goose, for which only what stands behind "+goose Up" counts here.
func migrate(ctx context.Context, db *sql.DB) error {
	const table = `CREATE TABLE IF NOT EXISTS versions (version BIGINT PRIMARY KEY)`
	if _, err := db.ExecContext(ctx, table); err != nil {
		return err
	}
	var have int
	if err := db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM versions`).Scan(&have); err != nil {
		return err
	}
	files, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return err
	}
	if have > len(files) {
		return fmt.Errorf("%w: %d, this program knows %d", ErrNewer, have, len(files))
	}
	for i, name := range files[have:] {
		if err := migrateOne(ctx, db, have+i+1, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func migrateOne(ctx context.Context, db *sql.DB, version int, name string) error {
	text, err := migrations.ReadFile(name)
	if err != nil {
		return err
	}
	_, up, _ := strings.Cut(string(text), "-- +goose Up\n")
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after the commit: does nothing
	for statement := range strings.SplitSeq(up, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO versions (version) VALUES ($1)`, version); err != nil {
		return err
	}
	return tx.Commit()
}
