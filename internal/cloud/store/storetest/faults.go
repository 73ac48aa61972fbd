package storetest

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync/atomic"
)

// ErrInjected is what a call fails with that Faults has fail.
var ErrInjected = errors.New("injected: disk I/O error")

// Faults stand between a database and its driver: give Wrap to store.Config. Calls fail on demand, without having done anything; with
// Late, a commit that fails has been made and only its success is not learnt.
type Faults struct {
	Late     atomic.Bool
	Commits  atomic.Bool  // only commits are counted, and fail
	from, to atomic.Int64 // calls that fail, counted from 1 when armed
	calls    atomic.Int64
}

// Arm makes n calls fail, beginning with the first-th from now. n = 0 disarms.
func (f *Faults) Arm(first, n int64) {
	f.from.Store(1 << 62)
	f.calls.Store(0)
	f.to.Store(first + n)
	f.from.Store(first)
}

func (f *Faults) call() error {
	if f.Commits.Load() {
		return nil
	}
	return f.count()
}

func (f *Faults) count() error {
	if n := f.calls.Add(1); n >= f.from.Load() && n < f.to.Load() {
		return ErrInjected
	}
	return nil
}

// commit runs a commit, whose failure may be late.
func (f *Faults) commit(do func() error) error {
	err := f.count()
	if err != nil && !f.Late.Load() {
		return err
	}
	return errors.Join(err, do())
}

// Wrap is for store.Config.
func (f *Faults) Wrap(c driver.Connector) driver.Connector { return faultyConnector{c, f} }

type faultyConnector struct {
	driver.Connector
	f *Faults
}

func (c faultyConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.f.call(); err != nil {
		return nil, err
	}
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return faultyConn{conn, c.f}, nil
}

type faultyConn struct {
	driver.Conn
	f *Faults
}

func (c faultyConn) ExecContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.f.call(); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, q, args)
}

func (c faultyConn) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.f.call(); err != nil {
		return nil, err
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, q, args)
}

func (c faultyConn) PrepareContext(ctx context.Context, q string) (driver.Stmt, error) {
	if err := c.f.call(); err != nil {
		return nil, err
	}
	st, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, q)
	return faultyStmt{st, c.f, q == "COMMIT"}, err
}

func (c faultyConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if err := c.f.call(); err != nil {
		return nil, err
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	return faultyTx{tx, c.f}, err
}

func (c faultyConn) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

type faultyTx struct {
	driver.Tx
	f *Faults
}

func (t faultyTx) Commit() error { return t.f.commit(t.Tx.Commit) }

type faultyStmt struct {
	driver.Stmt
	f      *Faults
	commit bool
}

func (s faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (res driver.Result, err error) {
	run := func() (err error) {
		res, err = s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
		return err
	}
	if s.commit {
		err = s.f.commit(run)
		return res, err
	}
	if err := s.f.call(); err != nil {
		return nil, err
	}
	err = run()
	return res, err
}

func (s faultyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.f.call(); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}
