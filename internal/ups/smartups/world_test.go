package smartups

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/ups/upstest"
)

// A bench is a simulated unit at the end of a pipe. It answers at once; what goes wrong is said by its fields.
type bench struct {
	*upssim.Unit
	deaf, refuse, late atomic.Bool
	drop, lose         atomic.Bool                   // the next write does not arrive; its answer does not
	refusal            func(addr, count uint16) byte // nil, or the exception to a request; 0 = none
	meanwhile          func()                        // nil, or what happens before a write is refused
}

// serve answers RTU reads on port until it closes. Like a real port it does not wait for anyone to take an answer.
func (b *bench) serve(port io.ReadWriteCloser) {
	defer port.Close()
	answers := make(chan []byte, 64)
	defer close(answers)
	go func() {
		for a := range answers {
			_, _ = port.Write(a) // fails when the link is closed, and then serve ends as well
		}
	}()
	var held []byte
	for {
		request, err := request(port)
		if err != nil {
			return
		}
		if held != nil { // the late answer, and well after it the one that is asked for
			answers <- held
			held = nil
			time.Sleep(20 * time.Millisecond)
		}
		pdu := request[1 : len(request)-2]
		if pdu[0] == 16 && b.drop.CompareAndSwap(true, false) {
			continue // it never arrives
		}
		reply := frame(request[0], b.answer(pdu))
		switch {
		case b.deaf.Load():
		case pdu[0] == 16 && b.lose.CompareAndSwap(true, false):
		case b.late.CompareAndSwap(true, false):
			held = reply
		default:
			answers <- reply
		}
	}
}

// request reads a whole request: a read has 8 bytes, a write says how many.
func request(port io.Reader) ([]byte, error) {
	buf := make([]byte, 8, 256)
	if _, err := io.ReadFull(port, buf); err != nil {
		return nil, err
	}
	if buf[1] != 16 {
		return buf, nil
	}
	rest := make([]byte, int(buf[6])+1)
	_, err := io.ReadFull(port, rest)
	return append(buf, rest...), err
}

func (b *bench) answer(pdu []byte) []byte {
	if b.refuse.Load() {
		return []byte{pdu[0] | 0x80, 4}
	}
	if b.refusal != nil {
		if code := b.refusal(binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])); code != 0 {
			return []byte{pdu[0] | 0x80, code}
		}
	}
	return b.Handle(pdu)
}

// frame closes an RTU frame (Modbus over Serial Line V1.02, 6.2.2).
func frame(unit byte, pdu []byte) []byte {
	f := append([]byte{unit}, pdu...)
	crc := uint16(0xFFFF)
	for _, b := range f {
		crc ^= uint16(b)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
	}
	return binary.LittleEndian.AppendUint16(f, crc)
}

// newBench returns a simulated unit and a driver on a line to it; both end with the test.
func newBench(t *testing.T, o upssim.Options, c Config) (*bench, *Driver) {
	b := &bench{Unit: upssim.New(o)}
	c.Name, c.UnitID = "rack-a", 1
	var running sync.WaitGroup
	c.Line = runLine(t, modbus.Config{Open: func(context.Context) (modbus.Link, error) {
		ours, theirs := net.Pipe()
		running.Go(func() { b.serve(theirs) })
		return ours, nil
	}}, &running)
	return b, New(c)
}

// runLine runs a line until the end of the test and waits for it and what uses it.
func runLine(t *testing.T, c modbus.Config, running *sync.WaitGroup) *modbus.Line {
	c.Name = "rack-a"
	line := modbus.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() { _ = line.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return line
}

func (b *bench) world(d *Driver) upstest.World {
	return upstest.World{Driver: d, Unit: b.Unit, Deaf: b.deaf.Store, Refuse: b.refuse.Store, Late: func() { b.late.Store(true) }}
}

func TestFulfilsTheContractOnAPipe(t *testing.T) {
	upstest.Suite{Bubble: true, Open: func(t *testing.T) upstest.World {
		b, d := newBench(t, upssim.Options{}, Config{})
		return b.world(d)
	}}.Run(t)
}

func TestFulfilsTheContractOnAPacedPTY(t *testing.T) {
	const baud = 38400 // the fastest line there is (protocol reference, section 2.4), so as not to wait for bytes
	upstest.Suite{Open: func(t *testing.T) upstest.World {
		unit := upssim.New(upssim.Options{})
		pty, err := upssim.OpenPTY("")
		if err != nil {
			t.Skip("no pseudo-terminal here:", err)
		}
		var serving, running sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		o := upssim.SerialOptions{Baud: baud, Turnaround: 5 * time.Millisecond}
		serving.Go(func() {
			_ = upssim.ServeSerial(ctx, pty, o, map[uint8]*upssim.Unit{1: unit})
		})
		t.Cleanup(func() { cancel(); pty.Close(); serving.Wait() })
		line := runLine(t, modbus.Config{Open: modbus.OpenSerial(pty.Path(), baud, "none"), Baud: baud}, &running)
		return upstest.World{
			Driver: New(Config{Name: "rack-a", Line: line, UnitID: 1}), Unit: unit,
			Deaf: func(on bool) { unit.Faults().Set(upssim.Deaf, on) },
		}
	}}.Run(t)
}

func TestFulfilsTheContractOnTCP(t *testing.T) {
	upstest.Suite{Open: func(t *testing.T) upstest.World {
		unit := upssim.New(upssim.Options{})
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var serving, running sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		serving.Go(func() { _ = upssim.ServeTCP(ctx, ln, map[uint8]*upssim.Unit{1: unit}, upssim.TCPOptions{}) })
		t.Cleanup(func() { cancel(); serving.Wait() })
		line := runLine(t, modbus.Config{Framing: modbus.TCP, Open: modbus.OpenTCP(ln.Addr().String())}, &running)
		// Deaf stays out: a TCP time-out is two seconds.
		return upstest.World{Driver: New(Config{Name: "rack-a", Line: line, UnitID: 1}), Unit: unit}
	}}.Run(t)
}
