package modbus

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
)

// An adapter that gives back every request before the reply: reads, writes and refusals work, and the log says it once.
func TestAnEchoOfTheRequestIsNoReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var serving sync.WaitGroup
		var log syncBuffer
		deaf := false
		p := &peer{answer: func(request []byte) []byte {
			if deaf {
				return request
			}
			if request[2] == 9 {
				return append(slices.Clone(request), withCRC(1, request[1]|exceptionBit, 2)...)
			}
			return append(slices.Clone(request), registersAt(RTU)(request)...)
		}}
		line, stop := start(t, Config{Open: p.open(&serving), Log: slog.New(slog.NewTextHandler(&log, nil))})
		// 512/1: begins like its reply. 1541: the echo of a write begins like its reply, all but the checksum.
		for _, addr := range []uint16{0, 128, 512, 1540} {
			for _, count := range []uint16{1, 2, 3, 44, 125} {
				got, err := line.ReadHolding(t.Context(), Background, 1, addr, count, make([]uint16, count))
				if err != nil || got[count-1] != addr+count-1 {
					t.Errorf("read %d/%d = %v, %v", addr, count, got, err)
				}
			}
		}
		if err := line.WriteHolding(t.Context(), Urgent, 1, 1541, []uint16{1}); err != nil {
			t.Errorf("write = %v", err)
		}
		if _, err := line.ReadHolding(t.Context(), Background, 1, 9<<8, 3, make([]uint16, 3)); !refusal(err) {
			t.Errorf("refused read = %v", err)
		}
		deaf = true
		if _, err := line.ReadHolding(t.Context(), Background, 1, 0, 3, make([]uint16, 3)); !errors.Is(err, ErrTimeout) {
			t.Errorf("an echo and nothing else = %v, want a time-out", err)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("logged %q, want one line", log.String())
		}
		stop()
		serving.Wait()
	})
}

// What begins like an echo and is none is refused, and an echo in pieces is waited for.
func TestBehindEcho(t *testing.T) {
	request := unhex(t, watchRead)
	for _, c := range []struct {
		got  string
		rest int
		ok   bool
	}{
		{watchRead, 0, true},
		{watchRead + " 01 83", 2, true},
		{"01 03 00 00 00", 5, true},
		{"01 03 00 01", 0, false},
		{"02", 0, false},
	} {
		r := newRunner(New(Config{}))
		if rest, ok := r.behindEcho(request, copy(r.buf[:], unhex(t, c.got))); rest != c.rest || ok != c.ok {
			t.Errorf("%s: %d, %v, want %d, %v", c.got, rest, ok, c.rest, c.ok)
		}
	}
}

// A whole frame with the right transaction and something else in it fails the request and keeps the connection; three in a row
// end it, and so does at once what is no frame.
func TestAWrongFrameKeepsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var serving sync.WaitGroup
		var spoil func([]byte)
		p := &peer{framing: TCP, answer: func(request []byte) []byte {
			reply := registersAt(TCP)(request)
			if spoil != nil {
				spoil(reply)
			}
			return reply
		}}
		line, stop := start(t, Config{Framing: TCP, Open: p.open(&serving)})
		read := func() error {
			_, err := line.ReadHolding(t.Context(), Background, 1, 0, 3, make([]uint16, 3))
			return err
		}
		for _, c := range []struct {
			name  string
			spoil func([]byte)
			times int
			links uint64 // opened because of it
		}{
			{"another unit", func(b []byte) { b[6] = 2 }, 1, 0},
			{"another function", func(b []byte) { b[7] = 4 }, 2, 0},
			{"another length", func(b []byte) { b[8] = 8 }, 2, 0},
			{"three times another unit", func(b []byte) { b[6] = 2 }, 3, 1},
			{"another protocol", func(b []byte) { b[2] = 1 }, 1, 1},
		} {
			if err := read(); err != nil {
				t.Fatalf("before %s: %v", c.name, err)
			}
			links := line.Links()
			spoil = c.spoil
			for range c.times {
				if err := read(); ups.FailureOf(err) != ups.FailureGarbled {
					t.Errorf("%s: %v, want garbled", c.name, err)
				}
			}
			spoil = nil
			if err := read(); err != nil {
				t.Errorf("after %s: %v", c.name, err)
			}
			if n := line.Links() - links; n != c.links {
				t.Errorf("%s: %d links opened, want %d", c.name, n, c.links)
			}
		}
		stop()
		serving.Wait()
	})
}

// A port that answered and then said nothing but garbage is opened again at once, and requests wait for that. Where it cannot
// be opened they fail.
func TestALinkThatWorkedIsTriedOnceBeforeRequestsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var serving sync.WaitGroup
		garbage, gone := false, false
		p := &peer{answer: func(request []byte) []byte {
			if garbage {
				return []byte{0x55, 0x55}
			}
			return registersAt(RTU)(request)
		}}
		open := func(context.Context) (Link, error) {
			garbage = false
			if gone {
				return nil, errors.New("no such device")
			}
			ours, theirs := net.Pipe()
			serving.Go(func() { p.serve(theirs) })
			return ours, nil
		}
		line, stop := start(t, Config{Open: open})
		read := func() error {
			_, err := line.ReadHolding(t.Context(), Background, 1, 0, 3, make([]uint16, 3))
			return err
		}
		fail := func() {
			t.Helper()
			if err := read(); err != nil {
				t.Fatal(err)
			}
			garbage = true
			for range mostGarbled {
				if err := read(); ups.FailureOf(err) != ups.FailureGarbled {
					t.Errorf("%v, want garbled", err)
				}
			}
		}
		fail()
		begin := time.Now()
		if err := read(); err != nil || time.Since(begin) > 500*time.Millisecond {
			t.Errorf("after the port was opened again: %v after %v", err, time.Since(begin))
		}
		gone = true
		fail()
		for range 3 {
			if err := read(); linkLost(err) == nil {
				t.Errorf("without a port: %v", err)
			}
		}
		stop()
		serving.Wait()
	})
}
