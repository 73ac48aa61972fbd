package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/metrics"
	"upsedge/internal/sampler"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/smartups"
)

// A line is one serial port or TCP connection, its driver per unit and its sampler.
type line struct {
	name    string
	modbus  *modbus.Line
	sampler *sampler.Sampler
	drivers []*planned    // by unit
	assumed Budget        // before anything was measured
	told    float64       // the load that was logged last; see reconsider
	untold  int           // looks in a row that said something else
	judged  float64       // the load by which the units' stretch was found
	pause   time.Duration // before it begins
}

// sink takes what the sampler of a line reads.
type sink struct {
	units    map[string]*unit
	recorder *recorder
	changed  func() // the condition of a unit changed
}

// Put takes a reading; see sampler.Sink.
func (s *sink) Put(r *ups.Reading) {
	u := s.units[r.Unit]
	u.turn.Lock()
	defer u.turn.Unlock()
	out := u.put(r)
	if out.burst {
		u.burst()
	}
	s.settle(u, out)
}

// Missed takes a failed read; see sampler.Sink.
func (s *sink) Missed(unit string, t ups.Tier, at time.Time, err error) {
	u := s.units[unit]
	u.turn.Lock()
	defer u.turn.Unlock()
	s.settle(u, u.miss(t, at, err))
}

// Unconnected takes a failed attempt to connect; see sampler.Sink.
func (s *sink) Unconnected(unit string, at time.Time, err error) {
	u := s.units[unit]
	u.turn.Lock()
	defer u.turn.Unlock()
	s.settle(u, u.unconnected(at, err))
}

func (s *sink) settle(u *unit, out outcome) {
	s.recorder.add(u.cfg.Name, out)
	if out.condition {
		s.changed()
	}
}

// LineConfig describes the line to the unit. observe may be nil.
func LineConfig(u config.Unit, name string, observe func(modbus.Exchange), log *slog.Logger) modbus.Config {
	cfg := modbus.Config{Name: name, Observe: observe, Log: log}
	if u.Serial != nil {
		cfg.Framing, cfg.Baud = modbus.RTU, u.Serial.Baud
		if u.Serial.Parity != "none" {
			cfg.Bits = 11
		}
		cfg.Open = modbus.OpenSerial(u.Serial.Device, u.Serial.Baud, u.Serial.Parity)
	} else {
		cfg.Framing = modbus.TCP
		cfg.Open = modbus.OpenTCP(u.TCP.Address)
	}
	return cfg
}

// NewDriver returns the driver of a unit on a line.
func NewDriver(u config.Unit, l *modbus.Line, log *slog.Logger) *smartups.Driver {
	return smartups.New(smartups.Config{Name: u.Name, Line: l, UnitID: u.UnitID, Card: u.OverCard(), Log: log})
}

// newLine makes the line of units. link, if that is not nil, opens it in place of the port or address.
func newLine(units []*unit, s *sink, link func(config.Unit) func(context.Context) (modbus.Link, error), series *metrics.Agent, log *slog.Logger) *line {
	first := units[0]
	l := &line{name: first.line}
	wire := LineConfig(first.cfg, l.name, observer(l.name, series), log)
	if link != nil {
		wire.Open = link(first.cfg)
	}
	l.modbus = modbus.New(wire)
	cfg := sampler.Config{Sink: s, Log: log, Fastest: fastest(first.cfg), Calm: s.recorder.flusher.soon}
	var late [ups.TierCount]func(float64)
	for t := range late {
		late[t] = series.Lateness.WithLabelValues(ups.Tier(t).String()).Observe
	}
	cfg.Late = func(t ups.Tier, by time.Duration) { late[t](max(by, 0).Seconds()) }
	for _, u := range units {
		d := &planned{Driver: NewDriver(u.cfg, l.modbus, log), timing: func() modbus.Timing { return l.modbus.Timing(u.cfg.UnitID) }}
		l.drivers = append(l.drivers, d)
		u.control = smartups.NewControl(d.Driver, l.modbus)
		cfg.Units = append(cfg.Units, sampler.Unit{Name: u.cfg.Name, Source: d, Rates: u.cfg.Poll})
	}
	l.sampler = sampler.New(cfg)
	for _, u := range units {
		u.hasten, u.again = l.sampler.Burst, l.sampler.Again
	}
	return l
}

// observer counts the exchanges of a line.
func observer(line string, series *metrics.Agent) func(modbus.Exchange) {
	count := series.Line(line)
	return func(e modbus.Exchange) {
		count.Busy(e.Busy)
		if e.Result == modbus.ResultOK { // as nearly always
			count.Answered(e.Took)
			return
		}
		count.Failed(string(e.Result))
	}
}

// run works until ctx ends, after a pause. The line outlives its sampler, so that a read under way ends with an answer of the line.
func (l *line) run(ctx context.Context) error {
	select {
	case <-time.After(l.pause):
	case <-ctx.Done():
	}
	over, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	ended := make(chan error, 1)
	go l.sample(ctx, ended, end)
	err := l.modbus.Run(over)
	if err := errors.Join(<-ended, err); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// sample runs the sampler, and ends the line behind it. It is the sampler that has the goroutine of its own: all of an exchange and
// what comes of it happens on that stack, and from the bottom of a fresh one it fits into 4 KiB.
func (l *line) sample(ctx context.Context, ended chan<- error, end context.CancelFunc) {
	ended <- l.sampler.Run(ctx)
	end()
}

// apart is the time between the beginnings of two lines on TCP. A site of many units does not ask all of them for a connection at
// once, and their reads are spread over the period for good.
const apart = time.Millisecond

// lines groups units by the line they are on, in the order of the configuration.
func lines(units []config.Unit) [][]config.Unit {
	var keys []string
	groups := map[string][]config.Unit{}
	for _, u := range units {
		k := u.LineKey()
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], u)
	}
	var out [][]config.Unit
	for _, k := range keys {
		out = append(out, groups[k])
	}
	return out
}
