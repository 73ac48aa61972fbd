package history

import (
	"context"
	"slices"

	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// short is how much time, in ms, nearly every block spans at most: an agent flushes each few seconds. The few that are longer, of one that kept its
// samples in memory, are looked for apart, or every question would have to look as far beyond its end as the longest block goes.
const short = 10 * 60 * 1000

// inSpan has the blocks of a device ($1) with rows from $2 on and before $4, ms. $3 is $4 + short.
const inSpan = `(SELECT lane, arrival, agent, first_at, last_at FROM blocks WHERE device = $1 AND long = 0 AND last_at >= $2 AND last_at < $3 AND first_at < $4
	UNION ALL SELECT lane, arrival, agent, first_at, last_at FROM blocks WHERE device = $1 AND long = 1 AND last_at >= $2 AND first_at < $4) AS b`

// A rowKey is the identity of a row (FORMAT.md, section 6).
type rowKey struct {
	boot wire.ID
	tier ups.Tier
	hash wire.SchemaHash
	mono int64
}

// A row is one row of a layout, raw, at a time.
type row struct {
	at     int64 // Unix ms
	layout *ups.Layout
	raw    []int64
}

// rowsBetween returns the rows of a device with from <= at < to, in ms, each once, in the order of their times. It stops beyond most rows
// and says so.
func rowsBetween(ctx context.Context, tx *store.Tx, device string, from, to int64, most int) (out []row, whole bool, err error) {
	list, offsets, agents, err := blocksBetween(ctx, tx, device, from, to)
	if err != nil {
		return nil, false, err
	}
	schemas := map[string]*wire.Schemas{}
	seen := map[rowKey]bool{}
	for i, s := range list {
		if schemas[agents[i]] == nil {
			if schemas[agents[i]], err = ingest.Schemas(ctx, tx, agents[i]); err != nil {
				return nil, false, err
			}
		}
		block, err := decode(schemas[agents[i]], s)
		if err != nil {
			continue
		}
		first, _, _ := span(block)
		shift := offsets[i] - first // the index knows when the first row was
		for j := range block.Sections {
			sec := &block.Sections[j]
			hash, err := wire.HashLayout(sec.Layout)
			if err != nil {
				continue
			}
			cols := len(sec.Layout.Columns)
			for k, mono := range sec.At {
				at, key := mono+shift, rowKey{s.boot, sec.Tier, hash, mono}
				if at < from || at >= to || seen[key] {
					continue
				}
				if seen[key] = true; len(out) == most {
					return out, false, nil
				}
				out = append(out, row{at, sec.Layout, sec.Raw[k*cols : (k+1)*cols]})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b row) int { return int(a.at - b.at) })
	return out, true, nil
}

// blocksBetween returns the records whose rows may lie in a span, with the time of each one's first row and its agent.
func blocksBetween(ctx context.Context, tx *store.Tx, device string, from, to int64) (list []stored, first []int64, agents []string, err error) {
	rows, err := tx.Query(ctx, `SELECT `+columns+`, b.first_at, b.agent FROM `+inSpan+` JOIN records r ON r.lane = b.lane AND r.arrival = b.arrival
		ORDER BY b.last_at, b.lane, b.arrival`, device, from, to+short, to)
	if err != nil {
		return nil, nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		var agent string
		s, err := scanRecord(rows, &at, &agent)
		if err != nil {
			return nil, nil, nil, err
		}
		list, first, agents = append(list, s), append(first, at), append(agents, agent)
	}
	return list, first, agents, rows.Err()
}

// reckon puts the rows of a span into cells of a width, in ms.
func reckon(rows []row, width int64, want func(ups.Point) bool) grid {
	g := grid{}
	for _, r := range rows {
		for i, c := range r.layout.Columns {
			if !want(c.Point) {
				continue
			}
			if v, ok := ups.ValueOf(c.Point, r.raw[i], c.Divisor); ok {
				g.at(c.Point, r.at/width).add(v)
			}
		}
	}
	return g
}
