package history

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/ups"
)

// A level is one kind of summary: spans of a width, so many to one row.
type level struct {
	number int
	cell   int64 // width of a cell, ms
	span   int64 // of one row, ms
}

var (
	hour = level{1, 60_000, 3_600_000}
	day  = level{2, 3_600_000, 86_400_000}
)

// settled is how long after its end a span gets its summary: before, most of its blocks may still be on their way.
const settled = 5 * time.Minute

// maxRows bounds what one span is reckoned from: an hour of rows at the highest rates of every tier.
const maxRows = 2_000_000

// stale marks the summaries that a span of time touches, in ms.
func stale(ctx context.Context, tx *store.Tx, device string, first, last int64) error {
	_, err := tx.Exec(ctx, `UPDATE summaries SET stale = 1 WHERE device = $1 AND stale = 0 AND
		(level = 1 AND at > $2 AND at <= $3 OR level = 2 AND at > $4 AND at <= $3)`, device, first-hour.span, last, first-day.span)
	return err
}

// summary returns the cells of a level of the span that begins at, in ms. One that is settled is kept.
func summary(ctx context.Context, tx *store.Tx, device string, l level, at int64, now time.Time, keep func(kept)) (grid, error) {
	var body []byte
	var old int
	err := tx.QueryRow(ctx, `SELECT body, stale FROM summaries WHERE device = $1 AND level = $2 AND at = $3`, device, l.number, at).Scan(&body, &old)
	switch {
	case err == nil && old == 0:
		if g, err := unpack(body, at/l.cell, l.span/l.cell); err == nil {
			return g, nil
		} // a damaged one is made anew
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return nil, err
	}
	g := grid{}
	if l == day {
		for h := at; h < at+day.span; h += hour.span {
			if time.UnixMilli(h).After(now) {
				break
			}
			part, err := summary(ctx, tx, device, hour, h, now, keep)
			if err != nil {
				return nil, err
			}
			g.coarsen(part, hour.cell, day.cell)
		}
	} else {
		rows, _, err := rowsBetween(ctx, tx, device, at, at+l.span, maxRows)
		if err != nil {
			return nil, err
		}
		g = reckon(rows, l.cell, func(ups.Point) bool { return true })
	}
	if now.UnixMilli() > at+l.span+settled.Milliseconds() {
		k := kept{level: l, at: at, body: g.pack(at / l.cell)}
		if k.blocks, k.sum, err = k.look(ctx, tx, device); err != nil {
			return nil, err
		}
		keep(k)
	}
	return g, nil
}

// kept is a summary that is to be written down, with a look at the blocks it was reckoned from.
type kept struct {
	level
	at          int64
	body        []byte
	blocks, sum int64
}

func (k *kept) look(ctx context.Context, tx *store.Tx, device string) (blocks, sum int64, err error) {
	to := k.at + k.span
	err = tx.QueryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(first_at), 0) FROM `+inSpan, device, k.at, to+short, to).Scan(&blocks, &sum)
	return blocks, sum, err
}

// write keeps the summary, unless a block came or was moved while it was reckoned: that has marked nothing, as there was nothing to be marked.
func (k *kept) write(ctx context.Context, tx *store.Tx, device string) error {
	blocks, sum, err := k.look(ctx, tx, device)
	if err != nil || blocks != k.blocks || sum != k.sum {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO summaries (device, level, at, stale, body) VALUES ($1, $2, $3, 0, $4)
		ON CONFLICT (device, level, at) DO UPDATE SET stale = 0, body = excluded.body`, device, k.number, k.at, k.body)
	return err
}

// coarsen adds cells of one width to those of a multiple of it. They come in the order of their times.
func (g grid) coarsen(part grid, from, to int64) {
	for p, cells := range part {
		for _, n := range sorted(cells) {
			g.at(p, n*from/to).join(*cells[n])
		}
	}
}
