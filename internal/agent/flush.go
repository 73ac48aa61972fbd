package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/metrics"
	"upsedge/internal/sampler"
	"upsedge/internal/store"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A flusher encodes what the units' batches hold and puts it into the store: in one commit per interval, and of a unit with an
// event at once, so that a power cut right behind it takes nothing of what led to it.
type flusher struct {
	store  puts
	clock  *clock.Clock
	press  press
	series *metrics.Agent
	log    *slog.Logger

	mu      sync.Mutex         // the loop flushes all units, the end of a line its own
	pending []store.Samples    // encoded, not yet put: the store refused
	samples []int              // in each of pending
	most    int                // bytes of pending while the store refuses
	lost    map[share]wire.Gap // of what went from pending; not yet put
	room    sampler.Room

	layouts layouts

	hurrying sync.Mutex
	hurry    map[string]bool // units that are not to wait for the interval
	wake     chan struct{}   // holds at most one
}

// A share is what an owner has of a unit's records.
type share struct {
	unit  string
	epoch uint32
}

// puts is what the flusher and the recorder need of a store.
type puts interface {
	PutSamples(ctx context.Context, blocks []store.Samples) error
	PutEvents(ctx context.Context, unit string, state []byte, events []store.Event) error
	PutUnitGap(ctx context.Context, epoch uint32, g wire.Gap, stamp wire.Stamp) error
	PutLost(ctx context.Context, n uint64, stamp wire.Stamp) error
	Expect(n uint64) // events that wait
}

// layouts are those of the samples stored in this run.
type layouts struct {
	mu    sync.Mutex
	known map[wire.SchemaHash]*ups.Layout
}

func (l *layouts) add(rows []wire.Rows) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range rows {
		if h, err := wire.HashLayout(r.Layout); err == nil {
			l.known[h] = r.Layout
		}
	}
}

func (l *layouts) all() []*ups.Layout {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.known))
}

const (
	// mostPending bounds what is kept in memory while the store refuses, in bytes: of sixteen units at the default rates of a
	// serial line seven hours, of a thousand on TCP that are read ten times a second less than a minute.
	mostPending = 16 << 20
	// besides is what a block takes in memory beside its payload.
	besides = 256
)

func newFlusher(s puts, c *clock.Clock, series *metrics.Agent, log *slog.Logger) *flusher {
	return &flusher{
		store: s, clock: c, press: press{encoder: wire.NewEncoder(), epochs: map[string]uint32{}}, most: mostPending, lost: map[share]wire.Gap{},
		series: series, log: log,
		layouts: layouts{known: map[wire.SchemaHash]*ups.Layout{}}, hurry: map[string]bool{}, wake: make(chan struct{}, 1),
	}
}

// soon asks for a flush of one unit before its time. It never waits.
func (f *flusher) soon(unit string) {
	f.hurrying.Lock()
	f.hurry[unit] = true
	f.hurrying.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// urgent returns those of units that soon was called for since.
func (f *flusher) urgent(units []*unit) []*unit {
	f.hurrying.Lock()
	defer f.hurrying.Unlock()
	units = slices.DeleteFunc(units, func(u *unit) bool { return !f.hurry[u.cfg.Name] })
	clear(f.hurry)
	return units
}

// run flushes every interval until ctx ends. The last flush belongs to whoever stops the lines.
func (f *flusher) run(ctx context.Context, every time.Duration, units func() []*unit) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var retry <-chan time.Time
		if f.waits() {
			retry = time.After(min(every, mostPause))
		}
		select {
		case <-tick.C:
			f.flush(ctx, units())
		case <-retry:
			f.flush(ctx, nil)
		case <-f.wake:
			f.flush(ctx, f.urgent(units()))
		case <-ctx.Done():
			return nil
		}
	}
}

// flush takes the batches and puts them. When the store refuses, the blocks stay encoded and are put with the next ones.
func (f *flusher) flush(ctx context.Context, units []*unit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range units {
		f.take(u)
	}
	if len(f.pending) == 0 && len(f.lost) == 0 {
		return
	}
	if err := f.put(context.WithoutCancel(ctx)); err != nil {
		f.keep()
	}
}

// mostCommit is how much goes into one commit: what has piled up while the disk refused is many of them, and an event that comes
// meanwhile waits for one.
const mostCommit = 512 << 10

// put stores what is lost, then what is pending.
func (f *flusher) put(ctx context.Context) error {
	for of, gap := range f.lost {
		if err := f.store.PutUnitGap(ctx, of.epoch, gap, gap.To); err != nil {
			return err
		}
		delete(f.lost, of)
	}
	for len(f.pending) > 0 {
		n, size := 0, 0
		for n < len(f.pending) && (n == 0 || size+len(f.pending[n].Payload)+besides <= mostCommit) {
			size += len(f.pending[n].Payload) + besides
			n++
		}
		if err := f.store.PutSamples(ctx, f.pending[:n]); err != nil {
			return err
		}
		for i, s := range f.pending[:n] {
			f.series.Samples.Add(float64(f.samples[i]))
			f.series.EncodedBytes.Add(float64(len(s.Payload)))
		}
		f.pending, f.samples = f.pending[n:], f.samples[n:]
	}
	f.pending, f.samples = nil, nil
	return nil
}

// waits reports whether something was refused.
func (f *flusher) waits() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pending) > 0 || len(f.lost) > 0
}

// gather takes the batches of units and returns since when, by unit, something waits or was lost.
func (f *flusher) gather(units []*unit) map[string]wire.Stamp {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range units {
		f.take(u)
	}
	since := map[string]wire.Stamp{}
	for of, gap := range f.lost {
		if at, some := since[of.unit]; !some || gap.From.Mono < at.Mono {
			since[of.unit] = gap.From
		}
	}
	for _, s := range f.pending {
		if at, some := since[s.Unit]; !some || s.First.Mono < at.Mono {
			since[s.Unit] = s.First
		}
	}
	return since
}

func (f *flusher) take(u *unit) {
	lost, err := u.batch.Take(&f.room, func(of sampler.Owner, rows []wire.Rows) error {
		f.layouts.add(rows)
		if of.Local {
			return nil
		}
		return f.encode(u.cfg.Name, of, rows)
	})
	if lost != (sampler.Span{}) {
		f.log.Error("samples were not taken in time and are lost", "unit", u.cfg.Name)
		f.lose(u.cfg.Name, u.belongs(), f.stamp(lost.First), f.stamp(lost.Last))
	}
	if err != nil {
		f.log.Error("samples could not be encoded and are lost", "unit", u.cfg.Name, "err", err)
	}
}

// encode makes blocks of rows. What is too much for one block, after a long stall or at a long interval, becomes several.
func (f *flusher) encode(unit string, of sampler.Owner, rows []wire.Rows) error {
	if early, late := split(rows); late != nil {
		return errors.Join(f.encode(unit, of, early), f.encode(unit, of, late))
	}
	block := wire.Block{Unit: unit, Device: of.Device, Sections: rows}
	first, last := f.span(rows)
	body, err := f.press.encode(&block, of.Epoch)
	if err != nil {
		f.lose(unit, of, first, last)
		return err
	}
	f.pending = append(f.pending, store.Samples{Unit: unit, Epoch: of.Epoch, First: first, Last: last, Payload: body})
	f.samples = append(f.samples, block.Samples())
	return nil
}

// Half of what a block may hold, so that a block that is not split is far from every limit.
const (
	mostCells = wire.MaxCells / 2
	mostRows  = wire.MaxRows / 2
)

// split divides rows into an earlier and a later half; late is nil where one block holds them all.
func split(rows []wire.Rows) (early, late []wire.Rows) {
	cells, longest := size(rows)
	if longest < 2 || cells <= mostCells && longest <= mostRows {
		return rows, nil
	}
	for _, r := range rows {
		n, wide := len(r.At)/2, len(r.Layout.Columns)
		a, b := r, r
		a.At, a.Raw = r.At[:n], r.Raw[:n*wide]
		b.At, b.Raw = r.At[n:], r.Raw[n*wide:]
		if n > 0 {
			early = append(early, a)
		}
		late = append(late, b)
	}
	return early, late
}

// size returns how many cells rows have, and the longest of them how many rows.
func size(rows []wire.Rows) (cells, longest int) {
	for _, r := range rows {
		cells += len(r.At) * (1 + len(r.Layout.Columns))
		longest = max(longest, len(r.At))
	}
	return cells, longest
}

// span returns when the first and the last of rows were read.
func (f *flusher) span(rows []wire.Rows) (first, last wire.Stamp) {
	from, to := rows[0].At[0], rows[0].At[0]
	for _, r := range rows {
		from, to = min(from, r.At[0]), max(to, r.At[len(r.At)-1])
	}
	return f.stamp(from), f.stamp(to)
}

func (f *flusher) stamp(ms int64) wire.Stamp {
	return f.clock.Complete(wire.Stamp{BootID: f.clock.Boot(), Mono: time.Duration(ms) * time.Millisecond})
}

// lose notes that samples of a unit will never be stored; a gap record names them with the next put.
func (f *flusher) lose(unit string, of sampler.Owner, first, last wire.Stamp) {
	f.press.forget() // the block that is gone may have carried a schema
	if of.Local {
		return
	}
	mine := share{unit, of.Epoch}
	gap, begun := f.lost[mine]
	if !begun {
		gap = wire.Gap{Unit: unit, From: first, Reason: wire.GapStorage}
	}
	gap.To = last
	f.lost[mine] = gap
}

// keep bounds what could not be put: the oldest go, and a gap record per unit names them when the store works again. (Until then
// the store itself counts the unit as interrupted: a crash leaves no less.)
func (f *flusher) keep() {
	n, held := len(f.pending), 0
	for n > 0 && held+len(f.pending[n-1].Payload)+besides <= f.most {
		n--
		held += len(f.pending[n].Payload) + besides
	}
	for _, s := range f.pending[:n] {
		f.lose(s.Unit, sampler.Owner{Epoch: s.Epoch}, s.First, s.Last)
	}
	f.pending, f.samples = slices.Delete(f.pending, 0, n), slices.Delete(f.samples, 0, n)
}
