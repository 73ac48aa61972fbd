package ingest

import (
	"database/sql"
	"errors"
	"slices"

	"upsedge/internal/wire"
)

// Bounds of what one agent can make the receiver keep beside its records.
const (
	// maxStreams of an agent. It begins one when it has lost its database, and after a new enrolment.
	maxStreams = 64
	// maxSpans is in how many pieces the numbers of a lane may be. An agent has at most 64 records on their way beyond its mark,
	// so that more is none of ours; each piece costs a row, and memory while the lane is at work.
	maxSpans = 1024
	// maxAgents of one receiver.
	maxAgents = 100_000
)

var (
	errTooManyAgents  = errors.New("too many agents")
	errTooManyStreams = errors.New("too many streams of this agent")
	errTooManyHoles   = errors.New("too many holes in this lane")
)

// A lane is what is known of one lane of one stream of an agent: which numbers are settled, stored or covered by a gap.
type lane struct {
	id       int64
	agent    string
	stream   wire.ID
	lane     wire.Lane
	arrivals int64  // records that came, in the order of their arrival
	highest  uint64 // number of a record stored
	frozen   uint64 // the lowest number of a conflict: nothing from here on is acknowledged. 0: none
	settled  spans

	saved   spans // settled, as the table has it
	changed bool  // one of the numbers above is not in the table
	touched bool  // in this batch
}

// through is what may be acknowledged.
func (l *lane) through() uint64 {
	m := l.settled.mark()
	if l.frozen > 0 {
		m = min(m, l.frozen-1)
	}
	return m
}

type laneKey struct {
	agent  string
	stream wire.ID
	lane   wire.Lane
}

// cache holds what the tables say of lanes and agents at work, for one writing process. It never has what is not committed.
type cache struct {
	lanes   map[laneKey]*lane
	agents  map[string]*agent
	schemas map[string]*schemas
	anchors map[string]wire.Stamp // the one that was used last
}

// trim keeps the cache from growing with every agent that was ever seen.
func (c *cache) trim() {
	const most = 4096
	if len(c.lanes) > most || len(c.agents) > most || len(c.schemas) > most {
		c.drop()
	}
}

func (c *cache) drop() {
	*c = cache{map[laneKey]*lane{}, map[string]*agent{}, map[string]*schemas{}, map[string]wire.Stamp{}}
}

// forget drops what is known of an agent.
func (c *cache) forget(agent string) {
	delete(c.agents, agent)
	delete(c.schemas, agent)
	delete(c.anchors, agent)
	for key := range c.lanes {
		if key.agent == agent {
			delete(c.lanes, key)
		}
	}
}

// lane returns a lane, a new one if need be; nil when the agent has too many of them.
func (b *batch) lane(agent string, stream wire.ID, which wire.Lane) *lane {
	key := laneKey{agent, stream, which}
	l := b.cache.lanes[key]
	if l == nil {
		l = b.loadLane(key)
	}
	if l == nil || b.err != nil {
		return nil
	}
	b.cache.lanes[key] = l
	return l
}

// touch has the mark of the lane told with this batch.
func (b *batch) touch(l *lane) {
	if !l.touched {
		l.touched = true
		b.touched = append(b.touched, l)
	}
}

func (b *batch) loadLane(key laneKey) *lane {
	l := &lane{agent: key.agent, stream: key.stream, lane: key.lane}
	found := b.one(`SELECT id, arrivals, highest, frozen FROM lanes WHERE agent = $1 AND stream = $2 AND lane = $3`,
		[]any{key.agent, key.stream[:], int(key.lane)}, &l.id, &l.arrivals, &l.highest, &l.frozen)
	if !found {
		return b.newLane(l)
	}
	b.each(`SELECT first, last FROM covered WHERE lane = $1 ORDER BY first`, []any{l.id}, func(rows *sql.Rows) error {
		var s Span
		err := rows.Scan(&s.First, &s.Last)
		l.settled = append(l.settled, s)
		return err
	})
	l.saved = slices.Clone(l.settled)
	return l
}

func (b *batch) newLane(l *lane) *lane {
	var have int
	b.one(`SELECT COUNT(*) FROM lanes WHERE agent = $1`, []any{l.agent}, &have)
	if have >= maxStreams*len(wire.Lanes) {
		return nil
	}
	b.one(`INSERT INTO lanes (agent, stream, lane, arrivals, highest, frozen) VALUES ($1, $2, $3, 0, 0, 0) RETURNING id`,
		[]any{l.agent, l.stream[:], int(l.lane)}, &l.id)
	return l
}

// saveLanes writes what the batch has changed.
func (b *batch) saveLanes() {
	for _, l := range b.touched {
		l.touched = false
		if !l.changed || b.err != nil {
			continue
		}
		b.exec(`UPDATE lanes SET arrivals = $1, highest = $2, frozen = $3 WHERE id = $4`, l.arrivals, l.highest, l.frozen, l.id)
		b.saveSpans(l)
		l.changed = false
	}
}

// saveSpans writes the difference: a record behind the last one changes one row, whatever the lane holds.
func (b *batch) saveSpans(l *lane) {
	old := map[uint64]uint64{}
	for _, s := range l.saved {
		old[s.First] = s.Last
	}
	for _, s := range l.settled {
		last, there := old[s.First]
		delete(old, s.First)
		if there && last == s.Last {
			continue
		}
		b.exec(`INSERT INTO covered (lane, first, last) VALUES ($1, $2, $3) ON CONFLICT (lane, first) DO UPDATE SET last = excluded.last`,
			l.id, int64(s.First), int64(s.Last))
	}
	for first := range old {
		b.exec(`DELETE FROM covered WHERE lane = $1 AND first = $2`, l.id, int64(first))
	}
	l.saved = slices.Clone(l.settled)
}
