package sampler

import (
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A Batch keeps the readings of one unit: those that wait for the store, and beyond that those of the last 30 s, so that what
// led to an event can be kept with it. It copies what it is given, into a few kilobytes, and is safe for concurrent use: the
// line's goroutine puts, others take. Steady polling allocates nothing.
type Batch struct {
	mono func(time.Time) time.Duration // since the boot of the operating system

	mu     sync.Mutex
	log    rowLog
	newest kind
}

// An Owner is whose a reading is.
type Owner struct {
	Device string // serial number, "" while it is not known
	Epoch  uint32 // of the ownership in which it was read; 0: of nobody, or of a box without a cloud
	Local  bool   // it is nobody's and stays on this box
}

// NewBatch returns an empty Batch. mono tells an instant on the monotonic clock of the box.
func NewBatch(mono func(time.Time) time.Duration) *Batch { return &Batch{mono: mono} }

// Put adds one reading of an owner: rows of one are never handed out as another's. Texts are not kept: who a unit is goes with the state, not with the samples. It reports whether so much waits
// that it should be taken before its time: what nobody takes is lost at twice as much.
func (b *Batch) Put(r *ups.Reading, of Owner) (much bool) {
	if onlyTexts(r) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	parts := b.log.count
	b.newest = kind{of, r.Tier, r.Layout}
	b.log.put(b.newest, b.mono(r.At).Milliseconds(), r.Raw)
	return b.log.count != parts && b.log.waiting() > mostBytes/2
}

// Forget drops every row: also those that were taken and are kept for a picture.
func (b *Batch) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log, b.newest = rowLog{}, kind{}
}

func onlyTexts(r *ups.Reading) bool {
	if r.Text == nil {
		return false
	}
	for _, c := range r.Layout.Columns {
		if c.Point.Info().Kind != ups.Text {
			return false
		}
	}
	return true
}

// Take hands every row that was not taken yet to encode, owner by owner, whatever encode returns. Rows are valid until encode
// returns. With nothing to hand over encode is not called. lost is what was dropped since the last Take because nobody took it.
func (b *Batch) Take(room *Room, encode func(of Owner, rows []wire.Rows) error) (lost Span, err error) {
	lost = b.take(room)
	var errs []error
	for _, of := range room.owners() {
		errs = append(errs, encode(of, room.rows(of)))
	}
	return lost, errors.Join(errs...)
}

func (b *Batch) take(room *Room) (lost Span) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kinds := b.log.kinds()
	room.begin(kinds)
	for i := range b.log.parts {
		if p := &b.log.parts[i]; p.taken < p.rows {
			room.add(kinds, p, p.taken, math.MinInt64)
			p.taken = p.rows
		}
	}
	lost, b.log.lost = b.log.lost, Span{}
	return lost
}

// A Picture is what the rows of the last 30 s say, as a Batch keeps them. It is a copy and changes no more.
type Picture struct {
	Owner  Owner // whose rows they are: of who was read last
	Newest int64 // time of the last row, ms
	kinds  []kind
	parts  []part
}

// Picture copies the rows of the last 30 s before the newest one; nil if there is none newer than after, in ms.
func (b *Batch) Picture(after int64) *Picture {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &Picture{Owner: b.newest.owner}
	for i := range b.log.parts {
		p.Newest = max(p.Newest, b.log.parts[i].newest)
	}
	if p.Newest <= after {
		return nil
	}
	for _, old := range b.log.parts {
		if old.newest >= p.Newest-keep {
			old.buf = slices.Clone(old.buf)
			p.parts = append(p.parts, old)
		}
	}
	p.kinds = b.log.kinds()
	return p
}

// Rows reads the rows of the last span up to the newest, at most those that are there. They are valid until room is used again.
func (p *Picture) Rows(room *Room, span time.Duration) []wire.Rows {
	room.begin(p.kinds)
	for i := range p.parts {
		room.add(p.kinds, &p.parts[i], 0, p.Newest-span.Milliseconds())
	}
	return room.rows(p.Owner)
}
