package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sys/unix"
)

// Bounds of one process on a database that others share.
const (
	mostConns = 16
	// attempts of one transaction, with pauses that double from leastPause to mostPause: some 3 s in all, within which a server
	// that was restarted is back.
	attempts   = 12
	leastPause = 5 * time.Millisecond
	mostPause  = 500 * time.Millisecond
	// deadAfter is how long data may stay unconfirmed by the other machine before the connection counts as lost.
	deadAfter = 30 * time.Second
)

// postgresDB is a pool of connections. The driver keeps prepared statements with each of them.
type postgresDB struct {
	db  *sql.DB
	log *slog.Logger
}

func openPostgres(ctx context.Context, c Config) (*postgresDB, error) {
	cfg, err := pgx.ParseConfig(c.DSN)
	if err != nil {
		return nil, err // without the password
	}
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, 10*time.Second)
	cfg.DialFunc = (&net.Dialer{Control: unconfirmed}).DialContext
	for key, value := range map[string]string{
		"application_name":   "upscloud",
		"synchronous_commit": "on", // whatever the server's default: nil means on disk
		// A sequential scan of a serialisable transaction conflicts with every change of the table, and small tables are read so.
		"enable_seqscan": "off",
		"jit":            "off",
		// A process that hangs, or lost its network, must not keep rows locked for the others.
		"idle_in_transaction_session_timeout": "60s",
	} {
		if _, set := cfg.RuntimeParams[key]; !set {
			cfg.RuntimeParams[key] = value
		}
	}
	p := &postgresDB{db: sql.OpenDB(c.Wrap(stdlib.GetConnector(*cfg))), log: c.Log}
	p.db.SetMaxOpenConns(mostConns)
	p.db.SetMaxIdleConns(mostConns)
	p.db.SetConnMaxIdleTime(5 * time.Minute)
	if err := p.open(ctx, c.Existing); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func unconfirmed(network, _ string, c syscall.RawConn) (err error) {
	if network == "unix" {
		return nil
	}
	control := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds()))
	})
	return errors.Join(control, err)
}

// migrationLock is the advisory lock under which one process at a time brings the tables up to date: "upscloud" in ASCII.
const migrationLock = 0x757073636c6f7564

func (p *postgresDB) open(ctx context.Context, existing bool) error {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
		return err
	}
	if err := migrate(ctx, Postgres, p.db, migrations, existing); err != nil {
		return errors.Join(err, unlock(ctx, conn))
	}
	return unlock(ctx, conn)
}

func unlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, int64(migrationLock))
	return err
}

func (p *postgresDB) close() error { return p.db.Close() }

func (p *postgresDB) write(ctx context.Context, fn func(context.Context, *Tx) error) ([]func(), error) {
	return p.repeat(ctx, sql.TxOptions{Isolation: sql.LevelSerializable}, fn)
}

func (p *postgresDB) read(ctx context.Context, fn func(context.Context, *Tx) error) ([]func(), error) {
	return p.repeat(ctx, sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, fn)
}

func (p *postgresDB) repeat(ctx context.Context, o sql.TxOptions, fn func(context.Context, *Tx) error) ([]func(), error) {
	pause := leastPause
	for attempt := 1; ; attempt++ {
		after, err := p.once(ctx, o, fn)
		if err == nil {
			return after, nil
		}
		if attempt == attempts || !again(err) || !sleep(ctx, pause/2+rand.N(pause)) {
			return nil, err
		}
		if attempt > attempts/2 {
			p.log.Warn("transaction tried again", "attempt", attempt, "err", err)
		}
		pause = min(2*pause, mostPause)
	}
}

func (p *postgresDB) once(ctx context.Context, o sql.TxOptions, fn func(context.Context, *Tx) error) ([]func(), error) {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// With ctx its end could cut the commit in two. Statements have it themselves.
	on, err := conn.BeginTx(context.WithoutCancel(ctx), &o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = on.Rollback() }() // after the commit: does nothing
	tx := &Tx{on: on, dialect: Postgres}
	if err := tx.run(ctx, fn); err != nil {
		return nil, err
	}
	if err := on.Commit(); err != nil {
		return nil, commitError(err)
	}
	return tx.after, nil
}

// commitError tells a commit that was refused from one of which nobody knows.
func commitError(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && !lost(err) || errors.Is(err, pgx.ErrTxCommitRollback) {
		return fmt.Errorf("commit: %w", err)
	}
	return fmt.Errorf("%w: %w", ErrInDoubt, err)
}

// again reports whether the same transaction may succeed when it is run once more, and has certainly not been committed.
func again(err error) bool {
	if errors.Is(err, ErrInDoubt) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var e *pgconn.PgError
	if errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01") { // serialisation failure, deadlock
		return true
	}
	return lost(err)
}
