package metrics

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/prometheus/common/expfmt"
)

// A scrape of a thousand units that have a value of everything, all outlet groups included: how long it takes, how long the
// text is, how many series there are per unit.
func BenchmarkScrapeOfAThousandUnits(b *testing.B) {
	var units []Unit
	for i := range 1000 {
		u := everything()
		u.Name = fmt.Sprintf("rack-%04d", i)
		units = append(units, u)
	}
	reg := registry(Sources{}, units...)
	series, size := 0, 0
	for b.Loop() {
		families, err := reg.Gather()
		if err != nil {
			b.Fatal(err)
		}
		var out bytes.Buffer
		series = 0
		for _, f := range families {
			series += len(f.GetMetric())
			if _, err := expfmt.MetricFamilyToText(&out, f); err != nil {
				b.Fatal(err)
			}
		}
		size = out.Len()
	}
	b.ReportMetric(float64(series)/1000, "series/unit")
	b.ReportMetric(float64(size)/1e6, "MB")
}
