package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
)

// A session is one connection to SQLite with the statements it has prepared. Preparing costs as much as inserting a row.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt

	failed error // of preparing a query for a Row
}

// maxStmts of one session; then they are made anew.
const maxStmts = 512

func newSession(ctx context.Context, db *sql.DB) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &session{conn: conn, stmts: map[string]*sql.Stmt{}}, nil
}

func (s *session) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := s.stmts[query]; st != nil {
		return st, nil
	}
	if len(s.stmts) >= maxStmts {
		s.forget()
	}
	st, err := s.conn.PrepareContext(ctx, query)
	if err == nil {
		s.stmts[query] = st
	}
	return st, err
}

func (s *session) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	st, err := s.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}

func (s *session) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	st, err := s.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

func (s *session) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	st, err := s.stmt(ctx, query)
	if err != nil {
		// Only a query makes a Row, and this one fails before it is begun. What is wrong is kept for the end of the transaction.
		s.failed = errors.Join(s.failed, err)
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return s.conn.QueryRowContext(ended, query, args...)
	}
	return st.QueryRowContext(ctx, args...)
}

func (s *session) forget() {
	for _, st := range s.stmts {
		_ = st.Close() // what it did has had its own error
	}
	clear(s.stmts)
}

// drop closes the connection, and with it what an error has left half done.
func (s *session) drop() {
	s.forget()
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn }) // closes it instead of keeping it for later
}
