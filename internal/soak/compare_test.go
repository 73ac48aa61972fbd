package soak

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"upsedge/internal/store"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// rules say what may be missing with a gap.
type rules struct {
	quota bool // the spool is small
	late  bool // the broker forgets what it acknowledged: it comes again, behind what came later
}

// A complaint is something wrong; no more than some are kept of each kind.
type complaints struct {
	list []string
	n    map[string]int
}

func (c *complaints) add(kind, format string, args ...any) {
	if c.n == nil {
		c.n = map[string]int{}
	}
	if c.n[kind]++; c.n[kind] <= 5 {
		c.list = append(c.list, kind+": "+fmt.Sprintf(format, args...))
	}
}

func (c *complaints) all() []string {
	for kind, n := range c.n {
		if n > 5 {
			c.list = append(c.list, fmt.Sprintf("%s: %d in all", kind, n))
		}
	}
	return c.list
}

func describe(r wire.Record) string {
	return fmt.Sprintf("%v %d (%v, epoch %d, boot %d, %v, %d bytes)", r.Lane, r.Seq, r.Class, r.Epoch, r.Boot, r.Stamp.Mono, len(r.Payload))
}

// compare adds what is wrong with what a receiver holds after everything was delivered.
func (b *book) compare(h *holding, allowed rules, c *complaints) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.compareTold(h, allowed, c)
	b.compareHeld(h, c)
	b.compareTimes(h, c)
	if n := b.compareOrder(h, allowed.late, c); n > 0 {
		h.late = n
	}
	b.compareCrashes(h, b.readRows(b.everything(h), c), allowed.quota, c)
}

// compareTold: what was accepted is there as it was, or a gap says why it is not.
func (b *book) compareTold(h *holding, allowed rules, c *complaints) {
	for id, versions := range b.told {
		final := versions[len(versions)-1]
		have, ok := h.records[id]
		s, gone := h.lost(id)
		switch {
		case !ok && !gone:
			c.add("lost", "%s", describe(final))
			continue
		case gone && !(allowed.quota && s.reason == wire.GapQuota) && !b.neverPut(s, final):
			c.add("gap", "%s is said to be gone (%s)", describe(final), s.reason)
		case !ok:
			continue
		}
		if !slices.ContainsFunc(versions, func(v wire.Record) bool { return same(v, have) }) {
			if !allowed.quota || !b.overtaken(final, have) {
				c.add("altered", "%s arrived as %s", describe(final), describe(have))
			}
			continue
		}
		if final.Class == wire.ClassGap && !same(final, have) {
			c.add("gap", "%s was last %s, arrived as %s", describe(final), final.Payload, have.Payload)
		}
	}
}

// neverPut reports whether a gap is one of events that waited in the memory of a run whose disk failed, and ended with it: it stands
// under the last of the numbers that they would have had, and none of those was ever accepted as anything else.
func (b *book) neverPut(s span, final wire.Record) bool {
	failed := slices.ContainsFunc(b.runs, func(r *run) bool { return r.unsure })
	return failed && s.reason == wire.GapStorage && final.Class == wire.ClassGap && final.Lane == wire.Events && final.Seq == s.last
}

// overtaken reports whether have can be what the last commit of a killed run made of a number, without having told so: a gap of the
// quota that has grown, or taken the place of an event.
func (b *book) overtaken(final, have wire.Record) bool {
	killed := slices.ContainsFunc(b.runs, func(r *run) bool { return r.boots[have.Boot] && !r.clean })
	if !killed || have.Class != wire.ClassGap {
		return false
	}
	now, err := wire.DecodeGap(have.Payload)
	if err != nil || now.Reason != wire.GapQuota {
		return false
	}
	if final.Class != wire.ClassGap {
		return now.Lane == wire.Events && now.Last == have.Seq
	}
	was, err := wire.DecodeGap(final.Payload)
	return err == nil && final.Boot == have.Boot && was.Lane == now.Lane && was.First == now.First && was.Last < now.Last
}

// same compares what crosses the network: microseconds on the monotonic clock, milliseconds on the wall. A wall time may have been
// found out since, for the same boot.
func same(told, have wire.Record) bool {
	return told.Class == have.Class && told.Epoch == have.Epoch && told.Boot == have.Boot &&
		told.Stamp.BootID == have.Stamp.BootID && told.Stamp.Mono.Microseconds() == have.Stamp.Mono.Microseconds() &&
		(told.Stamp.Wall.IsZero() || told.Stamp.Wall.UnixMilli() == have.Stamp.Wall.UnixMilli()) &&
		bytes.Equal(told.Payload, have.Payload)
}

// compareHeld: what was not told was put by the last commit of a run that was killed before it could say so.
func (b *book) compareHeld(h *holding, c *complaints) {
	type place struct {
		stream wire.ID
		lane   wire.Lane
		boot   uint32
	}
	last := map[place]uint64{}
	for id, versions := range b.told {
		for _, v := range versions {
			p := place{id.stream, id.lane, v.Boot}
			last[p] = max(last[p], id.seq)
		}
	}
	untold := map[uint32]int{}
	for id, r := range h.records {
		if len(b.told[id]) > 0 {
			continue
		}
		if id.seq < last[place{id.stream, id.lane, r.Boot}] {
			c.add("never accepted", "%s", describe(r))
		}
		untold[r.Boot]++
	}
	for _, r := range b.runs {
		for boot := range r.boots {
			if n := untold[boot]; r.clean && !r.unsure && n > 0 {
				c.add("never accepted", "%d records of run %d, which was stopped and had said all", n, boot)
			}
		}
	}
}

// compareOrder: records of a lane come first in the order of their numbers; only gaps are put under old ones.
func (b *book) compareOrder(h *holding, allowed bool, c *complaints) (late int) {
	type lane struct {
		stream wire.ID
		lane   wire.Lane
	}
	last := map[lane]uint64{}
	for _, id := range h.order {
		l := lane{id.stream, id.lane}
		if id.seq < last[l] && h.records[id].Class != wire.ClassGap {
			if late++; !allowed {
				c.add("order", "%s came behind %d", describe(h.records[id]), last[l])
			}
		}
		last[l] = max(last[l], id.seq)
	}
	return late
}

// holes adds the numbers that were given and of which nothing came.
func holes(h *holding, stream wire.ID, stats store.Stats, c *complaints) {
	for lane, last := range map[wire.Lane]uint64{wire.Events: stats.Events.Last, wire.Samples: stats.Samples.Last} {
		for n := uint64(1); n <= last; n++ {
			if id := (identity{stream, lane, n}); !h.settled(id) {
				c.add("hole", "%v %d", lane, n)
			}
		}
		for _, s := range h.gone[stream][lane] {
			if s.last > last {
				c.add("gap", "%v %d to %d, of which only %d were given", lane, s.first, s.last, last)
			}
		}
	}
}

// A block is one record of samples, or what is left of it here.
type block struct {
	boot        uint32
	seq         uint64
	first, last time.Duration // of its rows, since the boot of the machine
}

// everything returns what was ever accepted or arrived, by number.
func (b *book) everything(h *holding) []wire.Record {
	all := maps.Clone(h.records)
	for id, versions := range b.told {
		all[id] = versions[len(versions)-1]
	}
	return slices.SortedFunc(maps.Values(all), func(a, b wire.Record) int {
		return cmp.Or(bytes.Compare(a.Stream[:], b.Stream[:]), cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Seq, b.Seq))
	})
}

// learn returns every schema that was announced, also by blocks that were dropped since.
func learn(all []wire.Record) *wire.Schemas {
	schemas := new(wire.Schemas)
	for _, r := range all {
		if r.Class == wire.ClassSamples {
			_, _ = schemas.DecodeBody(r.Payload) // those before an announcement are read again
		}
	}
	return schemas
}

// readRows decodes every block and returns those of each unit by their numbers; no row and no event may be there twice.
func (b *book) readRows(all []wire.Record, c *complaints) map[string][]block {
	type row struct {
		unit   string
		tier   ups.Tier
		layout wire.SchemaHash
		boot   wire.ID
		at     int64
	}
	seen := map[row]uint64{}
	units := map[string][]block{}
	schemas := learn(all)
	events := map[string]uint64{}
	for _, r := range all {
		if r.Class == wire.ClassAlarm {
			what := fmt.Sprint(r.Stream, r.Stamp.BootID, r.Stamp.Mono, string(r.Payload))
			if was, twice := events[what]; twice {
				c.add("duplicated", "event %d says what %d says", r.Seq, was)
			}
			events[what] = r.Seq
		}
		if r.Class != wire.ClassSamples {
			continue
		}
		content, err := schemas.DecodeBody(r.Payload)
		if err != nil {
			c.add("unreadable", "%s: %v", describe(r), err)
			continue
		}
		bl := block{boot: r.Boot, seq: r.Seq, first: 1 << 62}
		for _, s := range content.Sections {
			layout, err := wire.HashLayout(s.Layout)
			if err != nil {
				c.add("unreadable", "%s: %v", describe(r), err)
			}
			for _, at := range s.At {
				key := row{content.Unit, s.Tier, layout, r.Stamp.BootID, at}
				if was, twice := seen[key]; twice {
					c.add("duplicated", "a row of %s at %d ms in %d and %d", content.Unit, at, was, r.Seq)
				}
				seen[key] = r.Seq
				since := b.real(wire.Stamp{BootID: r.Stamp.BootID, Mono: ms(at)})
				bl.first, bl.last = min(bl.first, since), max(bl.last, since)
			}
		}
		units[content.Unit] = append(units[content.Unit], bl)
	}
	return units
}

func ms(at int64) time.Duration { return time.Duration(at) * time.Millisecond }

// compareCrashes: each run that was killed while it collected samples of a unit left one gap record of that unit, from the last
// sample that was stored to where samples are collected again.
func (b *book) compareCrashes(h *holding, units map[string][]block, dropped bool, c *complaints) {
	for unit, blocks := range units {
		var gaps []wire.Gap
		for _, g := range h.gaps {
			if g.Unit == unit && g.Reason == wire.GapCrash {
				g.From.Mono, g.To.Mono = b.real(g.From), b.real(g.To)
				gaps = append(gaps, g)
			}
		}
		b.compareUnit(unit, blocks, gaps, dropped, c)
	}
}

func (b *book) compareUnit(unit string, blocks []block, gaps []wire.Gap, dropped bool, c *complaints) {
	last := map[uint32]time.Duration{} // by boot
	for _, bl := range blocks {
		last[bl.boot] = max(last[bl.boot], bl.last)
	}
	used := make([]bool, len(gaps))
	for _, r := range b.runs {
		var ends []time.Duration
		for boot := range r.boots {
			if end, ok := last[boot]; ok {
				ends = append(ends, end)
			}
		}
		n := 0
		for i, g := range gaps {
			from := g.From.Mono
			inside := from >= r.started && from <= r.ended
			// The last commit may have been killed before it was told, and then dropped for room before it was sent.
			untold := dropped && len(ends) > 0 && from > slices.Max(ends)
			if slices.Contains(ends, from) || inside && (len(ends) == 0 || r.unsure || untold) {
				n++
				used[i] = true
				if g.To.Mono < r.ended && !r.unsure {
					c.add("gap", "%s: from %v to %v, of a run that went on until %v", unit, from, g.To.Mono, r.ended)
				}
			}
		}
		switch {
		case r.unsure: // its store was closed and opened again, or not
		case r.clean && n > 0:
			c.add("gap", "%s: %d gaps of the run with boots %v, which was stopped", unit, n, slices.Collect(maps.Keys(r.boots)))
		case !r.clean && len(ends) > 0 && n != 1, n > 1:
			c.add("gap", "%s: %d gaps of the run with boots %v, which was killed with samples up to %v", unit, n, slices.Collect(maps.Keys(r.boots)), ends)
		}
	}
	for i, g := range gaps {
		if !used[i] {
			c.add("gap", "%s: from %v to %v, where no run that was killed ended", unit, g.From.Mono, g.To.Mono)
		}
		for _, bl := range blocks {
			if bl.first < g.To.Mono && bl.last > g.From.Mono {
				c.add("gap", "%s: block %d, %v to %v, lies in the gap from %v to %v", unit, bl.seq, bl.first, bl.last, g.From.Mono, g.To.Mono)
			}
		}
	}
}
