package smartups

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
)

// What is asked, and over how many links, around a connection that the line replaced without a word.
func TestANewLinkIsCheckedBeforeItIsBelieved(t *testing.T) {
	for _, c := range []struct {
		name  string
		opens []bool // whether each exchange after Connect opens a link, then none does
		every time.Duration
		want  []string
	}{
		{"the same link", nil, 0, []string{"0/27", "2/1", "0/27", "2/1", "0/27"}},
		{"replaced once", []bool{true}, 0, []string{"0/27", "2048/14", "564/8", "0/27", "2/1", "0/27", "2/1", "0/27"}},
		{
			"replaced again",
			[]bool{true, false, false, false, true},
			0,
			[]string{"0/27", "2048/14", "564/8", "0/27", "2/1", "0/27", "2048/14", "564/8", "0/27", "2/1", "0/27"},
		},
		{
			"a link for each exchange",
			[]bool{true, true, true, true, true, true, true, true, true},
			time.Second,
			[]string{"0/27", "2048/14", "564/8", "0/27", "2/1", "0/27", "2/1", "0/27"},
		},
		{
			"a link for each exchange, seldom asked",
			[]bool{true, true, true, true, true, true, true, true, true, true},
			sightEvery,
			[]string{"0/27", "2048/14", "564/8", "0/27", "2048/14", "564/8", "0/27", "2048/14", "564/8", "0/27"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, d := newScript(upssim.New(upssim.Options{}), false, nothing)
				l.links = 1
				opens, answer := c.opens, l.answer
				b := find(t, connected(t, d), ups.TierStatus)
				l.take()
				l.answer = func(s span) ([]uint16, error) {
					if len(opens) > 0 && opens[0] {
						l.links++
					}
					opens = opens[min(1, len(opens)):]
					return answer(s)
				}
				for range 3 {
					var r ups.Reading
					if err := d.Read(t.Context(), b, &r); err != nil {
						t.Error(err)
					}
					time.Sleep(c.every)
				}
				if diff := cmp.Diff(c.want, l.take()); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// The link is replaced between the identity and the rest: what follows is not taken for the same unit's.
func TestAUnitSwappedWhileConnecting(t *testing.T) {
	u, other := upssim.New(upssim.Options{Seed: 5}), upssim.New(upssim.Options{Seed: 77})
	l, d := newScript(u, false, nothing)
	l.links = 1
	l.answer = func(s span) ([]uint16, error) {
		if s.addr == 0 {
			l.links = 2
		}
		if l.links == 2 {
			return other.Registers(s.addr, s.count), nil
		}
		return u.Registers(s.addr, s.count), nil
	}
	var changed *UnitChangedError
	if _, err := d.Connect(t.Context(), nil); !errors.As(err, &changed) {
		t.Errorf("Connect = %v, want another unit", err)
	}
}

// serveAt serves a unit on address until the returned function is called.
func serveAt(t *testing.T, address string, u *upssim.Unit) (stop func(), at string) {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = upssim.ServeTCP(ctx, ln, map[uint8]*upssim.Unit{1: u}, upssim.TCPOptions{}) })
	stop = sync.OnceFunc(func() { cancel(); serving.Wait() })
	t.Cleanup(stop)
	return stop, ln.Addr().String()
}

func TestAUnitSwappedOnItsPortIsNoticed(t *testing.T) {
	unit := upssim.New(upssim.Options{Seed: 5})
	stop, address := serveAt(t, "127.0.0.1:0", unit)
	var running sync.WaitGroup
	line := runLine(t, modbus.Config{Framing: modbus.TCP, Open: modbus.OpenTCP(address)}, &running)
	d := New(Config{Name: "rack-a", Line: line, UnitID: 1})
	b := find(t, connected(t, d), ups.TierStatus)
	var r ups.Reading

	stop()
	stop, _ = serveAt(t, address, unit)
	if err := d.Read(t.Context(), b, &r); err != nil {
		t.Errorf("Read over a new connection to the same unit = %v", err)
	}

	stop()
	serveAt(t, address, upssim.New(upssim.Options{Seed: 77}))
	for range 3 {
		var changed *UnitChangedError
		if err := d.Read(t.Context(), b, &r); !errors.As(err, &changed) || changed.Point != ups.Serial {
			t.Errorf("Read over a new connection to another unit = %v, want its serial number", err)
		}
	}
	plan := connected(t, d)
	if err := d.Read(t.Context(), find(t, plan, ups.TierStatus), &r); err != nil || d.Identity().Serial != "AS2130000077" {
		t.Errorf("after Connect %v, serial number %q", err, d.Identity().Serial)
	}
}

// A pipes listener hands on the far ends of pipes.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A unit that closes the connection after each answer and needs 2 s to accept the next is read most of the time and checked
// sometimes; another one in its place is noticed soon.
func TestAUnitOfOneRequestPerConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unit, other := upssim.New(upssim.Options{Seed: 5}), upssim.New(upssim.Options{Seed: 77})
		var running sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		defer running.Wait()
		defer cancel()
		var stats upssim.Stats
		serve := func(u *upssim.Unit) pipes {
			p := make(pipes)
			o := upssim.TCPOptions{OneRequest: true, RefuseFor: 1900 * time.Millisecond, Stats: &stats}
			running.Go(func() { _ = upssim.ServeTCP(ctx, p, map[uint8]*upssim.Unit{1: u}, o) })
			return p
		}
		first, second := serve(unit), serve(other)
		at := first
		line := modbus.New(modbus.Config{Name: "rack-a", Framing: modbus.TCP, Open: func(context.Context) (modbus.Link, error) {
			ours, theirs := net.Pipe()
			at <- theirs
			return ours, nil
		}})
		running.Go(func() { _ = line.Run(ctx) })
		d := New(Config{Name: "rack-a", Line: line, UnitID: 1})

		b := find(t, connected(t, d), ups.TierStatus)
		if n := stats.Counts().Requests; n > 10 {
			t.Errorf("Connect took %d exchanges of 2 s each", n)
		}
		before, begin, blocks := stats.Counts().Requests, time.Now(), 0
		for ; time.Since(begin) < 5*time.Minute; blocks++ {
			var r ups.Reading
			if err := d.Read(t.Context(), b, &r); err != nil {
				t.Fatal(err)
			}
		}
		checks := int(stats.Counts().Requests-before) - blocks
		if checks < 2*5*60/20 || checks > blocks {
			t.Errorf("%d reads and %d exchanges to check the unit in 5 minutes", blocks, checks)
		}

		at = second
		swapped := time.Now()
		for {
			var r ups.Reading
			var changed *UnitChangedError
			if err := d.Read(t.Context(), b, &r); errors.As(err, &changed) {
				break
			}
			if time.Since(swapped) > 2*sightEvery {
				t.Fatal("another unit is read as this one for 20 s")
			}
		}
	})
}
