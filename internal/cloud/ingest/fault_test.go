package ingest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"modernc.org/sqlite"

	"upsedge/internal/wire"
)

// faults is a SQLite driver whose calls fail on demand: without having done anything, or, with late, a commit that has been made
// and whose success was not learnt.
type faults struct {
	real     sqlite.Driver
	from, to atomic.Int64 // calls that fail, counted from 1 when armed
	calls    atomic.Int64
	late     atomic.Bool
}

var errDisk = errors.New("injected: disk I/O error")

var faulty = func() *faults {
	f := &faults{}
	sql.Register("faulty", f)
	return f
}()

// arm makes n calls fail, beginning with the first-th from now. n = 0 disarms.
func (f *faults) arm(first, n int64) {
	f.from.Store(1 << 62)
	f.calls.Store(0)
	f.to.Store(first + n)
	f.from.Store(first)
}

func (f *faults) call() error {
	if n := f.calls.Add(1); n >= f.from.Load() && n < f.to.Load() {
		return errDisk
	}
	return nil
}

func (f *faults) Open(name string) (driver.Conn, error) {
	c, err := f.real.Open(name)
	if err != nil {
		return nil, err
	}
	return faultyConn{c, f}, nil
}

type faultyConn struct {
	driver.Conn
	f *faults
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

type faultyStmt struct {
	driver.Stmt
	f      *faults
	commit bool
}

func (s faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	err := s.f.call()
	if err != nil && !(s.commit && s.f.late.Load()) {
		return nil, err
	}
	res, done := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	return res, errors.Join(err, done)
}

func (s faultyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.f.call(); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

// script is a bit of everything.
func script(b *box) [][]Message {
	return [][]Message{
		{b.first(5, 1), b.full(5, 1, wire.Waiting{First: 3, Last: 9}, wire.Waiting{First: 1})},
		{b.publish(b.alarm(3, "three")), b.publish(b.encoded(1, 0, 5)), b.publish(b.gap(4, quota(wire.Samples, 2, 6)))},
		{b.publish(b.alarm(3, "another")), b.publish(b.alarm(7, "seven")), {Topic: "upsedge/v1/rack7/host", Payload: []byte(`{"os":"x"}`)}},
		{b.publish(b.alarm(5, "five")), b.publish(b.block(5, 0, 5)), {Topic: "upsedge/v1/rack7/events", Payload: []byte("no")}},
		{b.publish(b.alarm(3, "three")), b.will(5)},
	}
}

// picture is all that can be seen of a receiver.
func picture(t testing.TB, r *Receiver) (out string) {
	t.Helper()
	ctx, rd := context.Background(), r.Reader()
	lanes, err := rd.Lanes(ctx)
	must(t, err)
	for _, l := range lanes {
		out += fmt.Sprintln(l)
		must(t, rd.Records(ctx, l, func(s Stored) error {
			out += fmt.Sprintln(s)
			return nil
		}))
		gaps, err := rd.Gaps(ctx, l.Agent, l.Stream)
		must(t, err)
		out += fmt.Sprintln(gaps)
	}
	agents, err := rd.Agents(ctx)
	must(t, err)
	asides, err := rd.Asides(ctx)
	must(t, err)
	quarantine, err := rd.Quarantine(ctx)
	must(t, err)
	return out + fmt.Sprintln(agents, asides, quarantine, told(t, r))
}

func fixed() time.Time { return start.Add(time.Hour) }

// T-22 at the receiving end: whatever fails, nothing of the batch is kept and nothing answered, and the next attempt keeps all.
func TestAFailingDiskKeepsAllOfABatchOrNothing(t *testing.T) {
	b := newBox(t, "rack7")
	steps := script(b)
	want := make([]string, len(steps))
	sound := opened(t, t.TempDir(), Options{Now: fixed})
	for i, step := range steps {
		take(t, sound, step...)
		want[i] = picture(t, sound)
	}
	failed := 0
	for i := range steps {
		dir := filepath.Join(t.TempDir(), "r")
		r := opened(t, dir, Options{Now: fixed, driver: "faulty"})
		for _, step := range steps[:i] {
			take(t, r, step...)
		}
		before := picture(t, r)
		for n := int64(1); ; n++ {
			faulty.arm(n, 1)
			answers, err := r.Take(t.Context(), steps[i])
			faulty.arm(1, 0)
			if err == nil {
				break // it takes fewer calls than that
			}
			failed++
			if !errors.Is(err, errDisk) || answers != nil || picture(t, r) != before {
				t.Fatalf("step %d, call %d: %v, %d answers\nbefore:\n%s\nafter:\n%s", i, n, err, len(answers), before, picture(t, r))
			}
		}
		if got := picture(t, r); got != want[i] {
			t.Errorf("step %d, at last:\n%s\nwant:\n%s", i, got, want[i])
		}
	}
	if failed < 60 {
		t.Errorf("only %d calls failed", failed)
	}
}

// A commit may have been made though its success was never learnt.
func TestABatchCommittedTwiceIsThereOnce(t *testing.T) {
	r, b := opened(t, t.TempDir(), Options{driver: "faulty"}), newBox(t, "rack7")
	batch := []Message{b.publish(b.alarm(1, "one")), b.publish(b.gap(2, quota(wire.Samples, 1, 6))), b.publish(b.block(7, 0, 5))}
	faulty.late.Store(true)
	defer faulty.late.Store(false)
	faulty.arm(1, 0)
	take(t, r, b.full(1, 1))
	calls := int64(0)
	for n := int64(1); calls == 0; n++ {
		faulty.arm(n, 1)
		_, err := r.Take(t.Context(), batch)
		if numbers(t, r, b, wire.Events) != nil {
			calls = n
			if err == nil {
				t.Fatal("the commit did not fail")
			}
		}
	}
	faulty.arm(1, 0)
	wantMarks(t, take(t, r, batch...), "rack7 events 2", "rack7 samples 7")
	if l := laneOf(t, r, b, wire.Events); l.Records != 2 {
		t.Errorf("%+v", l)
	}
	wantTold(t, r)
}

func TestNothingIsAcknowledgedWhileTheDiskRefuses(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, err := Open(context.Background(), dir, Options{driver: "faulty"})
		must(t, err)
		defer r.Close()
		var published, stored atomic.Int64
		g := &group{r: r, in: make(chan delivery, 10), publish: func(a []Answer) { published.Add(int64(len(a))) }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); g.run(ctx) }()
		b := newBox(t, "rack7")
		faulty.arm(1, 1<<40)
		g.in <- delivery{b.publish(b.alarm(1, "one")), func() { stored.Add(1) }}
		time.Sleep(time.Minute)
		synctest.Wait()
		if published.Load() != 0 || stored.Load() != 0 {
			t.Errorf("%d answers, %d acknowledged on a disk that refuses", published.Load(), stored.Load())
		}
		faulty.arm(1, 0)
		time.Sleep(mostRetry)
		synctest.Wait()
		if published.Load() != 1 || stored.Load() != 1 {
			t.Errorf("%d answers, %d acknowledged afterwards, want one each", published.Load(), stored.Load())
		}
		cancel()
		<-done
	})
}

// A database that is deleted under a running receiver takes commits on; what is only there must not be acknowledged.
func TestNothingIsAcknowledgedIntoADatabaseThatIsGone(t *testing.T) {
	dir := t.TempDir()
	r, err := Open(t.Context(), dir, Options{})
	must(t, err)
	t.Cleanup(func() { _ = r.Close() })
	b := newBox(t, "rack7")
	take(t, r, b.publish(b.block(1, 0, 1)))
	path := filepath.Join(dir, fileName)
	must(t, os.Rename(path, path+".away"))
	for range 2 {
		if answers, err := r.Take(t.Context(), []Message{b.publish(b.block(2, 0, 1))}); !errors.Is(err, ErrGone) || len(answers) > 0 {
			t.Errorf("%d answers, %v", len(answers), err)
		}
	}
	must(t, os.Rename(path+".away", path))
	take(t, r, b.publish(b.block(2, 0, 1)))
}
