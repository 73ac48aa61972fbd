package smartups

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/capture"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/ups/upstest"
)

// Every capture in testdata/captures is played to the end, reading after reading, each on a line of its own as `upsagent read`
// makes it, and what is read is compared with the golden file beside it.
func TestReadsEveryCapture(t *testing.T) {
	if *update {
		for _, s := range simulations() {
			synctest.Test(t, s.capture)
		}
	}
	files, err := filepath.Glob("testdata/captures/*.capture")
	if err != nil || len(files) == 0 {
		t.Fatal("no captures", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playCapture(t, file) })
		})
	}
}

func TestEachSimulatedFamilyHasACapture(t *testing.T) {
	for _, s := range simulations() {
		if _, err := os.Stat(s.file()); err != nil {
			t.Errorf("no %s: go test ./internal/ups/smartups -run Capture -update makes it", s.file())
		}
	}
}

// A simulation is a capture that can be made again.
type simulation struct {
	name, sku string
	tcp       bool
	faults    []upssim.Fault // each hits a few requests
}

// simulations are one of every family on a serial line, one on TCP, and one of each on a bad line.
func simulations() []simulation {
	var out []simulation
	for _, sku := range upssim.SKUs() {
		out = append(out, simulation{name: sku, sku: sku})
	}
	first := upssim.SKUs()[0]
	bad := []upssim.Fault{upssim.Deaf, upssim.BadCRC, upssim.Cut}
	return append(out, simulation{"tcp", first, true, nil}, simulation{"bad-line", first, false, bad}, simulation{"bad-tcp", first, true, bad})
}

func (s simulation) file() string { return "testdata/captures/simulated-" + s.name + ".capture" }

func playCapture(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := capture.Parse(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.ParseUint(c.Header.Slave, 10, 8)
	if err != nil {
		t.Fatalf("slave: %v", err)
	}
	tcp := strings.HasPrefix(c.Header.Link, "tcp")
	p := upstest.NewPlayback(t, string(text))
	var out strings.Builder
	for n := 1; len(p.Rest()) > 0 && !t.Failed(); n++ {
		before := len(p.Rest())
		cfg := modbus.Config{Open: p.Open}
		if tcp {
			cfg.Framing = modbus.TCP
		}
		fmt.Fprintf(&out, "reading %d\n", n)
		s, err := readOnce(cfg, Config{Name: "captured", UnitID: uint8(id), Card: c.Header.Link == "tcp card"})
		if err != nil {
			fmt.Fprintf(&out, "%v\n", err)
		} else {
			for _, p := range ups.Points() {
				fmt.Fprintf(&out, "%-28s %s\n", p, said(s, p))
			}
		}
		if len(p.Rest()) == before {
			t.Fatal("a reading took nothing of the capture")
		}
	}
	golden(t, strings.TrimSuffix(file, ".capture")+".golden", out.String())
}

// readOnce makes one reading on a line of its own.
func readOnce(l modbus.Config, c Config) (*ups.State, error) {
	line := modbus.New(l)
	c.Line = line
	ctx, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = line.Run(ctx) })
	s, err := ReadAll(ctx, New(c))
	end()
	running.Wait()
	return s, err
}

// capture records one reading of a simulated unit. The clock of the bubble begins always at the same time.
func (s simulation) capture(t *testing.T) {
	unit := upssim.New(upssim.Options{SKU: s.sku})
	for i, f := range s.faults {
		unit.Faults().Every(f, 5+2*i)
	}
	var serving sync.WaitGroup
	ctx, end := context.WithCancel(context.Background())
	port := &pipePort{conns: make(chan net.Conn), closed: make(chan struct{})}
	units := map[uint8]*upssim.Unit{1: unit}
	if s.tcp {
		serving.Go(func() { _ = upssim.ServeTCP(ctx, port, units, upssim.TCPOptions{Turnaround: 20 * time.Millisecond}) })
	}
	open := func(context.Context) (modbus.Link, error) {
		ours, theirs := net.Pipe()
		if s.tcp {
			port.conns <- theirs
			return plain{ours}, nil
		}
		serving.Go(func() {
			o := upssim.SerialOptions{Turnaround: 20 * time.Millisecond, SleepUntil: bubbleSleep}
			_ = upssim.ServeSerial(ctx, theirs, o, units) // ends with ctx or the pipe
		})
		return plain{ours}, nil
	}
	h := capture.Header{From: capture.FromSimulated, Link: "serial 9600 none", Slave: "1", SKU: s.sku, Names: "redacted"}
	cfg := modbus.Config{}
	if s.tcp {
		h.Link, cfg.Framing = "tcp unit", modbus.TCP
	}
	var private []capture.Span
	for _, p := range Personal() {
		private = append(private, capture.Span{Addr: p[0], Count: p[1]})
	}
	var out strings.Builder
	rec := capture.NewRecorder(&out, h, capture.Options{TCP: s.tcp, Private: private})
	cfg.Open = rec.Open(open)
	_, err := readOnce(cfg, Config{Name: "captured", UnitID: 1})
	if s.faults == nil && err != nil {
		t.Error(err)
	}
	end()
	serving.Wait()
	if err := errors.Join(rec.Close(), os.WriteFile(s.file(), []byte(out.String()), 0o644)); err != nil {
		t.Error(err)
	}
}

// A pipePort is a listener whose connections are pipes.
type pipePort struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipePort) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipePort) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipePort) Addr() net.Addr { return &net.TCPAddr{} }

func bubbleSleep(ctx context.Context, until time.Time) error {
	select {
	case <-time.After(time.Until(until)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A serial number or a name must not leave in a capture, and what is left must be a valid frame.
func TestACaptureHasNoNames(t *testing.T) {
	for _, s := range simulations() {
		text, err := os.ReadFile(s.file())
		if err != nil {
			t.Fatal(err)
		}
		c, err := capture.Parse(strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range c.Entries {
			if strings.Contains(string(e.Reply), "AS21") {
				t.Errorf("%s, line %d: the serial number", s.name, e.Line)
			}
			if len(e.Reply) > 2 && !s.tcp && s.faults == nil && modbus.CRC(e.Reply) != 0 {
				t.Errorf("%s, line %d: the checksum is wrong", s.name, e.Line)
			}
		}
	}
}
