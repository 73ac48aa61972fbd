package store

import (
	"fmt"
	"testing"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// One commit per flush interval, whatever the number of units in it.
func BenchmarkPutSamples(b *testing.B) {
	for _, units := range []int{1, 10, 16} {
		b.Run(fmt.Sprint("units=", units), func(b *testing.B) {
			s := reopen(b, b.TempDir(), Options{MaxBytes: 64 << 20})
			blocks := make([]Samples, units)
			for i := range blocks {
				blocks[i] = block(fmt.Sprint("rack-", i), 1, 4000)
			}
			b.SetBytes(int64(4000 * units))
			b.ReportAllocs()
			for b.Loop() {
				must(b, s.PutSamples(b.Context(), blocks))
			}
		})
	}
}

func BenchmarkPutEvents(b *testing.B) {
	s := reopen(b, b.TempDir(), Options{})
	state := make([]byte, 500)
	b.ReportAllocs()
	for b.Loop() {
		must(b, s.PutEvents(b.Context(), "rack-a", state, []Event{event(101, ups.Raise, 1)}))
	}
}

// Reading and acknowledging a backlog in windows of 64 records.
func BenchmarkDrain(b *testing.B) {
	s := reopen(b, b.TempDir(), Options{})
	blocks := make([]Samples, 64)
	for i := range blocks {
		blocks[i] = block("rack-a", i, 4000)
	}
	b.SetBytes(64 * 4000)
	after := uint64(0)
	for b.Loop() {
		b.StopTimer()
		must(b, s.PutSamples(b.Context(), blocks))
		b.StartTimer()
		r, err := s.Next(b.Context(), wire.Samples, after, 64, 1<<20)
		must(b, err)
		after = r[len(r)-1].Seq
		must(b, s.Ack(b.Context(), wire.Samples, after))
	}
}

// What the uplink asks for at a backlog: a window of 64 blocks of 10 s.
func BenchmarkNext(b *testing.B) {
	s := reopen(b, b.TempDir(), Options{})
	blocks := make([]Samples, 64)
	for i := range blocks {
		blocks[i] = block("rack-a", i, 364)
	}
	must(b, s.PutSamples(b.Context(), blocks))
	b.ReportAllocs()
	for b.Loop() {
		if r, err := s.Next(b.Context(), wire.Samples, 0, 64, 1<<20); err != nil || len(r) != 64 {
			b.Fatal(len(r), err)
		}
	}
}

// One block of 10 s. GODEBUG=cpu.aes=off,cpu.pclmulqdq=off shows it without instructions for AES.
func BenchmarkSealAndOpen(b *testing.B) {
	k := newKeyFile(wire.ID{1}, 1, owner{"rack-a", 7}).key()
	r := wire.Record{Lane: wire.Samples, Seq: 5, Class: wire.ClassSamples, Payload: make([]byte, 400)}
	var room []byte
	b.ReportAllocs()
	for b.Loop() {
		room = k.sealRecord(room, &r)
		stored := r
		stored.Payload = room
		if _, ok := k.openRecord(&stored); !ok {
			b.Fatal("does not open")
		}
	}
}
