package sampler

import (
	"errors"
	"sync"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A Batch collects the readings of one unit until they are taken for the store. It copies what it is given and is safe for
// concurrent use: the line's goroutine puts, the flush goroutine takes. Buffers go round, so that steady polling allocates
// nothing.
type Batch struct {
	mono func(time.Time) time.Duration // since the boot of the operating system

	mu       sync.Mutex
	sections []section
	spare    []section
}

type section struct {
	device string
	rows   wire.Rows
}

// NewBatch returns an empty Batch. mono tells an instant on the monotonic clock of the box.
func NewBatch(mono func(time.Time) time.Duration) *Batch { return &Batch{mono: mono} }

// Put adds one reading of the device with that serial number, "" while it is not known: rows of one device are never handed out
// as another's. Texts are not kept: who a unit is goes with the state, not with the samples.
func (b *Batch) Put(r *ups.Reading, device string) {
	if onlyTexts(r) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.section(r, device)
	s.rows.At = append(s.rows.At, b.mono(r.At).Milliseconds())
	s.rows.Raw = append(s.rows.Raw, r.Raw...)
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

// section finds the rows of the device, layout and tier. A unit has a handful of them.
func (b *Batch) section(r *ups.Reading, device string) *section {
	for i := range b.sections {
		if s := &b.sections[i]; s.rows.Layout == r.Layout && s.rows.Tier == r.Tier && s.device == device {
			return s
		}
	}
	b.sections = append(b.sections, section{device: device, rows: wire.Rows{Tier: r.Tier, Layout: r.Layout}})
	return &b.sections[len(b.sections)-1]
}

// Take hands everything collected so far to encode, device by device, and starts anew, whatever encode returns. Rows are valid
// until encode returns. With nothing collected encode is not called. Only one goroutine may Take.
func (b *Batch) Take(encode func(device string, rows []wire.Rows) error) error {
	b.mu.Lock()
	taken := b.sections
	b.sections, b.spare = b.spare, nil
	b.mu.Unlock()

	var errs []error
	var rows []wire.Rows
	for i, s := range taken {
		if len(s.rows.At) > 0 {
			rows = append(rows, s.rows)
		}
		if len(rows) > 0 && (i+1 == len(taken) || taken[i+1].device != s.device) {
			errs = append(errs, encode(s.device, rows))
			rows = nil
		}
	}
	kept := taken[:0]
	for _, s := range taken {
		if len(s.rows.At) > 0 { // a layout no longer in use is let go
			s.rows.At, s.rows.Raw = s.rows.At[:0], s.rows.Raw[:0]
			kept = append(kept, s)
		}
	}
	b.mu.Lock()
	b.spare = kept
	b.mu.Unlock()
	return errors.Join(errs...)
}
