package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

var bootID = wire.ID{1, 2, 3}

func at(sec int) wire.Stamp {
	return wire.Stamp{BootID: bootID, Mono: time.Duration(sec) * time.Second}
}

// reopen opens the store in dir and closes it at the end of the test.
func reopen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.crash() })
	return s
}

// fastDir is a directory for tests of which many calls wait for the disk and that lose nothing with it: in memory where the
// system has such a place.
func fastDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "store")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// crash ends the store as a killed process would: nothing is marked, nothing is checkpointed by us.
func (s *Store) crash() {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if !was {
		_ = s.release()
	}
}

func block(unit string, n, size int) Samples {
	return Samples{Unit: unit, Epoch: 7, First: at(10 * n), Last: at(10*n + 9), Payload: bytes.Repeat([]byte{byte(n)}, size)}
}

func event(id ups.AlarmID, kind ups.EventKind, n int) Event {
	return Event{Event: ups.Event{ID: id, Kind: kind, Severity: ups.Warning, Unit: "rack-a", Text: fmt.Sprint("number ", n)}, Epoch: 7, Stamp: at(n)}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func all(t testing.TB, s *Store, lane wire.Lane) []wire.Record {
	t.Helper()
	var out []wire.Record
	after := uint64(0)
	for {
		r, err := s.Next(t.Context(), lane, after, 100, 1<<20)
		must(t, err)
		if len(r) == 0 {
			return out
		}
		out = append(out, r...)
		after = r[len(r)-1].Seq
	}
}

func seqs(records []wire.Record) (out []uint64) {
	for _, r := range records {
		out = append(out, r.Seq)
	}
	return out
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (- want, + got):\n%s", what, d)
	}
}

func TestKeepsRecordsAndNumbersOverRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := reopen(t, dir, Options{BootID: bootID})
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 10), block("rack-b", 2, 20), block("rack-a", 3, 30)}))
	must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{event(101, ups.Raise, 5)}))
	stream := s.Stream()
	must(t, s.Ack(t.Context(), wire.Samples, 3))
	must(t, s.Close())
	must(t, s.Close()) // harmless

	s = reopen(t, dir, Options{BootID: bootID})
	if s.Stream() != stream || s.Boot() != 2 {
		t.Errorf("stream %v boot %d, want %v and 2", s.Stream(), s.Boot(), stream)
	}
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 4, 40)}))
	same(t, "samples", all(t, s, wire.Samples), []wire.Record{{
		Stream: stream, Lane: wire.Samples, Seq: 4, Class: wire.ClassSamples, Epoch: 7, Boot: 2, Stamp: at(40), Payload: bytes.Repeat([]byte{4}, 40),
	}})
	e := all(t, s, wire.Events)
	if len(e) != 1 || e[0].Seq != 1 || e[0].Boot != 1 || e[0].Class != wire.ClassAlarm || e[0].Stamp != at(5) {
		t.Errorf("events: %+v", e)
	}
	if fi, err := os.Stat(filepath.Join(dir, fileName)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("file mode %v, %v", fi.Mode(), err)
	}
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("directory mode %v, %v", fi.Mode(), err)
	}
}

func TestKeepsTheAgentIDApartFromTheDatabase(t *testing.T) {
	dir := t.TempDir()
	s := reopen(t, dir, Options{})
	id, err := s.AgentID(t.Context())
	must(t, err)
	must(t, s.Close())
	must(t, os.WriteFile(filepath.Join(dir, fileName), []byte("no database at all"), 0o600))
	s = reopen(t, dir, Options{})
	if again, err := s.AgentID(t.Context()); err != nil || again != id || len(id) != 32 {
		t.Errorf("agent id %q, %v, was %q", again, err, id)
	}
	if s.SetAside() != "store.db.broken-1" {
		t.Errorf("set aside %q", s.SetAside())
	}
}

func TestRefusesASecondOpener(t *testing.T) {
	dir := t.TempDir()
	s := reopen(t, dir, Options{})
	if _, err := Open(t.Context(), dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("second Open: %v, want ErrInUse", err)
	}
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 1)}))
	must(t, s.Close())
	must(t, reopen(t, dir, Options{}).Close())
}

func TestNextIsBoundedInRecordsAndBytesButNeverEmpty(t *testing.T) {
	s := reopen(t, t.TempDir(), Options{})
	for n := range 5 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 100)}))
	}
	for _, c := range []struct {
		after           uint64
		records, budget int
		want            []uint64
	}{
		{0, 2, 1000, []uint64{1, 2}},
		{2, 10, 250, []uint64{3, 4}},
		{2, 10, 1, []uint64{3}},
		{4, 0, 0, []uint64{5}},
		{5, 10, 1000, nil},
		{1<<64 - 1, 10, 1000, nil},
	} {
		got, err := s.Next(t.Context(), wire.Samples, c.after, c.records, c.budget)
		must(t, err)
		same(t, fmt.Sprintf("Next(%d, %d, %d)", c.after, c.records, c.budget), seqs(got), c.want)
	}
}

func TestPairsRaiseAndClearOverRestarts(t *testing.T) {
	dir := t.TempDir()
	s := reopen(t, dir, Options{})
	must(t, s.PutEvents(t.Context(), "rack-b", nil, []Event{event(101, ups.Raise, 1)}))
	must(t, s.PutEvents(t.Context(), "rack-a", []byte("state one"), []Event{event(801, ups.Raise, 2), event(101, ups.Raise, 3)}))
	s.crash()
	s = reopen(t, dir, Options{})
	if seq, err := s.RaisedSeq(t.Context(), "rack-a", 101, ups.NoGroup); seq != 3 || err != nil {
		t.Errorf("RaisedSeq = %d, %v, want 3", seq, err)
	}
	state, err := s.AlarmState(t.Context(), "rack-a")
	if string(state) != "state one" || err != nil {
		t.Errorf("state %q, %v", state, err)
	}
	if state, err := s.AlarmState(t.Context(), "rack-b"); state != nil || err != nil {
		t.Errorf("state of a unit without one: %q, %v", state, err)
	}
	must(t, s.Ack(t.Context(), wire.Events, 3))
	must(t, s.PutEvents(t.Context(), "rack-a", []byte{}, []Event{event(101, ups.Clear, 4), event(101, ups.Clear, 5), event(102, ups.Moment, 6)}))
	var by []uint64
	for _, r := range all(t, s, wire.Events) {
		e, err := wire.DecodeEvent(r.Payload)
		must(t, err)
		by = append(by, e.RaisedBy)
	}
	same(t, "raised by", by, []uint64{3, 0, 0})
	if seq, err := s.RaisedSeq(t.Context(), "rack-a", 101, ups.NoGroup); seq != 0 || err != nil {
		t.Errorf("RaisedSeq after the clear = %d, %v", seq, err)
	}
}

// TestEachOutletGroupHasItsOwnRaise: and an alarm of the unit under the same id, as earlier versions kept them, is another one.
func TestEachOutletGroupHasItsOwnRaise(t *testing.T) {
	s := reopen(t, t.TempDir(), Options{})
	of := func(kind ups.EventKind, g ups.Group, n int) Event {
		e := event(603, kind, n)
		e.Group = g
		return e
	}
	must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{of(ups.Raise, ups.NoGroup, 1), of(ups.Raise, ups.MainGroup, 2), of(ups.Raise, ups.SOG2, 3)}))
	for want, g := range []ups.Group{ups.NoGroup, ups.MainGroup, ups.SOG2} {
		if seq, err := s.RaisedSeq(t.Context(), "rack-a", 603, g); seq != uint64(want+1) || err != nil {
			t.Errorf("RaisedSeq of group %v = %d, %v, want %d", g, seq, err, want+1)
		}
	}
	must(t, s.Ack(t.Context(), wire.Events, 3))
	must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{of(ups.Clear, ups.SOG2, 4), of(ups.Clear, ups.SOG0, 5), of(ups.Clear, ups.MainGroup, 6)}))
	var by []uint64
	for _, r := range all(t, s, wire.Events) {
		e, err := wire.DecodeEvent(r.Payload)
		must(t, err)
		by = append(by, e.RaisedBy)
	}
	same(t, "raised by", by, []uint64{3, 0, 2})
}

func TestAcknowledgementsOfOldAndUnknownNumbersAreHarmless(t *testing.T) {
	s := reopen(t, t.TempDir(), Options{})
	for n := range 3 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 10)}))
	}
	for _, n := range []uint64{0, 4, 1 << 63, 1<<64 - 1} {
		must(t, s.Ack(t.Context(), wire.Samples, n))
	}
	same(t, "records", seqs(all(t, s, wire.Samples)), []uint64{1, 2, 3})
	must(t, s.Ack(t.Context(), wire.Samples, 2))
	must(t, s.Ack(t.Context(), wire.Samples, 1))
	same(t, "records", seqs(all(t, s, wire.Samples)), []uint64{3})
	st := s.Stats()
	same(t, "statistics", st.Samples, LaneStats{First: 3, Last: 3, Records: 1, Bytes: 10, Oldest: at(20), Dropped: map[wire.GapReason]uint64{}, Lost: map[wire.GapReason]Loss{}})
}

func TestListsInterruptedUnitsUntilTheirGapIsPut(t *testing.T) {
	dir := t.TempDir()
	s := reopen(t, dir, Options{})
	must(t, s.Begin(t.Context(), "rack-a", at(1)))
	must(t, s.Begin(t.Context(), "rack-b", at(2)))
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 1)}))
	s.crash()

	s = reopen(t, dir, Options{})
	want := []Interrupted{{Unit: "rack-a", Last: at(19)}, {Unit: "rack-b", Last: at(2)}}
	same(t, "after a crash", s.Crashed(), want)
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-b", 5, 1), block("rack-b", 6, 1)}))
	want[1].Resumed = at(50)
	same(t, "after samples", s.Crashed(), want)
	s.crash()

	s = reopen(t, dir, Options{})
	want = append(want, Interrupted{Unit: "rack-b", Last: at(69)})
	same(t, "after a second crash", s.Crashed(), want)
	from := want[0].Last
	from.Wall = time.Now() // completed since
	must(t, s.PutGap(t.Context(), wire.Gap{Unit: "rack-a", From: from, To: at(100), Reason: wire.GapCrash}, at(100)))
	same(t, "after a gap", s.Crashed(), want[1:])
	s.crash()

	s = reopen(t, dir, Options{})
	same(t, "after a third crash", s.Crashed(), want[1:])
	for _, i := range s.Crashed() {
		must(t, s.PutGap(t.Context(), wire.Gap{Unit: i.Unit, From: i.Last, To: at(100), Reason: wire.GapCrash}, at(100)))
	}
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 7, 1)}))
	must(t, s.Close())
	s = reopen(t, dir, Options{})
	same(t, "after a clean end", s.Crashed(), []Interrupted(nil))
	same(t, "gaps", seqs(all(t, s, wire.Events)), []uint64{1, 2, 3})
}

func TestWakesWhoeverWaits(t *testing.T) {
	s := reopen(t, t.TempDir(), Options{})
	got := make(chan uint64, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		after := uint64(0)
		for {
			changed := s.Changed(wire.Events)
			r, err := s.Next(ctx, wire.Events, after, 10, 1<<20)
			if err != nil {
				close(got)
				return
			}
			for _, r := range r {
				after = r.Seq
				got <- r.Seq
			}
			if len(r) > 0 {
				continue
			}
			select {
			case <-changed:
			case <-ctx.Done():
				close(got)
				return
			}
		}
	}()
	for n := range 100 {
		must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{event(102, ups.Moment, n)}))
	}
	deadline := time.After(30 * time.Second)
	for n := uint64(1); n <= 100; n++ {
		select {
		case seq := <-got:
			if seq != n {
				t.Fatalf("record %d, want %d", seq, n)
			}
		case <-deadline:
			t.Fatalf("record %d did not come", n)
		}
	}
	cancel()
	for range got {
	}
}
