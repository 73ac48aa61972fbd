// Package config reads the agent's configuration. The file has two shapes: what is written (file.go: strings and pointers)
// and what the program uses (Config: durations, sizes, addresses, defaults filled in). It is strict: an unknown key, a value
// without its unit or a rate the line cannot have is an error that names the file, line, key and reason; all of them are
// reported at once. configs/agent.reference.yaml lists every key with default and reason and is parsed by a test.
package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"upsedge/internal/config/strict"
	"upsedge/internal/ups"
)

// DefaultPath is where the packaged agent looks for its configuration.
const DefaultPath = "/etc/upsagent/agent.yaml"

// Config is what the program uses.
type Config struct {
	StateDir string
	Spool    Spool
	Units    []Unit
	Uplink   *Uplink // nil: no broker
	Metrics  Metrics
	Local    Local
	Orders   Orders
	Log      Log
}

// Spool bounds what waits for the cloud.
type Spool struct {
	MaxBytes int64         // of the database; samples beyond it are dropped, oldest first
	Flush    time.Duration // one commit of samples per interval; what a crash can lose
}

// A Unit is one UPS.
type Unit struct {
	Name       string // the `ups` label
	Serial     *Serial
	TCP        *TCP // exactly one of Serial and TCP
	UnitID     uint8
	Poll       [ups.TierCount]time.Duration // by tier; 0 = off
	Thresholds Thresholds
	Card       *Card
}

// Serial is a serial port.
type Serial struct {
	Device string
	Baud   int
	Parity string // none, even, odd
}

// TCP is a Modbus TCP server: the unit's own port, or a network card in it.
type TCP struct {
	Address string // host:port
	Card    bool   // via: card
}

// Thresholds are limits of alarms.
type Thresholds struct {
	LowBatteryRuntime  time.Duration // 201
	BatteryTemperature float64       // °C, 208
	Load               float64       // percent, 303
}

// Card is how the firmware of a unit behind a network card is reached.
type Card struct {
	Address         string
	CredentialsFile string
}

// Uplink is the MQTT connection.
type Uplink struct {
	Broker                    string // tls:// or tcp://, with port
	CAFile, CertFile, KeyFile string
	Insecure                  bool
	AgentID                   string // "": from the certificate, or random
	MaxRate                   int64  // bytes per second, 0 = unlimited
	Addresses                 string // tail, full, none
}

// Metrics is the Prometheus endpoint.
type Metrics struct {
	Listen      string // "": off
	WebConfig   string // file of TLS and basic authentication, as Prometheus' own
	SerialLabel bool
}

// Local is the status page and the command socket.
type Local struct {
	Listen, Socket string   // "": off
	WebConfig      string   // of the page: file of TLS and basic authentication, as Metrics'
	Names          []string // by which browsers may ask for the page, beside addresses and localhost
}

// Orders limits what may be commanded from afar.
type Orders struct {
	Allow       []string
	Hours       string
	MinInterval time.Duration
	DailyMax    int
	Bundle      bool // whether a support bundle may be ordered where Allow names diagnostics
	FedBy       FedBy
}

// FedBy is the outlet group that this box hangs on; the zero value: none that is known.
type FedBy struct {
	Unit  string // its name
	Group ups.Group
}

// Log is how the agent logs.
type Log struct {
	Level  slog.Level
	Format string // text, json
}

// LineKey names the line a unit is on: units with the same key share it. It is an address and never leaves the box.
func (u Unit) LineKey() string {
	if u.Serial != nil {
		return "serial:" + u.Serial.Device
	}
	return "tcp:" + u.TCP.Address
}

// OverCard reports whether the unit is read through a network card.
func (u Unit) OverCard() bool { return u.TCP != nil && u.TCP.Card }

// Warnings names what is correct and yet not what its author may have meant.
func (c *Config) Warnings() []string {
	var out []string
	if host, _, err := net.SplitHostPort(c.Metrics.Listen); err == nil && !loopback(host) && c.Metrics.WebConfig == "" {
		out = append(out, "metrics.listen: anybody in the network can read the metrics; metrics.web_config adds TLS and a password")
	}
	if host, _, err := net.SplitHostPort(c.Local.Listen); err == nil && !loopback(host) && c.Local.WebConfig == "" {
		out = append(out, "local.listen: anybody in the network can read the status page, serial numbers included; local.web_config adds TLS and a password")
	}
	if len(c.Orders.Allow) > 0 && c.Uplink == nil {
		out = append(out, "orders.allow: without an uplink nobody can order anything")
	}
	for _, u := range c.Units {
		if u.Card != nil {
			out = append(out, fmt.Sprintf("unit %s: card: this version does not upgrade firmware", u.Name))
		}
	}
	return out
}

// maxSize is far above any real file; whatever is longer was named by mistake.
const maxSize = 4 << 20

// Load reads and checks the file.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(data) > maxSize {
		return nil, fmt.Errorf("read the configuration: %s is longer than %d MiB", path, maxSize>>20)
	}
	return Parse(path, data)
}

// Parse checks data and fills in defaults. name stands for the file in errors.
func Parse(name string, data []byte) (*Config, error) {
	c := checker{strict.New(name)}
	file := &fileConfig{}
	if err := c.Read(data, file); err != nil {
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	cfg := &Config{}
	if c.Err() == nil {
		cfg = c.build(file)
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// A Problem is a mistake in the file.
type Problem = strict.Problem

// FirstProblem says where the first mistake is that err, of Load or of a check of the files, is about: its line and its key, and
// nothing of what the file says there. It can be told to anybody.
func FirstProblem(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return fmt.Sprintf("line %d: %s", p.Line, p.Key)
	}
	if line := yamlLine.FindString(err.Error()); line != "" {
		return strings.Trim(line, ": ") + ": no YAML"
	}
	if key, _, ok := strings.Cut(err.Error(), ": "); ok && plainKey.MatchString(key) {
		return key
	}
	return "the file cannot be read"
}

var (
	plainKey = regexp.MustCompile(`^[a-z_]+(\.[a-z_]+)+$`) // cannot be taken for anything else
	yamlLine = regexp.MustCompile(`: line \d+: `)          // of the YAML library's errors
)
