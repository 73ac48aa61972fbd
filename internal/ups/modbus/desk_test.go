package modbus

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Callers serve themselves in turn, whatever the connection does: each gets its own answer, and no two requests are ever on
// their way at once.
func TestManyCallersShareAConnectionThatBreaks(t *testing.T) {
	var served, overlapped atomic.Int32
	address := listen(t, func(conn net.Conn) {
		for n := 0; ; n++ {
			request, err := readRequest(conn, TCP)
			if err != nil || n%40 == 39 { // closed in place of an answer
				return
			}
			conn.SetReadDeadline(time.Now().Add(100 * time.Microsecond))
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				overlapped.Add(1)
			}
			conn.SetReadDeadline(time.Time{})
			served.Add(1)
			conn.Write(registersAt(TCP)(request))
		}
	})
	line := quickTCP(t, Config{Open: OpenTCP(address)})
	var calls sync.WaitGroup
	for caller := range uint16(4) {
		calls.Go(func() {
			dst := make([]uint16, 2)
			for i := range uint16(60) {
				addr := 100*caller + i
				p := Priority(i % 8 / 7)
				if got, err := line.ReadHolding(t.Context(), p, 1, addr, 2, dst); err == nil && (got[0] != addr || got[1] != addr+1) {
					t.Errorf("read %d: %v", addr, got)
				} else if err != nil && linkLost(err) == nil {
					t.Errorf("read %d: %v", addr, err)
				}
			}
		})
	}
	calls.Wait()
	if n := overlapped.Load(); n > 0 {
		t.Errorf("%d requests came before the answer to the one before", n)
	}
	if n := served.Load(); n < 120 {
		t.Errorf("%d requests answered of 240", n)
	}
}

// A read that its caller gives up is left alone at once; its answer, when it comes, is nobody's.
func TestAReadGivenUpOverTCPLeavesTheLineInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		var late []byte
		p := &peer{framing: TCP}
		p.answer = func(request []byte) []byte {
			reply := registersAt(TCP)(request)
			if len(p.requests()) == 2 {
				late = reply
				return nil
			}
			reply, late = append(late, reply...), nil
			return reply
		}
		line, _ := start(t, Config{Framing: TCP, Open: p.open(wg)})
		read := func(ctx context.Context, addr uint16) ([]uint16, error) {
			return line.ReadHolding(ctx, Background, 1, addr, 1, make([]uint16, 1))
		}
		if _, err := read(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the line is at rest
		brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := read(brief, 2)
		var request *RequestError
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &request) || !request.Sent {
			t.Errorf("given up: %v, want the deadline of a request that was sent", err)
		}
		if took := time.Since(begin); took > 50*time.Millisecond+armFor {
			t.Errorf("given up after %v, want at most a slice more than 50 ms", took)
		}
		for addr := range uint16(3) {
			if got, err := read(t.Context(), 10+addr); err != nil || got[0] != 10+addr {
				t.Errorf("read %d: %v, %v", 10+addr, got, err)
			}
		}
		if n := line.Links(); n != 1 {
			t.Errorf("%d links, want the one", n)
		}
	})
}

// One serves itself and finds the connection closed; another has queued meanwhile. Both are answered on the next connection.
func TestWhoQueuesBehindALostConnectionIsServedOnTheNext(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		var connections atomic.Int32
		open := func(context.Context) (Link, error) {
			ours, theirs := net.Pipe()
			first := connections.Add(1) == 1
			p := &peer{framing: TCP}
			p.answer = func(request []byte) []byte {
				if first && len(p.requests()) == 2 {
					time.Sleep(10 * time.Millisecond)
					theirs.Close()
					return nil
				}
				return registersAt(TCP)(request)
			}
			wg.Go(func() { p.serve(theirs) })
			return ours, nil
		}
		line, _ := start(t, Config{Framing: TCP, Open: open})
		read := func(addr uint16) {
			if got, err := line.ReadHolding(t.Context(), Background, 1, addr, 1, make([]uint16, 1)); err != nil || got[0] != addr {
				t.Errorf("read %d: %v, %v", addr, got, err)
			}
		}
		read(1)
		synctest.Wait() // the line is at rest
		var calls sync.WaitGroup
		calls.Go(func() { read(2) })
		synctest.Wait() // on its way
		calls.Go(func() { read(3) })
		calls.Wait()
		if n := line.Links(); n != 2 {
			t.Errorf("%d links, want 2", n)
		}
	})
}

// Who serves itself and still keeps the gap lets an urgent request go first.
func TestUrgentGoesBeforeWhoKeepsTheGap(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: registersAt(RTU)}
		line, _ := start(t, Config{Open: p.open(wg)})
		read := func(pr Priority, addr uint16) {
			if got, err := line.ReadHolding(t.Context(), pr, 1, addr, 1, make([]uint16, 1)); err != nil || got[0] != addr {
				t.Errorf("read %d: %v, %v", addr, got, err)
			}
		}
		read(Background, 1)
		var calls sync.WaitGroup
		calls.Go(func() { read(Background, 2) })
		synctest.Wait() // it has the line, and 35 ms of silence to keep
		if line.borrow(Urgent) != nil {
			t.Error("the line lies there for two")
		}
		calls.Go(func() { read(Urgent, 3) })
		calls.Wait()
		var asked []byte
		for _, r := range p.requests() {
			asked = append(asked, r.frame[3])
		}
		if !slices.Equal(asked, []byte{1, 3, 2}) {
			t.Errorf("asked in the order %v, want 1, the urgent 3, then 2", asked)
		}
	})
}

// Two background requests and an urgent one wait, one of them for the gap and one in the hand of the line's owner: the urgent one
// goes first all the same, and the others in the order in which they came.
func TestUrgentGoesBeforeAllWhoWait(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: registersAt(RTU)}
		line, _ := start(t, Config{Open: p.open(wg)})
		read := func(pr Priority, addr uint16) {
			if got, err := line.ReadHolding(t.Context(), pr, 1, addr, 1, make([]uint16, 1)); err != nil || got[0] != addr {
				t.Errorf("read %d: %v, %v", addr, got, err)
			}
		}
		read(Background, 1)
		for n := byte(0); n < 8; n++ {
			before := len(p.requests())
			var calls sync.WaitGroup
			for i, pr := range []Priority{Background, Background, Urgent} {
				calls.Go(func() { read(pr, uint16(2+i)) })
				synctest.Wait() // the first has the line and 35 ms to keep, the second is in lend's hand
			}
			calls.Wait()
			var asked []byte
			for _, r := range p.requests()[before:] {
				asked = append(asked, r.frame[3])
			}
			if !slices.Equal(asked, []byte{4, 2, 3}) {
				t.Fatalf("asked in the order %v, want the urgent 4, then 2 and 3", asked)
			}
		}
	})
}

// An urgent caller gives up before its request has come to the queue: who has stepped aside for it is served all the same.
func TestWhoStepsAsideForNobodyIsServed(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: registersAt(RTU)}
		line, _ := start(t, Config{Open: p.open(wg)})
		read := func(addr uint16) {
			if got, err := line.ReadHolding(t.Context(), Background, 1, addr, 1, make([]uint16, 1)); err != nil || got[0] != addr {
				t.Errorf("read %d: %v, %v", addr, got, err)
			}
		}
		read(1)
		var calls sync.WaitGroup
		calls.Go(func() { read(2) })
		synctest.Wait() // it keeps the gap
		line.pressing.Add(1)
		calls.Wait()
		line.pressing.Add(-1)
	})
}
