package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"upsedge/internal/config/strict"
	"upsedge/internal/ups"
)

// Limits of what the file may say.
const (
	leastRate    = 10 * time.Millisecond // no line answers faster; below it a value is a typing error
	leastFlush   = 100 * time.Millisecond
	mostFlush    = 10 * time.Minute // what a crash loses, and what waits in memory
	leastSpool   = 4 << 20
	maxUnitName  = 63
	serialMaxID  = 223 // protocol reference, section 2.1: 224 to 247 are reserved on the unit itself
	cardMaxID    = 247 // section 2.4
	modbusTCP    = "502"
	mqttTLSPort  = "8883"
	mqttBarePort = "1883"
)

var (
	unitName    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	hostName    = regexp.MustCompile(`^[A-Za-z0-9._:%-]+$`)
	pageName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	agentID     = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	orderHours  = regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$`)
	bauds       = []int{1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200}
	orderGroups = []string{"diagnostics", "alarms", "settings", "reboot", "outlets", "firmware"}
)

// A checker turns what the file says into what the program uses.
type checker struct{ *strict.Checker }

// build checks what the structure cannot say and fills in defaults. Defaults and their reasons stand in
// configs/agent.reference.yaml; a test compares the two.
func (c checker) build(f *fileConfig) *Config {
	cfg := &Config{
		StateDir: or(f.StateDir, "/var/lib/upsagent"),
		Spool: Spool{
			MaxBytes: int64(or(f.Spool.MaxBytes, 1<<30)),
			Flush:    time.Duration(or(f.Spool.Flush, strict.Duration(10*time.Second))),
		},
		Metrics: Metrics{or(f.Metrics.Listen, "127.0.0.1:9811"), or(f.Metrics.WebConfig, ""), or(f.Metrics.SerialLabel, false)},
		Local:   Local{or(f.Local.Listen, "127.0.0.1:9812"), or(f.Local.Socket, "/run/upsagent/agent.sock"), or(f.Local.WebConfig, ""), append([]string{}, f.Local.Names...)},
		Log:     Log{Format: oneOf(c, "log.format", or(f.Log.Format, "text"), "text", "json")},
	}
	if cfg.StateDir == "" {
		c.At("state_dir", "is empty")
	}
	if cfg.Spool.MaxBytes < leastSpool {
		c.At("spool.max_bytes", "%d bytes are below the least of 4MiB", cfg.Spool.MaxBytes)
	}
	if cfg.Spool.Flush < leastFlush {
		c.At("spool.flush", "%v is below the least of %v", cfg.Spool.Flush, leastFlush)
	}
	if cfg.Spool.Flush > mostFlush {
		c.At("spool.flush", "%v is above the most of %v: that much is lost in a crash", cfg.Spool.Flush, mostFlush)
	}
	if cfg.Metrics.Listen != "" && cfg.Metrics.Listen == cfg.Local.Listen && !strings.HasSuffix(cfg.Local.Listen, ":0") {
		c.At("local.listen", "%s is metrics.listen, too", cfg.Local.Listen)
	}
	if err := cfg.Log.Level.UnmarshalText([]byte(or(f.Log.Level, "info"))); err != nil {
		c.At("log.level", "%q is not debug, info, warn or error", or(f.Log.Level, ""))
		cfg.Log.Level = slog.LevelInfo
	}
	c.listen("metrics.listen", cfg.Metrics.Listen)
	c.listen("local.listen", cfg.Local.Listen)
	for i, n := range cfg.Local.Names {
		if !pageName.MatchString(n) || len(n) > 253 {
			c.At(fmt.Sprintf("local.names[%d]", i), "%q is not a host name in lower case like box.example", n)
		}
	}
	c.orders(cfg, f.Orders)
	for i := range f.Units {
		cfg.Units = append(cfg.Units, c.unit(fmt.Sprintf("units[%d]", i), &f.Units[i]))
	}
	c.lineSharing(cfg.Units)
	cfg.Orders.FedBy = c.fedBy(f.Orders.FedBy, cfg.Units)
	if f.Uplink != nil {
		cfg.Uplink = c.uplink(f.Uplink)
	}
	return cfg
}

func (c checker) unit(key string, f *fileUnit) Unit {
	u := Unit{Name: or(f.Name, ""), UnitID: 1, Thresholds: c.thresholds(key+".thresholds", f.Thresholds)}
	switch {
	case u.Name == "":
		c.At(key+".name", "is missing")
	case !unitName.MatchString(u.Name) || len(u.Name) > maxUnitName:
		c.At(key+".name", "%q is not 1 to %d characters of a-z, 0-9 and -, the first not -", u.Name, maxUnitName)
	}
	switch {
	case f.Serial != nil && f.TCP != nil:
		c.At(key, "has both serial and tcp; a unit is on one line")
	case f.Serial != nil:
		u.Serial = c.serial(key+".serial", f.Serial)
	case f.TCP != nil:
		u.TCP = c.tcp(key+".tcp", f.TCP)
	default:
		c.At(key, "has neither serial nor tcp")
	}
	top := serialMaxID
	if u.OverCard() {
		top = cardMaxID
	}
	id := or(f.UnitID, 1)
	if id < 1 || id > top {
		c.At(key+".unit_id", "%d is not in 1 to %d", id, top)
	}
	u.UnitID = uint8(id)
	u.Poll = c.poll(key+".poll", f.Poll, u)
	if f.Card != nil {
		u.Card = &Card{or(f.Card.Address, ""), or(f.Card.CredentialsFile, "")}
		if u.Card.Address == "" {
			c.At(key+".card.address", "is missing")
		}
	}
	return u
}

func (c checker) serial(key string, f *fileSerial) *Serial {
	s := &Serial{or(f.Device, ""), or(f.Baud, 9600), oneOf(c, key+".parity", or(f.Parity, "none"), "none", "even", "odd")}
	if s.Device == "" {
		c.At(key+".device", "is missing")
	} else {
		s.Device = filepath.Clean(s.Device) // one port, one spelling: units on it share a line
	}
	if !slices.Contains(bauds, s.Baud) {
		c.At(key+".baud", "%d is not one of %v; the unit's own port is 9600", s.Baud, bauds)
	}
	return s
}

func (c checker) tcp(key string, f *fileTCP) *TCP {
	t := &TCP{Address: or(f.Address, ""), Card: oneOf(c, key+".via", or(f.Via, "unit"), "unit", "card") == "card"}
	addr, err := withPort(t.Address, modbusTCP)
	if err != nil {
		c.At(key+".address", "%v", err)
		return t
	}
	t.Address = addr
	return t
}

func (c checker) poll(key string, f filePoll, u Unit) (out [ups.TierCount]time.Duration) {
	def := DefaultRates(u.Serial != nil, u.OverCard())
	for tier, d := range [...]*strict.Duration{f.Watch, f.Status, f.Live, f.Settings} {
		out[tier] = time.Duration(or(d, strict.Duration(def[tier])))
		if out[tier] != 0 && out[tier] < leastRate {
			c.At(fmt.Sprintf("%s.%v", key, ups.Tier(tier)), "%v is below the least of %v", out[tier], leastRate)
		}
	}
	out[ups.TierIdentity] = def[ups.TierIdentity]
	if out[ups.TierWatch] == 0 && out[ups.TierStatus] == 0 {
		c.At(key, "has both watch and status turned off; nobody would see a power failure")
	}
	return out
}

// DefaultRates returns how often each tier is read unless the file says otherwise (design, section 4).
func DefaultRates(serial, card bool) [ups.TierCount]time.Duration {
	const settings, identity = 10 * time.Minute, time.Hour
	switch {
	case serial:
		return [...]time.Duration{200 * time.Millisecond, time.Second, 500 * time.Millisecond, settings, identity}
	case card: // the vendor asks for no more than this (protocol reference, section 2.4)
		return [...]time.Duration{3 * time.Second, 3 * time.Second, 3 * time.Second, settings, identity}
	}
	return [...]time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 500 * time.Millisecond, settings, identity}
}

func (c checker) thresholds(key string, f fileThresholds) Thresholds {
	t := Thresholds{
		LowBatteryRuntime:  time.Duration(or(f.LowBatteryRuntime, strict.Duration(2*time.Minute))),
		BatteryTemperature: or(f.BatteryTemperature, 40),
		Load:               or(f.Load, 80),
	}
	if t.LowBatteryRuntime == 0 {
		c.At(key+".low_battery_runtime", "is 0; the alarm would come when the battery is empty")
	}
	if !(t.BatteryTemperature >= 10 && t.BatteryTemperature <= 80) { // not NaN either
		c.At(key+".battery_temperature", "%g is not in 10 to 80 (°C)", t.BatteryTemperature)
	}
	if !(t.Load >= 1 && t.Load <= 100) {
		c.At(key+".load", "%g is not in 1 to 100 (percent)", t.Load)
	}
	return t
}

// lineSharing checks what units on one line must agree on, and that no name or address is used twice.
func (c checker) lineSharing(units []Unit) {
	names, first, taken := map[string]int{}, map[string]int{}, map[string]int{}
	for i, u := range units {
		key := fmt.Sprintf("units[%d]", i)
		if j, ok := names[u.Name]; ok && u.Name != "" {
			c.At(key+".name", "%q is the name of units[%d], too", u.Name, j)
		}
		names[u.Name] = i
		if u.Serial == nil && u.TCP == nil {
			continue
		}
		line := u.LineKey()
		if j, ok := first[line]; ok && u.Serial != nil && *units[j].Serial != *u.Serial {
			c.At(key+".serial", "has another baud rate or parity than units[%d] on the same port", j)
		} else if !ok {
			first[line] = i
		}
		address := fmt.Sprintf("%s/%d", line, u.UnitID)
		if j, ok := taken[address]; ok {
			c.At(key+".unit_id", "%d is the address of units[%d] on the same line, too", u.UnitID, j)
		}
		taken[address] = i
	}
}

func (c checker) uplink(f *fileUplink) *Uplink {
	u := &Uplink{
		Broker: or(f.Broker, ""), Insecure: or(f.Insecure, false), AgentID: or(f.AgentID, ""),
		CAFile: or(f.TLS.CAFile, ""), CertFile: or(f.TLS.CertFile, ""), KeyFile: or(f.TLS.KeyFile, ""),
		MaxRate:   int64(or(f.MaxRate, 0)),
		Addresses: oneOf(c, "uplink.addresses", or(f.Addresses, "tail"), "tail", "full", "none"),
	}
	if (u.CertFile == "") != (u.KeyFile == "") {
		c.At("uplink.tls", "has one of cert_file and key_file; both or none are needed")
	}
	if u.AgentID != "" && u.CertFile != "" {
		c.At("uplink.agent_id", "is set beside a certificate; the certificate's name is the agent id")
	}
	if u.AgentID != "" && !agentID.MatchString(u.AgentID) {
		c.At("uplink.agent_id", "%q is not 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'", u.AgentID)
	}
	c.broker(u)
	return u
}

func (c checker) broker(u *Uplink) {
	const key = "uplink.broker"
	b, err := url.Parse(u.Broker)
	if strings.Contains(u.Broker, "@") { // what stands before it may be a password, and these words go to the log
		c.At(key, "has a name or password in it, or an @; want an address like tls://cloud.example:8883")
		return
	}
	if u.Broker == "" || err != nil || b.Host == "" || b.Path != "" || (b.Scheme != "tls" && b.Scheme != "tcp") {
		c.At(key, "%q is not an address like tls://cloud.example:8883", u.Broker)
		return
	}
	port := mqttTLSPort
	if b.Scheme == "tcp" {
		port = mqttBarePort
		if !u.Insecure || !loopback(b.Hostname()) {
			c.At(key, "%s is plain TCP: only to the box itself (127.0.0.1, ::1, localhost) and only with insecure: true", u.Broker)
		}
	} else if u.Insecure {
		c.At("uplink.insecure", "is true, but the broker is tls://; TLS is always checked")
	}
	if b.Host, err = withPort(b.Host, port); err != nil {
		c.At(key, "%v", err)
	}
	u.Broker = b.String()
}

func (c checker) orders(cfg *Config, f fileOrders) {
	cfg.Orders = Orders{
		Allow: f.Allow, Hours: or(f.Hours, ""),
		MinInterval: time.Duration(or(f.MinInterval, strict.Duration(2*time.Minute))), DailyMax: or(f.DailyMax, 12), Bundle: or(f.Bundle, true),
	}
	for i, g := range f.Allow {
		if !slices.Contains(orderGroups, g) {
			c.At(fmt.Sprintf("orders.allow[%d]", i), "%q is not one of %s", g, strings.Join(orderGroups, ", "))
		}
	}
	if cfg.Orders.Hours != "" && !orderHours.MatchString(cfg.Orders.Hours) {
		c.At("orders.hours", "%q is not like 08:00-18:00", cfg.Orders.Hours)
	}
	if cfg.Orders.DailyMax < 0 {
		c.At("orders.daily_max", "%d is negative", cfg.Orders.DailyMax)
	}
}

// fedBy is the outlet that this box hangs on.
func (c checker) fedBy(f fileFedBy, units []Unit) (by FedBy) {
	if f.Unit == nil && f.Group == nil {
		return by
	}
	by.Unit = or(f.Unit, "")
	if !slices.ContainsFunc(units, func(u Unit) bool { return u.Name == by.Unit }) {
		c.At("orders.fed_by.unit", "%q is no unit of this file", by.Unit)
	}
	groups, err := ups.ParseGroups(or(f.Group, ""))
	if err != nil || len(groups) != 1 {
		c.At("orders.fed_by.group", "%q is not main, sog0, sog1 or sog2", or(f.Group, ""))
		return by
	}
	by.Group = groups[0]
	return by
}

func (c checker) listen(key, address string) {
	if address == "" {
		return
	}
	_, port, err := net.SplitHostPort(address)
	if _, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil { // 0: any free one
		c.At(key, "%q is not an address like 127.0.0.1:9811", address)
	}
}

// withPort returns the address of a peer as host:port, with port where it names none.
func withPort(address, port string) (string, error) {
	if address == "" {
		return "", fmt.Errorf("is missing")
	}
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		host, p = strings.Trim(address, "[]"), port
		bracketed := strings.HasPrefix(address, "[") && strings.HasSuffix(address, "]")
		if _, e := netip.ParseAddr(host); (e != nil && strings.Contains(host, ":")) || (!bracketed && strings.ContainsAny(address, "[]")) {
			return "", fmt.Errorf("%q is not an address like 192.0.2.20:%s", address, port)
		}
	}
	if n, e := strconv.ParseUint(p, 10, 16); e != nil || n == 0 || !hostName.MatchString(host) {
		return "", fmt.Errorf("%q is not an address like 192.0.2.20:%s", address, port)
	}
	return net.JoinHostPort(host, p), nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func oneOf(c checker, key, value string, allowed ...string) string {
	if !slices.Contains(allowed, value) {
		c.At(key, "%q is not %s", value, strings.Join(allowed, ", "))
	}
	return value
}

func or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}
