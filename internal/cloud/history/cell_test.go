package history

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"upsedge/internal/ups"
)

func TestASummaryIsReadAsItWasWritten(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		g := grid{}
		const first, count = 29_000_000, 60
		for range r.IntN(10) {
			p := ups.Point(r.IntN(300))
			for range r.IntN(60) {
				c := g.at(p, first+r.Int64N(count))
				for range 1 + r.IntN(5) {
					c.add(math.Round(r.Float64()*1e6) / 512)
				}
			}
		}
		for p, cells := range g {
			if len(cells) == 0 {
				delete(g, p)
			}
		}
		got, err := unpack(g.pack(first), first, count)
		if err != nil || !reflect.DeepEqual(got, g) {
			t.Fatalf("%v: %v, want %v", err, got, g)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	g := grid{}
	g.at(5, 100).add(3)
	g.at(5, 130).add(4)
	f.Add(g.pack(100))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := unpack(packer.EncodeAll(b, nil), 100, 60)
		if err != nil {
			return
		}
		for p, cells := range got {
			for n, c := range cells {
				if n < 100 || n >= 160 || c.N <= 0 {
					t.Fatalf("%v at %d: %+v", p, n, c)
				}
			}
		}
		_, _ = unpack(b, 100, 60)
	})
}
