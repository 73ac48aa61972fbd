package upssim

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

const byteAt9600 = 10 * time.Second / 9600

// goTimers paces a line in a bubble, where Go's timers are exact.
func goTimers(ctx context.Context, until time.Time) error { return wait(ctx, time.Until(until)) }

// rtu frames a request.
func rtu(unit byte, pdu []byte) []byte {
	adu := append([]byte{unit}, pdu...)
	return binary.LittleEndian.AppendUint16(adu, crc(adu))
}

// A bench is a line in a bubble with one unit at address 1 and a client's end.
type bench struct {
	t      *testing.T
	unit   *Unit
	client net.Conn
	stats  Stats
}

// onLine runs f in a bubble against a serving line.
func onLine(t *testing.T, o SerialOptions, f func(*bench)) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		b := &bench{t: t, unit: New(Options{}), client: client}
		o.Stats, o.SleepUntil = &b.stats, goTimers
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- ServeSerial(ctx, server, o, map[uint8]*Unit{1: b.unit}) }()
		f(b)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ServeSerial: %v", err)
		}
		client.Close()
		server.Close()
	})
}

func (b *bench) send(frame []byte) {
	b.t.Helper()
	if _, err := b.client.Write(frame); err != nil {
		b.t.Fatal(err)
	}
}

// receive reads up to n bytes within d and returns them with the time of each.
func (b *bench) receive(n int, d time.Duration) (got []byte, at []time.Time) {
	b.t.Helper()
	if err := b.client.SetReadDeadline(time.Now().Add(d)); err != nil {
		b.t.Fatal(err)
	}
	var one [1]byte
	for len(got) < n {
		if _, err := io.ReadFull(b.client, one[:]); err != nil {
			break
		}
		got, at = append(got, one[0]), append(at, time.Now())
	}
	return got, at
}

// silent fails the test unless nothing comes within d.
func (b *bench) silent(d time.Duration) {
	b.t.Helper()
	if got, _ := b.receive(1, d); len(got) > 0 {
		b.t.Errorf("an answer: % x …", got)
	}
}

func (b *bench) counts(want Counts) {
	b.t.Helper()
	got := b.stats.Counts()
	got.Received, got.Sent = 0, 0
	if got != want {
		b.t.Errorf("counts %v, want %v", got, want)
	}
}

var statusRequest = rtu(1, readPDU(0, 3)) // its reply has 11 bytes

// TestEveryByteHasItsInstant: 8 byte times for the request, the turnaround, then one byte time each, with no drift.
func TestEveryByteHasItsInstant(t *testing.T) {
	onLine(t, SerialOptions{Turnaround: 10 * time.Millisecond}, func(b *bench) {
		for range 3 {
			start := time.Now()
			b.send(rtu(1, readPDU(128, 44)))
			got, at := b.receive(93, time.Second)
			if len(got) != 93 {
				t.Fatalf("%d bytes", len(got))
			}
			for i := range at {
				want := (8+time.Duration(i)+1)*byteAt9600 + 10*time.Millisecond
				if d := at[i].Sub(start); d != want {
					t.Fatalf("byte %d after %v, want %v", i, d, want)
				}
			}
			if !(frame{bytes: got}).sound() || got[0] != 1 || got[1] != readHolding || got[2] != 88 {
				t.Errorf("reply % x", got)
			}
			time.Sleep(gapBetween)
		}
		b.counts(Counts{Requests: 3, Answered: 3})
	})
}

// TestBytesOneByOneMakeARequest: a client may be slow inside a frame, up to 15 ms.
func TestBytesOneByOneMakeARequest(t *testing.T) {
	onLine(t, SerialOptions{StrictGap: true}, func(b *bench) {
		for _, c := range statusRequest {
			time.Sleep(14 * time.Millisecond)
			b.send([]byte{c})
		}
		if got, _ := b.receive(11, time.Second); len(got) != 11 {
			t.Errorf("%d bytes", len(got))
		}
		b.counts(Counts{Requests: 1, Answered: 1})
	})
}

// TestStrictGap: 35 ms after the last byte of the exchange before, and not a moment less.
func TestStrictGap(t *testing.T) {
	for _, c := range []struct {
		gap    time.Duration
		strict bool
		want   Counts
	}{
		{gapBetween - time.Microsecond, true, Counts{Requests: 2, Answered: 1, Early: 1}},
		{gapBetween, true, Counts{Requests: 2, Answered: 2}},
		{gapBetween - time.Microsecond, false, Counts{Requests: 2, Answered: 2, Early: 1}},
		{4 * time.Millisecond, true, Counts{Requests: 2, Answered: 1, Early: 1}},
	} {
		onLine(t, SerialOptions{StrictGap: c.strict}, func(b *bench) {
			b.send(statusRequest)
			b.receive(11, time.Second)
			time.Sleep(c.gap)
			b.send(statusRequest)
			b.receive(11, time.Second)
			b.counts(c.want)
		})
	}
}

// TestOverlappingRequestIsLost: a request sent before the reply is through is counted and ignored.
func TestOverlappingRequestIsLost(t *testing.T) {
	onLine(t, SerialOptions{}, func(b *bench) {
		b.send(statusRequest)
		if got, _ := b.receive(5, time.Second); len(got) != 5 {
			t.Fatal("no reply")
		}
		b.send(rtu(1, readPDU(2048, 14)))
		if got, _ := b.receive(100, time.Second); len(got) != 6 {
			t.Errorf("%d more bytes, want the 6 of the first reply", len(got))
		}
		b.counts(Counts{Requests: 2, Answered: 1, Overlapping: 1})
	})
}

// TestTwoRequestsAtOnce: the second arrives while the first is being answered.
func TestTwoRequestsAtOnce(t *testing.T) {
	onLine(t, SerialOptions{}, func(b *bench) {
		b.send(append(append([]byte(nil), statusRequest...), statusRequest...))
		if got, _ := b.receive(100, time.Second); len(got) != 11 {
			t.Errorf("%d bytes, want 11", len(got))
		}
		b.counts(Counts{Requests: 2, Answered: 1, Overlapping: 1})
	})
}

// TestDamagedFrame: wrong checksum, silence inside, noise. Each needs 35 ms of silence after it.
func TestDamagedFrame(t *testing.T) {
	bad := append([]byte(nil), statusRequest...)
	bad[7] ^= 1
	for name, junk := range map[string][]byte{"checksum": bad, "cut": statusRequest[:5], "noise": bytes.Repeat([]byte{0xA5}, 40)} {
		onLine(t, SerialOptions{StrictGap: true}, func(b *bench) {
			b.send(junk)
			b.silent(time.Duration(len(junk))*byteAt9600 + 20*time.Millisecond)
			b.send(statusRequest)
			b.silent(200 * time.Millisecond)
			b.send(statusRequest)
			if got, _ := b.receive(11, time.Second); len(got) != 11 {
				t.Errorf("%s: %d bytes after it", name, len(got))
			}
			b.counts(Counts{Requests: 2, Answered: 1, Early: 1, Damaged: 1})
		})
	}
}

// TestSilenceEndsAnUnknownFunction: nobody knows its length, so the unit waits for 15 ms.
func TestSilenceEndsAnUnknownFunction(t *testing.T) {
	onLine(t, SerialOptions{}, func(b *bench) {
		start := time.Now()
		b.send(rtu(1, []byte{0x2B, 0x0E, 1, 0}))
		got, _ := b.receive(5, time.Second)
		if !bytes.Equal(got, rtu(1, []byte{0xAB, 1})) {
			t.Errorf("reply % x", got)
		}
		if d := time.Since(start); d < 7*byteAt9600+gapInside {
			t.Errorf("after %v", d)
		}
		b.counts(Counts{Requests: 1, Answered: 1, Exceptions: 1})
	})
}

func TestOtherAddressesAndBroadcastAreNotAnswered(t *testing.T) {
	onLine(t, SerialOptions{}, func(b *bench) {
		for _, unit := range []byte{0, 2, 255} {
			b.send(rtu(unit, readPDU(0, 3)))
			b.silent(time.Second)
		}
		b.counts(Counts{Requests: 3, Foreign: 3})
	})
}

func TestFaultsOnTheLine(t *testing.T) {
	onLine(t, SerialOptions{}, func(b *bench) {
		ask := func() []byte {
			b.send(statusRequest)
			got, _ := b.receive(11, time.Second)
			time.Sleep(gapBetween)
			return got
		}
		good := ask()
		f := b.unit.Faults()

		f.Next(BadCRC, 1)
		if got := ask(); len(got) != 11 || bytes.Equal(got, good) || !bytes.Equal(got[:9], good[:9]) {
			t.Errorf("bad-crc: % x", got)
		}
		f.Every(Cut, 2)
		if a, c, d := ask(), ask(), ask(); len(a) != 11 || len(c) != 6 || len(d) != 11 {
			t.Errorf("cut every second: %d, %d, %d bytes", len(a), len(c), len(d))
		}
		f.Clear()

		b.unit.SetMains(false)
		f.Next(Stale, 1)
		if got := ask(); !bytes.Equal(got, good) {
			t.Errorf("stale: % x, want % x", got, good)
		}
		if got := ask(); bytes.Equal(got, good) || !bytes.Equal(got, rtu(1, b.unit.Handle(readPDU(0, 3)))) {
			t.Errorf("after stale: % x", got)
		}

		f.For(Deaf, 3*time.Second)
		if a, c := ask(), ask(); len(a) != 0 || len(c) != 0 {
			t.Errorf("deaf: % x % x", a, c)
		}
		time.Sleep(time.Second)
		if got := ask(); len(got) != 11 {
			t.Errorf("after deaf: % x", got)
		}

		f.LateBy(400 * time.Millisecond)
		f.Next(Late, 1)
		start := time.Now()
		b.send(statusRequest)
		b.receive(11, time.Second)
		if d, want := time.Since(start), 19*byteAt9600+400*time.Millisecond; d != want {
			t.Errorf("late reply through after %v, want %v", d, want)
		}
		b.counts(Counts{Requests: 11, Answered: 9, Silent: 2})
	})
}

// TestNobodyReads: the bytes of a reply are lost, and the line goes on.
func TestNobodyReads(t *testing.T) {
	onLine(t, SerialOptions{}, func(b *bench) {
		b.send(statusRequest)
		time.Sleep(time.Second)
		b.counts(Counts{Requests: 1, Answered: 1, Lost: 11})
		b.send(statusRequest)
		if got, _ := b.receive(11, time.Second); len(got) != 11 {
			t.Errorf("%d bytes", len(got))
		}
	})
}

func TestServeSerialEndsWithThePort(t *testing.T) {
	server, client := net.Pipe()
	ended := make(chan error)
	go func() { ended <- ServeSerial(t.Context(), server, SerialOptions{}, map[uint8]*Unit{1: New(Options{})}) }()
	client.Close()
	if err := <-ended; err != nil {
		t.Errorf("ServeSerial = %v after the other end was closed, want nil", err)
	}
}

// A sluggish port gives a byte away at once and comes back later, as a thread does that was put aside after its write.
type sluggish struct{ net.Conn }

func (s sluggish) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	time.Sleep(5 * time.Millisecond)
	return n, err
}

// TestGapCountsFromTheByteTheClientSaw: a simulator that is late itself must not find its client early.
func TestGapCountsFromTheByteTheClientSaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		b := &bench{t: t, unit: New(Options{}), client: client}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		o := SerialOptions{StrictGap: true, Stats: &b.stats, SleepUntil: goTimers}
		go func() { ended <- ServeSerial(ctx, sluggish{server}, o, map[uint8]*Unit{1: b.unit}) }()
		for range 3 {
			b.send(statusRequest)
			b.receive(11, time.Second)
			time.Sleep(gapBetween)
		}
		b.counts(Counts{Requests: 3, Answered: 3})
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		client.Close()
		server.Close()
	})
}

// FuzzFramer feeds bytes and silences. Whatever comes, every byte ends up in exactly one frame, in order.
func FuzzFramer(f *testing.F) {
	f.Add([]byte("\x01\x03\x00\x00\x00\x03\x05\xcb"), uint64(0))
	f.Add([]byte("\x01\x10\x06\x05\x00\x01\x02\x00\x01\x01\xc5"), uint64(1<<5))
	f.Add(bytes.Repeat([]byte{1, 0x2B}, 200), uint64(0))
	f.Add([]byte("\x01\x10\x06\x05\x00\x01\xff"), uint64(3))
	f.Fuzz(func(t *testing.T, in []byte, silences uint64) {
		fr := framer{byteTime: byteAt9600}
		at := newClock().t
		var out []byte
		var last time.Time
		collect := func(f frame) {
			if len(f.bytes) == 0 {
				return
			}
			if f.start.Before(last) || f.end.Sub(f.start) < time.Duration(len(f.bytes))*byteAt9600 || len(f.bytes) > maxFrame+1 {
				t.Fatalf("frame of %d bytes from %v to %v, the one before ended %v", len(f.bytes), f.start, f.end, last)
			}
			last = f.end
			out = append(out, f.bytes...)
			f.sound()
		}
		for i, b := range in {
			if silences>>(i%64)&1 == 1 {
				at = at.Add(20 * time.Millisecond)
			}
			before, complete := fr.add(at, b)
			collect(before)
			collect(complete)
		}
		collect(fr.take())
		if !bytes.Equal(in, out) {
			t.Fatalf("% x went in, % x came out", in, out)
		}
	})
}

// FuzzHandle: a reply is an exception to this function, or has the form of an answer to this request, and a read never
// changes anything.
func FuzzHandle(f *testing.F) {
	f.Add(readPDU(0, 27))
	f.Add(readPDU(128, 44))
	f.Add(writePDU(1538, 0, 0x43D0))
	f.Add(writePDU(596, 0x4142, 0x4142, 0x4142, 0x4142, 0x4142, 0x4142, 0x4142, 0x4142))
	f.Add([]byte{6, 4, 5, 0, 7})
	f.Add([]byte{16, 0, 0, 0, 0, 0})
	f.Add([]byte{3, 0xFF, 0xFF, 0, 2})
	f.Fuzz(func(t *testing.T, in []byte) {
		c := newClock()
		u := c.unit(Options{})
		got := u.Handle(in)
		switch {
		case len(in) == 0:
			if got != nil {
				t.Fatalf("% x to nothing", got)
			}
		case len(got) == 2 && got[0] == in[0]|0x80:
			if got[1] < illegalFunction || got[1] > deviceFailure {
				t.Fatalf("exception %d", got[1])
			}
		case in[0] == readHolding:
			if n := int(binary.BigEndian.Uint16(in[3:])); len(got) != 2+2*n || int(got[1]) != 2*n {
				t.Fatalf("% x to % x", got, in)
			}
		case in[0] == writeSingle || in[0] == writeMultiple:
			if !bytes.Equal(got, in[:5]) {
				t.Fatalf("% x to % x", got, in)
			}
		default:
			t.Fatalf("% x to % x", got, in)
		}
		c.pass(10 * time.Second)
		s := u.reg32(0)
		states := 0
		for _, bit := range []uint32{stateOnline, stateOnBattery, 1 << 3, stateOutputOff} {
			if s&bit != 0 {
				states++
			}
		}
		if states != 1 {
			t.Fatalf("status %#x after % x", s, in)
		}
	})
}
