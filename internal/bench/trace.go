package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/smartups"
	"upsedge/internal/ups/upssim"
)

// traces are simulated: what the simulated unit says as its supply and load wander, what it says when it stands still, and an
// hour that holds two outages of ten minutes.
var traces = []string{"noisy", "steady", "outage"}

// traceTime is how long a trace is.
const traceTime = time.Hour

// A still is a line to one simulated unit on which no time passes.
type still struct{ unit *upssim.Unit }

func (l still) ReadHolding(_ context.Context, _ modbus.Priority, _ uint8, addr, count uint16, dst []uint16) ([]uint16, error) {
	pdu := l.unit.Handle([]byte{3, byte(addr >> 8), byte(addr), byte(count >> 8), byte(count)})
	if len(pdu) != 2+2*int(count) || pdu[0] != 3 {
		return nil, fmt.Errorf("read %d/%d: % x", addr, count, pdu)
	}
	for i := range count {
		dst[i] = uint16(pdu[2+2*i])<<8 | uint16(pdu[3+2*i])
	}
	return dst[:count], nil
}

func (still) Timing(uint8) modbus.Timing {
	return modbus.Timing{ByteTime: byteTime, Gap: gap, Turnaround: turnaround}
}
func (still) Links() uint64 { return 1 }

// serial is what the simulated unit of a trace is called.
const serial = "AS1234567890"

// step is how close together a trace is looked at: half of the shortest period of a serial line.
const step = 100 * time.Millisecond

// play reads a simulated unit at the default rates of a serial line, in simulated time from begin on. It hands each reading to
// put, and the time since begin to tick at the end of each step.
func play(ctx context.Context, trace string, begin time.Time, length time.Duration, put func(*ups.Reading) error, tick func(time.Duration) error) error {
	at := begin // of the reads
	frozen := trace == "steady"
	unit := upssim.New(upssim.Options{Seed: 1, Now: func() time.Time {
		if frozen {
			return begin
		}
		return at
	}})
	d := smartups.New(smartups.Config{Name: "rack-a", Line: still{unit}, UnitID: 1, Now: func() time.Time { return at }})
	plan, err := d.Connect(ctx, nil)
	if err != nil {
		return err
	}
	noise := rand.New(rand.NewPCG(1, 2))
	reading := &ups.Reading{}
	for now := time.Duration(0); now < length; now += step {
		if trace == "outage" {
			unit.SetMains(now%(30*time.Minute) < 15*time.Minute || now%(30*time.Minute) >= 25*time.Minute)
		}
		for _, blk := range plan {
			if !due(blk.Tier, now) {
				continue
			}
			at = begin.Add(now + time.Duration(noise.Int64N(int64(3*time.Millisecond)))) // as late as reads are
			if err := d.Read(ctx, blk, reading); err != nil {
				return err
			}
			if err := put(reading); err != nil {
				return err
			}
		}
		if err := tick(now + step); err != nil {
			return err
		}
	}
	return nil
}

// due tells whether a tier is read at this step, at the default rates of a serial line.
func due(t ups.Tier, step time.Duration) bool {
	every := map[ups.Tier]time.Duration{
		ups.TierWatch: 200 * time.Millisecond, ups.TierStatus: time.Second, ups.TierLive: 500 * time.Millisecond,
		ups.TierSettings: 10 * time.Minute, ups.TierIdentity: time.Hour,
	}[t]
	return step%every == 0
}
