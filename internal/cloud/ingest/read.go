package ingest

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"time"

	"upsedge/internal/wire"
)

// A Reader answers what a database of records holds. It changes nothing and may be used while a Receiver works on it, from another
// process, too. Use OpenReader or Receiver.Reader.
type Reader struct{ db *sql.DB }

// OpenReader opens the database in dir for reading.
func OpenReader(dir string) (*Reader, error) {
	db, err := connect("sqlite", filepath.Join(dir, fileName), anyConns, "query_only(1)")
	if err != nil {
		return nil, err
	}
	return &Reader{db}, nil
}

// Reader returns a Reader of the same database; it needs no Close.
func (r *Receiver) Reader() *Reader { return &Reader{r.readers} }

// Close ends a Reader of OpenReader.
func (r *Reader) Close() error { return r.db.Close() }

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

	id int64
}

// Lanes lists all lanes, in the order in which they were first seen.
func (r *Reader) Lanes(ctx context.Context) (out []LaneInfo, err error) {
	err = r.each(ctx, `SELECT id, agent, stream, lane, arrivals, highest, frozen FROM lanes ORDER BY id`, nil, func(rows *sql.Rows) error {
		var l LaneInfo
		var stream []byte
		err := rows.Scan(&l.id, &l.Agent, &stream, &l.Lane, &l.Records, &l.Highest, &l.Frozen)
		l.Stream = id(stream)
		out = append(out, l)
		return err
	})
	for i := range out {
		err = errors.Join(err, r.settled(ctx, &out[i]))
	}
	return out, err
}

func (r *Reader) settled(ctx context.Context, info *LaneInfo) error {
	l := lane{frozen: info.Frozen}
	err := r.each(ctx, `SELECT first, last FROM covered WHERE lane = $1 ORDER BY first`, []any{info.id}, func(rows *sql.Rows) error {
		var s Span
		err := rows.Scan(&s.First, &s.Last)
		l.settled = append(l.settled, s)
		return err
	})
	info.Through, info.Holes = l.through(), l.settled.holes()
	return err
}

// A Stored is a record as it is kept.
type Stored struct {
	Agent   string
	Record  wire.Record // Class is 0 for one this program does not know; Payload is the body
	Class   string      // its name
	Arrival int64       // 1, 2, 3 … in the order of arrival in its lane
	Arrived time.Time   // here
	Late    bool        // it came behind a gap that covers it
	Time    Time
}

// Records calls fn for each record of a lane, in the order of their numbers. The payload is fn's to keep.
func (r *Reader) Records(ctx context.Context, l LaneInfo, fn func(Stored) error) error {
	p := placer{r: r, agent: l.Agent, anchors: map[wire.ID][]wire.Stamp{}}
	return r.each(ctx, `SELECT seq, arrival, arrived, late, class, epoch, boot, boot_id, mono, wall, payload FROM records WHERE lane = $1 ORDER BY seq`,
		[]any{l.id}, func(rows *sql.Rows) error {
			s := Stored{Agent: l.Agent, Record: wire.Record{Stream: l.Stream, Lane: l.Lane}}
			var arrived, mono int64
			var late int
			var bootID []byte
			var wall *int64
			if err := rows.Scan(&s.Record.Seq, &s.Arrival, &arrived, &late, &s.Class, &s.Record.Epoch, &s.Record.Boot, &bootID, &mono, &wall,
				&s.Record.Payload); err != nil {
				return err
			}
			s.Arrived, s.Late = fromMillis(arrived), late != 0
			s.Record.Stamp = stampOf(bootID, mono, wall)
			s.Record.Class = classOf(s.Class)
			if err := p.place(ctx, &s); err != nil {
				return err
			}
			return fn(s)
		})
}

func classOf(name string) wire.Class {
	for _, c := range []wire.Class{wire.ClassAlarm, wire.ClassGap, wire.ClassSamples, wire.ClassPicture} {
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
func (r *Reader) Gaps(ctx context.Context, agent string, stream wire.ID) (out []StatedGap, err error) {
	const query = `SELECT g.seq, COALESCE(a.lane, 0), g.first, g.last, g.body, g.reason, g.arrived
		FROM gaps g JOIN lanes l ON l.id = g.lane LEFT JOIN lanes a ON a.id = g.about
		WHERE l.agent = $1 AND l.stream = $2 ORDER BY g.seq, COALESCE(a.lane, 0), g.first`
	err = r.each(ctx, query, []any{agent, stream[:]}, func(rows *sql.Rows) error {
		g := StatedGap{Agent: agent, Stream: stream}
		var body []byte
		var arrived int64
		if err := rows.Scan(&g.Seq, &g.Gap.Lane, &g.Gap.First, &g.Gap.Last, &body, &g.Gap.Reason, &arrived); err != nil {
			return err
		}
		g.Arrived = fromMillis(arrived)
		if len(body) > 0 {
			said, err := wire.DecodeGap(body)
			if err != nil {
				return err
			}
			g.Gap = said
		}
		out = append(out, g)
		return nil
	})
	return out, err
}

func (r *Reader) each(ctx context.Context, query string, args []any, fn func(*sql.Rows) error) error {
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	for rows.Next() && err == nil {
		err = fn(rows)
	}
	return errors.Join(err, rows.Err(), rows.Close())
}
