package ingest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"upsedge/internal/wire"
)

const fileName = "receiver.db"

// Options are what a Receiver can be told. The zero value works.
type Options struct {
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged
	// Statement makes the signed answer to a session's first state, what is published on its orders; nil: none is given.
	Statement func(agent string, nonce wire.ID, now time.Time) ([]byte, error)
	driver    string // of database/sql; "": sqlite
}

// A Receiver takes messages and keeps what they say. Use Open. One process at a time writes to a directory.
type Receiver struct {
	o       Options
	log     *slog.Logger
	writer  *sql.DB
	readers *sql.DB
	lock    *os.File
	path    string      // of the database
	file    os.FileInfo // what stood there when it was opened

	mu        sync.Mutex // one batch at a time; guards what follows
	conn      *sql.Conn  // of writer, which has no other
	stmts     map[string]*sql.Stmt
	cache     cache
	listening time.Time // since when messages can come; zero: they cannot
}

// Open opens the database in dir, or makes it (SQLite, write-ahead log, every commit synced). A directory that another process
// has open is an error, and so is a database of a newer version (ErrNewer).
func Open(ctx context.Context, dir string, o Options) (*Receiver, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.driver == "" {
		o.driver = "sqlite"
	}
	r := &Receiver{o: o, log: o.Log}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.cache.drop()
	if err := r.open(ctx, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("open the records in %s: %w", dir, err), r.Close())
	}
	return r, nil
}

func (r *Receiver) open(ctx context.Context, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if r.lock, err = lockDir(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, fileName)
	if r.writer, err = connect(r.o.driver, path, 1, "journal_mode(WAL)", "synchronous(FULL)"); err != nil {
		return err
	}
	if err := migrate(ctx, r.writer); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil { // the file's name, too, is on disk before anything is acknowledged
		return err
	}
	r.path = path
	if r.file, err = os.Stat(path); err != nil {
		return err
	}
	if err := r.takeConnection(ctx); err != nil {
		return err
	}
	r.readers, err = connect(r.o.driver, path, anyConns, "query_only(1)")
	return err
}

// anyConns: readers open as many connections as are asked for. Who goes through a lane needs a second one to place its records.
const anyConns = 0

func connect(name, path string, conns int, pragmas ...string) (*sql.DB, error) {
	// busy_timeout in ms; a reader never waits for the writer, only for the recovery of a log. cache_size in KiB when negative.
	q := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "cache_size(-8000)"}, pragmas...)}
	db, err := sql.Open(name, "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(max(conns, 2))
	return db, nil
}

// takeConnection opens the connection that writes, if there is none.
func (r *Receiver) takeConnection(ctx context.Context) (err error) {
	if r.conn == nil {
		r.stmts = map[string]*sql.Stmt{}
		if r.conn, err = r.writer.Conn(ctx); err != nil {
			return fmt.Errorf("open the database: %w", err)
		}
	}
	return nil
}

// dropConnection closes it, and with it what an error has left half done: SQLite undoes that, and the next one begins with what
// the disk has.
func (r *Receiver) dropConnection() {
	if r.conn == nil {
		return
	}
	for _, st := range r.stmts {
		_ = st.Close() // what they did has had its own error
	}
	_ = r.conn.Raw(func(any) error { return driver.ErrBadConn }) // closes it instead of keeping it for later
	r.conn, r.stmts = nil, nil
}

// ErrGone means that the database was deleted, moved or replaced while it was in use. It takes commits on as if nothing had
// happened, and nobody would ever see them: nothing is acknowledged until the receiver is started again.
var ErrGone = errors.New("the database is not in its place any more; the receiver is to be started again")

func (r *Receiver) stillThere() error {
	fi, err := os.Stat(r.path)
	if err == nil && os.SameFile(fi, r.file) || err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil // or the disk will say itself what is wrong with it
	}
	return ErrGone
}

// Close ends the work. What was acknowledged is on disk whether it is called or not.
func (r *Receiver) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropConnection()
	var errs []error
	for _, db := range []*sql.DB{r.readers, r.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if r.lock != nil {
		errs = append(errs, r.lock.Close())
	}
	return errors.Join(errs...)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
