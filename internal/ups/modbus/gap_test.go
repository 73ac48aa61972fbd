package modbus

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A hurried unit needs more silence before a request than the line begins with.
type hurried struct {
	mu    sync.Mutex
	quiet time.Time       // end of the last reply
	gaps  []time.Duration // kept before each request
	miss  func(silence time.Duration) bool
}

func (h *hurried) answer(request []byte) []byte {
	const wire = 8 * 10 * time.Second / 9600 // a pipe brings a request at once: it began to come now
	h.mu.Lock()
	defer h.mu.Unlock()
	silence := time.Since(h.quiet)
	if !h.quiet.IsZero() {
		h.gaps = append(h.gaps, silence)
	}
	h.quiet = time.Now().Add(wire)
	if h.miss(silence) {
		return nil
	}
	reply := slow(10 * time.Millisecond)(request)
	h.quiet = time.Now()
	return reply
}

// poll reads until the end of d, as fast as the line allows, and returns how many requests were missed.
func poll(t *testing.T, line *Line, d time.Duration) (missed, all int) {
	for end := time.Now().Add(d); time.Now().Before(end); all++ {
		if _, err := askUnit(t, line, 1); err != nil {
			missed++
		}
	}
	return missed, all
}

// A unit that misses one request of 50 at 35 ms and none at 45 is asked after 45, which the log says, and misses are counted as
// before. Later it is tried again.
func TestAHurriedUnitIsGivenMoreTime(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		rnd := rand.New(rand.NewPCG(1, 1))
		h := &hurried{miss: func(silence time.Duration) bool { return silence < 40*time.Millisecond && rnd.IntN(50) == 0 }}
		p, timeouts := &peer{answer: h.answer}, 0
		var log syncBuffer
		line, stop := start(t, Config{Open: p.open(wg), Log: slog.New(slog.NewTextHandler(&log, nil)), Observe: func(e Exchange) {
			if e.Result == ResultTimeout {
				timeouts++
			}
		}})
		missed, _ := poll(t, line, time.Minute)
		if got := line.Timing(1).Gap; got != missGap || missed > 15 {
			t.Errorf("after a minute the gap is %v, and %d requests were missed", got, missed)
		}
		more, all := poll(t, line, 40*time.Minute)
		if more > 3*tooMany { // trials after 10 and 30 minutes
			t.Errorf("%d of %d requests missed in 40 minutes", more, all)
		}
		t.Logf("%d requests missed in the first minute, %d of %d in the next 40 minutes", missed, more, all)
		h.miss = func(time.Duration) bool { return false } // the firmware was mended
		poll(t, line, 80*time.Minute)
		if got := line.Timing(1).Gap; got != serialGap {
			t.Errorf("more than an hour without a miss and the gap is still %v", got)
		}
		stop()
		if timeouts != missed+more {
			t.Errorf("%d misses observed, want %d", timeouts, missed+more)
		}
		if !strings.Contains(log.String(), "gap before requests changed") {
			t.Errorf("logged:\n%s", log.String())
		}
		for _, g := range h.gaps {
			if g < serialGap {
				t.Fatalf("a request after %v of silence", g)
			}
		}
	})
}

// Where the gap is not the reason it stays short most of the time.
func TestTheGapStaysWhereItIsNotTheReason(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	for name, miss := range map[string]func(time.Duration) bool{
		"one request of 100 lost": func(time.Duration) bool { return rnd.IntN(100) == 0 },
		"nothing lost":            func(time.Duration) bool { return false },
		"gone":                    func(time.Duration) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
				h := &hurried{miss: miss}
				line, _ := start(t, Config{Open: (&peer{answer: h.answer}).open(wg)})
				long := 0
				const samples = 300
				for range samples {
					poll(t, line, 10*time.Second)
					if line.Timing(1).Gap != serialGap {
						long++
					}
				}
				if long > samples/5 {
					t.Errorf("the gap was long at %d of %d moments", long, samples)
				}
			})
		})
	}
}

// A line that rests between requests has no reason to change its gap, whatever is missed.
func TestOnlyRequestsRightAfterTheGapTellOfIt(t *testing.T) {
	g := newGap(serialGap)
	for i := range 10000 {
		if g.note(time.Unix(int64(i), 0), 100*time.Millisecond, i%3 == 0) {
			t.Fatal("changed")
		}
	}
}

func TestTheGapIsOneOfTwo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, at := newGap(serialGap), time.Unix(0, 0)
		for range rapid.IntRange(1, 300).Draw(t, "notes") {
			at = at.Add(time.Duration(rapid.IntRange(1, 600000).Draw(t, "ms")) * time.Millisecond)
			was := g.now()
			changed := g.note(at, time.Duration(rapid.IntRange(0, 100).Draw(t, "silence"))*time.Millisecond, rapid.Bool().Draw(t, "missed"))
			if now := g.now(); now != serialGap && now != missGap || changed != (now != was) || g.trust < firstTrust || g.trust > mostTrust {
				t.Fatalf("%v after %v, changed %v: %+v", now, was, changed, g)
			}
		}
	})
}

func TestThereIsNoGapOnTCP(t *testing.T) {
	line := New(Config{Framing: TCP, Open: func(context.Context) (Link, error) { return nil, nil }})
	if g := newRunner(line).gap; g.now() != 0 || g.note(time.Now(), 0, true) {
		t.Errorf("%+v", g)
	}
}
