package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"upsedge/internal/ups/upssim"
)

// The simulated line: what a unit's own serial port is like, and how long one of them was seen to think.
const (
	baud       = 9600
	turnaround = 10 * time.Millisecond
	gap        = 35 * time.Millisecond // AN176 4.2.2; a request that comes earlier is not answered here
	byteTime   = 10 * time.Second / baud
)

// A span is a read: count registers from addr.
type span struct{ addr, count uint16 }

func (s span) String() string { return fmt.Sprintf("%d/%d", s.addr, s.count) }

// ideal is how long a read of s takes on the wire when nobody is late: 8 bytes out, 5 and two for each register back, the
// turnaround, and the silence.
func (s span) ideal() time.Duration {
	return time.Duration(8+5+2*int(s.count))*byteTime + turnaround + gap
}

// A line is one simulated unit on a paced pseudo terminal.
type line struct {
	unit  *upssim.Unit
	port  *tap
	stats upssim.Stats
	skip  atomic.Int64 // ns by which the unit's clock is ahead
}

// newLine makes a line whose terminal can be opened at path. groups are the outlet groups of the unit as register 590 shows
// them (protocol reference, section 6.13); 0 leaves those of the simulated model.
func newLine(path string, seed uint64, groups uint16) (*line, error) {
	l := new(line)
	pty, err := upssim.OpenPTY(path)
	if err != nil {
		return nil, err
	}
	l.port = &tap{PTY: pty}
	l.unit = upssim.New(upssim.Options{Seed: seed, Now: func() time.Time { return time.Now().Add(time.Duration(l.skip.Load())) }})
	if groups != 0 {
		l.unit.Poke(590, groups)
	}
	return l, nil
}

func (l *line) path() string { return l.port.PTY.Path() }

// serve answers until ctx ends.
func (l *line) serve(ctx context.Context) error {
	o := upssim.SerialOptions{Baud: baud, Turnaround: turnaround, StrictGap: true, Stats: &l.stats}
	return upssim.ServeSerial(ctx, l.port, o, map[uint8]*upssim.Unit{1: l.unit})
}

// quantile returns the least of values that q of them, 0 to 1, do not exceed. It sorts values; of none it is 0.
func quantile[T cmp.Ordered](values []T, q float64) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	slices.Sort(values)
	return values[max(int(math.Ceil(q*float64(len(values))))-1, 0)]
}
