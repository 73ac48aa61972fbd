package local

import (
	"math"
	"slices"
	"strconv"
	"time"
)

// A series is one curve: what of a bucket it shows. Low and high are the same where a bucket has one value.
type series struct {
	name, unit string
	decimals   int
	low, high  func(Bucket) float64
	least      float64 // NaN: of the values
	most       float64 // at least; NaN: of the values
	room       float64 // between the ends of the axis, at least
	value      func(float64) string
}

func one(of func(Bucket) float64) (low, high func(Bucket) float64) { return of, of }

// allSeries are the curves of a unit.
var allSeries = func() []series {
	volts := series{name: "Input voltage", unit: "V", decimals: 1, least: math.NaN(), most: math.NaN(), room: 10}
	volts.low, volts.high = func(b Bucket) float64 { return b.Low }, func(b Bucket) float64 { return b.High }
	load := series{name: "Load", unit: "%", least: 0, most: 100}
	load.low, load.high = one(func(b Bucket) float64 { return b.Load })
	charge := series{name: "Battery charge", unit: "%", least: 0, most: 100}
	charge.low, charge.high = one(func(b Bucket) float64 { return b.Charge })
	lasts := series{name: "Runtime on battery", least: 0, most: 600, value: span}
	lasts.low, lasts.high = one(func(b Bucket) float64 { return b.Runtime })
	warm := series{name: "Battery temperature", unit: "°C", decimals: 1, least: math.NaN(), most: math.NaN(), room: 10}
	warm.low, warm.high = one(func(b Bucket) float64 { return b.Temperature })
	return []series{volts, load, charge, lasts, warm}
}()

func (s *series) says(v float64) string {
	if s.value != nil {
		return s.value(v)
	}
	return strconv.FormatFloat(v, 'f', s.decimals, 64) + " " + s.unit
}

// The picture, in its own units; on a small window one of them is about a pixel.
const (
	plotWide, plotHigh   = 320.0, 104.0
	plotLeft, plotRight  = 4.0, 316.0
	plotTop, plotBottom  = 16.0, 88.0
	narrowestBatteryNote = 44.0
	narrowestGapNote     = 50.0
)

// plots writes the plots of a unit.
func (w *writer) plots(u *shown, id string) {
	w.open("div", id, "")
	for i, sp := range u.spans {
		w.raw("<details")
		w.attr("id", id+"_"+strconv.Itoa(i))
		if i == 0 {
			w.raw(" open")
		}
		w.raw("><summary>")
		w.text(sentence(sp.Name))
		w.raw("</summary>\n")
		drawn := 0
		for j := range allSeries {
			drawn += w.plot(&allSeries[j], sp, drawn == 0)
		}
		if drawn > 0 {
			w.raw("</div>\n")
		} else {
			w.raw("<p>Nothing was read in this time.</p>\n")
		}
		if i > 0 {
			w.raw("<p class=\"note\">Kept in memory: it begins with the start of the agent.</p>\n")
		}
		w.raw("</details>\n")
	}
	w.raw("</div>\n")
}

// A summary is what a plot says, for who does not see it.
type summary struct {
	low, high, last float64 // NaN: there is none
	battery, unread time.Duration
	now             bool // the last value is of this step or the one before
}

func (s *series) summary(sp Span) summary {
	out := summary{low: math.NaN(), high: math.NaN(), last: math.NaN()}
	begun := false
	for i, b := range sp.Buckets {
		begun = begun || b.Read
		if b.OnBattery {
			out.battery += sp.Step
		}
		if v := s.high(b); !math.IsNaN(v) {
			out.last, out.now = v, i >= len(sp.Buckets)-2
			out.high = nanMax(out.high, v)
			out.low = -nanMax(-out.low, -s.low(b))
		} else if begun {
			out.unread += sp.Step
		}
	}
	if n := len(sp.Buckets); n > 0 && math.IsNaN(s.high(sp.Buckets[n-1])) && out.unread > 0 {
		if out.unread <= sp.Step { // the step that has just begun
			out.unread = 0
		}
	}
	return out
}

func pick(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

func nanMax(a, b float64) float64 {
	if math.IsNaN(a) {
		return b
	}
	return max(a, b)
}

func (s *series) words(sp Span, of summary) string {
	out := s.name + ", " + sp.Name + ": " + pick(of.now, "now ", "not read now, last ") + s.says(of.last) + ", lowest " + s.says(of.low) + ", highest " + s.says(of.high)
	if of.battery > 0 {
		out += "; on battery for up to " + span(of.battery.Seconds())
	}
	if of.unread > 0 {
		out += "; not read for " + span(of.unread.Seconds())
	}
	return out
}

// plot writes one curve and returns 1, or nothing and 0 where there is none.
func (w *writer) plot(s *series, sp Span, first bool) int {
	of := s.summary(sp)
	if math.IsNaN(of.high) {
		return 0
	}
	if first {
		w.raw("<div class=\"plots\">\n")
	}
	w.raw("<figure class=\"plot\"><figcaption><strong>")
	w.text(s.name)
	w.raw("</strong> ")
	if of.now {
		w.text(s.says(of.last))
	} else {
		w.text("last read: " + s.says(of.last))
	}
	w.raw(" <small>lowest ")
	w.text(s.says(of.low) + ", highest " + s.says(of.high))
	w.raw("</small></figcaption>\n<svg role=\"img\"")
	w.attr("viewBox", "0 0 "+tenth(plotWide)+" "+tenth(plotHigh))
	w.attr("aria-label", s.words(sp, of))
	w.raw(">\n")
	w.onBattery(sp)
	w.gaps(s, sp)
	least, most := s.axis(of)
	w.frame(s, sp, least, most)
	w.curve(s, sp, least, most)
	w.raw("</svg></figure>\n")
	return 1
}

// axis is from where to where the values go.
func (s *series) axis(of summary) (least, most float64) {
	least, most = s.least, nanMax(s.most, of.high)
	if s.least == 0 && of.high == most && s.most < of.high {
		most *= 1.1 // a curve along the edge is no curve
	}
	if math.IsNaN(least) {
		least = of.low
	}
	if short := s.room - (most - least); short > 0 {
		least, most = least-short/2, most+short/2
	}
	if most > least {
		return least, most
	}
	return least, least + 1
}

// onBattery shades the time on battery, and says so where there is room; the caption says it in any case.
func (w *writer) onBattery(sp Span) {
	n := len(sp.Buckets)
	for i := 0; i < n; i++ {
		if !sp.Buckets[i].OnBattery {
			continue
		}
		from := i
		for i+1 < n && sp.Buckets[i+1].OnBattery {
			i++
		}
		x, end := at(from, n), at(i+1, n)
		w.raw("<rect class=\"battery\"")
		w.num("x", x)
		w.num("y", plotTop)
		w.num("width", end-x)
		w.num("height", plotBottom-plotTop)
		w.raw("/><rect class=\"batterybar\"")
		w.num("x", x)
		w.num("y", plotBottom)
		w.num("width", end-x)
		w.raw(" height=\"3\"/>")
		if end-x >= narrowestBatteryNote {
			w.raw("<text class=\"inside\"")
			w.num("x", (x+end)/2)
			w.num("y", plotBottom-5)
			w.raw(" text-anchor=\"middle\">battery</text>")
		}
		w.raw("\n")
	}
}

// gaps says in words where nothing was read, between reads and behind the last, where there is room.
func (w *writer) gaps(s *series, sp Span) {
	n, begun := len(sp.Buckets), false
	for i := 0; i < n; i++ {
		from := i
		for i < n && math.IsNaN(s.high(sp.Buckets[i])) {
			i++
		}
		if x, end := at(from, n), at(i, n); begun && end-x >= narrowestGapNote {
			w.raw("<text class=\"inside\"")
			w.num("x", (x+end)/2)
			w.num("y", (plotTop+plotBottom)/2)
			w.raw(" text-anchor=\"middle\">not read</text>\n")
		}
		begun = true
	}
}

// at is where bucket i of n begins.
func at(i, n int) float64 { return plotLeft + (plotRight-plotLeft)*float64(i)/float64(n) }

func (w *writer) frame(s *series, sp Span, least, most float64) {
	for _, y := range []float64{plotTop, plotBottom} {
		w.raw("<line class=\"axis\"")
		w.num("x1", plotLeft)
		w.num("x2", plotRight)
		w.num("y1", y)
		w.num("y2", y)
		w.raw("/>")
	}
	label := func(x, y float64, anchor markup, text string) {
		w.raw("<text text-anchor=\"" + anchor + "\"")
		w.num("x", x)
		w.num("y", y)
		w.raw(">")
		w.text(text)
		w.raw("</text>")
	}
	label(plotLeft, plotTop-4, "start", s.says(most))
	label(plotLeft, plotHigh-3, "start", s.says(least))
	label(plotRight, plotHigh-3, "end", "now")
	label(plotRight, plotTop-4, "end", "← "+span((sp.Step*time.Duration(len(sp.Buckets))).Seconds())+" →")
	w.raw("\n")
}

// curve writes the values. Where nothing was read there is nothing.
func (w *writer) curve(s *series, sp Span, least, most float64) {
	n := len(sp.Buckets)
	y := func(v float64) float64 { return plotBottom - (plotBottom-plotTop)*(v-least)/(most-least) }
	for i := 0; i < n; i++ {
		var run []point
		for ; i < n && !math.IsNaN(s.high(sp.Buckets[i])); i++ {
			b := sp.Buckets[i]
			run = append(run, point{at(i, n), y(s.high(b)), y(s.low(b))})
		}
		if len(run) == 0 {
			continue
		}
		end := run[len(run)-1]
		end.x = at(i, n) // the last bucket is as wide as the others
		w.run(append(run, end))
	}
}

// A point is where a curve is; y grows downwards.
type point struct{ x, high, low float64 }

// run writes what was read without a gap: a line along the highest, and a band down to the lowest where that is another.
func (w *writer) run(ps []point) {
	if slices.ContainsFunc(ps, func(p point) bool { return p.low-p.high > 0.4 }) {
		w.raw("<path class=\"band\" d=\"")
		w.way(ps, func(p point) float64 { return p.high }, "M")
		slices.Reverse(ps)
		w.way(ps, func(p point) float64 { return p.low }, "L")
		slices.Reverse(ps)
		w.raw("Z\"/>")
	}
	w.raw("<path class=\"curve\" d=\"")
	w.way(ps, func(p point) float64 { return p.high }, "M")
	w.raw("\"/>\n")
}

func (w *writer) way(ps []point, y func(point) float64, begin markup) {
	for _, p := range ps {
		w.raw(begin)
		w.WriteString(tenth(p.x) + " " + tenth(y(p)))
		begin = "L"
	}
}
