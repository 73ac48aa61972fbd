package command

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"upsedge/internal/clock"
)

const (
	// keepFor is how long the id of an order is known after its end, in time the agent has run (EDGE-6).
	keepFor = 7 * 24 * time.Hour
	// mostOrders bounds the journal: 25,000 orders of about 1 KiB. One more is refused until older ones may be forgotten: an id that
	// is alive never goes.
	mostOrders = 25_000
	// spare is what fraction of that there is beside for refusals, so that who orders learns it, and again for what takes an order
	// back: that is never refused for want of room (R10). Only orders in hand can be taken back, and none comes into hand before there is
	// room for it, so few rows are enough.
	spare = 25
	// waiting is what fraction of that, in results, may wait for the store before what can be done without is left out: answers to orders
	// that are known, and how far an order is. What remains is four results of each order that the journal has room for.
	waiting = 12
	// forgetOnce is how many orders one commit forgets at most, so that it stays short.
	forgetOnce = 200
)

// A journal is the open file. All commits go through one connection, one after the other.
type journal struct {
	path   string
	driver string
	most   int64 // orders
	rows   *atomic.Int64
	clock  *clock.Clock
	log    *slog.Logger

	mu      sync.Mutex
	file    os.FileInfo // of the journal when it was opened
	db      *sql.DB
	conn    *sql.Conn
	meta    meta             // as committed
	born    time.Time        // when a file without a past was begun in this process, zero for one that was found
	saved   map[string]*bind // of a journal that was set aside
	failure error            // of a commit: nothing is believed before the file was opened anew
}

// openJournal opens the journal of a state directory, or makes it. One that is broken, or suspect because something in it was, is set
// aside, and another begun: then lost is set in it. again says that there was one in this process: a new file took its place, then.
func openJournal(ctx context.Context, o Options, suspect, again bool) (*journal, error) {
	j := &journal{path: filepath.Join(o.Dir, fileName), driver: o.driver, most: o.most, rows: o.rows, clock: o.Clock, log: o.Log}
	err := j.open(ctx, again)
	if err == nil && suspect {
		err = errBroken
	}
	if structural(err) {
		j.salvage(ctx)
		j.abandon()
		j.failure = nil
		aside := ""
		if aside, err = setAside(j.path); err == nil {
			o.Log.Error("the journal of orders is damaged and was set aside; what its orders came to is not told any more", "file", aside)
			err = j.open(ctx, true)
		}
	}
	if err != nil {
		j.abandon()
		return nil, wrap("open", err)
	}
	return j, nil
}

func (j *journal) open(ctx context.Context, lost bool) error {
	if err := makeFile(j.path); err != nil {
		return err
	}
	q := url.Values{"_pragma": {
		"busy_timeout(2000)", "locking_mode(EXCLUSIVE)", "journal_mode(WAL)", "synchronous(FULL)", "temp_store(2)", "cache_size(-200)", "foreign_keys(0)",
	}}
	var err error
	if j.file, err = os.Stat(j.path); err != nil {
		return err
	}
	if j.db, err = sql.Open(j.driver, "file:"+(&url.URL{Path: j.path}).EscapedPath()+"?"+q.Encode()); err != nil {
		return err
	}
	j.db.SetMaxOpenConns(1)
	if j.conn, err = j.db.Conn(ctx); err != nil {
		return err
	}
	var version int
	if err := j.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch {
	case version > schemaVersion:
		return fmt.Errorf("%w: it has version %d, this program knows versions up to %d", ErrNewer, version, schemaVersion)
	case version == 0:
		if err := j.create(ctx, lost); err != nil {
			return err
		}
	}
	if err := j.check(ctx); err != nil {
		return err
	}
	// What an earlier failure left in doubt is read back, written to the file and synced, before anything stands on it.
	_, err = j.conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// check asks SQLite whether the file is sound, reads what is kept in memory, and takes the time since this file was used last into its age.
func (j *journal) check(ctx context.Context) error {
	var answer string
	if err := j.conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return err
	} else if answer != "ok" {
		return fmt.Errorf("%w: %s", errBroken, answer)
	}
	t := &tx{ctx: ctx, conn: j.conn}
	t.each(func(rows *sql.Rows) error {
		var text string
		err := rows.Scan(&text)
		if err == nil && !slices.Contains(schema, text) {
			err = fmt.Errorf("%w: an unexpected table", errBroken)
		}
		return err
	}, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
	t.loadMeta()
	var rows int64
	t.get([]any{&rows}, "SELECT count(*) FROM orders")
	if t.err != nil {
		return t.err
	}
	j.rows.Store(rows)
	j.meta = t.meta
	if now := j.clock.Mono(time.Now()); j.meta.boot != j.clock.Boot() || now < j.meta.mono {
		j.meta.boot, j.meta.mono = j.clock.Boot(), now // the box was off, for nobody knows how long
	}
	return j.checkRows()
}

// checkRows reads what has to be right from the start. A damaged row of an order that has ended is noticed when somebody asks for it.
func (j *journal) checkRows() error {
	_, err := j.binds()
	if err == nil {
		_, err = j.live()
	}
	if err == nil {
		_, _, err = j.waiting(-1)
	}
	if err == nil {
		_, _, err = j.drops("")
	}
	return err
}

// salvage keeps what a journal that is to be set aside says of devices, row by row: it decides under which epoch their records go, until
// the next statement. No order is obeyed for it.
func (j *journal) salvage(ctx context.Context) {
	if j.conn == nil {
		return
	}
	j.saved = map[string]*bind{}
	t := &tx{ctx: ctx, conn: j.conn}
	t.each(func(rows *sql.Rows) error {
		if device, b, err := scanBind(rows); err == nil {
			j.saved[device] = b
		}
		return nil
	}, "SELECT device, body, crc FROM binds")
}

// create makes the tables of a new file.
func (j *journal) create(ctx context.Context, lost bool) error {
	j.born = time.Now()
	t := &tx{ctx: ctx, conn: j.conn, meta: meta{lost: -1, boot: j.clock.Boot(), mono: j.clock.Mono(j.born)}}
	if lost {
		t.meta.lost = 0
	}
	_, _ = rand.Read(t.meta.journal[:]) // never fails
	t.exec("BEGIN IMMEDIATE")
	for _, table := range schema {
		t.exec(table)
	}
	t.exec(fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	t.exec(fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
	t.saveMeta()
	t.exec("COMMIT")
	return t.err
}

// age is how long agents with this journal have run. The caller holds mu.
func (j *journal) age() time.Duration { return j.meta.age + j.clock.Mono(time.Now()) - j.meta.mono }

// write runs fn as one commit that is on disk when write returns. After an error nobody knows whether it is: the journal answers nothing
// any more and is to be opened anew.
func (j *journal) write(what string, fn func(*tx)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure != nil {
		return j.failure
	}
	if err := j.stillThere(); err != nil {
		return j.failed(what, err, err)
	}
	// Once begun it is finished: a half-cancelled commit leaves the question open.
	t := &tx{ctx: context.Background(), conn: j.conn, meta: j.meta, most: j.most}
	t.meta.age, t.meta.mono = j.age(), j.clock.Mono(time.Now())
	t.exec("BEGIN IMMEDIATE")
	begun := t.err == nil
	fn(t)
	if errors.Is(t.err, errFull) && begun { // nothing was wrong with the disk
		_, err := j.conn.ExecContext(t.ctx, "ROLLBACK")
		return j.failed(what, err, t.err)
	}
	var rows int64
	t.get([]any{&rows}, "SELECT count(*) FROM orders")
	t.saveMeta()
	t.exec("COMMIT")
	if t.err != nil {
		return j.failed(what, t.err, t.err)
	}
	j.meta = t.meta
	j.rows.Store(rows)
	return nil
}

// stillThere finds out whether the journal is the file of its name. One that was deleted or moved takes commits on as if nothing had
// happened, and the next start would know nothing of them.
func (j *journal) stillThere() error {
	fi, err := os.Stat(j.path)
	if err == nil && os.SameFile(fi, j.file) || err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil // or the disk will say itself what is wrong with it
	}
	return errors.New("it was deleted, moved or replaced while it was in use")
}

// read runs fn on what is committed.
func (j *journal) read(what string, fn func(*tx)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure != nil {
		return j.failure
	}
	t := &tx{ctx: context.Background(), conn: j.conn, meta: j.meta}
	t.meta.age = j.age()
	fn(t)
	if t.err != nil {
		return j.failed(what, t.err, t.err)
	}
	return nil
}

// failed notes that the disk or the file failed, if bad says so, and returns err. The caller holds mu.
func (j *journal) failed(what string, bad, err error) error {
	err = wrap(what, err)
	if bad != nil {
		j.failure = fmt.Errorf("%w: %w", errNoJournal, err)
		return j.failure
	}
	return err
}

// close ends the use of the file.
func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure == nil {
		j.failure = errNoJournal
	}
	if j.db == nil {
		return nil
	}
	err := errors.Join(j.conn.Close(), j.db.Close())
	j.db, j.conn = nil, nil
	return wrap("close", err)
}

// abandon gives back what a failed opening took.
func (j *journal) abandon() {
	if j.conn != nil {
		_ = j.conn.Close() // it has failed already
	}
	if j.db != nil {
		_ = j.db.Close()
	}
	j.db, j.conn = nil, nil
}

// makeFile makes an empty file that nobody else can read, SQLite gives its companions the same mode.
func makeFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close(), syncDir(filepath.Dir(path)))
}

// setAside renames a broken file and its log, of which the last one is kept.
func setAside(path string) (string, error) {
	aside := path + ".broken"
	for _, end := range []string{"", "-wal", "-shm"} {
		err := os.Rename(path+end, aside+end)
		if errors.Is(err, os.ErrNotExist) {
			err = os.Remove(aside + end)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return filepath.Base(aside), syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// oneLine is a text of several lines as one, not longer than most bytes.
func oneLine(s string, most int) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
