package upssim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A line in a bubble with the units 1 and 2 on a cable, and the end of it that asks.
type cableBench struct {
	t     *testing.T
	units map[uint8]*Unit
	end   *End
	stats Stats
	ended chan error
}

func onCable(t *testing.T, f func(b *cableBench)) {
	synctest.Test(t, func(t *testing.T) {
		near, far := NewCable()
		b := &cableBench{t: t, end: near, ended: make(chan error, 1), units: map[uint8]*Unit{1: New(Options{}), 2: New(Options{Seed: 9})}}
		b.units[2].SetMains(false)
		ctx, cancel := context.WithCancel(t.Context())
		o := SerialOptions{Turnaround: 10 * time.Millisecond, Stats: &b.stats, SleepUntil: goTimers}
		go func() { b.ended <- ServeSerial(ctx, far, o, b.units) }()
		f(b)
		cancel()
		near.Close()
		<-b.ended
	})
}

// ask sends a request and returns what comes within a second, and when the last byte came.
func (b *cableBench) ask(pdu []byte) (got []byte, took time.Duration) {
	b.t.Helper()
	time.Sleep(gapBetween)
	start := time.Now()
	if _, err := b.end.Write(rtu(1, pdu)); err != nil {
		b.t.Fatal(err)
	}
	_ = b.end.SetReadDeadline(start.Add(3 * time.Second))
	buf := make([]byte, 512)
	for {
		n, err := b.end.Read(buf)
		if err != nil {
			return got, took
		}
		got, took = append(got, buf[:n]...), time.Since(start)
	}
}

func (b *cableBench) good(unit uint8, pdu []byte) []byte { return rtu(unit, b.units[unit].Handle(pdu)) }

// TestEveryFaultOnTheLine: what the other end sees of each fault, and that the line is as before afterwards.
func TestEveryFaultOnTheLine(t *testing.T) {
	status, watch := readPDU(0, 27), readPDU(0, 3)
	onCable(t, func(b *cableBench) {
		f := b.units[1].Faults()
		plain, usual := b.ask(watch)
		if !bytes.Equal(plain, b.good(1, watch)) || usual != 19*byteAt9600+10*time.Millisecond {
			t.Fatalf("without a fault % x after %v", plain, usual)
		}
		for _, c := range []struct {
			fault Fault
			sees  func(got []byte, took time.Duration) bool // the reply to a watch that follows a status
		}{
			{Deaf, func(got []byte, _ time.Duration) bool { return len(got) == 0 }},
			{Late, func(got []byte, took time.Duration) bool {
				return bytes.Equal(got, plain) && took == usual+400*time.Millisecond
			}},
			{BadCRC, func(got []byte, _ time.Duration) bool {
				return len(got) == len(plain) && !bytes.Equal(got, plain) && !(frame{bytes: got}).sound()
			}},
			{Cut, func(got []byte, _ time.Duration) bool { return bytes.Equal(got, plain[:6]) }},
			{Stale, func(got []byte, _ time.Duration) bool { return bytes.Equal(got, b.good(1, status)) }},
			{Garbage, func(got []byte, _ time.Duration) bool {
				return len(got) > len(plain) && bytes.HasSuffix(got, plain)
			}},
			{Refusal, func(got []byte, took time.Duration) bool {
				return bytes.Equal(got, rtu(1, []byte{0x83, 4})) && took == 13*byteAt9600+10*time.Millisecond+splitPause
			}},
			{OtherUnit, func(got []byte, _ time.Duration) bool {
				return bytes.Equal(got, b.good(2, watch)) && !bytes.Equal(got[3:], plain[3:])
			}},
			{OtherBlock, func(got []byte, _ time.Duration) bool { return bytes.Equal(got, b.good(1, status)) }},
			{Shift, func(got []byte, _ time.Duration) bool { return len(got) == 0 }},
			{Renumbered, func(got []byte, _ time.Duration) bool { return len(got) == 0 }},
			{Echo, func(got []byte, took time.Duration) bool {
				return bytes.Equal(got, append(rtu(1, watch), plain...)) && took == usual
			}},
			{EchoOnly, func(got []byte, _ time.Duration) bool { return bytes.Equal(got, rtu(1, watch)) }},
			{NoSingle, func(got []byte, _ time.Duration) bool { return bytes.Equal(got, plain) }},
			{Resetting, func(got []byte, _ time.Duration) bool { return len(got) == len(plain) && !bytes.Equal(got, plain) }},
			{QuickReset, func(got []byte, _ time.Duration) bool { return bytes.Equal(got, plain) }},
			{Drip, func(got []byte, took time.Duration) bool {
				return bytes.Equal(got, plain) && took == 8*byteAt9600+10*time.Millisecond+11*40*time.Millisecond
			}},
			{Master, func(got []byte, _ time.Duration) bool {
				return len(got) > 8+len(plain) && got[1] == readHolding && bytes.HasSuffix(got, plain)
			}},
			{OneRequest, func(got []byte, _ time.Duration) bool { return bytes.Equal(got, plain) }}, // a matter of TCP
		} {
			b.ask(status)
			f.Next(c.fault, 1)
			if got, took := b.ask(watch); !c.sees(got, took) {
				t.Errorf("%s: % x after %v", c.fault, got, took)
			}
			f.Clear()
			if got, took := b.ask(watch); !bytes.Equal(got, plain) || took != usual {
				t.Errorf("after %s: % x after %v", c.fault, got, took)
			}
		}
	})
}

// Shifted by one: as long as it lasts every answer is the one to the question before.
func TestAShiftLasts(t *testing.T) {
	onCable(t, func(b *cableBench) {
		b.units[1].Faults().Set(Shift, true)
		asked := [][]byte{readPDU(0, 3), readPDU(0, 27), readPDU(2048, 14), readPDU(0, 3)}
		for i, pdu := range asked {
			got, _ := b.ask(pdu)
			if i == 0 && len(got) == 0 {
				continue
			}
			if i == 0 || !bytes.Equal(got, b.good(1, asked[i-1])) {
				t.Errorf("request %d: % x", i, got)
			}
		}
	})
}

// A second write within 200 ms: damaged replies and false exceptions for 1.5 s, then all is well.
func TestQuickWritesResetTheController(t *testing.T) {
	onCable(t, func(b *cableBench) {
		write := []byte{writeMultiple, 4, 5, 0, 1, 2, 0, 90} // MOG turn-off delay, 1029
		good := rtu(1, write[:5])
		pause := func(d time.Duration) []byte {
			time.Sleep(d)
			start := time.Now()
			_, _ = b.end.Write(rtu(1, write))
			_ = b.end.SetReadDeadline(start.Add(60 * time.Millisecond))
			got := make([]byte, len(good))
			n, _ := io.ReadFull(b.end, got)
			return got[:n]
		}
		b.units[1].Faults().Set(QuickReset, true)
		pause(0)
		if got := pause(200 * time.Millisecond); !bytes.Equal(got, good) {
			t.Errorf("after 200 ms: % x", got)
		}
		if got := pause(50 * time.Millisecond); bytes.Equal(got, good) {
			t.Errorf("after 50 ms: % x", got)
		}
		first, _ := b.ask(readPDU(0, 3))
		if !bytes.Equal(first, rtu(1, []byte{0x83, 2})) {
			t.Errorf("a read then: % x", first)
		}
		if got, _ := b.ask(readPDU(0, 3)); !bytes.Equal(got, b.good(1, readPDU(0, 3))) {
			t.Errorf("a read later: % x", got)
		}
	})
}

func TestFunctionSixRefused(t *testing.T) {
	onCable(t, func(b *cableBench) {
		b.units[1].Faults().Set(NoSingle, true)
		if got, _ := b.ask([]byte{writeSingle, 4, 5, 0, 90}); !bytes.Equal(got, rtu(1, []byte{0x86, 1})) {
			t.Errorf("function 6: % x", got)
		}
		if got, _ := b.ask([]byte{writeMultiple, 4, 5, 0, 1, 2, 0, 90}); !bytes.Equal(got, rtu(1, []byte{16, 4, 5, 0, 1})) {
			t.Errorf("function 16: % x", got)
		}
	})
}

func TestAPulledCableEndsTheLine(t *testing.T) {
	onCable(t, func(b *cableBench) {
		b.units[1].Faults().Next(Pull, 1)
		if got, _ := b.ask(readPDU(0, 3)); len(got) != 0 {
			t.Errorf("% x", got)
		}
		err := <-b.ended
		if !errors.Is(err, ErrPulled) {
			t.Errorf("ServeSerial = %v", err)
		}
		b.ended <- err
	})
}

// A pulled cable hangs the reader up, and the same link leads to another terminal afterwards.
func TestAPulledPTYComesBackUnderAnotherName(t *testing.T) {
	link := filepath.Join(t.TempDir(), "ups")
	p, err := OpenPTY(link)
	if err != nil {
		t.Skip("no pseudo-terminal here:", err)
	}
	u := New(Options{})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, SerialOptions{}, map[uint8]*Unit{1: u}) }()
	defer func() {
		cancel()
		if err := errors.Join(<-served, p.Close()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(link); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the link after Close: %v", err)
		}
	}()
	var names []string
	for range 3 {
		port := waitForPort(t, link)
		name, _ := os.Readlink(link)
		names = append(names, name)
		if _, err := port.Write(statusRequest); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(port, make([]byte, 11)); err != nil {
			t.Fatal(err)
		}
		u.Faults().Next(Pull, 1)
		if _, err := port.Write(statusRequest); err != nil {
			t.Fatal(err)
		}
		if n, err := port.Read(make([]byte, 11)); err == nil {
			t.Errorf("%d bytes from a pulled cable", n)
		}
		port.Close()
	}
	if slices.Sort(names); len(slices.Compact(names)) < 2 {
		t.Errorf("the port was always %s", names[0])
	}
}

// waitForPort opens the port when it is there.
func waitForPort(t *testing.T, link string) *os.File {
	t.Helper()
	for range 10000 {
		if f, err := os.OpenFile(link, os.O_RDWR, 0); err == nil {
			return f
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the port does not come back")
	return nil
}

// TestEveryFaultOnTCP: what the other end sees of each fault.
func TestEveryFaultOnTCP(t *testing.T) {
	status, watch := readPDU(0, 27), readPDU(0, 3)
	u, dial := onTCP(t, TCPOptions{RefuseFor: time.Nanosecond})
	u.Faults().LateBy(time.Millisecond)
	u.Faults().DripBy(time.Millisecond)
	good := func(number uint16, pdu []byte) []byte { return mbap(number, 1, u.Handle(pdu)) }
	damaged := good(2, watch)
	damaged[2] ^= 0xFF
	for _, c := range []struct {
		fault Fault
		want  []byte // in reply to a watch, number 2, that follows a status, number 1
		ends  bool   // and then the connection ends
	}{
		{fault: Late, want: good(2, watch)},
		{fault: BadCRC, want: damaged},
		{fault: Cut, want: good(2, watch)[:8], ends: true},
		{fault: Stale, want: good(1, status)},
		{fault: Refusal, want: mbap(2, 1, []byte{0x83, 4})},
		{fault: OtherUnit, want: mbap(2, 2, u.Handle(watch))},
		{fault: OtherBlock, want: good(2, status)},
		{fault: Echo, want: append(mbap(2, 1, watch), good(2, watch)...)},
		{fault: EchoOnly, want: mbap(2, 1, watch)},
		{fault: Drip, want: good(2, watch)},
		{fault: Pull, ends: true},
		{fault: Master, ends: true},
		{fault: OneRequest, want: good(2, watch), ends: true},
	} {
		conn := dial()
		if _, err := ask(conn, mbap(1, 1, status), 63); err != nil {
			t.Fatalf("%s: %v", c.fault, err)
		}
		u.Faults().Next(c.fault, 1)
		got, err := ask(conn, mbap(2, 1, watch), len(c.want))
		if !bytes.Equal(got, c.want) || (err != nil) && len(c.want) > 0 {
			t.Errorf("%s: % x, %v, want % x", c.fault, got, err, c.want)
		}
		if c.ends {
			isClosed(t, conn)
		}
		conn.Close()
	}
}

// A shift on TCP carries the old number; renumbered, the present one. Noise comes before the header.
func TestFaultsOfSeveralExchangesOnTCP(t *testing.T) {
	u, dial := onTCP(t, TCPOptions{})
	status, watch := readPDU(0, 27), readPDU(0, 3)
	for _, c := range []struct {
		fault  Fault
		number uint16
	}{{Shift, 1}, {Renumbered, 2}} {
		conn := dial()
		u.Faults().Set(c.fault, true)
		if _, err := conn.Write(mbap(1, 1, status)); err != nil {
			t.Fatal(err)
		}
		got, err := ask(conn, mbap(2, 1, watch), 63)
		if want := mbap(c.number, 1, u.Handle(status)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: % x, %v, want % x", c.fault, got, err, want)
		}
		u.Faults().Clear()
	}
	conn := dial()
	u.Faults().Next(Garbage, 1)
	want := mbap(1, 1, u.Handle(watch))
	got, err := ask(conn, mbap(1, 1, watch), len(want)+1)
	if err != nil || bytes.Equal(got[:len(want)], want) {
		t.Errorf("garbage: % x, %v", got, err)
	}
}

// While Pull lasts nobody gets through.
func TestAPulledTCPPortRefuses(t *testing.T) {
	u, addr := serveTCP(t, TCPOptions{})
	u.Faults().Set(Pull, true)
	if reaches(t, addr) {
		t.Error("an answer from a port that is pulled")
	}
	u.Faults().Set(Pull, false)
	if !reaches(t, addr) {
		t.Error("no answer afterwards")
	}
}

func TestFaultsStrikeWhenTold(t *testing.T) {
	now := time.Unix(0, 0)
	for _, c := range []struct {
		word string
		want string // of six requests a second apart: x where it strikes
	}{
		{"garbage", "xxxxxx"},
		{"garbage=2", ".x.x.x"},
		{"garbage=0", "......"},
		{"garbage=next:2", "xx...."},
		{"garbage=2500ms", "xxx..."},
		{"drip=1ms", "xxxxxx"},
		{"drip=1ms,3", "..x..x"},
		{"drip=0s", "......"},
		{"late=1s,next:1", "x....."},
		{"late=1s,1s", "x....."},
	} {
		a, err := ParseAction(c.word)
		if err != nil {
			t.Fatal(err)
		}
		u := New(Options{Now: func() time.Time { return now }})
		a.Do(u)
		got := ""
		for range 6 {
			mark := "."
			if v := u.faults.next(readHolding); v.hit[Garbage] || v.hit[Drip] && v.drip == time.Millisecond || v.late == time.Second {
				mark = "x"
			}
			got += mark
			now = now.Add(time.Second)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.word, got, c.want)
		}
	}
	for _, word := range []string{"garbage=often", "garbage=next:x", "garbage=-1", "drip", "drip=3", "drip=1s,x", "late=x"} {
		if _, err := ParseAction(word); err == nil {
			t.Errorf("%s is understood", word)
		}
	}
	for _, f := range AllFaults() {
		if _, err := ParseAction(f.String()); err != nil && f != Late && f != Drip {
			t.Error(err)
		}
	}
}

// The cable itself: bytes at their instants, in order, a deadline, and the end.
func TestCable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := NewCable()
		start := time.Now()
		buf := make([]byte, 8)
		if err := far.WritePaced([]byte{1, 2, 3}, start, time.Second); err != nil {
			t.Fatal(err)
		}
		if err := far.WritePaced([]byte{4}, start.Add(3*time.Second), 0); err != nil {
			t.Fatal(err)
		}
		if n, err := near.Read(buf); n != 1 || err != nil || time.Since(start) != time.Second {
			t.Errorf("%d bytes, %v after %v", n, err, time.Since(start))
		}
		if waiting, err := near.Check(); waiting || err != nil {
			t.Errorf("Check = %v, %v between two bytes", waiting, err)
		}
		_ = near.SetReadDeadline(start.Add(1500 * time.Millisecond))
		if n, err := near.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 1500*time.Millisecond {
			t.Errorf("%d bytes, %v after %v", n, err, time.Since(start))
		}
		time.Sleep(10 * time.Second)
		if waiting, err := near.Check(); !waiting || err != nil {
			t.Errorf("Check = %v, %v with bytes", waiting, err)
		}
		far.Close()
		if n, err := near.Read(buf); n != 3 || err != nil || !bytes.Equal(buf[:3], []byte{2, 3, 4}) {
			t.Errorf("% x, %v", buf[:n], err)
		}
		_ = near.SetReadDeadline(time.Time{})
		if n, err := near.Read(buf); n != 0 || err != io.EOF {
			t.Errorf("%d bytes, %v at the end", n, err)
		}
		if _, err := near.Write(buf); err == nil {
			t.Error("written to nobody")
		}
		if _, err := far.Read(buf); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read of a closed end = %v", err)
		}
	})
}
