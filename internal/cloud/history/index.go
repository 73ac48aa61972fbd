package history

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

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

// scanRecord reads columns, and what stands behind them into more.
func scanRecord(rows *sql.Rows, more ...any) (s stored, err error) {
	var boot []byte
	var mono, epoch int64
	err = rows.Scan(append([]any{&s.lane, &s.arrival, &s.class, &epoch, &boot, &mono, &s.wall, &s.arrived, &s.payload}, more...)...)
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
		return putOff(ctx, in.tx, laneRef{s.lane, in.agent}, s.arrival, unknown.Hash[:])
	}
	if err != nil {
		return nil // ingest has told of it; nobody will ever read it
	}
	if !eventlog.Printable(block.Device) {
		return nil // no device has such a serial number, and not every database takes it in a question
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
	if first < 0 || last < first || last > lastTime {
		return nil // no clock of ours says that
	}
	if _, err := in.tx.Exec(ctx, `INSERT INTO blocks (device, lane, arrival, agent, first_at, last_at, long, certain) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (lane, arrival) DO UPDATE SET first_at = excluded.first_at, last_at = excluded.last_at, long = excluded.long, certain = excluded.certain`,
		d.ID, s.lane, s.arrival, in.agent, first, last, store.Flag(last-first >= short), store.Flag(certain)); err != nil {
		return err
	}
	if err := stale(ctx, in.tx, d.ID, first, last); err != nil {
		return err
	}
	return in.noteLatest(ctx, d.ID, block, offset, s.arrived, certain)
}

// lastTime is the beginning of the year 2200, ms: agents take no time beyond it.
const lastTime = 7_258_118_400_000

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
