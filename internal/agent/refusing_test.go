package agent

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"

	"modernc.org/sqlite"
)

// A refusing driver of SQLite begins no transaction while it refuses.
type refusing struct {
	name    string
	real    sqlite.Driver
	refuses atomic.Bool
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
		return nil, errors.New("injected: disk I/O error")
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

// QueryContext is the connection's.
func (c refusingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

// PrepareContext is the connection's.
func (c refusingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
}
