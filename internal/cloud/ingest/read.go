package ingest

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// A Reader answers what a database of records holds. It changes nothing and may be used while Receivers work on it. Use NewReader.
type Reader struct{ db *store.DB }

// NewReader returns a Reader of db; it needs no end of its own.
func NewReader(db *store.DB) *Reader { return &Reader{db} }

// Reader returns a Reader of the same database.
func (r *Receiver) Reader() *Reader { return NewReader(r.db) }

// list reads all rows of an answer.
func list[T any](ctx context.Context, r *Reader, query string, args []any, scan func(*sql.Rows) (T, error)) (out []T, err error) {
	err = r.db.Read(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		out, err = listIn(ctx, tx, query, args, scan)
		return err
	})
	return out, err
}

func listIn[T any](ctx context.Context, tx *store.Tx, query string, args []any, scan func(*sql.Rows) (T, error)) (out []T, err error) {
	err = each(ctx, tx, query, args, func(rows *sql.Rows) error {
		v, err := scan(rows)
		out = append(out, v)
		return err
	})
	return out, err
}

// A LaneInfo is one lane of one stream of an agent.
type LaneInfo struct {
	Agent   string
	Stream  wire.ID
	Lane    wire.Lane
	Through uint64 // what is acknowledged: up to here everything is stored or covered by a gap
	Highest uint64 // number of a record that is stored
	Frozen  uint64 // the lowest number of a conflict, 0 without one
	Records int64  // stored
	Holes   []Span // below the highest settled number: neither stored nor covered. They may still come
	ID      int64  // a short name for agent, stream and lane
}

// Lanes lists all lanes, in the order in which they were first seen.
func (r *Reader) Lanes(ctx context.Context) (out []LaneInfo, err error) {
	err = r.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		out, err = listIn(ctx, tx, `SELECT id, agent, stream, lane, arrivals, highest, frozen FROM lanes ORDER BY id`, nil, scanLane)
		for i := range out {
			err = errors.Join(err, settled(ctx, tx, &out[i]))
		}
		return err
	})
	return out, err
}

func scanLane(rows *sql.Rows) (l LaneInfo, err error) {
	var stream []byte
	err = rows.Scan(&l.ID, &l.Agent, &stream, &l.Lane, &l.Records, &l.Highest, &l.Frozen)
	l.Stream = id(stream)
	return l, err
}

func settled(ctx context.Context, tx *store.Tx, info *LaneInfo) (err error) {
	l := lane{frozen: info.Frozen}
	l.settled, err = listIn(ctx, tx, `SELECT first, last FROM covered WHERE lane = $1 ORDER BY first`, []any{info.ID}, scanSpan)
	info.Through, info.Holes = l.through(), l.settled.holes()
	return err
}

func scanSpan(rows *sql.Rows) (s Span, err error) { return s, rows.Scan(&s.First, &s.Last) }

// A Stored is a record as it is kept.
type Stored struct {
	Agent   string
	LaneID  int64
	Record  wire.Record // Class is 0 for one this program does not know; Payload is the body
	Class   string      // its name
	Arrival int64       // 1, 2, 3 … in the order of arrival in its lane
	Arrived time.Time   // here
	Late    bool        // it came behind a gap that covers it
	Time    Time
}

// recordsAtOnce are read by one statement.
const recordsAtOnce = 64

// Records calls fn for each record of a lane, in the order of their numbers. The payload is fn's to keep. It reads some at a time: what
// comes meanwhile behind the number it is at is among them, what comes before it is not.
func (r *Reader) Records(ctx context.Context, l LaneInfo, fn func(Stored) error) error {
	const query = `SELECT ` + recordColumns + ` FROM records WHERE lane = $1 AND seq > $2 ORDER BY seq LIMIT $3`
	p := placer{r: r, agent: l.Agent, anchors: map[wire.ID][]wire.Stamp{}}
	for last := uint64(0); ; {
		part, err := list(ctx, r, query, []any{l.ID, int64(last), recordsAtOnce}, l.scanRecord)
		if err != nil {
			return err
		}
		for _, s := range part {
			if err := p.place(ctx, &s); err != nil {
				return err
			}
			if err := fn(s); err != nil {
				return err
			}
			last = s.Record.Seq
		}
		if len(part) < recordsAtOnce {
			return nil
		}
	}
}

const recordColumns = `seq, arrival, arrived, late, class, epoch, boot, boot_id, mono, wall, payload`

func (l LaneInfo) scanRecord(rows *sql.Rows) (Stored, error) {
	s := Stored{Agent: l.Agent, LaneID: l.ID, Record: wire.Record{Stream: l.Stream, Lane: l.Lane}}
	var arrived, mono int64
	var late int
	var bootID []byte
	var wall *int64
	err := rows.Scan(&s.Record.Seq, &s.Arrival, &arrived, &late, &s.Class, &s.Record.Epoch, &s.Record.Boot, &bootID, &mono, &wall,
		&s.Record.Payload)
	s.Arrived, s.Late = fromMillis(arrived), late != 0
	s.Record.Stamp = stampOf(bootID, mono, wall)
	s.Record.Class = classOf(s.Class)
	return s, err
}

func classOf(name string) wire.Class {
	for _, c := range []wire.Class{wire.ClassAlarm, wire.ClassGap, wire.ClassSamples, wire.ClassPicture, wire.ClassResult} {
		if c.String() == name {
			return c
		}
	}
	return 0
}

// A StatedGap is what a gap record says, or the receiver itself (Forgotten).
type StatedGap struct {
	Agent   string
	Stream  wire.ID
	Seq     uint64 // of the gap record, in the events lane; 0: the receiver's own
	Gap     wire.Gap
	Arrived time.Time
}

// Gaps lists the gaps, form one and form two, of one stream of an agent in the order of their numbers.
func (r *Reader) Gaps(ctx context.Context, agent string, stream wire.ID) ([]StatedGap, error) {
	const query = `SELECT g.seq, COALESCE(a.lane, 0), g.first, g.last, g.body, g.reason, g.arrived
		FROM gaps g JOIN lanes l ON l.id = g.lane LEFT JOIN lanes a ON a.id = g.about
		WHERE l.agent = $1 AND l.stream = $2 ORDER BY g.seq, COALESCE(a.lane, 0), g.first`
	return list(ctx, r, query, []any{agent, stream[:]}, func(rows *sql.Rows) (StatedGap, error) {
		g := StatedGap{Agent: agent, Stream: stream}
		var body []byte
		var arrived int64
		if err := rows.Scan(&g.Seq, &g.Gap.Lane, &g.Gap.First, &g.Gap.Last, &body, &g.Gap.Reason, &arrived); err != nil {
			return g, err
		}
		g.Arrived = fromMillis(arrived)
		if len(body) > 0 {
			said, err := wire.DecodeGap(body)
			if err != nil {
				return g, err
			}
			g.Gap = said
		}
		return g, nil
	})
}
