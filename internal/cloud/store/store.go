package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
)

// The dialects, and the drivers of a Config.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// A Config says which database.
type Config struct {
	Driver string // SQLite or Postgres; "": SQLite
	// DSN is the path of the file, made if need be, or postgres://user:secret@host/name?… A pooler between us and PostgreSQL must
	// keep sessions, not transactions alone.
	DSN string
	Log *slog.Logger // nil: nothing is logged
	// Wrap stands between a DB and its driver when it is set: tests have calls fail there.
	Wrap func(driver.Connector) driver.Connector
	// Existing opens what a server has made, and changes no table of it: ErrNone where there is nothing, ErrOlder where the server is to
	// bring the tables up to date first.
	Existing bool
}

var (
	// ErrNewer means that a later version of this program has changed the tables. Nothing was changed.
	ErrNewer = errors.New("the database is of a newer version of this program")
	// ErrNone means that there is no database of this program where one must be.
	ErrNone = errors.New("there is no database of upscloud here")
	// ErrOlder means that the tables are not those of this version of the program.
	ErrOlder = errors.New("the database is of an older version of this program; start the server of this version first")
	// ErrGone means that the file of the database was deleted, moved or replaced while it was in use. SQLite takes commits on as if
	// nothing had happened, and nobody would ever see them.
	ErrGone = errors.New("the database is not in its place any more; the program is to be started again")
	// ErrInDoubt means that the connection was lost during a commit: it may have been made. What is written again must be
	// recognised by its identity.
	ErrInDoubt = errors.New("the connection was lost during the commit, which may have been made")
	// ErrNested means that a transaction was asked for inside another one, which would wait for itself.
	ErrNested = errors.New("a transaction inside a transaction")
)

// A backend is one of the two databases.
type backend interface {
	// write and read run fn in one transaction, again where the database asks for that, and return what is to run afterwards.
	write(ctx context.Context, fn func(context.Context, *Tx) error) ([]func(), error)
	read(ctx context.Context, fn func(context.Context, *Tx) error) ([]func(), error)
	close() error
}

// A DB is an open database. Use Open.
type DB struct {
	dialect string
	backend backend
}

// Open connects, brings the tables up to date, and refuses tables of a newer version (ErrNewer). With Existing it makes nothing.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Wrap == nil {
		c.Wrap = func(k driver.Connector) driver.Connector { return k }
	}
	var b backend
	var err error
	switch c.Driver {
	case SQLite, "":
		c.Driver = SQLite
		b, err = openSQLite(ctx, c)
	case Postgres:
		b, err = openPostgres(ctx, c)
	default:
		err = fmt.Errorf("driver %q, want %s or %s", c.Driver, SQLite, Postgres)
	}
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return &DB{dialect: c.Driver, backend: b}, nil
}

// Dialect is SQLite or Postgres.
func (db *DB) Dialect() string { return db.dialect }

// Close ends all connections, after the transactions at work.
func (db *DB) Close() error { return db.backend.close() }

// Write runs fn in one serialisable transaction. When it returns nil, what fn did is on disk; else nothing was done, but for
// ErrInDoubt. fn runs again after a serialisation failure, a deadlock or a lost connection: it must set what it sets from the
// start. Its ctx is for its statements; the commit itself is not given up. On SQLite one runs at a time, in the order of asking.
func (db *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return db.run(ctx, db.backend.write, fn)
}

// Read runs fn on one snapshot. It may run again, as in Write; statements that change something are refused.
func (db *DB) Read(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return db.run(ctx, db.backend.read, fn)
}

type inside struct{}

func (db *DB) run(ctx context.Context, how func(context.Context, func(context.Context, *Tx) error) ([]func(), error), fn func(context.Context, *Tx) error) error {
	if ctx.Value(inside{}) == db {
		return ErrNested
	}
	after, err := how(context.WithValue(ctx, inside{}, db), fn)
	if err != nil {
		return err
	}
	for _, f := range after {
		f()
	}
	return nil
}
