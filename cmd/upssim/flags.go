package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"upsedge/internal/ups/upssim"
)

const description = `A Smart-UPS that is not there. It answers Modbus RTU on a pseudo terminal that behaves like a serial
port at 9600 baud, and Modbus TCP; the mains fail and return, the battery empties, tests run, and lines go wrong when told to.`

const epilogue = `
Examples:
  upssim --pty /tmp/ups                       a serial UPS; read it with: mbpoll -m rtu -a 1 -b 9600 -P none
                                              -t 4 -0 -r 0 -c 27 -1 /tmp/ups
  upssim --tcp 127.0.0.1:1502 --units 10      ten units on the ports 1502 to 1511
  upssim --pty /tmp/ups --at 30s=mains-fail --at 90s=mains-return --speed 20
  upssim --pty /tmp/ups --feed 'main=upsagent run --config agent.yaml'
                                              the gateway hangs on the UPS that it reboots

Words for --at, --scenario and standard input (there alone also: show, stats, writes, unplug, plug, help, quit).
On standard input "3:mains-fail" means the third unit only. WHEN a fault strikes: at every N-th request
(N; 0 ends it), the next N (next:N), for a DURATION, or, without it, at every request from now on.
`

// flags is the command line.
type flags struct {
	Pty        string        `placeholder:"PATH" help:"Make a serial port at PATH, a link to a pseudo terminal."`
	TCP        []string      `name:"tcp" placeholder:"ADDR" help:"Listen on ADDR, 127.0.0.1:1502 for instance. May be repeated: each address has a unit of its own."`
	Units      int           `default:"1" placeholder:"N" help:"Units on consecutive TCP ports from the first --tcp on."`
	UnitID     uint8         `name:"unit-id" default:"1" placeholder:"ID" help:"Modbus address of every unit, 1 to 223."`
	Model      string        `placeholder:"SKU" enum:",${models}" default:"" help:"Model, see below; ${model} if neither this nor the scenario says."`
	Via        string        `default:"port" enum:"port,card" help:"Its own port, or a network management card."`
	Variant    []string      `placeholder:"NAME" help:"How its firmware answers; see below. May be repeated."`
	Baud       int           `default:"9600" help:"Pace of the serial port. Real units know 9600 only."`
	Turnaround time.Duration `default:"10ms" help:"Time between a request and its reply."`
	StrictGap  bool          `help:"Leave requests unanswered that come less than 35 ms after the last exchange, as real units do."`
	OneRequest bool          `help:"TCP: close after each reply and refuse for 2 s, as some firmware does."`
	MaxClients int           `placeholder:"N" help:"TCP: close connections beyond N at once; 0 means no limit."`
	Speed      *float64      `placeholder:"N" help:"How much faster than the clock the battery empties and fills; 1 if nothing says."`
	Seed       uint64        `default:"1" help:"Of the noise and the serial number. Unit n of many has seed + n - 1."`
	Load       *float64      `placeholder:"PART" help:"Load as a part of the rating, 0 to 1.5; 0.3 if nothing says."`
	Hurry      float64       `default:"1" placeholder:"N" help:"How much faster than the clock the whole unit lives: delays, countdowns and tests too. For tests of what talks to it; a unit that hurries is none that exists."`
	Feed       []string      `placeholder:"[N:]GROUP=COMMAND" sep:"none" help:"A box on an outlet group (main, sog0, …) of unit N, the first if none is named: COMMAND, without a shell, runs while the group has power, is killed with all its children the moment it has none, and started again when the power is back. May be repeated."`
	Boot       time.Duration `default:"20s" help:"How long a box on an outlet needs from power to its program. Real ones need 20 to 40 s."`
	Scenario   string        `placeholder:"FILE" help:"Read steps from FILE, one a line: 30s mains-fail."`
	At         []string      `placeholder:"TIME=WORD" sep:"none" help:"A step: 30s=mains-fail. May be repeated."`
	Stats      bool          `help:"Print counts of requests when it ends. SIGUSR1 prints them at any time."`
}

func vars() kong.Vars {
	return kong.Vars{"model": upssim.SKUs()[0], "models": strings.Join(upssim.SKUs(), ",")}
}

// help prints what kong knows, then the examples and the words.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	_, err := fmt.Fprint(ctx.Stdout, behind())
	return err
}

// behind is what stands behind the flags.
func behind() string {
	var models, variants strings.Builder
	for _, f := range upssim.Families() {
		fmt.Fprintf(&models, "  %-20s %s\n", f.SKU, f.From)
	}
	for _, v := range upssim.Variants {
		fmt.Fprintf(&variants, "  %-20s %s\n", v.Name, v.Help)
	}
	return fmt.Sprint("\nModels:\n", &models, "\nVariants:\n", &variants, epilogue, upssim.Words())
}

// build checks the flags and makes the units; nothing is opened yet.
func (f *flags) build(stdout, stderr io.Writer) (*site, error) {
	addrs, err := f.addresses()
	if err != nil {
		return nil, usageError{err}
	}
	switch {
	case f.Pty == "" && len(addrs) == 0:
		return nil, usageError{errors.New("nothing to answer on: give --pty or --tcp")}
	case f.UnitID < 1 || f.UnitID > 223:
		return nil, usageError{fmt.Errorf("--unit-id %d: must be 1 to 223", f.UnitID)}
	case f.Baud < 300 || f.Baud > 115200:
		return nil, usageError{fmt.Errorf("--baud %d: must be 300 to 115200", f.Baud)}
	case f.Speed != nil && !(*f.Speed > 0 && *f.Speed <= 1e6): // not NaN either
		return nil, usageError{fmt.Errorf("--speed %g: must be above 0, up to 1e+06", *f.Speed)}
	case f.Load != nil && !(*f.Load >= 0 && *f.Load <= 1.5):
		return nil, usageError{fmt.Errorf("--load %g: must be 0 to 1.5", *f.Load)}
	case !(f.Hurry >= 1 && f.Hurry <= 100):
		return nil, usageError{fmt.Errorf("--hurry %g: must be 1 to 100", f.Hurry)}
	case f.Boot < 0:
		return nil, usageError{fmt.Errorf("--boot %v: must not be negative", f.Boot)}
	case f.Turnaround < 0:
		return nil, usageError{fmt.Errorf("--turnaround %v: must not be negative", f.Turnaround)}
	}
	sc, err := f.scenario()
	if err != nil {
		return nil, usageError{err}
	}
	s := &site{flags: *f, addrs: addrs, steps: sc.Steps, stdout: stdout, stderr: stderr}
	for i := range max(1, len(addrs)) { // a pty alone has one unit; with TCP it shows the first
		s.units = append(s.units, upssim.New(upssim.Options{
			Seed: f.Seed + uint64(i), SKU: sc.Model, Variants: sc.Variants, Load: sc.Load, Speed: sc.Speed, Now: hurried(f.Hurry),
		}))
	}
	if err := s.checkFeeds(); err != nil {
		return nil, usageError{err}
	}
	return s, nil
}

// hurried is a clock that goes so much faster than the machine's.
func hurried(n float64) func() time.Time {
	began := time.Now()
	return func() time.Time { return began.Add(time.Duration(float64(time.Since(began)) * n)) }
}

// variants collects --variant and --via.
func (f *flags) variants() ([]string, error) {
	out := f.Variant
	if f.Via == "card" {
		out = append([]string{"card"}, out...)
	}
	for _, v := range out {
		if !slices.Contains(upssim.VariantNames(), v) {
			return nil, fmt.Errorf("--variant %s: there are %s", v, strings.Join(upssim.VariantNames(), ", "))
		}
	}
	return out, nil
}

// addresses returns the TCP addresses: those given, and with --units more of them after the first.
func (f *flags) addresses() ([]string, error) {
	if f.Units < 1 {
		return nil, fmt.Errorf("--units %d: must be at least 1", f.Units)
	}
	if f.Units == 1 {
		return f.TCP, nil
	}
	if len(f.TCP) != 1 {
		return nil, errors.New("--units wants exactly one --tcp, the first address")
	}
	host, port, err := net.SplitHostPort(f.TCP[0])
	if err != nil {
		return nil, fmt.Errorf("--tcp: %w", err)
	}
	first, err := strconv.ParseUint(port, 10, 16)
	if err != nil || int(first)+f.Units > 65536 {
		return nil, fmt.Errorf("--tcp %s: no %d ports from there on", f.TCP[0], f.Units)
	}
	var out []string
	for i := range f.Units {
		p := int(first) + i
		if first == 0 {
			p = 0 // any free port for each
		}
		out = append(out, net.JoinHostPort(host, strconv.Itoa(p)))
	}
	return out, nil
}

// scenario puts --scenario, --at and what else is said of the unit together. The command line wins.
func (f *flags) scenario() (sc upssim.Scenario, err error) {
	if f.Scenario != "" {
		file, err := os.Open(f.Scenario)
		if err != nil {
			return sc, fmt.Errorf("--scenario: %w", err)
		}
		defer file.Close()
		if sc, err = upssim.ParseScenario(file); err != nil {
			return sc, fmt.Errorf("--scenario %s: %w", f.Scenario, err)
		}
	}
	for _, a := range f.At {
		s, err := upssim.ParseStep(a)
		if err != nil {
			return sc, fmt.Errorf("--at: %w", err)
		}
		sc.Steps = append(sc.Steps, s)
	}
	variants, err := f.variants()
	sc.Variants = append(sc.Variants, variants...)
	if f.Model != "" {
		sc.Model = f.Model
	}
	if f.Speed != nil {
		sc.Speed = *f.Speed
	}
	if f.Load != nil {
		sc.Load = *f.Load
		if sc.Load == 0 {
			sc.Load = -1 // none at all
		}
	}
	return sc, err
}
