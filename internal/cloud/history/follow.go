package history

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
)

const (
	followEvery = time.Second // how far the index may be behind, when nobody wakes the follower
	mendEvery   = time.Minute // for what could not be read or placed
	atOnce      = 128         // records of a lane in one transaction
)

// A Follower keeps the index of blocks up with what ingest has stored. Several, in several processes, may run at once.
type Follower struct {
	db   *store.DB
	log  *slog.Logger
	wake chan struct{}
}

// NewFollower returns a Follower. It starts nothing.
func NewFollower(db *store.DB, log *slog.Logger) *Follower {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Follower{db, log, make(chan struct{}, 1)}
}

// Wake says that something was stored. It returns at once.
func (f *Follower) Wake() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run follows until ctx ends, and returns nil then. A database that fails is a state.
func (f *Follower) Run(ctx context.Context) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	trouble, mended := "", time.Time{}
	for ctx.Err() == nil {
		taken, err := f.round(ctx)
		if err == nil && time.Since(mended) > mendEvery {
			err, mended = f.Mend(ctx), time.Now()
		}
		if err != nil && ctx.Err() == nil && err.Error() != trouble {
			f.log.Error("the history does not follow", "err", err)
		}
		trouble = ""
		if err != nil {
			trouble = err.Error()
		} else if taken > 0 {
			continue // there may be more, and none of it may wait for what has to be mended
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-f.wake:
		}
	}
	return nil
}

// Follow takes everything that has come since, and returns how many records that were.
func (f *Follower) Follow(ctx context.Context) (taken int, err error) {
	for {
		n, err := f.round(ctx)
		if taken += n; n == 0 || err != nil {
			return taken, err
		}
	}
}

// round takes some records of each lane that is behind: an agent that sends without end keeps nobody else waiting.
func (f *Follower) round(ctx context.Context) (taken int, err error) {
	lanes, err := f.behind(ctx)
	for _, l := range lanes {
		if err != nil {
			break
		}
		var n int
		if n, err = f.step(ctx, l, atOnce); err != nil && !store.Temporary(err) {
			n, err = f.singly(ctx, l)
		}
		taken += n
	}
	return taken, err
}

type laneRef struct {
	id    int64
	agent string
}

// behind lists the lanes in which something came since.
func (f *Follower) behind(ctx context.Context) (out []laneRef, err error) {
	err = f.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		out = nil
		rows, err := tx.Query(ctx, `SELECT l.id, l.agent FROM lanes l LEFT JOIN history_cursors c ON c.lane = l.id
			WHERE l.arrivals > COALESCE(c.arrival, 0) ORDER BY l.id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var l laneRef
			if err := rows.Scan(&l.id, &l.agent); err != nil {
				return err
			}
			out = append(out, l)
		}
		return rows.Err()
	})
	return out, err
}

// step takes the next records of a lane in one transaction, with the cursor.
func (f *Follower) step(ctx context.Context, l laneRef, most int) (n int, err error) {
	err = f.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		n = 0
		var from int64
		err := tx.QueryRow(ctx, `SELECT arrival FROM history_cursors WHERE lane = $1`, l.id).Scan(&from)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		batch, err := records(ctx, tx, `SELECT `+columns+` FROM records r WHERE r.lane = $1 AND r.arrival > $2 ORDER BY r.arrival LIMIT $3`, l.id, from, most)
		if err != nil || len(batch) == 0 {
			return err
		}
		schemas, err := ingest.Schemas(ctx, tx, l.agent)
		if err != nil {
			return err
		}
		in := indexer{tx: tx, agent: l.agent, schemas: schemas, latest: map[string]*Latest{}}
		for _, s := range batch {
			if err := in.add(ctx, s); err != nil {
				return err
			}
		}
		if err := in.saveLatest(ctx); err != nil {
			return err
		}
		n = len(batch)
		return moveCursor(ctx, tx, l.id, batch[n-1].arrival)
	})
	return n, err
}

// singly takes records one by one where they could not be taken together though the database is well. One that nobody can index is passed over,
// or it would keep its lane, and with it what everybody sees of these devices, where it is for ever. It stays in unread.
func (f *Follower) singly(ctx context.Context, l laneRef) (taken int, err error) {
	for taken < atOnce {
		n, err := f.step(ctx, l, 1)
		if err != nil && !store.Temporary(err) {
			f.log.Error("a record cannot be indexed and is passed over", "agent", l.agent, "lane", l.id, "err", err)
			n, err = 1, f.pass(ctx, l)
		}
		if err != nil || n == 0 {
			return taken, err
		}
		taken += n
	}
	return taken, nil
}

// pass moves the cursor of a lane over its next record.
func (f *Follower) pass(ctx context.Context, l laneRef) error {
	return f.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		var next int64
		if err := tx.QueryRow(ctx, `SELECT arrival FROM records WHERE lane = $1
			AND arrival > COALESCE((SELECT arrival FROM history_cursors WHERE lane = $1), 0) ORDER BY arrival LIMIT 1`, l.id).Scan(&next); err != nil {
			return err
		}
		if err := putOff(ctx, tx, l, next, nil); err != nil {
			return err
		}
		return moveCursor(ctx, tx, l.id, next)
	})
}

func moveCursor(ctx context.Context, tx *store.Tx, lane, arrival int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO history_cursors (lane, arrival) VALUES ($1, $2) ON CONFLICT (lane) DO UPDATE SET arrival = excluded.arrival`, lane, arrival)
	return err
}

// putOff keeps a record for the day its schema comes; nil: for none.
func putOff(ctx context.Context, tx *store.Tx, l laneRef, arrival int64, schema []byte) error {
	_, err := tx.Exec(ctx, `INSERT INTO unread (lane, arrival, agent, schema) VALUES ($1, $2, $3, $4)
		ON CONFLICT (lane, arrival) DO UPDATE SET schema = excluded.schema`, l.id, arrival, l.agent, schema)
	return err
}
