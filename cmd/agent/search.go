package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sort"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"upsedge/internal/agent"
	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/smartups"
)

// A search in a network must not be felt there: few connections at once and few a second, one per host, closed as soon as the
// questions are answered, and nothing but reads of the verification block where no Smart-UPS answers.
const (
	probeTogether = 16
	mostPerSecond = 50
	scanConnect   = time.Second             // per address of a network: a live host accepts at once
	scanAnswer    = time.Second             // of a serial port, or one that accepted; a unit of 700 ms was seen (protocol reference, section 2.3)
	relink        = 2500 * time.Millisecond // a line that met silence three times is opened again 2 s later
	probeWithin   = 30 * time.Second        // per slave: some units take one request per connection and 2 s between two
)

// A searcher asks candidates who they are.
type searcher struct {
	agent map[string]busyLine // lines of the running agent, by LineKey
	full  bool                // read everything of the units that are found, not only who they are

	mu       sync.Mutex
	units    []found
	failures failures
	progress *progress
	connect  *time.Ticker // of networks: a connection at each tick
}

func newSearch(stderr io.Writer, total int) *searcher {
	return &searcher{progress: newProgress(stderr, total)}
}

// run asks every candidate until ctx ends; those on one line one after the other, over one connection.
func (s *searcher) run(ctx context.Context, all []candidate) {
	defer s.progress.end()
	s.connect = time.NewTicker(time.Second / mostPerSecond)
	defer s.connect.Stop()
	var order []string
	lines := map[string][]candidate{}
	for _, c := range all {
		key := c.unit.LineKey()
		if lines[key] == nil {
			order = append(order, key)
		}
		lines[key] = append(lines[key], c)
	}
	var g errgroup.Group
	g.SetLimit(probeTogether)
	for _, key := range order {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			s.line(ctx, lines[key])
			return nil
		})
	}
	_ = g.Wait()                              // its functions return nil
	sort.Slice(s.units, func(i, j int) bool { // ADR 20
		a, b := &s.units[i], &s.units[j]
		return a.where() < b.where() || a.where() == b.where() && a.UnitID < b.UnitID
	})
}

// line asks the candidates of one line, which differ in the slave address.
func (s *searcher) line(ctx context.Context, all []candidate) {
	if busy, ok := s.agent[lineKey(all[0].unit)]; ok {
		for _, c := range all {
			s.note(c, busy)
		}
		return
	}
	cfg, first, err := s.open(ctx, all[0])
	if err != nil {
		for _, c := range all {
			s.done(found{}, failure{c, err})
		}
		return
	}
	line := modbus.New(cfg)
	over, end := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error { return line.Run(over) })
	for _, c := range all {
		if ctx.Err() != nil {
			break
		}
		f, err := ask(ctx, line, c)
		if lost := (&modbus.LinkError{}); len(all) > 1 && errors.As(err, &lost) && ups.FailureOf(err) == ups.FailureNoAnswer && pause(ctx, relink) {
			f, err = ask(ctx, line, c) // the line was given up because of the slaves before this one
		}
		if s.full && len(all) == 1 && ups.FailureOf(err) == ups.FailureNoAnswer && ctx.Err() == nil {
			f, err = ask(ctx, line, c) // somebody waits in front of this one, and a request may be missed
		}
		if s.full && err == nil {
			f.readAll(ctx, line)
		}
		if ctx.Err() != nil {
			break // stopped in the middle of it
		}
		s.done(f, failure{c, err})
	}
	end()
	_ = g.Wait() // Run returns nil
	first.close()
}

// pause waits, and returns false at the end of ctx.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// open describes the line to a candidate. Of a network the first connection is made here, so that silence costs little.
func (s *searcher) open(ctx context.Context, c candidate) (modbus.Config, *handover, error) {
	cfg := agent.LineConfig(c.unit, "probe", nil, slog.New(slog.DiscardHandler))
	if c.unit.Serial != nil {
		cfg.Timeout = scanAnswer // who misses this one question is not found
	}
	if !c.scan {
		return cfg, nil, nil
	}
	select {
	case <-s.connect.C:
	case <-ctx.Done():
		return cfg, nil, ctx.Err()
	}
	short, cancel := context.WithTimeout(ctx, scanConnect)
	defer cancel()
	link, err := cfg.Open(short)
	if err != nil {
		return cfg, nil, errNobody
	}
	h := &handover{link: link, open: cfg.Open}
	cfg.Open, cfg.Timeout = h.next, scanAnswer
	return cfg, h, nil
}

// A handover gives a line the connection that is there already, and later ones when it asks again.
type handover struct {
	mu   sync.Mutex
	link modbus.Link
	open func(context.Context) (modbus.Link, error)
}

func (h *handover) next(ctx context.Context) (modbus.Link, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.link; l != nil {
		h.link = nil
		return l, nil
	}
	return h.open(ctx)
}

// close closes a connection that no line has taken.
func (h *handover) close() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link != nil {
		h.link.Close()
	}
}

// ask asks one slave who it is.
func ask(ctx context.Context, line *modbus.Line, c candidate) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	u := c.unit
	id, err := smartups.Identify(ctx, line, u.UnitID)
	if err != nil {
		return found{}, err
	}
	f := foundAt(u)
	f.Model, f.SKU, f.Number, f.Firmware, f.label = id.Model, id.SKU, id.Serial, id.Firmware, id.Name
	if u.TCP != nil {
		f.cfg.TCP = &config.TCP{Address: u.TCP.Address, Card: id.Card}
		f.Via = viaOf(f.cfg)
	}
	return f, nil
}

// foundAt is a unit at a place of the configuration, of which nothing is known.
func foundAt(u config.Unit) found {
	f := found{UnitID: u.UnitID, cfg: u}
	if u.Serial != nil {
		f.Serial = u.Serial.Device
		return f
	}
	f.TCP, f.Via = u.TCP.Address, viaOf(u)
	return f
}

func viaOf(u config.Unit) string {
	if u.OverCard() {
		return "card"
	}
	return "unit"
}

// readAll reads everything of a unit. Who it is is known, so that a failure here costs the values alone.
func (f *found) readAll(ctx context.Context, line *modbus.Line) {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	if st, err := smartups.ReadAll(ctx, agent.NewDriver(f.cfg, line, slog.New(slog.DiscardHandler))); err == nil {
		f.values, f.condition = local.Values(st), st.Status().Names()
	}
}

// done takes the outcome of one candidate: a unit, or why there is none.
func (s *searcher) done(f found, fail failure) {
	if errors.Is(fail.err, context.Canceled) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.have = fail.have
	if fail.err == nil {
		s.units = append(s.units, f)
	} else {
		s.failures = append(s.failures, fail)
	}
	s.progress.step(len(s.units))
}

func sorted(words []string) []string {
	slices.Sort(words)
	return words
}

// progress shows how far a search is, on a terminal only.
type progress struct {
	w           io.Writer
	done, total int
}

func newProgress(w io.Writer, total int) *progress {
	if dumb() {
		w = io.Discard
	}
	return &progress{w: onTerminal(w), total: total}
}

// dumb reports whether the terminal can do no more than write one line below the other.
func dumb() bool {
	t := os.Getenv("TERM")
	return t == "" || t == "dumb"
}

// onTerminal is w, or nothing where that is no terminal.
func onTerminal(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return io.Discard
	}
	return w
}

func (p *progress) step(units int) {
	p.done++
	fmt.Fprintf(p.w, "\r%d of %d asked, %s found", p.done, p.total, ups.Count(units, "unit"))
}

func (p *progress) end() { fmt.Fprint(p.w, "\r\033[K") }
