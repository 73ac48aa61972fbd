package soak

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"

	"modernc.org/sqlite"
)

// failingDriver is the name of a SQLite driver whose n-th calls fail, for the agent's child process.
const failingDriver = "failing"

// A stretch is calls that fail, counted from 1, the last included.
type stretch struct{ First, Last int64 }

// A failing driver answers calls of its stretches with an error, without having done anything.
type failing struct {
	real  sqlite.Driver
	calls atomic.Int64
	when  []stretch
}

var errDisk = errors.New("injected: disk I/O error")

func registerFailing(when []stretch) { sql.Register(failingDriver, &failing{when: when}) }

func (f *failing) call() error {
	n := f.calls.Add(1)
	for _, s := range f.when {
		if n >= s.First && n <= s.Last {
			return errDisk
		}
	}
	return nil
}

func (f *failing) Open(name string) (driver.Conn, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	c, err := f.real.Open(name)
	if err != nil {
		return nil, err
	}
	return failingConn{c, f}, nil
}

type failingConn struct {
	driver.Conn
	f *failing
}

func (c failingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.f.call(); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c failingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.f.call(); err != nil {
		return nil, err
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c failingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.f.call(); err != nil {
		return nil, err
	}
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return failingStmt{s, c.f}, nil
}

type failingStmt struct {
	driver.Stmt
	f *failing
}

func (s failingStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.f.call(); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s failingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.f.call(); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}
