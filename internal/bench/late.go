package main

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"upsedge/internal/ups"
)

// A lateness is how much later than asked for the reads of a tier began, by the agent's own upsagent_poll_lateness_seconds: as
// fine as its buckets.
type lateness struct {
	Tier  string  `json:"tier"`
	Reads float64 `json:"reads"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
}

// latenesses reads a scrape.
func latenesses(text []byte) (out []lateness) {
	for t := range ups.TierSettings { // those behind it are read too rarely
		h := histogramOf(text, "upsagent_poll_lateness_seconds", `tier="`+t.String()+`"`)
		if n := h.count(); n > 0 {
			out = append(out, lateness{t.String(), n, 1000 * h.quantile(0.5), 1000 * h.quantile(0.99)})
		}
	}
	return out
}

// A histogram has the counts of a Prometheus histogram, each up to its bound, in ascending order.
type histogram []bucket

type bucket struct{ bound, count float64 }

func histogramOf(text []byte, name, label string) (h histogram) {
	for l := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(l, name+"_bucket{")
		if !ok || !strings.Contains(rest, label) {
			continue
		}
		_, rest, _ = strings.Cut(rest, `le="`)
		bound, rest, _ := strings.Cut(rest, `"`)
		_, count, _ := strings.Cut(strings.TrimSpace(rest), " ")
		b, err := strconv.ParseFloat(bound, 64)
		n, bad := strconv.ParseFloat(count, 64)
		if err == nil && bad == nil {
			h = append(h, bucket{b, n})
		}
	}
	slices.SortFunc(h, func(a, b bucket) int {
		if a.bound < b.bound {
			return -1
		}
		return 1
	})
	return h
}

func (h histogram) count() float64 {
	if len(h) == 0 {
		return 0
	}
	return h[len(h)-1].count
}

// quantile is where it would be if the values lay evenly in their bucket; beyond the last bound that is all that is known.
func (h histogram) quantile(q float64) float64 {
	want, below := q*h.count(), bucket{}
	for _, b := range h {
		if b.count >= want {
			if math.IsInf(b.bound, 1) {
				return below.bound
			}
			return below.bound + (b.bound-below.bound)*(want-below.count)/max(1, b.count-below.count)
		}
		below = b
	}
	return below.bound
}
