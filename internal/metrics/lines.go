package metrics

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A Line counts the requests of one line. There may be a thousand of them, each counting ten or twenty times a second, so it is a
// few hundred bytes of plain counters: the library's own, with a histogram, are fifty times that.
type Line struct {
	results [len(Results)]atomic.Uint64
	took    [len(tenths) + 1]atomic.Uint64 // requests by time, not cumulative
	sum     atomic.Int64                   // ns
	busy    atomic.Int64                   // ns
}

// Answered counts a request that was answered, and how long that took from request to reply.
func (l *Line) Answered(took time.Duration) {
	l.results[0].Add(1)
	i := 0
	for i < len(limits) && took > limits[i] {
		i++
	}
	l.took[i].Add(1)
	l.sum.Add(int64(took))
}

// Failed counts a request that ended with one of Results.
func (l *Line) Failed(result string) {
	if i := slices.Index(Results[:], result); i >= 0 {
		l.results[i].Add(1)
	}
}

// Busy counts time for which the line was occupied.
func (l *Line) Busy(d time.Duration) { l.busy.Add(int64(d)) }

// Requests are the counts by result, for who shows them on the spot.
func (l *Line) Requests() map[string]uint64 {
	out := make(map[string]uint64, len(Results))
	for i, r := range Results {
		out[r] = l.results[i].Load()
	}
	return out
}

// limits are the tenths as durations.
var limits = func() (out [len(tenths)]time.Duration) {
	for i, s := range tenths {
		out[i] = time.Duration(s * float64(time.Second))
	}
	return out
}()

// lines are the lines by name.
type lines struct {
	mu  sync.Mutex
	all map[string]*Line
}

// Line returns the counters of a line, which are there from now on until Forget.
func (a *Agent) Line(name string) *Line {
	a.lines.mu.Lock()
	defer a.lines.mu.Unlock()
	l := a.lines.all[name]
	if l == nil {
		l = &Line{}
		a.lines.all[name] = l
	}
	return l
}

// Forget ends the series of a line that is no more; they would stand still for ever.
func (a *Agent) Forget(line string) {
	a.lines.mu.Lock()
	defer a.lines.mu.Unlock()
	delete(a.lines.all, line)
}

// A named is a line in a scrape.
type named struct {
	*Line
	label string
}

func (l *lines) list() []named {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []named
	for _, name := range slices.Sorted(maps.Keys(l.all)) {
		out = append(out, named{l.all[name], label("line", name)})
	}
	return out
}

// families are the families of all lines.
func (l *lines) families() []*family {
	all := l.list()
	requests := func(t *text) {
		for _, x := range all {
			for i, result := range resultLabels {
				t.sample("", x.label, result, float64(x.results[i].Load()))
			}
		}
	}
	took := func(t *text) {
		for _, x := range all {
			x.histogram(t)
		}
	}
	busy := func(t *text) {
		for _, x := range all {
			t.sample("", x.label, "", time.Duration(x.busy.Load()).Seconds())
		}
	}
	return []*family{
		{"upsagent_modbus_requests_total", "Modbus requests by what became of them.", "counter", requests},
		{"upsagent_modbus_request_duration_seconds", "Time from request to reply of answered requests.", "histogram", took},
		{"upsagent_line_busy_seconds_total", "Time the line was occupied, the gaps between requests included; its rate is the load, 1 is full.", "counter", busy},
	}
}

// histogram writes the times of a line's answered requests. The sum may be ahead of the counts by a request under way.
func (n named) histogram(t *text) {
	var count uint64
	for i := range n.took {
		count += n.took[i].Load()
		t.sample("_bucket", n.label, bucketLabels[i], float64(count))
	}
	t.sample("_sum", n.label, "", time.Duration(n.sum.Load()).Seconds())
	t.sample("_count", n.label, "", float64(count))
}

// The labels that follow that of the line.
var (
	resultLabels = func() (out [len(Results)]string) {
		for i, r := range Results {
			out[i] = "," + label("result", r)
		}
		return out
	}()
	bucketLabels = func() (out [len(tenths) + 1]string) {
		for i, s := range tenths {
			out[i] = "," + label("le", strconv.FormatFloat(s, 'g', -1, 64))
		}
		out[len(tenths)] = "," + label("le", "+Inf")
		return out
	}()
)
