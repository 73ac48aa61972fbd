package agent

import (
	"errors"
	"sync"
	"time"

	"upsedge/internal/sampler"
	"upsedge/internal/store"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A picture of what led to an event (FORMAT.md, section 6) is kept with it: the last 30 s of samples, at the rate at which they
// were read, in the commit of the event and directly behind it.
const (
	pictureSpan = 30 * time.Second
	// mostPicture bounds a picture: half a second of a link of 256 kbit/s, which the next alarm may have to wait for. At the
	// default rates of a serial line one has 2 KB, at 10 refreshes a second of a restless unit 10 KB. What is older is left out.
	mostPicture = 16 << 10
)

// aboutPower are the alarms on which a unit is read faster and which have a picture whatever their severity.
var aboutPower = map[ups.AlarmID]bool{101: true, 103: true, 201: true, 301: true, 311: true, 312: true, 313: true}

// pictured returns the index of the first event that wants a picture, -1 for none.
func pictured(events []ups.Event) int {
	for i, e := range events {
		if e.Kind == ups.Raise && (e.Severity >= ups.Warning || aboutPower[e.ID]) {
			return i
		}
	}
	return -1
}

// An album says what the next picture of a unit may show, so that a storm of events has one picture: at most one in 30 s, and
// none that has nothing new.
type album struct {
	last   time.Time // of the last picture
	newest int64     // row in it, ms
}

// take copies what the batch holds, nil if there is to be no picture at that time.
func (a *album) take(b *sampler.Batch, at time.Time) *sampler.Picture {
	if !a.last.IsZero() && at.Sub(a.last) < pictureSpan {
		return nil
	}
	p := b.Picture(a.newest)
	if p != nil {
		a.last, a.newest = at, p.Newest
	}
	return p
}

// A press makes blocks of rows. Those who do share one encoder, which is big, and take turns by the block.
type press struct {
	mu      sync.Mutex
	encoder *wire.Encoder
	epochs  map[string]uint32 // of each unit's last block
}

// encode makes a block of an epoch. The first one of each epoch of a unit carries its schemas: blocks of the epoch before may never leave
// the box, or go with it.
func (p *press) encode(b *wire.Block, epoch uint32) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last, some := p.epochs[b.Unit]; !some || last != epoch {
		p.encoder.ForgetUnit(b.Unit)
		p.epochs[b.Unit] = epoch
	}
	return p.encoder.Encode(nil, b)
}

func (p *press) encodeAlone(b *wire.Block) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.encoder.EncodeAlone(nil, b)
}

// forget has the next block of every unit carry its schemas.
func (p *press) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.encoder.Forget()
	clear(p.epochs) // of units that were taken out, too
}

// develop makes the record of a picture. One that would be too big shows less.
func (f *flusher) develop(unit string, pic *sampler.Picture, room *sampler.Room) (*store.Samples, error) {
	for span := pictureSpan; ; span /= 2 {
		rows := pic.Rows(room, span)
		if len(rows) == 0 {
			return nil, errors.New("a picture without a row")
		}
		if cells, longest := size(rows); span > 0 && (cells > mostCells || longest > mostRows) {
			continue
		}
		body, err := f.press.encodeAlone(&wire.Block{Unit: unit, Device: pic.Owner.Device, Sections: rows})
		if err != nil {
			return nil, err
		}
		if len(body) <= mostPicture || span == 0 {
			first, last := f.span(rows)
			return &store.Samples{Unit: unit, First: first, Last: last, Payload: body}, nil
		}
	}
}
