package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"upsedge/internal/wire"
)

// A tidy is work on what is already stored that is done in pieces, each a commit of its own: at the opening for a moment, then one
// with each put of samples. Records can be read, put and acknowledged meanwhile, and a crash or a full disk only puts it off.
type tidy struct {
	unsealed [len(laneTables)]seqRange // what version 1 wrote and is not sealed yet
	states   bool                      // alarm states among it
	dirty    bool                      // free parts of the files are to be cleaned of it
	sealed   int64                     // records sealed in this run
	told     time.Time                 // the log spoke of it

	sweep sweeping
}

type seqRange struct{ first, last uint64 }

func (r seqRange) empty() bool { return r.first > r.last }

const (
	tidyTime  = time.Second // spent on it at the opening
	tidyRows  = 2048        // of one piece: some 50 ms
	tidyBytes = 1 << 20     // of payloads of one piece
	tellEvery = 10 * time.Second
)

// tidyAtOpen looks what there is to do and does it for a moment.
func (s *Store) tidyAtOpen(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	s.loadUnsealed(ctx)
	s.tidyWork.sweep = newSweeping(s.ring.gone())
	for begun := time.Now(); time.Since(begun) < tidyTime; {
		if !s.tidyPiece(ctx) {
			return
		}
	}
}

// tidyPiece does a piece and reports whether there is more to do now. On a full disk, when the reserve is not whole, nothing can be
// spared for it. The caller has the turn, or nobody else has the store.
func (s *Store) tidyPiece(ctx context.Context) (more bool) {
	w := &s.tidyWork
	var err error
	switch {
	case !s.reserved:
		return false
	case w.sealing():
		err = s.sealPiece(ctx)
	case !w.sweep.done():
		err = s.sweepPiece(ctx, &w.sweep)
	default:
		return false
	}
	if err != nil {
		s.log.Debug("tidying put off", "err", err)
	}
	return err == nil
}

func (w *tidy) sealing() bool {
	return w.dirty || w.states || !w.unsealed[wire.Events].empty() || !w.unsealed[wire.Samples].empty()
}

func (s *Store) loadUnsealed(ctx context.Context) {
	w := &s.tidyWork
	*w = tidy{told: time.Now()}
	for _, l := range wire.Lanes {
		w.unsealed[l] = seqRange{1, 0}
	}
	t := &tx{ctx: ctx, s: s}
	t.each(func(rows *sql.Rows) (bool, error) {
		var lane, first, last int64
		err := rows.Scan(&lane, &first, &last)
		if err == nil && checkLane(wire.Lane(lane)) == nil && first > 0 {
			w.unsealed[lane] = seqRange{uint64(first), uint64(last)}
			w.states, w.dirty = true, true
		}
		return true, err
	}, "SELECT lane, first, last FROM unsealed")
	if t.err != nil {
		s.log.Warn("what is to be sealed is not known", "err", t.err)
	}
}

// sealPiece seals some of what version 1 wrote.
func (s *Store) sealPiece(ctx context.Context) error {
	w := &s.tidyWork
	_ = s.w.plain(ctx, "PRAGMA secure_delete=ON") // what is overwritten shall not stay readable in its page
	err := s.commit(ctx, "seal what an earlier version wrote", durable, func(t *tx) {
		if w.states {
			t.resealStates()
			t.after = append(t.after, func() { w.states = false })
			return
		}
		for _, l := range wire.Lanes {
			if !w.unsealed[l].empty() {
				t.reseal(l, w.unsealed[l])
				return
			}
		}
		t.exec("DELETE FROM unsealed")
		t.after = append(t.after, func() { w.dirty = false })
	})
	if err != nil {
		return err
	}
	if w.sealing() {
		if w.left() == 0 && !w.states {
			s.cleanFree(ctx)
		} else if time.Since(w.told) >= tellEvery {
			w.told = time.Now()
			s.log.Info("sealing what an earlier version wrote", "done", w.sealed, "left", w.left())
		}
		return nil
	}
	s.log.Info("what an earlier version wrote is sealed", "records", w.sealed)
	return nil
}

// left is how many numbers are to be looked at yet.
func (w *tidy) left() (n uint64) {
	for _, l := range wire.Lanes {
		if r := w.unsealed[l]; !r.empty() {
			n += r.last - r.first + 1
		}
	}
	return n
}

// rewritePages bounds what is rewritten in one commit, and in memory: 8 MiB.
const rewritePages = 2048

// cleanFree takes what version 1 left unsealed out of the files, now that no record is: free pages are given back and the log is
// emptied. Within pages copies of records may remain (SQLite leaves them there when it divides a page); where the database
// is small it is rewritten, in a large one they stay until the page is used again.
func (s *Store) cleanFree(ctx context.Context) {
	var free, all int64
	for range 64 {
		if err := s.w.conn.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil || free == 0 {
			break
		}
		if err := s.vacuum(ctx); err != nil {
			break
		}
	}
	err := s.w.conn.QueryRowContext(ctx, "PRAGMA page_count").Scan(&all)
	if err == nil && all <= rewritePages {
		err = s.w.plain(ctx, "VACUUM")
	}
	if err := errors.Join(err, s.emptyLog()); err != nil {
		s.log.Warn("what an earlier version wrote unsealed may be left in free parts of the files", "err", err)
	}
	_ = s.w.plain(ctx, "PRAGMA secure_delete=OFF")
}

// resealStates seals the alarm states.
func (t *tx) resealStates() {
	states := make(map[string][]byte)
	t.each(func(rows *sql.Rows) (bool, error) {
		var unit string
		var state, seal any
		err := rows.Scan(&unit, &state, &seal)
		if n, is := seal.(int64); err == nil && is && n >= 0 {
			if state, ok := t.s.openState(unit, state, seal); ok {
				states[unit] = state
			}
		}
		return true, err
	}, "SELECT unit, state, seal FROM units WHERE seal >= 0")
	for unit, state := range states {
		t.saveState(unit, state)
	}
}

// reseal seals the next records of a lane; those that are damaged become gaps.
func (t *tx) reseal(lane wire.Lane, todo seqRange) {
	var plain []wire.Record
	var damaged []uint64
	next, size := todo.last+1, 0
	t.each(func(rows *sql.Rows) (bool, error) {
		r, seal, ok, err := scanRow(rows, lane)
		if err != nil || r.Seq > todo.last {
			return false, err
		}
		next = r.Seq + 1
		if seal >= 0 {
			if ok = ok && seal == recordCRC(&r); ok {
				r.Stream = t.s.stream
				plain = append(plain, r)
			} else {
				damaged = append(damaged, r.Seq)
			}
		}
		size += len(r.Payload)
		return size < tidyBytes, nil
	}, fmt.Sprintf(selectRecords, laneTables[lane]), int64(todo.first-1), tidyRows/4)
	if len(plain) == 0 && len(damaged) == 0 && size == 0 {
		next = todo.last + 1 // none left
	}
	for i := range plain {
		r := &plain[i]
		unit, _ := wire.UnitOf(r.Class, r.Payload) // what cannot be read counts as the agent's own
		k := t.key(unit, r.Epoch)
		if t.err != nil {
			return
		}
		t.exec("UPDATE "+laneTables[lane]+" SET seal = ?, payload = ? WHERE seq = ?", -k.id, t.s.w.seal(k, r), int64(r.Seq))
	}
	for _, seq := range damaged {
		t.replace(lane, seq)
	}
	left := seqRange{next, todo.last}
	t.exec("UPDATE unsealed SET first = ? WHERE lane = ?", int64(next), lane)
	t.after = append(t.after, func() {
		t.s.tidyWork.unsealed[lane] = left
		t.s.tidyWork.sealed += int64(len(plain))
	})
}

// A sweeping replaces the records of keys that are gone by gaps, lane by lane from the left.
type sweeping struct {
	keys []*sealKey
	ids  string // for SQL
	lane int    // index in wire.Lanes
	from uint64
}

func newSweeping(keys []*sealKey) sweeping {
	w := sweeping{keys: keys}
	seals := make([]string, len(keys))
	for i, k := range keys {
		seals[i] = fmt.Sprint(-k.id)
	}
	w.ids = strings.Join(seals, ",")
	return w
}

func (w *sweeping) done() bool { return len(w.keys) == 0 }

// lookRows is how many rows are looked through at a time where none is of the keys.
const lookRows = 16384

// sweepPiece goes on with a sweeping; when all is swept it takes the keys from the table.
func (s *Store) sweepPiece(ctx context.Context, w *sweeping) error {
	if w.lane == len(wire.Lanes) {
		err := s.commit(ctx, "forget keys", durable, func(t *tx) {
			for _, k := range w.keys {
				t.exec("DELETE FROM keys WHERE id = ?", k.id)
			}
		})
		if err == nil {
			for _, k := range w.keys {
				s.ring.forget(k.id)
			}
			*w = sweeping{}
		}
		return err
	}
	lane := wire.Lanes[w.lane]
	var last, first sql.NullInt64
	look := fmt.Sprintf("SELECT max(seq), min(CASE WHEN seal IN (%s) THEN seq END) FROM (SELECT seq, seal FROM %s WHERE seq >= ? ORDER BY seq LIMIT %d)",
		w.ids, laneTables[lane], lookRows)
	if err := s.w.conn.QueryRowContext(ctx, look, int64(w.from)).Scan(&last, &first); err != nil {
		return s.noteBroken(err)
	}
	switch {
	case !last.Valid:
		w.lane, w.from = w.lane+1, 0
		return nil
	case !first.Valid:
		w.from = uint64(last.Int64) + 1
		return nil
	}
	var next uint64
	err := s.commitSomehow(ctx, "replace records of a key that is gone", durable, func(t *tx) { next = t.sweep(lane, uint64(first.Int64)) })
	if err == nil {
		w.from = next
	}
	return err
}

// sweep replaces those of the next records of a lane whose keys are gone by gaps, and returns where to go on. Gap records among them
// that name numbers are made anew: what they said is known.
func (t *tx) sweep(lane wire.Lane, from uint64) (next uint64) {
	var runs []wire.Gap
	var again []wire.Gap
	var at []uint64 // the numbers of again
	going := false
	t.each(func(rows *sql.Rows) (bool, error) {
		var seq int64
		var seal any
		var known, first, last sql.NullInt64
		var reason sql.NullString
		if err := rows.Scan(&seq, &seal, &known, &first, &last, &reason); err != nil {
			return false, err
		}
		n := uint64(seq)
		next = n + 1
		var why wire.GapReason
		if id, ok := seal.(int64); ok && id < 0 {
			why = t.s.ring.lost(-id)
		}
		g := wire.Gap{Lane: wire.Lane(known.Int64), First: uint64(first.Int64), Last: uint64(last.Int64), Reason: wire.GapReason(reason.String)}
		switch {
		case why == "":
			going = false
		case known.Valid && t.plausible(g):
			again, at, going = append(again, g), append(at, n), false
		case going && runs[len(runs)-1].Reason == why && (lane == wire.Samples || runs[len(runs)-1].Last+1 == n):
			runs[len(runs)-1].Last = n
		default:
			runs, going = append(runs, wire.Gap{Lane: lane, First: n, Last: n, Reason: why}), true
		}
		return true, nil
	}, fmt.Sprintf("SELECT r.seq, r.seal, g.lane, g.first, g.last, g.reason FROM %s r LEFT JOIN gaps g ON g.seq = r.seq AND %d WHERE r.seq >= ? ORDER BY r.seq LIMIT %d",
		laneTables[lane], map[wire.Lane]int{wire.Events: 1}[lane], tidyRows), int64(from))
	t.hold()
	for i, g := range again {
		t.remove(lane, at[i], at[i])
		t.placeGap(at[i], g, t.s.o.Now())
	}
	for _, g := range runs {
		t.drop(lane, g.Reason, g.First, g.Last)
		if lane == wire.Events {
			t.gapOfEvents(g, t.s.o.Now())
		} else {
			t.noteHole(lane, g.First, g.Last)
			t.gapOfSamples(g, t.s.o.Now())
		}
	}
	if n := len(runs); n > 0 {
		t.after = append(t.after, func() {
			t.s.log.Warn("records that cannot be opened any more are replaced by gaps", "lane", lane, "first", runs[0].First, "last", runs[n-1].Last, "gaps", n)
		})
	}
	return next
}

// plausible reports whether a row of the table gaps can be what was written there.
func (t *tx) plausible(g wire.Gap) bool {
	return checkLane(g.Lane) == nil && g.First > 0 && g.First <= g.Last && g.Last <= t.lanes[g.Lane].last && g.Reason != "" && len(g.Reason) <= 32
}
