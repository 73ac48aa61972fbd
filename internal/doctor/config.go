package doctor

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"upsedge/internal/config"
)

// Config is what may be told of the configuration: a positive list. Rates, limits and switches stand there with their values; of an address the
// last two segments (PRIV-5), of a file whether it is there.
type Config struct {
	StateDir string       `json:"state_dir"` // default or another one
	Spool    configSpool  `json:"spool"`
	Units    []configUnit `json:"units"`
	Others   int          `json:"other_units"` // that the bundle is not about
	Uplink   *configUp    `json:"uplink,omitempty"`
	Metrics  configMetric `json:"metrics"`
	Local    configLocal  `json:"local"`
	Orders   configOrders `json:"orders"`
	Log      configLog    `json:"log"`
}

type configSpool struct {
	MaxBytes int64  `json:"max_bytes"`
	Flush    string `json:"flush"`
}

type configUnit struct {
	Name       string            `json:"name"`
	Serial     *configSerial     `json:"serial,omitempty"`
	TCP        *configTCP        `json:"tcp,omitempty"`
	UnitID     uint8             `json:"unit_id"`
	Poll       map[string]string `json:"poll"`
	Thresholds struct {
		LowBatteryRuntime  string  `json:"low_battery_runtime"`
		BatteryTemperature float64 `json:"battery_temperature"`
		Load               float64 `json:"load"`
	} `json:"thresholds"`
	Card *configCard `json:"card,omitempty"`
}

type configSerial struct {
	Device string `json:"device"`
	Baud   int    `json:"baud"`
	Parity string `json:"parity"`
}

type configTCP struct {
	Address string `json:"address"`
	Port    string `json:"port"`
	Via     string `json:"via"`
}

type configCard struct {
	Address     string `json:"address"`
	Credentials string `json:"credentials_file"`
}

type configUp struct {
	Broker    string `json:"broker"`
	Scheme    string `json:"scheme"`
	Port      string `json:"port"`
	CA        string `json:"ca_file"`
	Cert      string `json:"cert_file"`
	Key       string `json:"key_file"`
	Insecure  bool   `json:"insecure"`
	AgentID   string `json:"agent_id"`
	MaxRate   int64  `json:"max_rate"`
	Addresses string `json:"addresses"`
}

type configMetric struct {
	Listen      string `json:"listen"`
	WebConfig   string `json:"web_config"`
	SerialLabel bool   `json:"serial_label"`
}

type configLocal struct {
	Listen    string `json:"listen"`
	Socket    string `json:"socket"`
	WebConfig string `json:"web_config"`
	Names     int    `json:"names"` // how many
}

type configOrders struct {
	Allow       []string `json:"allow"`
	Hours       string   `json:"hours"`
	MinInterval string   `json:"min_interval"`
	DailyMax    int      `json:"daily_max"`
	Bundle      bool     `json:"bundle"`
	FedBy       string   `json:"fed_by"` // unit and group; of a unit that the bundle is not about only that it is one
}

type configLog struct {
	Level  string `json:"level"`
	Format string `json:"format"`
}

// Configured is what may be told of a configuration: of all units, or of the one that the bundle is about.
func Configured(c *config.Config, about string, all bool) Config {
	out := Config{
		StateDir: set(c.StateDir != defaultState, "default", "another"),
		Spool:    configSpool{c.Spool.MaxBytes, c.Spool.Flush.String()},
		Units:    []configUnit{},
		Metrics:  configMetric{listen(c.Metrics.Listen), present(c.Metrics.WebConfig), c.Metrics.SerialLabel},
		Local:    configLocal{listen(c.Local.Listen), set(c.Local.Socket != "", "off", "on"), present(c.Local.WebConfig), len(c.Local.Names)},
		Orders:   configOrders{slices.Clone(c.Orders.Allow), c.Orders.Hours, c.Orders.MinInterval.String(), c.Orders.DailyMax, c.Orders.Bundle, fedBy(c.Orders.FedBy, about, all)},
		Log:      configLog{c.Log.Level.String(), c.Log.Format},
	}
	for _, u := range c.Units {
		if !all && u.Name != about {
			out.Others++
			continue
		}
		out.Units = append(out.Units, configuredUnit(u))
	}
	if u := c.Uplink; u != nil {
		scheme, rest, _ := strings.Cut(u.Broker, "://")
		host, port := split(rest)
		out.Uplink = &configUp{
			Broker: Tail(host), Scheme: scheme, Port: port, CA: present(u.CAFile), Cert: present(u.CertFile), Key: present(u.KeyFile),
			Insecure: u.Insecure, AgentID: set(u.AgentID != "", "not set", "set"), MaxRate: u.MaxRate, Addresses: u.Addresses,
		}
	}
	return out
}

// fedBy is the outlet group that the box hangs on.
func fedBy(f config.FedBy, about string, all bool) string {
	switch {
	case f == (config.FedBy{}):
		return "not set"
	case all || f.Unit == about:
		return fmt.Sprintf("%s of %s", f.Group, f.Unit)
	}
	return "another unit"
}

const defaultState = "/var/lib/upsagent"

func configuredUnit(u config.Unit) configUnit {
	out := configUnit{Name: u.Name, UnitID: u.UnitID, Poll: map[string]string{}}
	for t, every := range u.Poll {
		out.Poll[tierName(t)] = every.String()
	}
	out.Thresholds.LowBatteryRuntime = u.Thresholds.LowBatteryRuntime.Round(time.Second).String()
	out.Thresholds.BatteryTemperature, out.Thresholds.Load = u.Thresholds.BatteryTemperature, u.Thresholds.Load
	if s := u.Serial; s != nil {
		out.Serial = &configSerial{device(s.Device), s.Baud, s.Parity}
	}
	if t := u.TCP; t != nil {
		host, port := split(t.Address)
		out.TCP = &configTCP{Tail(host), port, set(t.Card, "unit", "card")}
	}
	if k := u.Card; k != nil {
		host, _ := split(k.Address)
		out.Card = &configCard{Tail(host), present(k.CredentialsFile)}
	}
	return out
}

// device is the name of a serial port where it is one of the kernel's; what stands in /dev/serial/by-id has the serial number of the adapter.
func device(path string) string {
	if name, ok := strings.CutPrefix(path, "/dev/"); ok && !strings.ContainsAny(name, "/.") {
		return path
	}
	return noPath
}

// listen says where something is listened on: only whether others reach it.
func listen(address string) string {
	if address == "" {
		return "off"
	}
	host, port := split(address)
	switch {
	case host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1":
		return "this box, port " + port
	case host == "" || host == "0.0.0.0" || host == "::":
		return "everywhere, port " + port
	}
	return Tail(host) + ", port " + port
}

// split is an address without its port, and the port where it is a number.
func split(address string) (host, port string) {
	i := strings.LastIndexByte(address, ':')
	if i < 0 || strings.HasSuffix(address, "]") {
		return strings.Trim(address, "[]"), ""
	}
	host, port = strings.Trim(address[:i], "[]"), address[i+1:]
	if strings.Trim(port, "0123456789") != "" {
		return host, ""
	}
	return host, port
}

// present says of a file whether it is there, and nothing else.
func present(path string) string {
	if path == "" {
		return "not set"
	}
	if _, err := os.Stat(path); err != nil {
		return "set, and cannot be found"
	}
	return "present"
}

func set(is bool, no, yes string) string {
	if is {
		return yes
	}
	return no
}

// SecretsOf reads the files that a configuration names, for the last look: nothing of them is kept longer than that takes.
func SecretsOf(c *config.Config) *Secrets {
	s := &Secrets{}
	if u := c.Uplink; u != nil {
		s.PEM("uplink.tls.key_file", u.KeyFile)
		s.PEM("uplink.tls.cert_file", u.CertFile) // enrolment keeps both in one file
	}
	if f := c.Metrics.WebConfig; f != "" {
		s.Web("metrics.web_config", f)
	}
	if f := c.Local.WebConfig; f != "" {
		s.Web("local.web_config", f)
	}
	for _, u := range c.Units {
		if u.Card != nil {
			s.Lines("units.card.credentials_file", u.Card.CredentialsFile)
		}
	}
	s.State(c.StateDir)
	return s
}
