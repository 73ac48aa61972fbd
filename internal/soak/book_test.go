package soak

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"upsedge/internal/wire"
)

// An identity is what a receiver tells records apart by, of one agent.
type identity struct {
	stream wire.ID
	lane   wire.Lane
	seq    uint64
}

func idOf(r wire.Record) identity { return identity{r.Stream, r.Lane, r.Seq} }

// A book is what the agent's store said it had accepted, over all runs of the agent.
type book struct {
	mu    sync.Mutex
	told  map[identity][]wire.Record // every version of a number: a gap grows, and takes the place of what was dropped
	runs  []*run
	boots map[wire.ID]time.Duration // boots of the box, since that of the machine
}

// A run is one process of the agent.
type run struct {
	started, ended time.Duration   // since the boot of the machine; ended is when the kill or the stop was over
	clean          bool            // it was stopped
	unsure         bool            // its disk failed: whether its end is a clean one nobody knows
	boots          map[uint32]bool // of its openings of the store, those that accepted something
}

func newBook() *book {
	return &book{told: map[identity][]wire.Record{}, boots: map[wire.ID]time.Duration{}}
}

// begin opens the page of a run and returns what hears its reports.
func (b *book) begin() (*run, func(report)) {
	r := &run{started: sinceBoot(), boots: map[uint32]bool{}}
	b.mu.Lock()
	b.runs = append(b.runs, r)
	b.mu.Unlock()
	return r, func(said report) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, rec := range said.Records {
			b.told[idOf(rec)] = append(b.told[idOf(rec)], rec)
			r.boots[rec.Boot] = true
		}
	}
}

func (b *book) end(r *run, clean bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.ended, r.clean = sinceBoot(), clean
}

// sinceBoot is the clock that stamps are told on.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // every Linux has it
	}
	return time.Duration(ts.Nano())
}

// A span is numbers of one lane that a gap record says will not come.
type span struct {
	first, last uint64
	reason      wire.GapReason
}

// A holding is what the receiver has, in the order in which it came first.
type holding struct {
	records map[identity]wire.Record
	order   []identity
	gone    map[wire.ID]map[wire.Lane][]span
	gaps    []wire.Gap // of form two
	late    int        // records that came behind later ones
}

func newHolding() *holding {
	return &holding{records: map[identity]wire.Record{}, gone: map[wire.ID]map[wire.Lane][]span{}}
}

// apply notes what a gap record says, whatever is held already.
func (h *holding) apply(stream wire.ID, g wire.Gap) {
	if g.Lane == 0 {
		h.gaps = append(h.gaps, g)
		return
	}
	if h.gone[stream] == nil {
		h.gone[stream] = map[wire.Lane][]span{}
	}
	h.gone[stream][g.Lane] = append(h.gone[stream][g.Lane], span{g.First, g.Last, g.Reason})
}

// lost returns the gap that covers a number, if one does.
func (h *holding) lost(id identity) (span, bool) {
	for _, s := range h.gone[id.stream][id.lane] {
		if id.seq >= s.first && id.seq <= s.last {
			return s, true
		}
	}
	return span{}, false
}

func (h *holding) settled(id identity) bool {
	if _, ok := h.records[id]; ok {
		return true
	}
	_, ok := h.lost(id)
	return ok
}
