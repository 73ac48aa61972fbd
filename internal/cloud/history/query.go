package history

import (
	"context"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

// Bounds of a question.
const (
	MaxSteps  = 5000 // cells of a point in an answer
	MaxPoints = 64
	leastStep = time.Second
	// maxRaw is the longest span that is reckoned from rows alone.
	maxRaw = 26 * time.Hour
)

// A Question asks for points of a device from an instant (included) to another (excluded), in spans of Step. Both are widened to whole
// spans, which begin at multiples of Step since 1970 in UTC.
type Question struct {
	Device   string
	Points   []ups.Point
	From, To time.Time
	Step     time.Duration // 0: what makes about 300 of them
	// May is asked in each snapshot that an answer is read from, whether it may be given; nil: the caller has decided.
	May func(ctx context.Context, tx *store.Tx) error
}

// A Series is one point over time. Spans without a sample have no cell.
type Series struct {
	Point ups.Point
	Cells []At
}

// At is a cell with the instant at which its span begins.
type At struct {
	At time.Time
	Cell
}

// steps are those that are chosen where none is asked for.
var steps = [...]time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour,
	6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

func (q *Question) check() error {
	length := q.To.Sub(q.From)
	switch {
	case len(q.Points) == 0 || len(q.Points) > MaxPoints:
		return cloud.RefuseField(policy.Malformed, "point", "1 to %d points, in one list", MaxPoints)
	case length <= 0:
		return cloud.RefuseField(policy.Malformed, "to", "is not after from")
	case length > 20*366*24*time.Hour:
		return cloud.RefuseField(policy.Malformed, "from", "more than 20 years")
	}
	if q.Step == 0 {
		q.Step = steps[len(steps)-1]
		for _, s := range steps {
			if length <= 400*s {
				q.Step = s
				break
			}
		}
	}
	switch {
	case q.Step < leastStep || q.Step%time.Second != 0:
		return cloud.RefuseField(policy.Malformed, "step", "whole seconds, from %v", leastStep)
	case length/q.Step > MaxSteps:
		return cloud.RefuseField(policy.Malformed, "step", "%v makes more than %d spans of it; take a longer one", q.Step, MaxSteps)
	case length > maxRaw && q.Step%time.Minute != 0:
		return cloud.RefuseField(policy.Malformed, "step", "beyond %v only whole minutes", maxRaw)
	}
	return nil
}

// asksAtOnce are answered at the same time in one process: each may hold maxRows rows.
const asksAtOnce = 4

// A Reader answers questions about devices. Use NewReader.
type Reader struct {
	db    *store.DB
	now   func() time.Time
	seats *semaphore.Weighted
}

// NewReader returns a Reader; now nil is time.Now.
func NewReader(db *store.DB, now func() time.Time) *Reader {
	if now == nil {
		now = time.Now
	}
	return &Reader{db, now, semaphore.NewWeighted(asksAtOnce)}
}

// Ask answers a question; the step it took is in q afterwards.
func (r *Reader) Ask(ctx context.Context, q *Question) ([]Series, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	if err := r.seats.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer r.seats.Release(1)
	width := q.Step.Milliseconds()
	from := q.From.UnixMilli() / width * width
	to := (q.To.UnixMilli() + width - 1) / width * width
	g, err := r.gather(ctx, q, from, to)
	return g.series(q.Points, from, to, width), err
}

// read runs fn in one snapshot, if the question may be answered from it, and keeps the summaries that were made in it.
func (r *Reader) read(ctx context.Context, q *Question, fn func(ctx context.Context, tx *store.Tx, keep func(kept)) error) error {
	var fresh []kept
	err := r.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		fresh = nil
		if q.May != nil {
			if err := q.May(ctx, tx); err != nil {
				return err
			}
		}
		return fn(ctx, tx, func(k kept) { fresh = append(fresh, k) })
	})
	if err != nil || len(fresh) == 0 {
		return err
	}
	return r.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		for _, k := range fresh {
			if err := k.write(ctx, tx, q.Device); err != nil {
				return err
			}
		}
		return nil
	})
}

// gather reckons the cells of a question: of a long one span by span, each in a snapshot of its own, whose summary is kept at once. A year that
// is asked for the first time takes long on a busy device; who gives up and asks again finds what was done.
func (r *Reader) gather(ctx context.Context, q *Question, from, to int64) (g grid, err error) {
	width := q.Step.Milliseconds()
	want := func(p ups.Point) bool { return slices.Contains(q.Points, p) }
	if width%hour.cell != 0 || to-from <= hour.span {
		err = r.read(ctx, q, func(ctx context.Context, tx *store.Tx, _ func(kept)) error {
			rows, whole, err := rowsBetween(ctx, tx, q.Device, from, to, maxRows)
			if err == nil && !whole {
				err = cloud.RefuseField(policy.Malformed, "from", "too many samples in this span; take a shorter one, or a step of a minute")
			}
			g = reckon(rows, width, want)
			return err
		})
		return g, err
	}
	l := hour
	if width%day.cell == 0 {
		l = day
	}
	g = grid{}
	now := r.now()
	for at := from / l.span * l.span; at < to && at <= now.UnixMilli(); at += l.span {
		var part grid
		err := r.read(ctx, q, func(ctx context.Context, tx *store.Tx, keep func(kept)) error {
			part = nil
			any, err := hasBlocks(ctx, tx, q.Device, at, at+l.span)
			if err == nil && any {
				part, err = summary(ctx, tx, q.Device, l, at, now, keep)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		maps.DeleteFunc(part, func(p ups.Point, _ map[int64]*Cell) bool { return !want(p) })
		g.coarsen(part, l.cell, width)
	}
	return g, nil
}

// hasBlocks reports whether anything is known of a span: a year of a device that is a day old is not 365 questions.
func hasBlocks(ctx context.Context, tx *store.Tx, device string, from, to int64) (bool, error) {
	var n int
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM `+inSpan+` LIMIT 1) AS found`, device, from, to+short, to).Scan(&n)
	return n > 0, err
}

func sorted(cells map[int64]*Cell) []int64 { return slices.Sorted(maps.Keys(cells)) }

// series returns the cells of each point within a span, in the order asked for.
func (g grid) series(points []ups.Point, from, to, width int64) (out []Series) {
	for _, p := range points {
		s := Series{Point: p}
		for _, n := range sorted(g[p]) {
			if at := n * width; at >= from && at < to {
				s.Cells = append(s.Cells, At{time.UnixMilli(at).UTC(), *g[p][n]})
			}
		}
		out = append(out, s)
	}
	return out
}
