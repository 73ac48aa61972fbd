package history_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/history"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// TestNoRecordKeepsTheFollower: what an agent puts into a block stops neither its own history nor that of others, on any database.
func TestNoRecordKeepsTheFollower(t *testing.T) {
	each(t, func(w *world) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, unit := range []string{"AS\x001", "AS\xff1", "\x00", ""} {
			w.blockOf(unit, w.encoder, rows(r, time.Minute, time.Second, 2), 1, true)
		}
		w.block(rows(r, 2*time.Minute, time.Second, 60), 1, true)
		w.follow()
		w.ask(0, time.Hour, time.Minute)
	})
}

// TestARecordThatCannotBeIndexedIsPassedOver: whatever the fault is, it is of one record.
func TestARecordThatCannotBeIndexedIsPassedOver(t *testing.T) {
	each(t, func(w *world) {
		r := rand.New(rand.NewPCG(9, 10))
		w.block(rows(r, time.Minute, time.Second, 60), 1, true)
		w.boot = wire.ID{0xbb}
		bad := rows(r, 3*time.Minute, time.Second, 60)
		w.blockOf(serial, w.encoder, bad, 1, true)
		w.boot = wire.ID{7}
		w.block(rows(r, 5*time.Minute, time.Second, 60), 1, true)
		// The tables refuse the one in the middle, and nothing else.
		first := start.Add(3 * time.Minute).UnixMilli()
		w.write(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `CREATE UNIQUE INDEX no_room ON blocks (first_at)`)
			if err == nil {
				_, err = tx.Exec(ctx, `INSERT INTO blocks (device, lane, arrival, agent, first_at, last_at, long, certain) VALUES ('d_2', 99, 1, 'x', $1, $1, 0, 1)`, first)
			}
			return err
		})
		w.follow()
		w.ask(0, time.Hour, time.Minute)
	})
}

// TestABlockThatWasMovedLeavesNoTraceInSummaries: a summary of where it was taken to be is made anew.
func TestABlockThatWasMovedLeavesNoTraceInSummaries(t *testing.T) {
	each(t, func(w *world) {
		r := rand.New(rand.NewPCG(11, 12))
		w.now = start.Add(30*time.Hour + 10*time.Minute)
		w.boot = wire.ID{6}
		w.block(rows(r, 29*time.Hour, time.Second, 60), 1, true) // stays there
		w.boot = wire.ID{7}
		w.block(rows(r, 10*time.Minute, time.Second, 60), 1, false)
		w.follow()
		w.now = start.Add(50 * time.Hour)
		q := history.Question{Device: dev, Points: asked, From: start.Add(24 * time.Hour), To: start.Add(48 * time.Hour), Step: time.Hour}
		got, err := history.NewReader(w.db, func() time.Time { return w.now }).Ask(t.Context(), &q)
		w.must(err)
		if len(got[0].Cells) != 2 {
			t.Fatalf("%d cells where the blocks came, want 2", len(got[0].Cells))
		}
		w.block(rows(r, 20*time.Minute, time.Second, 60), 1, true)
		w.follow()
		w.must(w.follower.Mend(t.Context()))
		w.ask(0, 48*time.Hour, time.Hour)
		w.ask(0, 48*time.Hour, 24*time.Hour)
	})
}

// TestT27IncidentsGetTheirTime once their agent tells the clock of that boot, the raise and the clear.
func TestT27IncidentsGetTheirTime(t *testing.T) {
	each(t, func(w *world) {
		w.now = start.Add(30 * time.Hour)
		raise := w.event(ups.Event{ID: 101, Kind: ups.Raise}, time.Minute, false)
		w.event(ups.Event{ID: 101, Kind: ups.Clear, RaisedBy: raise}, 2*time.Minute, false)
		w.event(ups.Event{ID: 102, Kind: ups.Moment}, 3*time.Minute, true)
		w.must(w.follower.Mend(t.Context()))
		all := w.incidents(false)
		if len(all) != 2 || !all[1].Certain || !all[1].Raised.Equal(start.Add(time.Minute)) || !all[1].Cleared.Equal(start.Add(2*time.Minute)) {
			t.Errorf("%+v", all)
		}
	})
}

// TestBlocksThatNobodyWillReadKeepNoOther: an agent sends thousands whose schema never comes; that of another one comes later.
func TestBlocksThatNobodyWillReadKeepNoOther(t *testing.T) {
	each(t, func(w *world) {
		r := rand.New(rand.NewPCG(13, 14))
		w.blockOf(serial, w.encoder, rows(r, 0, time.Second, 1), 1, true) // announces, and is lost
		lost := rows(r, time.Minute, time.Second, 10)
		w.block(lost, 1, true)
		w.write(func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, `DELETE FROM schemas`); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `DELETE FROM records WHERE seq = 1`)
			return err
		})
		w.follow()
		w.write(func(ctx context.Context, tx *store.Tx) error { // of lanes before it
			for i := range 1500 {
				_, err := tx.Exec(ctx, `INSERT INTO records (lane, seq, arrival, arrived, late, class, epoch, boot, boot_id, mono, wall, payload)
					SELECT -1, CAST($1 AS BIGINT), CAST($1 AS BIGINT), arrived, late, class, epoch, boot, boot_id, mono, wall, payload FROM records WHERE seq = 2 AND lane > 0`, i+1)
				if err == nil {
					_, err = tx.Exec(ctx, `INSERT INTO unread (lane, arrival, agent) VALUES (-1, $1, 'other')`, i+1)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		w.receiver = ingest.New(w.db, ingest.Options{Now: func() time.Time { return w.now }})
		w.encoder = wire.NewEncoder()
		w.block(rows(r, 2*time.Minute, time.Second, 10), 1, true) // announces it again
		w.follow()
		w.must(w.follower.Mend(t.Context()))
		w.ask(0, time.Hour, time.Minute)
	})
}

// TestAClockAheadDoesNotKeepItsValues: on site the clock was in 2038 for a while.
func TestAClockAheadDoesNotKeepItsValues(t *testing.T) {
	each(t, func(w *world) {
		one := func(at time.Duration, volts int64) {
			w.blockOf(serial, w.encoder, wire.Rows{Tier: ups.TierLive, Layout: layout, At: []int64{at.Milliseconds()}, Raw: []int64{volts * 64, 512, 2}}, 1, true)
		}
		w.now = start.Add(time.Hour)
		one(12*365*24*time.Hour, 111)
		w.now = start.Add(2 * time.Hour)
		one(2*time.Hour, 222)
		w.follow()
		w.read(func(ctx context.Context, tx *store.Tx) error {
			l, err := history.ReadLatest(ctx, tx, dev)
			w.must(err)
			if v := l.Values[ups.InputVoltage]; *v.Raw != 222*64 || !l.Time().Equal(w.now) || !l.Certain {
				t.Errorf("%d at %v, certain %v", *v.Raw/64, l.Time(), l.Certain)
			}
			return nil
		})
	})
}

// TestABlockOfManyDaysIsFound in the midst of it.
func TestABlockOfManyDaysIsFound(t *testing.T) {
	each(t, func(w *world) {
		w.now = start.Add(80 * time.Hour)
		w.block(rows(rand.New(rand.NewPCG(15, 16)), 0, 10*time.Minute, 6*72), 1, true)
		w.follow()
		w.ask(10*time.Hour, 11*time.Hour, 10*time.Minute)
		w.ask(0, 80*time.Hour, time.Hour)
		w.ask(0, 80*time.Hour, 24*time.Hour)
	})
}

// TestPERM10ALongQuestionIsJudgedInEachSnapshot, and what was reckoned before it ended is kept.
func TestPERM10ALongQuestionIsJudgedInEachSnapshot(t *testing.T) {
	each(t, func(w *world) {
		r := rand.New(rand.NewPCG(17, 18))
		w.now = start.Add(100 * time.Hour)
		for d := range 4 {
			w.block(rows(r, time.Duration(d)*24*time.Hour, time.Second, 5), 1, true)
		}
		w.follow()
		asks := 0
		q := history.Question{Device: dev, Points: asked, From: start, To: start.Add(96 * time.Hour), Step: time.Hour, May: func(context.Context, *store.Tx) error {
			if asks++; asks > 2 {
				return cloud.Refuse(policy.NotFound, "no more")
			}
			return nil
		}}
		if got, err := history.NewReader(w.db, func() time.Time { return w.now }).Ask(t.Context(), &q); err == nil {
			t.Fatalf("%d series behind the end of the right", len(got))
		}
		var days int
		w.read(func(ctx context.Context, tx *store.Tx) error {
			return tx.QueryRow(ctx, `SELECT COUNT(*) FROM summaries WHERE level = 2`).Scan(&days)
		})
		if days != 2 {
			t.Errorf("%d days kept, want 2", days)
		}
		w.ask(0, 96*time.Hour, time.Hour)
	})
}
