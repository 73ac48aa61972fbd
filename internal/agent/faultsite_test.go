package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/config"
	"upsedge/internal/sampler"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/smartups"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/ups/upstest"
	"upsedge/internal/wire"
)

// A faultSite is two simulated units on one line, with the line, the drivers, the sampler and the agent's units on top. Their
// registers change all the time, and everything that is published is compared with what they held. The faults are those of
// the first unit.
type faultSite struct {
	t       *testing.T
	place   place
	units   map[uint8]*upssim.Unit
	agent   map[string]*unit
	names   []string // of the units 1 and 2
	wanted  oracle
	line    *modbus.Line
	sampler *sampler.Sampler
	serving sync.WaitGroup
	ctx     context.Context
	room    sampler.Room
	keep    func(*ups.Reading) // nil, or sees every reading

	mu      sync.Mutex
	wrong   []string
	good    map[string]int       // readings by unit
	words   map[string]int       // status words by unit
	last    map[string]time.Time // the last watch
	missed  int
	results map[modbus.Result]int
	said    map[string]int // log messages
}

// churnEvery is shorter than any two exchanges are apart, so that no reply is ever the same as the one before.
const churnEvery = 20 * time.Millisecond

func newFaultSite(t *testing.T, ctx context.Context, c trial) *faultSite {
	s := &faultSite{
		t: t, place: c.place, ctx: ctx, names: []string{"rack-a", "rack-b"}, wanted: newOracle(), agent: map[string]*unit{},
		good: map[string]int{}, words: map[string]int{}, last: map[string]time.Time{}, results: map[modbus.Result]int{}, said: map[string]int{},
		units: map[uint8]*upssim.Unit{
			1: upssim.New(upssim.Options{SKU: c.sku, Variants: c.variants, Seed: c.seed}),
			2: upssim.New(upssim.Options{SKU: c.sku, Variants: c.variants, Seed: c.seed + 1, Load: 0.7}),
		},
	}
	if c.place.alone {
		s.names = s.names[:1]
		delete(s.units, 2)
	}
	card := slices.Contains(c.variants, "card")
	s.wanted.card = card
	log := slog.New(counting{s})
	s.line = modbus.New(modbus.Config{
		Name: "rack-a", Framing: c.place.framing, Open: s.open(), Log: log,
		Observe: func(e modbus.Exchange) { s.mu.Lock(); s.results[e.Result]++; s.mu.Unlock() },
	})
	mono, err := clock.New()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, clock: mono, log: log}
	cfg := sampler.Config{Sink: s, Log: log}
	rates := rates(200*time.Millisecond, time.Second, 500*time.Millisecond)
	rates[ups.TierSettings], rates[ups.TierIdentity] = 3*time.Second, 10*time.Second
	for i, name := range s.names {
		id := uint8(i + 1)
		s.units[id].Churn(churnEvery, 400)
		s.agent[name] = w.unit(config.Unit{Name: name, UnitID: id, Poll: rates})
		d := smartups.New(smartups.Config{Name: name, Line: s.line, UnitID: id, Card: card, Log: log})
		cfg.Units = append(cfg.Units, sampler.Unit{Name: name, Source: d, Rates: rates})
	}
	s.sampler = sampler.New(cfg)
	return s
}

// run polls until f returns.
func (s *faultSite) run(f func()) {
	over, end := context.WithCancel(s.ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = s.line.Run(over) })
	running.Go(func() { _ = s.sampler.Run(over) })
	f()
	end()
	running.Wait()
	s.serving.Wait()
}

// open is how the line reaches the units: over a cable that may be pulled, a pseudo terminal, or to a port.
func (s *faultSite) open() func(context.Context) (modbus.Link, error) {
	const turnaround = 10 * time.Millisecond
	switch {
	case s.place.framing == modbus.TCP:
		ln := newMemListener()
		s.serving.Go(func() {
			_ = upssim.ServeTCP(s.ctx, ln, s.units, s.units[1].Port(upssim.TCPOptions{Turnaround: turnaround}))
		})
		return ln.dial
	case s.place.pty:
		link := filepath.Join(s.t.TempDir(), "ups")
		p, err := upssim.OpenPTY(link)
		if err != nil {
			s.t.Errorf("no pseudo terminal: %v", err)
			break
		}
		s.serving.Go(func() {
			_ = p.Serve(s.ctx, upssim.SerialOptions{Turnaround: turnaround}, s.units)
			p.Close()
		})
		return modbus.OpenSerial(link, 9600, "none")
	}
	o := upssim.SerialOptions{Turnaround: turnaround, SleepUntil: func(ctx context.Context, until time.Time) error {
		select {
		case <-time.After(time.Until(until)):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	return func(context.Context) (modbus.Link, error) {
		if s.units[1].Faults().Lasts(upssim.Pull) {
			return nil, os.ErrNotExist
		}
		near, far := upssim.NewCable()
		s.serving.Go(func() {
			_ = upssim.ServeSerial(s.ctx, far, o, s.units)
			far.Close()
		})
		return near, nil
	}
}

// Put compares a reading with what its unit held between request and reply, and lets the agent have it.
func (s *faultSite) Put(r *ups.Reading) {
	complaint := s.compare(r)
	if s.keep != nil {
		s.keep(r)
	}
	u := s.agent[r.Unit]
	u.put(r)
	_, _ = u.batch.Take(&s.room, func(sampler.Owner, []wire.Rows) error { return nil })
	s.mu.Lock()
	defer s.mu.Unlock()
	if complaint != "" {
		s.wrong = append(s.wrong, fmt.Sprintf("%s %s %v: %s", r.Unit, r.Tier, r.At.Format("05.000"), complaint))
	}
	s.good[r.Unit]++
	if r.Tier <= ups.TierStatus {
		s.words[r.Unit]++
	}
	if r.Tier == ups.TierWatch { // never part of connecting: the unit is polled
		s.last[r.Unit] = r.At
	}
}

// compare compares a reading with what its unit held in the time of the exchange.
func (s *faultSite) compare(r *ups.Reading) string {
	id := uint8(slices.Index(s.names, r.Unit) + 1)
	return s.wanted.compare(r, s.units[id].HeldBetween(r.At.Add(-r.Took), r.At))
}

func (s *faultSite) Missed(unit string, tier ups.Tier, at time.Time, err error) {
	s.agent[unit].miss(tier, at, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed++
}

func (s *faultSite) Unconnected(unit string, at time.Time, err error) {
	s.agent[unit].unconnected(at, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed++
}

// seen is how often the status word of a unit was read so far.
func (s *faultSite) seen(unit string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.words[unit]
}

// since tells when the unit was last polled well, zero if that was not after t.
func (s *faultSite) since(unit string, t time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.last[unit]; at.After(t) {
		return at
	}
	return time.Time{}
}

// recovered waits until all units are read again after t. It returns how long that took, -1 where it never happens.
func (s *faultSite) recovered(t time.Time) time.Duration {
	for range 2000 {
		took, all := time.Duration(0), true
		for _, name := range s.names {
			at := s.since(name, t)
			took, all = max(took, at.Sub(t)), all && !at.IsZero()
		}
		if all {
			return took
		}
		time.Sleep(50 * time.Millisecond)
	}
	return -1
}

// counting is a log that counts messages.
type counting struct{ s *faultSite }

func (c counting) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (c counting) WithAttrs([]slog.Attr) slog.Handler           { return c }
func (c counting) WithGroup(string) slog.Handler                { return c }
func (c counting) Handle(_ context.Context, r slog.Record) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.said[r.Message]++
	return nil
}

// An oracle knows, from the tables and not from the driver's map, which registers a point's value comes from.
type oracle struct {
	items map[ups.Point]expectation
	card  bool // a 0 may stand for nothing
}

type expectation struct {
	upstest.Register
	na string
}

func newOracle() oracle {
	o, na := oracle{items: map[ups.Point]expectation{}}, upstest.NotApplicable()
	for _, r := range upstest.Registers() {
		if p, ok := upstest.PointOf(r.Name); ok {
			o.items[p] = expectation{r, na[r.Name]}
		}
	}
	return o
}

// compare tells what is wrong with a reading if it was true at no instant at all: all its values must be of one image.
func (o oracle) compare(r *ups.Reading, held []upssim.Held) string {
	if len(held) == 0 {
		return "nothing is known of the time it was read in"
	}
	var why string
	for _, h := range slices.Backward(held) {
		if why = o.differs(r, h); why == "" {
			return ""
		}
	}
	return fmt.Sprintf("%s, as in none of %d images", why, len(held))
}

func (o oracle) differs(r *ups.Reading, h upssim.Held) string {
	for i, c := range r.Layout.Columns {
		e, known := o.items[c.Point]
		if !known {
			return fmt.Sprintf("%s is in no table", c.Point)
		}
		words := h.Registers(e.Address, e.Count)
		if e.Type == "STR" {
			if want := e.Decode(words, e.na); r.Text[i] != want.Text {
				return fmt.Sprintf("%s is %q and was %q", c.Point, r.Text[i], want.Text)
			}
			continue
		}
		if want := e.integer(words); r.Raw[i] != want && (!o.card || r.Raw[i] != ups.Absent || want != 0) {
			return fmt.Sprintf("%s is %d and was %d", c.Point, r.Raw[i], want)
		}
	}
	return ""
}

// integer is Decode for numbers, in integers: thousands of hours of polling are compared.
func (e expectation) integer(words []uint16) int64 {
	v, ones := uint64(0), uint64(0)
	for _, w := range words {
		v, ones = v<<16|uint64(w), ones<<16|0xFFFF
	}
	switch {
	case v == ones, v == 0 && (e.na == "0x0000" || e.na == "0x00000000"):
		return ups.Absent
	case (e.Type == "S16" || e.Type == "S32" || e.Type == "EN") && v > ones/2:
		return int64(v) - int64(ones) - 1
	}
	return int64(v)
}

// A memListener is a TCP port in memory.
type memListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *memListener) Addr() net.Addr { return memAddr{} }

func (l *memListener) dial(ctx context.Context) (modbus.Link, error) {
	near, far := upssim.NewCable()
	select {
	case l.conns <- memConn{far}:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type memAddr struct{}

func (memAddr) Network() string { return "memory" }
func (memAddr) String() string  { return "memory" }

// A memConn makes a connection of a cable's end.
type memConn struct{ *upssim.End }

func (memConn) LocalAddr() net.Addr             { return memAddr{} }
func (memConn) RemoteAddr() net.Addr            { return memAddr{} }
func (c memConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }
