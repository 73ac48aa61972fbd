package metrics

import (
	"bytes"
	"fmt"
	"testing"
)

// A scrape of a thousand units that have a value of everything, all outlet groups included: how long it takes, how long the
// text is, how many lines there are per unit.
func BenchmarkScrapeOfAThousandUnits(b *testing.B) {
	var units []Unit
	for i := range 1000 {
		u := everything()
		u.Name = fmt.Sprintf("rack-%04d", i)
		units = append(units, u)
	}
	reg := registry(Sources{}, units...)
	b.ReportAllocs()
	var out counted
	for b.Loop() {
		families, err := reg.families(nil)
		if err != nil {
			b.Fatal(err)
		}
		out = counted{}
		if err := write(&out, families); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(out.lines)/1000, "lines/unit")
	b.ReportMetric(float64(out.bytes)/1e6, "MB")
}

// counted is what was written.
type counted struct{ bytes, lines int }

func (c *counted) Write(p []byte) (int, error) {
	c.bytes += len(p)
	c.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}
