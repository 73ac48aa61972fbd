package agent

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"modernc.org/sqlite"
)

// A refusing driver of SQLite begins no transaction while it refuses.
type refusing struct {
	name    string
	real    sqlite.Driver
	refuses atomic.Bool
	once    atomic.Pointer[string] // the next statement that begins so fails
	always  atomic.Pointer[string] // every one does
}

var errInjected = errors.New("injected: disk I/O error")

// refuse lets the next statement fail that begins so.
func (r *refusing) refuse(statement string) { r.once.Store(&statement) }

// fails reports whether a statement does.
func (r *refusing) fails(query string) bool {
	if p := r.always.Load(); p != nil && strings.HasPrefix(query, *p) {
		return true
	}
	p := r.once.Load()
	return p != nil && strings.HasPrefix(query, *p) && r.once.CompareAndSwap(p, nil)
}

var refusals atomic.Int64

// newRefusing registers a driver of its own.
func newRefusing() *refusing {
	r := &refusing{name: fmt.Sprintf("refusing-%d", refusals.Add(1))}
	sql.Register(r.name, r)
	return r
}

// Open is the driver's.
func (r *refusing) Open(name string) (driver.Conn, error) {
	c, err := r.real.Open(name)
	if err != nil {
		return nil, err
	}
	return refusingConn{c, r}, nil
}

type refusingConn struct {
	driver.Conn
	r *refusing
}

// ExecContext is the connection's.
func (c refusingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.r.refuses.Load() && query == "BEGIN IMMEDIATE" {
		return nil, errInjected
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

// QueryContext is the connection's.
func (c refusingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

// PrepareContext is the connection's.
func (c refusingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if c.r.fails(query) {
		return nil, errInjected
	}
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return refusingStmt{s, c.r, query}, nil
}

type refusingStmt struct {
	driver.Stmt
	r     *refusing
	query string
}

// ExecContext is the statement's.
func (s refusingStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.r.fails(s.query) {
		return nil, errInjected
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

// QueryContext is the statement's.
func (s refusingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.r.fails(s.query) {
		return nil, errInjected
	}
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}
