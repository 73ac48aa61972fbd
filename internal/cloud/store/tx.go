package store

import (
	"context"
	"database/sql"
	"fmt"
)

// statements is what runs them: a connection with a transaction.
type statements interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// A Tx is a transaction at work. It is for one goroutine, and for fn alone.
type Tx struct {
	on      statements
	dialect string
	after   []func()
	failed  error // of a statement: PostgreSQL commits nothing behind it, and so does SQLite here
}

// Dialect is SQLite or Postgres.
func (tx *Tx) Dialect() string { return tx.dialect }

// Exec runs a statement and returns how many rows it changed.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	if tx.failed != nil {
		return 0, tx.failed
	}
	res, err := tx.on.ExecContext(ctx, query, args...)
	if err == nil {
		rows, err = res.RowsAffected()
	}
	return rows, tx.fail(err)
}

// Query asks. The rows are to be closed before the next statement.
func (tx *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if tx.failed != nil {
		return nil, tx.failed
	}
	rows, err := tx.on.QueryContext(ctx, query, args...)
	return rows, tx.fail(err)
}

// QueryRow asks for one row; Scan says sql.ErrNoRows when there is none.
func (tx *Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	row := tx.on.QueryRowContext(ctx, query, args...)
	_ = tx.fail(row.Err()) // Scan returns it
	return row
}

// After has f run after the commit, behind what was given before it, and not at all when there is none.
func (tx *Tx) After(f func()) { tx.after = append(tx.after, f) }

func (tx *Tx) fail(err error) error {
	if err != nil && tx.failed == nil {
		tx.failed = err
	}
	return err
}

// run calls fn, and reports a failed statement though fn did not.
func (tx *Tx) run(ctx context.Context, fn func(context.Context, *Tx) error) error {
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if tx.failed != nil {
		return fmt.Errorf("a statement failed before: %w", tx.failed)
	}
	return nil
}
