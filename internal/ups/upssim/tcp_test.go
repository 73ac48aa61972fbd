package upssim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// mbap frames a request for TCP.
func mbap(transaction uint16, unit byte, pdu []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, transaction)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(1+len(pdu)))
	return append(append(b, unit), pdu...)
}

// onTCP serves one unit at address 1 until the test ends.
func onTCP(t *testing.T, o TCPOptions) (*Unit, func() net.Conn) {
	t.Helper()
	u, addr := serveTCP(t, o)
	return u, func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
}

func serveTCP(t *testing.T, o TCPOptions) (u *Unit, addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u = New(Options{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- ServeTCP(ctx, ln, map[uint8]*Unit{1: u}, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ServeTCP: %v", err)
		}
	})
	return u, ln.Addr().String()
}

// ask sends a request and reads a reply of n bytes.
func ask(conn net.Conn, req []byte, n int) ([]byte, error) {
	if _, err := conn.Write(req); err != nil {
		return nil, err
	}
	got := make([]byte, n)
	n, err := io.ReadFull(conn, got)
	return got[:n], err
}

func TestTCPAnswers(t *testing.T) {
	u, dial := onTCP(t, TCPOptions{})
	conn := dial()
	for i := range uint16(3) {
		got, err := ask(conn, mbap(i, 1, readPDU(2048, 14)), 37)
		if err != nil {
			t.Fatal(err)
		}
		if want := mbap(i, 1, u.Handle(readPDU(2048, 14))); !bytes.Equal(got, want) {
			t.Errorf("% x, want % x", got, want)
		}
	}
	got, err := ask(conn, mbap(9, 1, readPDU(1, 2)), 9)
	if want := mbap(9, 1, []byte{0x83, 2}); err != nil || !bytes.Equal(got, want) {
		t.Errorf("% x, %v, want % x", got, err, want)
	}
}

// isClosed fails the test unless the other end closes or resets without a byte.
func isClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	n, err := conn.Read(make([]byte, 1))
	if n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v, want an end", n, err)
	}
}

// reaches reports whether a fresh connection gets an answer. A refusal may show at any step.
func reaches(t *testing.T, addr string) bool {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = ask(conn, mbap(1, 1, readPDU(0, 3)), 15)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}

func TestTCPOneRequestThenRefusal(t *testing.T) {
	_, addr := serveTCP(t, TCPOptions{OneRequest: true, RefuseFor: 2 * time.Second})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := ask(conn, mbap(1, 1, readPDU(0, 3)), 15); err != nil {
		t.Fatal(err)
	}
	isClosed(t, conn)
	closed, refused := time.Now(), 0
	for !reaches(t, addr) {
		refused++
		time.Sleep(50 * time.Millisecond) // only so as not to hammer: the port itself counts the time
	}
	if d := time.Since(closed); d < 1900*time.Millisecond || refused == 0 {
		t.Errorf("answered again %v after the close, %d refusals", d, refused)
	}
}

func TestTCPSecondClientIsTurnedAway(t *testing.T) {
	_, addr := serveTCP(t, TCPOptions{MaxClients: 1})
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for i := range uint16(2) {
		if _, err := ask(first, mbap(i, 1, readPDU(0, 3)), 15); err != nil {
			t.Fatal(err)
		}
		if reaches(t, addr) {
			t.Error("a second client was served")
		}
	}
}

func TestTCPUnitIdentifier(t *testing.T) {
	var s Stats
	_, dial := onTCP(t, TCPOptions{Stats: &s})
	conn := dial()
	got, err := ask(conn, append(mbap(1, 7, readPDU(0, 3)), mbap(2, 1, readPDU(0, 3))...), 15)
	if err != nil || got[1] != 2 {
		t.Errorf("% x, %v, want the answer to the second request alone", got, err)
	}
	if c := s.Counts(); c.Foreign != 1 || c.Answered != 1 {
		t.Errorf("counts %v", c)
	}
	_, dial = onTCP(t, TCPOptions{AnyUnitID: true})
	if got, err = ask(dial(), mbap(1, 255, readPDU(0, 3)), 15); err != nil || got[6] != 255 {
		t.Errorf("% x, %v, want an answer from unit 255", got, err)
	}
}

func TestTCPFaults(t *testing.T) {
	u, dial := onTCP(t, TCPOptions{})
	conn := dial()
	good, err := ask(conn, mbap(1, 1, readPDU(0, 3)), 15)
	if err != nil {
		t.Fatal(err)
	}
	u.Faults().Next(Stale, 1)
	if got, err := ask(conn, mbap(2, 1, readPDU(0, 3)), 15); err != nil || !bytes.Equal(got, good) {
		t.Errorf("stale: % x, %v", got, err)
	}
	u.Faults().Next(BadCRC, 1)
	if got, err := ask(conn, mbap(3, 1, readPDU(0, 3)), 15); err != nil || got[2] == 0 {
		t.Errorf("bad protocol identifier: % x, %v", got, err)
	}
	u.Faults().Next(Deaf, 1)
	if got, err := ask(conn, append(mbap(4, 1, readPDU(0, 3)), mbap(5, 1, readPDU(0, 3))...), 15); err != nil || got[1] != 5 {
		t.Errorf("deaf, then not: % x, %v", got, err)
	}
	u.Faults().Next(Cut, 1)
	if got, err := ask(conn, mbap(6, 1, readPDU(0, 3)), 15); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 8 {
		t.Errorf("cut: % x, %v", got, err)
	}
}

func TestTCPGarbageEndsTheConnection(t *testing.T) {
	_, dial := onTCP(t, TCPOptions{})
	for _, junk := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x01\x00\x00\x00\x01\x01", "\x00\x01\x00\x00\x01\x00\x01"} {
		conn := dial()
		if _, err := conn.Write([]byte(junk)); err != nil {
			t.Fatal(err)
		}
		isClosed(t, conn)
	}
}
