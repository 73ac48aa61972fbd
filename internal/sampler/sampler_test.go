package sampler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
)

// The blocks of a serial line at 9600 baud with 10 ms of turnaround: gap, request, turnaround and reply (protocol reference,
// section 12). A unit latches its registers when the request is in: 35 + 8 ms after the exchange began.
const (
	latch      = 43 * time.Millisecond
	watchCost  = 65 * time.Millisecond
	statusCost = 115 * time.Millisecond
	liveCost   = 150 * time.Millisecond
)

func plan9600() []ups.Block {
	return []ups.Block{
		{Tier: ups.TierWatch, Index: 0, Name: "0/3", Cost: watchCost},
		{Tier: ups.TierStatus, Index: 1, Name: "0/27", Cost: statusCost},
		{Tier: ups.TierLive, Index: 2, Name: "128/44", Cost: liveCost},
	}
}

var defaultRates = [ups.TierCount]time.Duration{200 * time.Millisecond, time.Second, 500 * time.Millisecond}

// fakeSource answers after the cost of a block. line, when set, is shared: one exchange at a time.
type fakeSource struct {
	plan    []ups.Block
	dead    atomic.Bool
	timeout time.Duration
	fail    func() error // asked before each read
	reads   []exchange

	deaf      func() bool // asked before each request; nil: never
	onSilence func()      // nil: nothing
}

// silent waits in vain for an answer, or not.
func (f *fakeSource) silent() bool {
	if !f.dead.Load() && (f.deaf == nil || !f.deaf()) {
		return false
	}
	if f.onSilence != nil {
		f.onSilence()
	}
	time.Sleep(f.timeout)
	return true
}

// slowing is a unit that says what its blocks cost now.
type slowing struct{ fakeSource }

func (f *slowing) Connect(context.Context, func(*ups.Reading)) ([]ups.Block, error) {
	return plan9600(), nil
}
func (f *slowing) Costs() []ups.Block { return f.plan }

type exchange struct {
	unit       string
	tier       ups.Tier
	start, end time.Time
}

var errSilent = errors.New("timed out")

func (f *fakeSource) Connect(context.Context, func(*ups.Reading)) ([]ups.Block, error) {
	if f.silent() {
		return nil, errSilent
	}
	return f.plan, nil
}

var oneColumn = &ups.Layout{Columns: []ups.Column{{Point: ups.StatusFlags, Divisor: 1}}}

func (f *fakeSource) Read(_ context.Context, b ups.Block, dst *ups.Reading) error {
	start := time.Now()
	b = f.plan[b.Index] // what it costs, whatever the sampler thinks
	if f.silent() {
		return errSilent
	}
	time.Sleep(b.Cost)
	if f.fail != nil {
		if err := f.fail(); err != nil {
			return err
		}
	}
	dst.Reset(oneColumn, false)
	dst.Tier, dst.At, dst.Raw[0] = b.Tier, time.Now(), ups.UOnline
	f.reads = append(f.reads, exchange{dst.Unit, b.Tier, start, dst.At})
	return nil
}

type memSink struct {
	put    []exchange
	missed []string
}

func (m *memSink) Put(r *ups.Reading) {
	m.put = append(m.put, exchange{unit: r.Unit, tier: r.Tier, end: r.At})
}

func (m *memSink) Missed(unit string, t ups.Tier, _ time.Time, err error) {
	m.missed = append(m.missed, fmt.Sprintf("%s %v: %v", unit, t, err))
}

func (m *memSink) Unconnected(unit string, _ time.Time, err error) {
	m.missed = append(m.missed, fmt.Sprintf("%s unconnected: %v", unit, err))
}

func (m *memSink) count(unit string, t ups.Tier) (n int) {
	for _, e := range m.put {
		if e.unit == unit && e.tier == t {
			n++
		}
	}
	return n
}

func run(t *testing.T, d time.Duration, sink *memSink, units ...Unit) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := New(Config{Units: units, Sink: sink}).Run(ctx); err != nil {
		t.Fatalf("Run = %v at the end of its context, want nil", err)
	}
}

func TestKeepsTheCadenceOfEachTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink := &fakeSource{plan: plan9600()}, &memSink{}
		run(t, time.Minute, sink, Unit{"a", src, defaultRates})
		for _, c := range []struct {
			tier        ups.Tier
			least, most int
		}{{ups.TierStatus, 59, 61}, {ups.TierLive, 118, 121}, {ups.TierWatch, 235, 330}} {
			if n := sink.count("a", c.tier); n < c.least || n > c.most {
				t.Errorf("%d reads of %v in a minute, want %d to %d", n, c.tier, c.least, c.most)
			}
		}
	})
}

// Design, section 4: with a watch directly before each live block and never a status block back to back with one, 99 of 100
// power events are seen within 234 ms; plain earliest deadline first needs 337.
func TestALongBlockDoesNotMakeTheWatchLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{plan: plan9600()}
		begin := time.Now()
		run(t, 10*time.Minute, &memSink{}, Unit{"a", src, defaultRates})

		rnd := rand.New(rand.NewPCG(1, 2))
		var delays []time.Duration
		for range 20000 {
			event := begin.Add(time.Second + time.Duration(rnd.Int64N(int64(598*time.Second))))
			for _, e := range src.reads {
				if e.tier <= ups.TierStatus && e.start.Add(latch).After(event) {
					delays = append(delays, e.end.Sub(event))
					break
				}
			}
		}
		slices.Sort(delays)
		p50, p99 := delays[len(delays)/2], delays[len(delays)*99/100]
		t.Logf("event to reading: p50 %v, p99 %v, worst %v", p50, p99, delays[len(delays)-1])
		if p99 > 240*time.Millisecond {
			t.Errorf("p99 = %v, want at most 240ms", p99)
		}
		for i := 1; i < len(src.reads); i++ {
			if src.reads[i].tier != ups.TierWatch && src.reads[i-1].tier != ups.TierWatch {
				t.Fatalf("reads %d and %d are %v and %v, with no watch between", i-1, i, src.reads[i-1].tier, src.reads[i].tier)
			}
		}
	})
}

func TestRatesBeyondTheLineAreStretchedFairly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink := &fakeSource{plan: plan9600()}, &memSink{}
		fast := [ups.TierCount]time.Duration{ups.TierStatus: 10 * time.Millisecond, ups.TierLive: 20 * time.Millisecond}
		run(t, time.Minute, sink, Unit{"a", src, fast})
		status, live := sink.count("a", ups.TierStatus), sink.count("a", ups.TierLive)
		if ratio := float64(status) / float64(live); ratio < 1.8 || ratio > 2.2 {
			t.Errorf("%d status and %d live reads, want twice as many status: the rates asked for", status, live)
		}
		busy := time.Duration(status)*statusCost + time.Duration(live)*liveCost
		if busy < 59*time.Second {
			t.Errorf("the line was busy for %v of a minute", busy)
		}
	})
}

// A unit that takes 120 ms to answer makes the default rates 1.4 times what its line carries, and each exchange nearly as long as the watch
// period: the watch must not lose its turns to the blocks because it is due just after each of them.
func TestEveryTierIsStretchedAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan, sink := plan9600(), &memSink{}
		for i := range plan {
			plan[i].Cost += 110 * time.Millisecond
		}
		run(t, 10*time.Minute, sink, Unit{"a", &fakeSource{plan: plan}, defaultRates})
		stretch := Load([]Wish{{plan, defaultRates}})
		words := sink.count("a", ups.TierWatch) + sink.count("a", ups.TierStatus)
		for tier, n := range map[ups.Tier]int{ups.TierWatch: words, ups.TierStatus: sink.count("a", ups.TierStatus), ups.TierLive: sink.count("a", ups.TierLive)} {
			want := 600 / defaultRates[tier].Seconds() / stretch
			if off := float64(n)/want - 1; max(off, -off) > 0.05 {
				t.Errorf("%v is read %d times in 10 minutes, want %.0f: all stretched by %.2f", tier, n, want, stretch)
			}
		}
	})
}

// A unit that gets slower after it connected is scheduled by what its reads cost now.
func TestTheScheduleFollowsTheCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink := &slowing{fakeSource{plan: plan9600()}}, &memSink{}
		begin := time.Now()
		src.fail = func() error {
			if src.plan[0].Cost == watchCost && time.Since(begin) > time.Minute {
				for i := range src.plan {
					src.plan[i].Cost += 110 * time.Millisecond
				}
				sink.put = nil
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 11*time.Minute)
		defer cancel()
		s := New(Config{Units: []Unit{{"a", src, defaultRates}}, Sink: sink})
		if err := s.Run(ctx); err != nil {
			t.Fatal(err)
		}
		want := Load([]Wish{{src.plan, defaultRates}})
		if got := s.schedule.stretch; got != want {
			t.Errorf("the schedule reckons with %.2f, want %.2f", got, want)
		}
		if live := float64(sink.count("a", ups.TierLive)); live < 0.95*1200/want || live > 1.05*1200/want {
			t.Errorf("%.0f live reads in 10 minutes, want %.0f", live, 1200/want)
		}
	})
}

// Two units at the default rates are half as much again as a serial line carries. Looking ahead must not turn that into watches only:
// with two units some word is always about to be too old.
func TestTheWatchesOfTwoUnitsDoNotStarveTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &memSink{}
		run(t, 10*time.Minute, sink, Unit{"a", &fakeSource{plan: plan9600()}, defaultRates}, Unit{"b", &fakeSource{plan: plan9600()}, defaultRates})
		const stretched = 1 / 1.48 // 2 × (5 × 65 + 115 + 2 × 150) ms in a second
		for _, unit := range []string{"a", "b"} {
			status, live := sink.count(unit, ups.TierStatus), sink.count(unit, ups.TierLive)
			if want := 600 * stretched; float64(status) < 0.85*want || float64(live) < 0.85*2*want {
				t.Errorf("%s: %d status and %d live reads in 10 minutes, want about %.0f and %.0f", unit, status, live, want, 2*want)
			}
		}
	})
}

func TestAnUnbrokenLineWithEqualRatesAlternates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{plan: plan9600()}
		same := [ups.TierCount]time.Duration{ups.TierStatus: 10 * time.Millisecond, ups.TierLive: 10 * time.Millisecond}
		run(t, time.Minute, &memSink{}, Unit{"a", src, same})
		for i := 1; i < len(src.reads); i++ {
			if src.reads[i].tier == src.reads[i-1].tier {
				t.Fatalf("reads %d and %d are both %v", i-1, i, src.reads[i].tier)
			}
		}
	})
}

func TestReconnectsAUnitThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{plan: plan9600(), timeout: 500 * time.Millisecond}
		sink := &memSink{}
		go func() {
			time.Sleep(10 * time.Second)
			src.dead.Store(true)
			time.Sleep(30 * time.Second)
			src.dead.Store(false)
		}()
		begin := time.Now()
		run(t, time.Minute, sink, Unit{"a", src, defaultRates})
		back := 0
		for _, e := range sink.put {
			if at := e.end.Sub(begin); at > 52*time.Second {
				back++
			} else if at > 12*time.Second && at < 40*time.Second {
				t.Fatalf("a reading %v after the start, while the unit was silent", at)
			}
		}
		if back == 0 {
			t.Error("no reading after the unit came back")
		}
	})
}

func TestAnExceptionIsNotALostUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{plan: plan9600(), fail: func() error { return refusal{} }}
		sink := &memSink{}
		run(t, 10*time.Second, sink, Unit{"a", src, defaultRates})
		if i := slices.IndexFunc(sink.missed, func(m string) bool { return strings.Contains(m, "unconnected") }); i >= 0 {
			t.Errorf("%s, while the unit is there", sink.missed[i])
		}
		if n := len(sink.missed); n < 50 {
			t.Errorf("%d refused reads in 10 s; a unit that answers with exceptions must go on being asked", n)
		}
	})
}

type refusal struct{}

func (refusal) Error() string        { return "exception 2" }
func (refusal) Failure() ups.Failure { return ups.FailureException }

func TestATierWithRateZeroIsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sink := &fakeSource{plan: plan9600()}, &memSink{}
		run(t, 10*time.Second, sink, Unit{"a", src, [ups.TierCount]time.Duration{ups.TierStatus: time.Second}})
		if len(sink.put) != sink.count("a", ups.TierStatus) {
			t.Errorf("%d readings, %d of them status; the other tiers are off", len(sink.put), sink.count("a", ups.TierStatus))
		}
	})
}

func TestStopsBetweenTwoReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{plan: plan9600()}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- New(Config{Units: []Unit{{"a", src, defaultRates}}, Sink: &memSink{}}).Run(ctx) }()
		time.Sleep(3 * time.Second)
		cancel()
		stopped := time.Now()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if d := time.Since(stopped); d > liveCost {
			t.Errorf("stopped after %v, one read at most is %v", d, liveCost)
		}
	})
}
