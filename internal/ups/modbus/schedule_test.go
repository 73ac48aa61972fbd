package modbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
)

// slow answers like a unit on a line of 9600 baud: after the time of request, turnaround and reply.
func slow(turnaround time.Duration) func([]byte) []byte {
	return func(request []byte) []byte {
		reply := registersAt(RTU)(request)
		time.Sleep(turnaround + byteTime(9600, 10)*time.Duration(len(request)+len(reply)))
		return reply
	}
}

func TestKeepsTheGapAndWastesNoTime(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: slow(10 * time.Millisecond)}
		var seen []Exchange
		line, _ := start(t, Config{Open: p.open(wg), Observe: func(e Exchange) { seen = append(seen, e) }})
		dst := make([]uint16, 44)
		for range 20 {
			if _, err := line.ReadHolding(t.Context(), Background, 1, 0, 27, dst); err != nil {
				t.Fatal(err)
			}
			if _, err := line.ReadHolding(t.Context(), Background, 1, 128, 44, dst); err != nil {
				t.Fatal(err)
			}
		}
		const most = time.Millisecond // what the line may lose in an exchange
		// request, turnaround, reply, gap: 8 and 59 bytes, then 8 and 93, at 1.041666 ms
		wire := []time.Duration{67 * byteTime(9600, 10), 101 * byteTime(9600, 10)}
		at := p.requests()
		for i := range at[1:] {
			ideal := wire[i%2] + 10*time.Millisecond + 35*time.Millisecond
			if took := at[i+1].at.Sub(at[i].at); took < ideal || took > ideal+most {
				t.Errorf("request %d came %v after the one before, want %v to %v", i+1, took, ideal, ideal+most)
			}
			if got := seen[i]; got.Result != ResultOK || got.Busy < ideal || got.Busy > ideal+most {
				t.Errorf("observed %+v, want busy %v to %v", got, ideal, ideal+most)
			}
		}
		ideal := wire[0] + 45*time.Millisecond
		if got := line.Timing(1); got.Read(27) < ideal || got.Read(27) > ideal+most {
			t.Errorf("%+v computes %v for 27 registers, want %v to %v", got, got.Read(27), ideal, ideal+most)
		}
	})
}

func TestAMissIsFollowedBySilenceAndALongerGap(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: func([]byte) []byte { return nil }}
		line, _ := start(t, Config{Open: p.open(wg)})
		for range 5 {
			line.ReadHolding(t.Context(), Background, 1, 0, 3, make([]uint16, 3))
		}
		ask := 8 * byteTime(9600, 10)
		at := p.requests()
		for i, timeout := range []time.Duration{500, 1000, 2000, 500} { // ms: doubled after each miss until the unit counts as lost
			want := ask + timeout*time.Millisecond + silenceAfterError + missGap
			if took := at[i+1].at.Sub(at[i].at); took != want {
				t.Errorf("request %d came %v after the one before, want %v", i+1, took, want)
			}
		}
	})
}

// A reply that breaks off is over when no more of it comes, not when a unit could no longer begin to answer. So is the wait for a
// reply that takes longer on the wire than the time-out and has not begun when it should have ended.
func TestABrokenReplyCostsLessThanSilence(t *testing.T) {
	for _, c := range []struct {
		name      string
		count     uint16
		left      float64 // part of the reply that comes
		least, at time.Duration
	}{
		{"broken off", 44, 0.5, 200 * time.Millisecond, 230 * time.Millisecond},
		{"long and silent", 120, 0, 360 * time.Millisecond, 390 * time.Millisecond},
		{"short and silent", 3, 0, 250 * time.Millisecond, 270 * time.Millisecond},
	} {
		bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
			spoil := false
			p := &peer{answer: func(request []byte) []byte {
				reply := slow(10 * time.Millisecond)(request)
				if spoil {
					return reply[:int(c.left*float64(len(reply)))]
				}
				return reply
			}}
			var took time.Duration
			line, stop := start(t, Config{Open: p.open(wg), Observe: func(e Exchange) { took = e.Took }})
			dst := make([]uint16, MostRead)
			for range 20 {
				if _, err := line.ReadHolding(t.Context(), Background, 1, 0, c.count, dst); err != nil {
					t.Fatal(err)
				}
			}
			spoil = true
			if _, err := line.ReadHolding(t.Context(), Background, 1, 0, c.count, dst); err == nil {
				t.Error(c.name, "is taken for a reply")
			}
			stop()
			if took < c.least || took > c.at {
				t.Errorf("%s: given up after %v, want %v to %v", c.name, took, c.least, c.at)
			}
		})
	}
}

func TestUrgentGoesFirst(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: slow(10 * time.Millisecond)}
		line, _ := start(t, Config{Open: p.open(wg)})
		var calls sync.WaitGroup
		for addr := range uint16(4) {
			calls.Go(func() { line.ReadHolding(t.Context(), Background, 1, addr, 1, make([]uint16, 1)) })
			synctest.Wait()
		}
		calls.Go(func() { line.WriteHolding(t.Context(), Urgent, 1, 1541, []uint16{1}) })
		calls.Wait()
		if at := p.requests(); len(at) != 5 || at[0].frame[1] != writeFunction {
			t.Errorf("order %v, want the write first", at)
		}
	})
}

func TestWritesToAUnitAre200msApart(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: slow(10 * time.Millisecond)}
		line, _ := start(t, Config{Open: p.open(wg)})
		for range 3 {
			if err := line.WriteHolding(t.Context(), Urgent, 1, 1541, []uint16{1}); err != nil {
				t.Fatal(err)
			}
		}
		at := p.requests()
		for i := range at[1:] {
			if apart := at[i+1].at.Sub(at[i].at); apart < betweenWrites {
				t.Errorf("writes %v apart, want at least %v", apart, betweenWrites)
			}
		}
	})
}

func TestAQueuedRequestWhoseCallerGaveUpIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: slow(10 * time.Millisecond)}
		line, _ := start(t, Config{Open: p.open(wg)})
		if err := line.WriteHolding(t.Context(), Urgent, 1, 1541, []uint16{1}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond) // less than the 200 ms between two writes
		defer cancel()
		err := line.WriteHolding(ctx, Urgent, 1, 1541, []uint16{2})
		var request *RequestError
		if !errors.As(err, &request) || request.Sent || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the deadline, not sent", err)
		}
		time.Sleep(time.Second)
		if n := len(p.requests()); n != 1 {
			t.Errorf("%d requests sent, want 1", n)
		}
	})
}

// One that waits while the line is busy is sent to nobody when the line ends, and one that is given up makes room.
func TestAWaitingRequestEndsWithTheLineAndMakesRoomWhenGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: func([]byte) []byte { return nil }}
		line, stop := start(t, Config{Open: p.open(wg)})
		read := func(ctx context.Context, addr uint16) error {
			_, err := line.ReadHolding(ctx, Background, 1, addr, 1, make([]uint16, 1))
			return err
		}
		errs := make(chan error, 3)
		go func() { errs <- read(t.Context(), 1) }()
		time.Sleep(150 * time.Millisecond) // it is on its way, and the unit silent for 500 ms
		brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := read(brief, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up while it waited: %v", err)
		}
		go func() { errs <- read(t.Context(), 3) }()
		if err := <-errs; !errors.Is(err, ErrTimeout) {
			t.Errorf("the first: %v, want a time-out", err)
		}
		time.Sleep(200 * time.Millisecond) // the third is on its way
		go func() { errs <- read(t.Context(), 4) }()
		synctest.Wait()
		stop()
		for range 2 {
			if err := <-errs; !errors.Is(err, ErrClosed) {
				t.Errorf("at the end of the line: %v, want ErrClosed", err)
			}
		}
		var asked []byte
		for _, r := range p.requests() {
			asked = append(asked, r.frame[3])
		}
		if !slices.Equal(asked, []byte{1, 3}) {
			t.Errorf("sent %v, want 1 and 3", asked)
		}
	})
}

func TestOneInFlightIsFinishedByTheLine(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: slow(10 * time.Millisecond)}
		results := make(chan Result, 1)
		line, _ := start(t, Config{Open: p.open(wg), Observe: func(e Exchange) { results <- e.Result }})
		ctx, cancel := context.WithTimeout(t.Context(), silenceAfterError+5*time.Millisecond) // sent at 100 ms, when the line was silent
		defer cancel()
		err := line.WriteHolding(ctx, Urgent, 1, 1541, []uint16{1})
		var request *RequestError
		if !errors.As(err, &request) || !request.Sent {
			t.Errorf("%v, want a request that was sent", err)
		}
		if got := <-results; got != ResultOK {
			t.Errorf("the write ended as %v, want ok", got)
		}
	})
}

func TestBeforeRunCallsWaitAndAfterItTheyEnd(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: slow(0)}
		line := New(Config{Open: p.open(wg)})
		early := make(chan error, 1)
		go func() {
			_, err := line.ReadHolding(context.Background(), Background, 1, 0, 1, make([]uint16, 1))
			early <- err
		}()
		time.Sleep(time.Minute)
		_, stop := run(t, line)
		if err := <-early; err != nil {
			t.Errorf("call before Run: %v", err)
		}
		if err := line.Run(t.Context()); err == nil {
			t.Error("a line ran twice")
		}
		stop()
		if _, err := line.ReadHolding(context.Background(), Background, 1, 0, 1, make([]uint16, 1)); !errors.Is(err, ErrClosed) {
			t.Errorf("call after Run: %v, want ErrClosed", err)
		}
	})
}

func TestStopsWithinASecond(t *testing.T) {
	for name, write := range map[string]bool{"reading": false, "writing": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
				p := &peer{answer: func([]byte) []byte { return nil }}
				line, stop := start(t, Config{Open: p.open(wg), Timeout: time.Minute})
				go func() {
					if write {
						line.WriteHolding(context.Background(), Urgent, 1, 0, []uint16{1})
						return
					}
					line.ReadHolding(context.Background(), Background, 1, 0, 1, make([]uint16, 1))
				}()
				time.Sleep(300 * time.Millisecond)
				begin := time.Now()
				stop()
				if took := time.Since(begin); took >= time.Second {
					t.Errorf("stopped after %v, want less than a second", took)
				}
			})
		})
	}
}

// While there is no link, requests fail at once with its reason, and the log has two lines for the whole story.
func TestALostLinkIsLoggedOnceAndRequestsFailAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: slow(0)}
		var log syncBuffer
		var broken atomic.Bool
		var mu sync.Mutex
		var current net.Conn
		open := func(context.Context) (Link, error) {
			if broken.Load() {
				return nil, fmt.Errorf("no such port")
			}
			ours, theirs := net.Pipe()
			mu.Lock()
			current = theirs
			mu.Unlock()
			wg.Go(func() { p.serve(theirs) })
			return ours, nil
		}
		line, _ := start(t, Config{Open: open, Log: slog.New(slog.NewTextHandler(&log, nil))})
		read := func() error {
			_, err := line.ReadHolding(t.Context(), Background, 1, 0, 1, make([]uint16, 1))
			return err
		}
		if err := read(); err != nil {
			t.Fatal(err)
		}
		broken.Store(true)
		mu.Lock()
		current.Close()
		mu.Unlock()
		read()
		time.Sleep(20 * time.Second)
		begin := time.Now()
		if err := read(); linkLost(err) == nil || ups.FailureOf(err) != ups.FailureUnreachable || time.Since(begin) > 0 {
			t.Errorf("read without a link: %v after %v, want a LinkError at once", err, time.Since(begin))
		}
		broken.Store(false)
		time.Sleep(lastPause + time.Second)
		if err := read(); err != nil {
			t.Errorf("read after the link is back: %v", err)
		}
		text := log.String()
		if strings.Count(text, "link lost") != 1 || strings.Count(text, "link restored") != 1 || !strings.Contains(text, "attempts=") || !strings.Contains(text, "down=") {
			t.Errorf("logged:\n%s", text)
		}
	})
}

func TestALinkThatNeverWasIsNotCalledLost(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		var log syncBuffer
		var there atomic.Bool
		p := &peer{answer: slow(0)}
		open := func(context.Context) (Link, error) {
			if !there.Load() {
				return nil, fmt.Errorf("no such port")
			}
			ours, theirs := net.Pipe()
			wg.Go(func() { p.serve(theirs) })
			return ours, nil
		}
		_, stop := start(t, Config{Open: open, Log: slog.New(slog.NewTextHandler(&log, nil))})
		time.Sleep(10 * time.Second)
		there.Store(true)
		time.Sleep(10 * time.Second)
		stop()
		text := log.String()
		if strings.Count(text, "link not opened") != 1 || strings.Count(text, "link opened") != 1 || strings.Contains(text, "link lost") {
			t.Errorf("logged:\n%s", text)
		}
	})
}

// A link without deadlines, as a playback has it, is served as well, and Close ends its reader.
func TestPlainLinksNeedNoDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: slow(0)}
		open := func(context.Context) (Link, error) {
			ours, theirs := net.Pipe()
			wg.Go(func() { p.serve(theirs) })
			return struct{ io.ReadWriteCloser }{ours}, nil
		}
		line, _ := start(t, Config{Open: open})
		got, err := line.ReadHolding(t.Context(), Background, 1, 5, 2, make([]uint16, 2))
		if err != nil || !slices.Equal(got, []uint16{5, 6}) {
			t.Errorf("%v, %v; want [5 6]", got, err)
		}
	})
}
