package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"testing"

	"modernc.org/sqlite"

	"upsedge/internal/testenv"
)

// unsynced is SQLite that never waits for the disk, whatever it is told.
type unsynced struct{ real sqlite.Driver }

func init() { sql.Register("unsynced", &unsynced{}) }

func (u *unsynced) Open(name string) (driver.Conn, error) {
	c, err := u.real.Open(strings.ReplaceAll(name, "synchronous%28FULL%29", "synchronous%28OFF%29"))
	if err != nil {
		return nil, err
	}
	return unsyncedConn{c}, nil
}

type unsyncedConn struct{ driver.Conn }

func (c unsyncedConn) ExecContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Result, error) {
	if strings.HasPrefix(q, "PRAGMA synchronous=") {
		q = "PRAGMA synchronous=OFF"
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, q, args)
}

func (c unsyncedConn) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, q, args)
}

func (c unsyncedConn) PrepareContext(ctx context.Context, q string) (driver.Stmt, error) {
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, q)
}

// The key files are waited for by themselves: with the database synced and the keys not, records cannot be opened after a cut.
func TestAPowerCutTakesKeysThatWereNotSynced(t *testing.T) {
	for _, fs := range testenv.Filesystems {
		t.Run(fs, func(t *testing.T) {
			g := newRig(t, fs, "", 1)
			g.hasty = true
			for cuts := 0; cuts < 60 && g.faults() == 0; {
				cuts += g.oneLife(3)
			}
			g.report()
			if g.faults() == 0 {
				t.Error("nothing was lost without syncing the keys: the cuts cut nothing")
			}
		})
	}
}

// The cuts above prove something only if they can take what was not synced.
func TestAPowerCutTakesWhatWasNotSynced(t *testing.T) {
	for _, fs := range testenv.Filesystems {
		t.Run(fs, func(t *testing.T) {
			g := newRig(t, fs, "unsynced", 1)
			for cuts := 0; cuts < 30 && g.faults() == 0; {
				cuts += g.oneLife(3)
			}
			g.report()
			if g.faults() == 0 {
				t.Error("nothing was lost without syncing: the cuts cut nothing")
			}
		})
	}
}
