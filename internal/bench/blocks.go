package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"upsedge/internal/sampler"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A blockSize is what the samples of one unit at the default rates of a serial line are on the wire, headers and schemas
// included, and how fast they are encoded.
type blockSize struct {
	Trace   string  `json:"trace"`
	Seconds float64 `json:"block_seconds"`
	Message float64 `json:"bytes_per_message"`
	Cell    float64 `json:"bytes_per_cell"`    // a value of one point at one time, there or not
	Present float64 `json:"bytes_per_present"` // of those that are there
	Rate    float64 `json:"cells_per_second_and_core"`
	Allocs  float64 `json:"allocations_per_cell"`
}

// blocks drives a unit through driver, batch and encoder, in simulated time.
func (b *bench) blocks(ctx context.Context) (out []blockSize, err error) {
	length := traceTime
	if b.quick {
		length = 5 * time.Minute
	}
	for _, name := range traces {
		for _, every := range []time.Duration{10 * time.Second, time.Minute} {
			s, err := b.measureBlocks(ctx, name, every, length)
			if err != nil {
				return nil, fmt.Errorf("%s trace: %w", name, err)
			}
			out = append(out, s)
		}
	}
	return out, nil
}

func (b *bench) measureBlocks(ctx context.Context, trace string, every, length time.Duration) (out blockSize, err error) {
	begin := time.Now()
	r := &recording{batch: sampler.NewBatch(func(t time.Time) time.Duration { return t.Sub(begin) }), encoder: wire.NewEncoder()}
	err = play(ctx, trace, begin, length, func(reading *ups.Reading) error {
		r.batch.Put(reading, sampler.Owner{Device: serial})
		return nil
	}, func(step time.Duration) error {
		if step%every == 0 {
			return r.take()
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	out = blockSize{
		Trace: trace, Seconds: every.Seconds(), Message: float64(r.bytes) / float64(r.messages),
		Cell: float64(r.bytes) / float64(r.cells), Present: float64(r.bytes) / float64(r.present),
	}
	return out, r.speed(&out, b.encoding)
}

// A recording is what came of a trace.
type recording struct {
	batch   *sampler.Batch
	room    sampler.Room
	encoder *wire.Encoder
	kept    []wire.Block // of the last minutes, to be encoded again and again

	messages, bytes, cells, present int
}

func (r *recording) take() error {
	_, err := r.batch.Take(&r.room, func(of sampler.Owner, rows []wire.Rows) error {
		block := wire.Block{Unit: "rack-a", Device: of.Device, Sections: rows}
		body, err := r.encoder.Encode(nil, &block)
		if err != nil {
			return err
		}
		first := time.Duration(rows[0].At[0]) * time.Millisecond
		msg, err := wire.SampleMessage(nil, "0123456789abcdef0123456789abcdef", wire.Record{
			Lane: wire.Samples, Class: wire.ClassSamples, Seq: uint64(200_000 + r.messages), Boot: 12, Payload: body,
			Stamp: wire.Stamp{Mono: first, Wall: time.Now()},
		})
		if err != nil {
			return err
		}
		r.messages, r.bytes, r.present = r.messages+1, r.bytes+len(msg), r.present+block.Samples()
		r.cells += count(rows)
		r.keep(block)
		return nil
	})
	return err
}

// count is the number of values of rows, there or not.
func count(rows []wire.Rows) (n int) {
	for _, s := range rows {
		n += len(s.Raw)
	}
	return n
}

// keep copies a block: its rows are valid only until the next.
func (r *recording) keep(b wire.Block) {
	const most = 30
	sections := slices.Clone(b.Sections)
	for i, s := range sections {
		sections[i].At, sections[i].Raw = slices.Clone(s.At), slices.Clone(s.Raw)
	}
	b.Sections = sections
	if r.kept = append(r.kept, b); len(r.kept) > most {
		r.kept = r.kept[1:]
	}
}

// speed encodes for so long a time of one core.
func (r *recording) speed(out *blockSize, long time.Duration) error {
	var before, after runtime.MemStats
	var body []byte
	cells := 0
	runtime.LockOSThread() // whose clock does not run while others have the processor
	defer runtime.UnlockOSThread()
	runtime.ReadMemStats(&before)
	begin, took := threadTime(), time.Duration(0)
	for i := 0; took < long; i++ {
		blk := &r.kept[i%len(r.kept)]
		var err error
		if body, err = r.encoder.Encode(body[:0], blk); err != nil {
			return err
		}
		cells += count(blk.Sections)
		took = threadTime() - begin
	}
	runtime.ReadMemStats(&after)
	out.Rate, out.Allocs = float64(cells)/took.Seconds(), float64(after.Mallocs-before.Mallocs)/float64(cells)
	return nil
}

// threadTime is the processor time that this thread has used.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err) // every Linux has it
	}
	return time.Duration(ts.Nano())
}
