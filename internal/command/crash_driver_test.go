package command_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"

	"modernc.org/sqlite"
)

var errCrash = errors.New("the process is dead")

// A crasher ends a process at one of its steps: calls of the database, of the store, reads and writes of a unit. From there on nothing
// has an effect any more. A nil one does nothing.
type crasher struct {
	mu    sync.Mutex
	n     int  // steps made
	at    int  // the one at which it dies, 0: never
	after bool // once the step has had its effect, and nobody learns of it
	dead  bool
}

func (c *crasher) step(do func() error) error {
	if c == nil {
		return do()
	}
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return errCrash
	}
	c.n++
	dies, after := c.n == c.at, c.after
	if dies {
		c.dead = true
	}
	c.mu.Unlock()
	if dies && !after {
		return errCrash
	}
	err := do()
	if dies {
		return errCrash
	}
	return err
}

func (c *crasher) arm(at int, after bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n, c.at, c.after, c.dead = 0, at, after, false
}

func (c *crasher) died() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

func (c *crasher) steps() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// crashing is a SQLite driver whose calls are steps.
type crashing struct {
	real  sqlite.Driver
	crash *crasher
}

// mortal is the driver "mortal": one process at a time.
var mortal = func() *crashing {
	d := &crashing{crash: &crasher{}}
	sql.Register("mortal", d)
	return d
}()

func (d *crashing) Open(name string) (c driver.Conn, err error) {
	err = d.crash.step(func() error { c, err = d.real.Open(name); return err })
	if err != nil {
		if c != nil {
			_ = c.Close()
		}
		return nil, err
	}
	return mortalConn{c, d.crash}, nil
}

type mortalConn struct {
	driver.Conn
	crash *crasher
}

func (c mortalConn) ExecContext(ctx context.Context, q string, args []driver.NamedValue) (r driver.Result, err error) {
	err = c.crash.step(func() error {
		r, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, q, args)
		return err
	})
	return r, err
}

func (c mortalConn) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (r driver.Rows, err error) {
	err = c.crash.step(func() error {
		r, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, q, args)
		return err
	})
	if err != nil && r != nil {
		_ = r.Close()
		r = nil
	}
	return r, err
}
