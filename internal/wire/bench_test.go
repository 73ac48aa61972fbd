package wire

import (
	"fmt"
	"testing"
	"time"
)

// cells is the number of values of b, present or not.
func cells(b *Block) (n int) {
	for i := range b.Sections {
		n += len(b.Sections[i].Raw)
	}
	return n
}

func forTraces(b *testing.B, run func(b *testing.B, blocks []*Block)) {
	for _, noisy := range []bool{true, false} {
		for _, span := range []time.Duration{10 * time.Second, time.Minute} {
			name := fmt.Sprintf("steady/%v", span)
			if noisy {
				name = fmt.Sprintf("noisy/%v", span)
			}
			b.Run(name, func(b *testing.B) {
				t := newTrace(1, noisy)
				var blocks []*Block
				for range 100 {
					blocks = append(blocks, t.block(span))
				}
				run(b, blocks)
			})
		}
	}
}

// BenchmarkEncode reports the rate, and the size on the wire with its header, schemas included, per sample: per cell, and per
// value that is present.
func BenchmarkEncode(b *testing.B) {
	forTraces(b, func(b *testing.B, blocks []*Block) {
		const agent = "0123456789abcdef0123456789abcdef"
		e := NewEncoder()
		var body, msg []byte
		size, all, present := 0, 0, 0
		for i, blk := range blocks {
			body, _ = e.Encode(body[:0], blk)
			r := Record{Lane: Samples, Class: ClassSamples, Seq: uint64(200_000 + i), Boot: 12, Payload: body}
			r.Stamp = Stamp{Mono: time.Duration(blk.Sections[0].At[0]) * time.Millisecond, Wall: time.Now()}
			msg, _ = SampleMessage(msg[:0], agent, r)
			size, all, present = size+len(msg), all+cells(blk), present+blk.Samples()
		}
		n := 0
		b.ReportAllocs()
		for b.Loop() {
			blk := blocks[n%len(blocks)]
			body, _ = e.Encode(body[:0], blk)
			n++
		}
		b.ReportMetric(float64(n*cells(blocks[0]))/b.Elapsed().Seconds()/1e6, "Msamples/s")
		b.ReportMetric(float64(size)/float64(all), "B/sample")
		b.ReportMetric(float64(size)/float64(present), "B/present")
		b.ReportMetric(float64(size)/float64(len(blocks)), "B/message")
	})
}
