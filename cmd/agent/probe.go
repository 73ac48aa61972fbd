package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"go.bug.st/serial/enumerator"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"upsedge/internal/agent"
	"upsedge/internal/config"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
)

type probeCmd struct {
	Serial []string `help:"Serial port; without --serial and --tcp: every serial port of this box." placeholder:"DEV"`
	TCP    []string `name:"tcp" help:"Host, host:port or a network such as 192.0.2.0/24." placeholder:"HOST"`
	UnitID []uint8  `name:"unit-id" help:"Modbus slave addresses to try." default:"1"`
	Baud   int      `help:"Baud rate of the serial ports." default:"9600"`
	Parity string   `help:"Parity of the serial ports: none, even, odd. Only network cards know another than none." default:"none" enum:"none,even,odd"`
	JSON   bool     `help:"Machine-readable output."`
	Write  bool     `help:"Append the units found to the configuration file."`
}

// A candidate is a place where a unit may be, and a found unit what answered there.
type candidate struct {
	unit config.Unit
	scan bool // one of many: silence there is no news
}

type found struct {
	Unit     string `json:"unit,omitempty"` // name given or kept in the configuration
	Serial   string `json:"serial_port,omitempty"`
	TCP      string `json:"tcp,omitempty"`
	Via      string `json:"via,omitempty"` // of TCP: unit or card
	UnitID   uint8  `json:"unit_id"`
	Model    string `json:"model,omitempty"`
	SKU      string `json:"sku,omitempty"`
	Number   string `json:"serial,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	cfg      config.Unit
	label    string // the name somebody gave the unit on its display
}

const (
	probeTogether = 16               // connections at once in a network
	probeWithin   = 30 * time.Second // per candidate: some units take one request per connection and 2 s between two
	scanConnect   = time.Second      // per address of a network: a live host accepts at once
	mostHosts     = 4096             // a /20
)

// Run looks for units, prints them, and writes them into the configuration if asked to.
func (c *probeCmd) Run(ctx context.Context, cli *commands, std stdio) error {
	candidates, err := c.candidates()
	if err != nil {
		return usageError{err}
	}
	units, silent := c.search(ctx, candidates, std.err)
	if err := ctx.Err(); err != nil {
		return errors.New("stopped before the search was over")
	}
	for _, a := range silent.advice(units) {
		fmt.Fprintln(std.err, a)
	}
	var added []config.Unit
	if c.Write {
		if added, err = name(units, cli.Config); err != nil {
			return usageError{err}
		}
	}
	if err := c.print(std.out, units); err != nil {
		return err
	}
	if len(units) == 0 {
		return silent.nothing(len(candidates))
	}
	if len(added) > 0 {
		if err := config.AppendUnits(cli.Config, added); err != nil {
			return err
		}
	}
	if c.Write {
		fmt.Fprintf(std.err, "%s added to %s\n", count(len(added), "unit"), cli.Config)
	}
	return nil
}

func (c *probeCmd) candidates() ([]candidate, error) {
	serial := c.Serial
	if len(c.Serial) == 0 && len(c.TCP) == 0 {
		ports, err := enumerator.GetDetailedPortsList()
		if err != nil {
			return nil, fmt.Errorf("list the serial ports: %w", err)
		}
		for _, p := range ports {
			serial = append(serial, p.Name)
		}
		if len(serial) == 0 {
			return nil, errors.New("this box has no serial port; name a network: --tcp 192.0.2.0/24")
		}
	}
	var out []candidate
	for _, id := range c.UnitID {
		for _, dev := range serial {
			out = append(out, candidate{config.Unit{Name: dev, Serial: &config.Serial{Device: dev, Baud: c.Baud, Parity: c.Parity}, UnitID: id}, false})
		}
	}
	for _, target := range c.TCP {
		addresses, scan, err := expand(target)
		if err != nil {
			return nil, err
		}
		for _, a := range addresses {
			for _, id := range c.UnitID {
				out = append(out, candidate{config.Unit{Name: a, TCP: &config.TCP{Address: a}, UnitID: id}, scan})
			}
		}
	}
	out = once(out)
	for _, cand := range out {
		if cand.unit.UnitID < 1 || cand.unit.UnitID > 247 {
			return nil, fmt.Errorf("--unit-id %d is not in 1 to 247", cand.unit.UnitID)
		}
	}
	return out, nil
}

// once drops places that were named twice.
func once(all []candidate) []candidate {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(c candidate) bool {
		key := fmt.Sprintf("%s/%d", c.unit.LineKey(), c.unit.UnitID)
		was := seen[key]
		seen[key] = true
		return was
	})
}

// expand returns the addresses, with port, that a host or a network stands for.
func expand(target string) (addresses []string, scan bool, err error) {
	prefix, err := netip.ParsePrefix(target)
	if err != nil {
		if strings.Contains(target, "/") {
			return nil, false, fmt.Errorf("--tcp %s: %w", target, err)
		}
		if _, _, err := net.SplitHostPort(target); err != nil {
			target = net.JoinHostPort(strings.Trim(target, "[]"), "502")
		}
		return []string{target}, false, nil
	}
	prefix = prefix.Masked()
	if host := prefix.Addr().BitLen() - prefix.Bits(); host > 12 {
		return nil, false, fmt.Errorf("--tcp %s has more than %d addresses; name a smaller network", target, mostHosts)
	}
	for a := prefix.Addr(); a.IsValid() && prefix.Contains(a); a = a.Next() {
		addresses = append(addresses, netip.AddrPortFrom(a, 502).String())
	}
	if n := len(addresses); n > 2 && prefix.Addr().Is4() {
		addresses = addresses[1 : n-1] // without network and broadcast address
	}
	return addresses, true, nil
}

// search asks every candidate; those on one line one after the other.
func (c *probeCmd) search(ctx context.Context, all []candidate, stderr io.Writer) (units []found, silent failures) {
	progress := newProgress(stderr, len(all))
	defer progress.end()
	byLine := map[string][]candidate{}
	for _, cand := range all {
		byLine[cand.unit.LineKey()] = append(byLine[cand.unit.LineKey()], cand)
	}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(probeTogether)
	for _, line := range byLine {
		g.Go(func() error {
			for _, cand := range line {
				f, err := probe(ctx, cand)
				mu.Lock()
				if err == nil {
					units = append(units, f)
				} else {
					silent = append(silent, failure{cand, err})
				}
				progress.step()
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait() // its functions return nil
	slices.SortFunc(units, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.Serial+a.TCP, b.Serial+b.TCP), cmp.Compare(a.UnitID, b.UnitID))
	})
	return units, silent
}

// A failure is a candidate that turned out to be none.
type failure struct {
	candidate
	err error
}

type failures []failure

// advice says what may be wrong, a line per place. A place where another slave answered, and an address of a network where
// nobody accepts a connection, are no news.
func (fs failures) advice(units []found) []string {
	said := map[string]bool{}
	for _, u := range units {
		said[u.cfg.LineKey()] = true
	}
	var out []string
	for _, f := range fs {
		if f.scan && errors.Is(f.err, errNobody) || said[f.unit.LineKey()] {
			continue
		}
		said[f.unit.LineKey()] = true
		out = append(out, fmt.Sprintf("%s, slave %d: %s", f.unit.Name, f.unit.UnitID, agent.Advice(f.unit, f.err)))
	}
	slices.Sort(out)
	return out
}

// nothing is the error of a search that found no unit.
func (fs failures) nothing(asked int) error {
	deaf := 0
	for _, f := range fs {
		if errors.Is(f.err, errNobody) {
			deaf++
		}
	}
	if deaf == 0 {
		return errors.New("no unit found")
	}
	return fmt.Errorf("no unit found: %d asked, %d of them accept a connection on the Modbus port", asked, asked-deaf)
}

// probe asks one candidate who it is.
func probe(ctx context.Context, cand candidate) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	u := cand.unit
	if cand.scan && !accepts(ctx, u.TCP.Address) {
		return found{}, errNobody
	}
	log := slog.New(slog.DiscardHandler)
	line := agent.OpenLine(u, "probe", nil, log)
	over, end := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error { return line.Run(over) })
	defer g.Wait()
	defer end()

	driver := agent.NewDriver(u, line, log)
	if _, err := driver.Connect(ctx); err != nil {
		return found{}, err
	}
	id := driver.Identity()
	f := found{UnitID: u.UnitID, Model: id.Model, SKU: id.SKU, Number: id.Serial, Firmware: id.Firmware, cfg: u}
	if u.Serial != nil {
		f.Serial = u.Serial.Device
	} else {
		f.TCP, f.Via = u.TCP.Address, "unit"
		if throughCard(ctx, line, u.UnitID) {
			f.Via = "card"
		}
		f.cfg.TCP = &config.TCP{Address: u.TCP.Address, Card: f.Via == "card"}
	}
	for _, r := range driver.Connected() {
		for i, c := range r.Layout.Columns {
			if c.Point == ups.Name && r.Text != nil {
				f.label = r.Text[i]
			}
		}
	}
	return f, nil
}

var errNobody = errors.New("nobody accepts a connection")

func accepts(ctx context.Context, address string) bool {
	d := net.Dialer{Timeout: scanConnect}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// throughCard tells a network card from the unit's own port: within a block a card answers 0 for undefined registers where the
// unit answers 0xFFFF (protocol reference, section 3.3). 524 to 531 are undefined on every unit.
func throughCard(ctx context.Context, line *modbus.Line, id uint8) bool {
	const addr, count, hole = 516, 32, 524 - 516
	regs, err := line.ReadHolding(ctx, modbus.Background, id, addr, count, make([]uint16, count))
	return err == nil && !slices.ContainsFunc(regs[hole:hole+8], func(r uint16) bool { return r != 0 })
}

// name gives the units that are not yet in the configuration names that are free there, and returns those units.
func name(units []found, path string) ([]config.Unit, error) {
	used, known, serials := map[string]bool{}, map[string]string{}, map[string]string{}
	if _, err := os.Stat(path); err == nil {
		cfg, err := config.Load(path)
		if err != nil {
			return nil, err
		}
		for _, u := range cfg.Units {
			used[u.Name] = true
			known[fmt.Sprintf("%s/%d", u.LineKey(), u.UnitID)] = u.Name
		}
	}
	var added []config.Unit
	for i := range units {
		f := &units[i]
		if n, ok := known[fmt.Sprintf("%s/%d", f.cfg.LineKey(), f.UnitID)]; ok {
			f.Unit = n
			continue
		}
		if n, ok := serials[f.Number]; ok && f.Number != "" { // found under another name of the same place
			f.Unit = n
			continue
		}
		f.Unit = freeName(f.label, used)
		serials[f.Number] = f.Unit
		used[f.Unit] = true
		f.cfg.Name = f.Unit
		added = append(added, f.cfg)
	}
	return added, nil
}

// freeName makes a unit name of what somebody called the unit, or of "ups": never of the serial number, which would go into
// every metric and log.
func freeName(label string, used map[string]bool) string {
	base := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, label), "-")
	if base == "" {
		base = "ups"
	}
	for n := 1; ; n++ {
		candidate := base
		if n > 1 || base == "ups" {
			candidate = fmt.Sprintf("%s-%d", base, n)
		}
		if !used[candidate] {
			return candidate
		}
	}
}

func (c *probeCmd) print(w io.Writer, units []found) error {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(append([]found{}, units...))
	}
	if len(units) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := "where\tslave\tvia\tmodel\tSKU\tserial\tfirmware"
	if c.Write {
		head += "\tunit"
	}
	fmt.Fprintln(t, head)
	for _, f := range units {
		row := []string{f.Serial + f.TCP, strconv.Itoa(int(f.UnitID)), cmp.Or(f.Via, "serial"), f.Model, f.SKU, f.Number, f.Firmware}
		if c.Write {
			row = append(row, f.Unit)
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// progress shows how far a search is, on a terminal only.
type progress struct {
	w           io.Writer
	done, total int
}

func newProgress(w io.Writer, total int) *progress {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		w = io.Discard
	}
	return &progress{w: w, total: total}
}

func (p *progress) step() {
	p.done++
	fmt.Fprintf(p.w, "\r%d of %d asked", p.done, p.total)
}

func (p *progress) end() { fmt.Fprint(p.w, "\r\033[K") }
