package modbus

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups/upssim"
)

// stopsIn asks for something, ends Run a while after, and returns how long that took.
func stopsIn(t *testing.T, line *Line, write bool, after time.Duration) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	ended := make(chan struct{})
	running.Go(func() {
		defer close(ended)
		if err := line.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	running.Go(func() {
		for ctx.Err() == nil {
			if write {
				_ = line.WriteHolding(context.Background(), Urgent, 1, 1029, []uint16{90})
			} else {
				_, _ = line.ReadHolding(context.Background(), Background, 1, 0, 27, make([]uint16, 27))
			}
			time.Sleep(time.Millisecond) // without a link a request fails at once
		}
	})
	time.Sleep(after)
	cancel()
	begin := time.Now()
	<-ended
	took := time.Since(begin)
	running.Wait()
	return took
}

// Whatever the line does, and whether a read or a write is under way, Run ends within a second. The time is the bubble's, exact.
func TestStopsWithinASecondInEveryFault(t *testing.T) {
	for _, fault := range upssim.AllFaults() {
		for _, framing := range []Framing{RTU, TCP} {
			t.Run(fmt.Sprintf("%s/%d", fault, framing), func(t *testing.T) {
				for _, write := range []bool{false, true} {
					for after := 3 * time.Millisecond; after < 4*time.Second; after = after*5/2 + time.Millisecond {
						synctest.Test(t, func(t *testing.T) { stopInBubble(t, fault, framing, write, after) })
					}
				}
			})
		}
	}
}

func stopInBubble(t *testing.T, fault upssim.Fault, framing Framing, write bool, after time.Duration) {
	unit := upssim.New(upssim.Options{})
	unit.Faults().DripBy(400 * time.Millisecond)
	unit.Faults().LateBy(30 * time.Second)
	unit.Faults().Set(fault, true)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	units := map[uint8]*upssim.Unit{1: unit}
	o := upssim.SerialOptions{SleepUntil: func(ctx context.Context, until time.Time) error {
		select {
		case <-time.After(time.Until(until)):
		case <-ctx.Done():
		}
		return ctx.Err()
	}}
	line := New(Config{Framing: framing, Open: func(context.Context) (Link, error) {
		near, far := upssim.NewCable()
		serving.Go(func() {
			defer far.Close()
			if framing == RTU {
				_ = upssim.ServeSerial(ctx, far, o, units)
			} else {
				_ = upssim.ServeTCP(ctx, &once{conn: cableConn{far}}, units, upssim.TCPOptions{})
			}
		})
		return near, nil
	}})
	if took := stopsIn(t, line, write, after); took > time.Second {
		t.Errorf("write %v, stopped after %v: Run ends %v later", write, after, took)
	}
	cancel()
	serving.Wait()
}

// once is a listener of one connection.
type once struct {
	conn net.Conn
	done bool
}

func (o *once) Accept() (net.Conn, error) {
	if o.done {
		return nil, net.ErrClosed
	}
	o.done = true
	return o.conn, nil
}

func (o *once) Close() error   { return nil }
func (o *once) Addr() net.Addr { return &net.TCPAddr{} }

type cableConn struct{ *upssim.End }

func (cableConn) LocalAddr() net.Addr             { return &net.TCPAddr{} }
func (cableConn) RemoteAddr() net.Addr            { return &net.TCPAddr{} }
func (c cableConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// The same on real ports, where reads and writes are system calls that must be ended, in a time that is only looked at: the
// machine may be busy. No goroutine is left behind; TestMain looks.
func TestStopsInEveryFaultOnRealPorts(t *testing.T) {
	for _, fault := range upssim.AllFaults() {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			unit := upssim.New(upssim.Options{})
			unit.Faults().LateBy(time.Minute)
			unit.Faults().Set(fault, true)
			units := map[uint8]*upssim.Unit{1: unit}
			ctx, cancel := context.WithCancel(context.Background())
			var serving sync.WaitGroup
			defer serving.Wait()
			defer cancel()
			link := filepath.Join(t.TempDir(), "ups")
			pty, err := upssim.OpenPTY(link)
			if err != nil {
				t.Skip("no pseudo-terminal here:", err)
			}
			serving.Go(func() { _ = pty.Serve(ctx, upssim.SerialOptions{}, units); pty.Close() })
			t.Log("serial:", stopsIn(t, New(Config{Open: OpenSerial(link, 9600, "none")}), false, 50*time.Millisecond))
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			serving.Go(func() { _ = upssim.ServeTCP(ctx, ln, units, upssim.TCPOptions{}) })
			t.Log("tcp:", stopsIn(t, New(Config{Framing: TCP, Open: OpenTCP(ln.Addr().String())}), false, 50*time.Millisecond))
		})
	}
}
