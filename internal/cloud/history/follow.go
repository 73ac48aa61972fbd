package history

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
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
		_, err := f.Follow(ctx)
		if err == nil && time.Since(mended) > mendEvery {
			err, mended = f.Mend(ctx), time.Now()
		}
		if err != nil && ctx.Err() == nil && err.Error() != trouble {
			f.log.Error("the history does not follow", "err", err)
		}
		trouble = ""
		if err != nil {
			trouble = err.Error()
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
	lanes, err := f.behind(ctx)
	for _, l := range lanes {
		for err == nil {
			var n int
			if n, err = f.step(ctx, l); n == 0 {
				break
			}
			taken += n
		}
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

// A stored record, as the index needs it.
type stored struct {
	lane, arrival int64
	class         string
	epoch         uint32
	boot          wire.ID
	mono          time.Duration
	wall          *int64
	arrived       int64
	payload       []byte
}

const columns = `r.lane, r.arrival, r.class, r.epoch, r.boot_id, r.mono, r.wall, r.arrived, r.payload`

func scanRecord(rows *sql.Rows) (s stored, err error) {
	var boot []byte
	var mono, epoch int64
	err = rows.Scan(&s.lane, &s.arrival, &s.class, &epoch, &boot, &mono, &s.wall, &s.arrived, &s.payload)
	copy(s.boot[:], boot)
	s.epoch, s.mono = uint32(epoch), time.Duration(mono)*time.Microsecond
	return s, err
}

func records(ctx context.Context, tx *store.Tx, query string, args ...any) (out []stored, err error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		s, err := scanRecord(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// step takes the next records of a lane in one transaction, with the cursor.
func (f *Follower) step(ctx context.Context, l laneRef) (n int, err error) {
	err = f.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		n = 0
		var from int64
		err := tx.QueryRow(ctx, `SELECT arrival FROM history_cursors WHERE lane = $1`, l.id).Scan(&from)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		batch, err := records(ctx, tx, `SELECT `+columns+` FROM records r WHERE r.lane = $1 AND r.arrival > $2 ORDER BY r.arrival LIMIT $3`, l.id, from, atOnce)
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
		_, err = tx.Exec(ctx, `INSERT INTO history_cursors (lane, arrival) VALUES ($1, $2) ON CONFLICT (lane) DO UPDATE SET arrival = excluded.arrival`,
			l.id, batch[n-1].arrival)
		return err
	})
	return n, err
}

// An indexer notes records of one agent.
type indexer struct {
	tx      *store.Tx
	agent   string
	schemas *wire.Schemas
	latest  map[string]*Latest // of devices, to be saved
}

// add notes one record. Those that are no blocks, and those of no device, are passed over.
func (in *indexer) add(ctx context.Context, s stored) error {
	if s.class != wire.ClassSamples.String() && s.class != wire.ClassPicture.String() {
		return nil
	}
	block, err := decode(in.schemas, s)
	var unknown *wire.UnknownSchemaError
	if errors.As(err, &unknown) {
		_, err := in.tx.Exec(ctx, `INSERT INTO unread (lane, arrival, agent) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, s.lane, s.arrival, in.agent)
		return err
	}
	if err != nil {
		return nil // ingest has told of it; nobody will ever read it
	}
	d, err := device.BySerial(ctx, in.tx, in.agent, block.Device, s.epoch)
	if refusal := (*cloud.Error)(nil); errors.As(err, &refusal) && refusal.Reason == policy.NotFound {
		return nil
	} else if err != nil {
		return err
	}
	offset, certain, err := in.place(ctx, s)
	if err != nil {
		return err
	}
	first, last, ok := span(block)
	if !ok {
		return nil
	}
	first, last = first+offset, last+offset
	if _, err := in.tx.Exec(ctx, `INSERT INTO blocks (device, lane, arrival, agent, first_at, last_at, certain) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (lane, arrival) DO UPDATE SET first_at = excluded.first_at, last_at = excluded.last_at, certain = excluded.certain`,
		d.ID, s.lane, s.arrival, in.agent, first, last, flag(certain)); err != nil {
		return err
	}
	if err := stale(ctx, in.tx, d.ID, first, last); err != nil {
		return err
	}
	return in.noteLatest(ctx, d.ID, block, offset, certain)
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// place returns what is to be added to a time on the monotonic clock of the record, in ms, and whether that is known.
func (in *indexer) place(ctx context.Context, s stored) (offset int64, certain bool, err error) {
	if s.wall != nil {
		return *s.wall - s.mono.Milliseconds(), true, nil
	}
	at, ok, err := ingest.PlaceAt(ctx, in.tx, in.agent, s.boot, s.mono)
	if err != nil || ok {
		return at.UnixMilli() - s.mono.Milliseconds(), ok, err
	}
	return s.arrived - s.mono.Milliseconds(), false, nil
}

func decode(schemas *wire.Schemas, s stored) (*wire.Block, error) {
	if s.class == wire.ClassPicture.String() {
		_, b, err := schemas.DecodePicture(s.payload)
		return b, err
	}
	return schemas.DecodeBody(s.payload)
}

// span returns the first and the last row of a block, on its monotonic clock in ms.
func span(b *wire.Block) (first, last int64, ok bool) {
	for _, s := range b.Sections {
		if len(s.At) == 0 {
			continue
		}
		if !ok || s.At[0] < first {
			first = s.At[0]
		}
		if !ok || s.At[len(s.At)-1] > last {
			last = s.At[len(s.At)-1]
		}
		ok = true
	}
	return first, last, ok
}

// Mend takes blocks whose schema has come since, and gives those their time whose boot's clock is known now.
func (f *Follower) Mend(ctx context.Context) error {
	for _, query := range [...]string{
		`SELECT ` + columns + `, u.agent FROM unread u JOIN records r ON r.lane = u.lane AND r.arrival = u.arrival ORDER BY u.lane, u.arrival LIMIT $1`,
		`SELECT ` + columns + `, b.agent FROM blocks b JOIN records r ON r.lane = b.lane AND r.arrival = b.arrival
			WHERE b.certain = 0 AND EXISTS (SELECT 1 FROM anchors a WHERE a.agent = b.agent AND a.boot_id = r.boot_id) ORDER BY b.lane, b.arrival LIMIT $1`,
	} {
		err := f.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return mend(ctx, tx, query) })
		if err != nil {
			return err
		}
	}
	return nil
}

func mend(ctx context.Context, tx *store.Tx, query string) error {
	rows, err := tx.Query(ctx, query, 8*atOnce)
	if err != nil {
		return err
	}
	byAgent := map[string][]stored{}
	for rows.Next() {
		var s stored
		var boot []byte
		var mono, epoch int64
		var agent string
		if err := rows.Scan(&s.lane, &s.arrival, &s.class, &epoch, &boot, &mono, &s.wall, &s.arrived, &s.payload, &agent); err != nil {
			rows.Close()
			return err
		}
		copy(s.boot[:], boot)
		s.epoch, s.mono = uint32(epoch), time.Duration(mono)*time.Microsecond
		byAgent[agent] = append(byAgent[agent], s)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for agent, list := range byAgent {
		schemas, err := ingest.Schemas(ctx, tx, agent)
		if err != nil {
			return err
		}
		in := indexer{tx: tx, agent: agent, schemas: schemas, latest: map[string]*Latest{}}
		for _, s := range list {
			if _, err := tx.Exec(ctx, `DELETE FROM unread WHERE lane = $1 AND arrival = $2`, s.lane, s.arrival); err != nil {
				return err
			}
			if err := in.add(ctx, s); err != nil {
				return err
			}
		}
		if err := in.saveLatest(ctx); err != nil {
			return err
		}
	}
	return nil
}
