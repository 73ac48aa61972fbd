package modbus

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTheTimeoutFollowsTheTurnaround(t *testing.T) {
	p := pace{timeout: serialTimeout}
	for range 50 {
		p.reply(10*time.Millisecond, true, leastTimeout)
	}
	if p.timeout != leastTimeout || p.early < 10*time.Millisecond {
		t.Errorf("after replies in 10 ms: %+v, want a time-out of 250 ms", p)
	}
	p.reply(600*time.Millisecond, true, leastTimeout)
	if p.timeout < 600*time.Millisecond || p.timeout > mostTimeout {
		t.Errorf("after one reply in 600 ms: %+v", p)
	}
	for range settled { // one late reply is no reason to wait longer for ever
		p.reply(10*time.Millisecond, true, leastTimeout)
	}
	if p.timeout != leastTimeout {
		t.Errorf("%d replies after a late one the time-out is %v, want 250 ms again", settled, p.timeout)
	}
	for range 200 { // found ready, never waited for: the line oversleeps and must come down
		p.reply(p.early+time.Millisecond, false, leastTimeout)
	}
	if p.early != 0 {
		t.Errorf("sleeps until %v though replies are always ready", p.early)
	}
}

// A time-out is no shorter than what one reply in 500 takes, and longer than that by a margin only.
func TestTheTimeoutKnowsTheRareReplies(t *testing.T) {
	p := pace{timeout: serialTimeout}
	for i := range 5000 {
		took := 15 * time.Millisecond
		if i%400 == 399 {
			took = 700 * time.Millisecond
		}
		p.reply(took, true, leastTimeout)
		if i > 900 && (p.timeout < 700*time.Millisecond || p.timeout > 1200*time.Millisecond) {
			t.Fatalf("after %d replies, one of 400 in 700 ms, the time-out is %v", i+1, p.timeout)
		}
	}
}

func TestDurationsAreCountedToAnEighth(t *testing.T) {
	for d := time.Duration(0); d < 4*time.Second; d += 250 * time.Microsecond {
		i := slot(d)
		if e := edge(i); d >= e || e > d+max(d/8, time.Millisecond)+time.Millisecond || i > 0 && edge(i-1) > d {
			t.Fatalf("%v is counted in slot %d, which ends at %v", d, i, e)
		}
	}
	if i := slot(time.Hour); i != len(histogram{}.counts)-1 {
		t.Errorf("an hour is counted in slot %d", i)
	}
}

// Whatever a unit does, the line waits 250 ms to 2 s for it, and some good replies later a learned time-out and no more.
func TestTheTimeoutStaysInItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.SampledFrom([]time.Duration{leastTimeout, leastTCPTimeout}).Draw(t, "least")
		p := pace{timeout: rapid.SampledFrom([]time.Duration{serialTimeout, tcpTimeout}).Draw(t, "start")}
		inBounds := func() {
			if w := p.wait(); w < leastTimeout || w > mostTimeout || p.early < 0 || p.mean < 0 || p.spread < 0 {
				t.Fatalf("waits %v: %+v", w, p)
			}
		}
		reply := func(ms int) {
			p.answer()
			p.reply(time.Duration(ms)*time.Millisecond, rapid.Bool().Draw(t, "seen"), least)
		}
		t.Repeat(map[string]func(*rapid.T){
			"reply":   func(t *rapid.T) { reply(rapid.IntRange(-50, 3000).Draw(t, "ms")) },
			"refusal": func(*rapid.T) { p.answer() },
			"misses": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "misses") {
					p.miss()
					inBounds()
				}
			},
			"": func(*rapid.T) { inBounds() },
		})
		for range 20 * remembered {
			p.answer()
			p.reply(20*time.Millisecond, true, least)
		}
		if p.wait() != least {
			t.Fatalf("after many replies in 20 ms waits %v, want %v: %+v", p.wait(), least, p)
		}
	})
}

// askUnit reads three registers of a unit and returns how long that took.
func askUnit(t *testing.T, line *Line, unit uint8) (time.Duration, error) {
	begin := time.Now()
	_, err := line.ReadHolding(t.Context(), Background, unit, 0, 3, make([]uint16, 3))
	return time.Since(begin), err
}

// Slower than the time-out it begins with, a unit is asked again with more patience and then never missed any more.
func TestASlowUnitIsLearned(t *testing.T) {
	for _, turnaround := range []time.Duration{300, 600, 900, 1500} {
		bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
			think := func([]byte) time.Duration { return turnaround * time.Millisecond }
			line, _ := start(t, Config{Open: thoughtful(wg, think)})
			missed := 0
			for i := range 100 {
				switch _, err := askUnit(t, line, 1); {
				case err == nil:
				case i < gone && errors.Is(err, ErrTimeout):
					missed++
				default:
					t.Fatalf("turnaround %d ms, request %d: %v", turnaround, i+1, err)
				}
			}
			if got := line.Timing(1).Turnaround; got.Round(10*time.Millisecond) != turnaround*time.Millisecond {
				t.Errorf("measured %v, want %d ms", got, turnaround)
			}
			t.Logf("turnaround %d ms: %d misses before it was known", turnaround, missed)
		})
	}
}

// A port is the line's end of a pipe whose other end may be busy: like a real port it takes what is written to it.
type port struct {
	io.ReadWriteCloser
	out chan []byte
}

func (p port) Write(b []byte) (int, error) {
	p.out <- slices.Clone(b)
	return len(b), nil
}

func (p port) Close() error {
	close(p.out)
	return p.ReadWriteCloser.Close()
}

// thoughtful is a Config.Open: at the other end are units of a 9600 baud line, of which each request is answered after the time that
// turnaround says (negative: never), unless the next comes before.
func thoughtful(wg *sync.WaitGroup, turnaround func(request []byte) time.Duration) func(context.Context) (Link, error) {
	return func(context.Context) (Link, error) {
		ours, theirs := net.Pipe()
		p := port{ours, make(chan []byte, 16)}
		wg.Go(func() {
			for b := range p.out {
				_, _ = ours.Write(b) // fails when the link is closed, and then Close ends this as well
			}
		})
		wg.Go(func() {
			var last *time.Timer
			for {
				request, err := readRequest(theirs, RTU)
				if err != nil {
					theirs.Close()
					return
				}
				if last != nil {
					last.Stop()
				}
				reply, think := registersAt(RTU)(request), turnaround(request)
				if think < 0 {
					continue
				}
				wire := byteTime(9600, 10) * time.Duration(len(request)+len(reply))
				last = time.AfterFunc(wire+think, func() { _, _ = theirs.Write(reply) })
			}
		})
		return p, nil
	}
}

// A unit that sometimes is slow to answer is waited for, once that is known.
func TestAUnitThatIsLateNowAndThenIsLearned(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		n := 0
		line, _ := start(t, Config{Open: thoughtful(wg, func([]byte) time.Duration {
			if n++; n%7 == 0 {
				return 400 * time.Millisecond
			}
			return 10 * time.Millisecond
		})})
		missed := 0
		for i := range 2000 {
			if _, err := askUnit(t, line, 1); err != nil {
				if missed++; i > 500 {
					t.Fatalf("request %d: %v", i+1, err)
				}
			}
		}
		if missed > 10 {
			t.Errorf("%d requests missed before the late ones were known", missed)
		}
	})
}

// Two units of one line do not share what is known of them, and one that is lost costs the other one time-out at a time.
func TestUnitsOfALineHaveTheirOwnPace(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		lost := false
		line, _ := start(t, Config{Open: thoughtful(wg, func(request []byte) time.Duration {
			switch {
			case request[0] == 2:
				return 700 * time.Millisecond
			case lost:
				return -1
			}
			return 10 * time.Millisecond
		})})
		for range 50 {
			askUnit(t, line, 1)
			askUnit(t, line, 2)
		}
		fast, slow := line.Timing(1).Turnaround, line.Timing(2).Turnaround
		if fast.Round(time.Millisecond) != 10*time.Millisecond || slow.Round(10*time.Millisecond) != 700*time.Millisecond {
			t.Errorf("turnarounds %v and %v, want 10 and 700 ms", fast, slow)
		}
		lost = true
		var long int
		var all time.Duration
		const attempts = 100
		for i := range attempts {
			took, err := askUnit(t, line, 1)
			if !errors.Is(err, ErrTimeout) {
				t.Fatal(err)
			}
			if all += took; i >= gone && took > leastTimeout+missGap+silenceAfterError+10*time.Millisecond {
				long++
			}
			if _, err := askUnit(t, line, 2); err != nil {
				t.Fatalf("the other unit: %v", err)
			}
		}
		if long > attempts/longLook {
			t.Errorf("%d of %d attempts cost more than one learned time-out", long, attempts)
		}
		most := leastTimeout + silenceAfterError + missGap + 10*time.Millisecond + mostTimeout/longLook
		if mean := all / attempts; mean > most {
			t.Errorf("an attempt costs %v on average, want at most %v", mean, most)
		}
	})
}

// On TCP a time-out is no shorter than a second, and a card that needs half of that is not missed.
func TestTimeoutsOnTCP(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		turnaround := 480 * time.Millisecond
		deaf := false
		p := &peer{framing: TCP, answer: func(request []byte) []byte {
			if deaf {
				return nil
			}
			time.Sleep(turnaround)
			return registersAt(TCP)(request)
		}}
		line, _ := start(t, Config{Framing: TCP, Open: p.open(wg)})
		for range 50 {
			if _, err := askUnit(t, line, 1); err != nil {
				t.Fatal(err)
			}
		}
		if got := line.Timing(1); got.Turnaround.Round(time.Millisecond) != turnaround || got.Read(120) != got.Turnaround {
			t.Errorf("%+v, want 480 ms and nothing else", got)
		}
		deaf = true
		if took, err := askUnit(t, line, 1); !errors.Is(err, ErrTimeout) || took != leastTCPTimeout {
			t.Errorf("silence after %v: %v, want 1 s", took, err)
		}
	})
}
