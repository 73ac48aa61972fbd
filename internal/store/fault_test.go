package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"modernc.org/sqlite"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// faults is a SQLite driver whose calls fail on demand, without having done anything.
type faults struct {
	real     sqlite.Driver
	from, to atomic.Int64 // calls that fail, counted from 1 when armed
	calls    atomic.Int64
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
	if err := f.call(); err != nil {
		return nil, err
	}
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
	if err != nil {
		return nil, err
	}
	return faultyStmt{st, c.f}, nil
}

type faultyStmt struct {
	driver.Stmt
	f *faults
}

func (s faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.f.call(); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s faultyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.f.call(); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

// picture is all that can be seen of a store.
func picture(t testing.TB, s *Store) string {
	t.Helper()
	out := fmt.Sprintln(s.Crashed(), s.Stats().Events, s.Stats().Samples)
	for _, l := range wire.Lanes {
		for _, r := range all(t, s, l) {
			out += fmt.Sprintln(r)
		}
	}
	for _, u := range []string{"rack-a", "rack-b"} {
		state, err := s.AlarmState(t.Context(), u)
		seq, err2 := s.RaisedSeq(t.Context(), u, 101, ups.NoGroup)
		out += fmt.Sprintln(u, state, err, seq, err2)
	}
	return out
}

// furnish makes a store in which every operation has something to do.
func furnish(t testing.TB, dir string) *Store {
	t.Helper()
	s := reopen(t, dir, Options{driver: "faulty"})
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 100)}))
	s.crash()
	s = reopen(t, dir, Options{driver: "faulty"})
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-b", 2, 100), block("rack-b", 3, 100)}))
	must(t, s.PutEvents(t.Context(), "rack-a", []byte("one"), []Event{event(101, ups.Raise, 1)}))
	return s
}

func TestOneFailingDiskCallLeavesNothingHalfDone(t *testing.T) {
	operations := []struct {
		name string
		do   func(context.Context, *Store) error
	}{
		{"put samples", func(ctx context.Context, s *Store) error {
			return s.PutSamples(ctx, []Samples{block("rack-a", 4, 10), block("rack-b", 4, 10)})
		}},
		{"put events", func(ctx context.Context, s *Store) error {
			return s.PutEvents(ctx, "rack-a", []byte("two"), []Event{event(101, ups.Clear, 5), event(801, ups.Raise, 5)})
		}},
		{"put gap", func(ctx context.Context, s *Store) error {
			return s.PutGap(ctx, wire.Gap{Unit: "rack-a", From: at(19), To: at(30), Reason: wire.GapCrash}, at(30))
		}},
		{"acknowledge", func(ctx context.Context, s *Store) error { return s.Ack(ctx, wire.Samples, 2) }},
		{"begin", func(ctx context.Context, s *Store) error { return s.Begin(ctx, "rack-a", at(40)) }},
		{"next", func(ctx context.Context, s *Store) error {
			_, err := s.Next(ctx, wire.Samples, 0, 10, 1000)
			return err
		}},
	}
	for _, op := range operations {
		// One call, the call and the roll back after it, a disk that is away for long.
		for _, n := range []int64{1, 2, 100} {
			t.Run(fmt.Sprint(op.name, " ", n), func(t *testing.T) {
				s := furnish(t, fastDir(t))
				failures := 0
				for first := int64(1); ; first++ {
					before := picture(t, s)
					faulty.arm(first, n)
					err := op.do(t.Context(), s)
					reached := faulty.calls.Load() >= first
					faulty.arm(0, 0)
					if !reached {
						must(t, err)
						break
					}
					if err == nil { // it could do without that call
						s = furnish(t, fastDir(t))
						continue
					}
					failures++
					if !errors.Is(err, errDisk) {
						t.Fatalf("call %d failing: %v", first, err)
					}
					if after := picture(t, s); after != before {
						t.Fatalf("call %d failing left something done, before\n%s\nafter\n%s", first, before, after)
					}
				}
				if failures == 0 {
					t.Error("no call failed")
				}
				events, samples := all(t, s, wire.Events), all(t, s, wire.Samples)
				s.crash()
				if s = reopen(t, s.dir, Options{}); s.SetAside() != "" {
					t.Errorf("set aside after failing calls")
				}
				same(t, "events after a restart", all(t, s, wire.Events), events)
				same(t, "samples after a restart", all(t, s, wire.Samples), samples)
			})
		}
	}
}

func TestOpenAndCloseFailWholeAndCanBeRepeated(t *testing.T) {
	dir := fastDir(t)
	s := furnish(t, dir)
	want := fmt.Sprint(seqs(all(t, s, wire.Events)), seqs(all(t, s, wire.Samples)))
	lost := len(s.Crashed()) + 1 // rack-b is running
	for first := int64(1); ; first++ {
		s.crash()
		faulty.arm(first, 1)
		again, err := Open(t.Context(), dir, Options{driver: "faulty"})
		faulty.arm(0, 0)
		if err == nil {
			if s = again; first < 10 {
				t.Errorf("only %d calls could fail", first)
			}
			break
		}
		s = reopen(t, dir, Options{driver: "faulty"})
		if got := fmt.Sprint(seqs(all(t, s, wire.Events)), seqs(all(t, s, wire.Samples))); got != want || len(s.Crashed()) != lost || s.SetAside() != "" {
			t.Fatalf("after call %d of Open failed: %s and %v, set aside %q, want %s", first, got, s.Crashed(), s.SetAside(), want)
		}
	}
	for first := int64(1); ; first++ {
		faulty.arm(first, 1)
		err := s.Close()
		faulty.arm(0, 0)
		s = reopen(t, dir, Options{driver: "faulty"})
		if got := fmt.Sprint(seqs(all(t, s, wire.Events)), seqs(all(t, s, wire.Samples))); got != want || s.SetAside() != "" {
			t.Fatalf("after call %d of Close failed: %s, want %s", first, got, want)
		}
		if err == nil {
			break
		}
	}
}

func TestAUnitWhosePutFailedIsInterruptedInSpiteOfAClose(t *testing.T) {
	dir := fastDir(t)
	s := reopen(t, dir, Options{driver: "faulty"})
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 1), block("rack-b", 1, 1), block("rack-c", 1, 1)}))
	for _, unit := range []string{"rack-a", "rack-b"} {
		faulty.arm(2, 1)
		if err := s.PutSamples(t.Context(), []Samples{block(unit, 2, 1)}); err == nil {
			t.Fatal("put succeeded")
		}
	}
	faulty.arm(0, 0)
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-b", 2, 1)})) // the caller tried again
	must(t, s.Close())
	s = reopen(t, dir, Options{})
	same(t, "crashed", s.Crashed(), []Interrupted{{Unit: "rack-a", Last: at(19)}})
}
