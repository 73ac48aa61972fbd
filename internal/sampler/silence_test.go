package sampler

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
)

const silentFor = 500 * time.Millisecond // the time-out of one request

// A rig is some units on one line: source 0 can be made silent.
type rig struct {
	sources []*fakeSource
	sink    *memSink
	sampler *Sampler
	log     bytes.Buffer
	asked   []time.Time // when requests to unit 0 met silence
}

func newRig(units int, cfg Config) *rig {
	r := &rig{sink: &memSink{}}
	for i := range units {
		src := &fakeSource{plan: plan9600(), timeout: silentFor}
		r.sources = append(r.sources, src)
		cfg.Units = append(cfg.Units, Unit{string(rune('a' + i)), src, defaultRates})
	}
	r.sources[0].onSilence = func() { r.asked = append(r.asked, time.Now()) }
	cfg.Sink, cfg.Log = r.sink, slog.New(slog.NewTextHandler(&r.log, nil))
	r.sampler = New(cfg)
	return r
}

func (r *rig) run(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := r.sampler.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// oldest returns how old the status word of the source got at most, from one reading that has it to the next.
func (f *fakeSource) oldest(from, to time.Time) (age time.Duration) {
	last := from
	for _, e := range f.reads {
		if e.tier > ups.TierStatus || e.end.Before(from) || e.end.After(to) {
			continue
		}
		age, last = max(age, e.end.Sub(last)), e.end
	}
	return max(age, to.Sub(last))
}

// TestADeadUnitCostsOneTimeoutPerBackOff: of several units on a line one falls silent for five minutes. The words of the others get
// older by one time-out and the block behind it, now and then, and nothing else changes for them.
func TestADeadUnitCostsOneTimeoutPerBackOff(t *testing.T) {
	for _, others := range []int{1, 3, 7} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(1+others, Config{})
			begin := time.Now()
			dies, returns := begin.Add(5*time.Minute), begin.Add(10*time.Minute)
			go func() {
				time.Sleep(time.Until(dies))
				r.sources[0].dead.Store(true)
				time.Sleep(time.Until(returns))
				r.sources[0].dead.Store(false)
			}()
			r.run(t, 11*time.Minute)

			// 1, 2 and 4 and then 8 or 10 s, each behind a time-out.
			if n := len(r.asked); n < 28 || n > 33 {
				t.Errorf("%d others: asked %d times in 5 minutes of silence, want about one per %v", others, n, backOffMost)
			}
			for i := 1; i < len(r.asked); i++ {
				if d, least := r.asked[i].Sub(r.asked[i-1]), min(backOffLeast<<(i-1), backOffMost); d < least+silentFor {
					t.Errorf("%d others: time-outs %d and %d began %v apart, want %v of back-off between", others, i-1, i, d, least)
				}
			}
			alive := time.Duration(0)
			for _, src := range r.sources[1:] {
				alive = max(alive, src.oldest(begin.Add(time.Minute), dies))
			}
			for i, src := range r.sources[1:] {
				silent := src.oldest(dies, returns)
				t.Logf("%d others: words get %v old while all answer, that of %d %v with a dead unit", others, alive, i+1, silent)
				if most := alive + silentFor + liveCost; silent > most {
					t.Errorf("%d others: the word of %d got %v old while one was silent, want at most %v", others, i+1, silent, most)
				}
				polls := func(from, to time.Time) (n int) {
					for _, e := range src.reads {
						if e.end.After(from) && e.end.Before(to) {
							n++
						}
					}
					return n
				}
				if was, is := polls(begin, dies), polls(dies, returns); float64(is) < 0.93*float64(was) {
					t.Errorf("%d others: %d polls of %d in 5 minutes beside a dead unit, %d while it answered", others, is, i+1, was)
				}
			}
			back := time.Duration(0)
			for _, e := range r.sources[0].reads {
				if e.end.After(returns) {
					back = e.end.Sub(returns)
					break
				}
			}
			if back == 0 || back > backOffMost+2*time.Second {
				t.Errorf("%d others: read again %v after its return", others, back)
			}
			for words, n := range map[string]int{`msg="unit lost" unit=a`: 1, `msg="unit connected" unit=a`: 2, "down=": 2 + others, "level=WARN": 1} {
				if got := strings.Count(r.log.String(), words); got != n {
					t.Errorf("%d others: %q is logged %d times, want %d\n%s", others, words, got, n, r.log.String())
				}
			}
		})
	}
}

// TestAUnitThatNeverAnsweredCostsOneTimeoutPerAttempt: from the start on.
func TestAUnitThatNeverAnsweredCostsOneTimeoutPerAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3, Config{})
		r.sources[0].dead.Store(true)
		begin := time.Now()
		r.run(t, 5*time.Minute)
		if n := len(r.asked); n < 28 || n > 33 {
			t.Errorf("asked %d times in 5 minutes", n)
		}
		for i, src := range r.sources[1:] {
			if age := src.oldest(begin, begin.Add(5*time.Minute)); age > 2*time.Second {
				t.Errorf("the word of %d got %v old", i+1, age)
			}
		}
		if n := strings.Count(r.log.String(), "unit=a"); n != 1 || !strings.Contains(r.log.String(), "asked_again_in=1s") {
			t.Errorf("logged %d times, want once:\n%s", n, r.log.String())
		}
	})
}

// TestAloneOnALineNobodyWaits: what does not answer is asked again at once, lost by its third failure and found soon.
func TestAloneOnALineNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(1, Config{})
		go func() {
			time.Sleep(10 * time.Second)
			r.sources[0].dead.Store(true)
		}()
		r.run(t, time.Minute)
		for i := 1; i < min(lostAfter, len(r.asked)); i++ {
			if d := r.asked[i].Sub(r.asked[i-1]); d > silentFor+10*time.Millisecond {
				t.Errorf("failure %d came %v after the one before", i, d)
			}
		}
		for i := lostAfter; i < len(r.asked); i++ {
			if d := r.asked[i].Sub(r.asked[i-1]); d > backOffAlone+silentFor || d < backOffLeast {
				t.Errorf("attempt %d came %v after the one before", i, d)
			}
		}
		if n := len(r.asked); n < 10 {
			t.Errorf("asked %d times in 50 s", n)
		}
	})
}

// TestEverySecondAnswerStarvesNobody: a unit that answers every second request is read on, in all its tiers, and the others are.
func TestEverySecondAnswerStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3, Config{})
		var n atomic.Int64
		r.sources[0].deaf = func() bool { return n.Add(1)%2 == 0 }
		begin := time.Now()
		r.run(t, 5*time.Minute)
		for tier, least := range map[ups.Tier]int{ups.TierWatch: 40, ups.TierStatus: 40, ups.TierLive: 40} {
			if got := r.sink.count("a", tier); got < least {
				t.Errorf("%d %v readings of it in 5 minutes, want at least %d", got, tier, least)
			}
		}
		for i, src := range r.sources[1:] {
			age := src.oldest(begin.Add(time.Minute), begin.Add(5*time.Minute))
			t.Logf("the word of %d gets %v old", i+1, age)
			if age > 1500*time.Millisecond {
				t.Errorf("the word of %d got %v old", i+1, age)
			}
			if got := r.sink.count(string(rune('b'+i)), ups.TierStatus); got < 110 {
				t.Errorf("%d status readings of %d in 5 minutes", got, i+1)
			}
		}
		if n := strings.Count(r.log.String(), "level=WARN"); n != 0 {
			t.Errorf("logged %d times, it is never lost:\n%s", n, r.log.String())
		}
	})
}
