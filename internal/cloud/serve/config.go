package serve

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/config/strict"
)

// DefaultPath is where the configuration is looked for.
const DefaultPath = "/etc/upscloud/cloud.yaml"

// The shape of the file, keys as written. A nil pointer means that the key is absent and its default holds.
type file struct {
	DataDir   *string          `yaml:"data_dir"`
	Database  *string          `yaml:"database"`
	Name      *string          `yaml:"name"`
	HTTPS     fileHTTPS        `yaml:"https"`
	MQTT      fileListen       `yaml:"mqtt"`
	Metrics   fileListen       `yaml:"metrics"`
	Balancers *[]string        `yaml:"balancers"`
	TLS       fileTLS          `yaml:"tls"`
	Mail      fileMail         `yaml:"mail"`
	Notify    fileNotify       `yaml:"notify"`
	Trial     *strict.Duration `yaml:"trial"`
	Orders    fileOrders       `yaml:"orders"`
	Log       fileLog          `yaml:"log"`
}

type fileHTTPS struct {
	Listen *string `yaml:"listen"`
	URL    *string `yaml:"url"`
}

type fileListen struct {
	Listen *string `yaml:"listen"`
}

type fileTLS struct {
	CertFile *string `yaml:"cert_file"`
	KeyFile  *string `yaml:"key_file"`
}

type fileMail struct {
	Server       *string `yaml:"server"`
	TLS          *string `yaml:"tls"`
	CAFile       *string `yaml:"ca_file"`
	User         *string `yaml:"user"`
	PasswordFile *string `yaml:"password_file"`
	From         *string `yaml:"from"`
}

type fileNotify struct {
	AllowNetworks []string `yaml:"allow_networks"`
}

type fileOrders struct {
	Load    *int `yaml:"load_10m"`
	LoadDay *int `yaml:"load_day"`
}

type fileLog struct {
	Level  *string `yaml:"level"`
	Format *string `yaml:"format"`
}

// A Config is what the control plane was told. Every key with its default and reason stands in configs/cloud.reference.yaml.
type Config struct {
	DataDir   string
	Database  store.Config
	Name      string // by which agents and people reach it
	HTTPS     string // address to listen on
	URL       string // of the HTTP interface, without a slash at the end
	MQTT      string
	Broker    string         // what agents are told: tls://name:port
	Metrics   string         // "" turns it off
	Balancers []netip.Prefix // connections from these say by a PROXY header whom they are of
	CertFile  string         // "": the certificate comes from the own authority
	KeyFile   string
	Mail      mail.Config   // its Server is "" where no letters leave: they wait
	Trial     time.Duration // PLAN-13
	Orders    order.Limits
	// NotifyNetworks are networks of the operator's own that webhooks may reach, also without TLS.
	NotifyNetworks []netip.Prefix
	LogLevel       slog.Level
	LogJSON        bool
}

const maxSize = 1 << 20

// Load reads the configuration. All mistakes are told at once, each with its line, key and reason.
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
	f := &file{}
	if err := c.Read(data, f); err != nil {
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	cfg := &Config{}
	if c.Err() == nil {
		cfg = c.build(f)
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

type checker struct{ *strict.Checker }

func or[T any](v *T, fallback T) T {
	if v == nil {
		return fallback
	}
	return *v
}

const defaultTrial = 90 * 24 * time.Hour

func (c checker) build(f *file) *Config {
	cfg := &Config{
		DataDir: or(f.DataDir, "/var/lib/upscloud"), Name: or(f.Name, "localhost"),
		HTTPS: or(f.HTTPS.Listen, ":8443"), MQTT: or(f.MQTT.Listen, ":8883"), Metrics: or(f.Metrics.Listen, "127.0.0.1:9821"),
		CertFile: or(f.TLS.CertFile, ""), KeyFile: or(f.TLS.KeyFile, ""),
		Trial: time.Duration(or(f.Trial, strict.Duration(defaultTrial))),
		Mail: mail.Config{
			Server: or(f.Mail.Server, ""), TLS: or(f.Mail.TLS, mail.TLSStart), CAFile: or(f.Mail.CAFile, ""),
			User: or(f.Mail.User, ""), PasswordFile: or(f.Mail.PasswordFile, ""), From: or(f.Mail.From, ""),
		},
	}
	if cfg.DataDir == "" {
		c.At("data_dir", "is empty")
	}
	if !plainName(cfg.Name) {
		c.At("name", "%q is not a host name or an address like cloud.example", cfg.Name)
	}
	c.database(cfg, or(f.Database, ""))
	c.addresses(cfg, f)
	c.balancers(cfg, or(f.Balancers, nil))
	if (cfg.CertFile == "") != (cfg.KeyFile == "") {
		c.At("tls", "has one of cert_file and key_file; both or none are needed")
	}
	c.mail(&cfg.Mail)
	c.notify(cfg, f.Notify)
	c.orders(cfg, f.Orders)
	c.log(cfg, f.Log)
	return cfg
}

func plainName(s string) bool {
	if net.ParseIP(s) != nil {
		return true
	}
	for _, b := range []byte(s) {
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '-' && b != '.' {
			return false
		}
	}
	return s != "" && len(s) <= 253
}

// database is one line: nothing for SQLite below data_dir, or where PostgreSQL is.
func (c checker) database(cfg *Config, text string) {
	if text == "" {
		cfg.Database = store.Config{Driver: store.SQLite, DSN: filepath.Join(cfg.DataDir, "cloud.db")}
		return
	}
	cfg.Database = store.Config{Driver: store.Postgres, DSN: text}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql":
		c.At("database", "is not like postgres://user@host/name (left out, SQLite below data_dir is used)") // what it says may hold a password
	case u.User != nil && hasPassword(u.User):
		c.At("database", "has a password in it; put it into a file that PGPASSFILE names, or ~/.pgpass")
	}
}

func hasPassword(u *url.Userinfo) bool {
	_, ok := u.Password()
	return ok
}

func (c checker) addresses(cfg *Config, f *file) {
	seen := map[string]string{}
	for _, l := range []struct{ key, address string }{{"https.listen", cfg.HTTPS}, {"mqtt.listen", cfg.MQTT}, {"metrics.listen", cfg.Metrics}} {
		if l.address == "" && l.key == "metrics.listen" {
			continue
		}
		if _, port, err := net.SplitHostPort(l.address); err != nil || port == "" {
			c.At(l.key, "%q is not an address like :8443 or 127.0.0.1:8443", l.address)
		} else if port != "0" && seen[l.address] != "" {
			c.At(l.key, "%s is %s, too", l.address, seen[l.address])
		}
		seen[l.address] = l.key
	}
	_, port, _ := net.SplitHostPort(cfg.HTTPS)
	cfg.URL = strings.TrimSuffix(or(f.HTTPS.URL, "https://"+net.JoinHostPort(cfg.Name, port)), "/")
	if u, err := url.Parse(cfg.URL); err != nil || u.Scheme != "https" || u.Host == "" {
		c.At("https.url", "%q is not like https://cloud.example", cfg.URL)
	}
	_, port, _ = net.SplitHostPort(cfg.MQTT)
	cfg.Broker = "tls://" + net.JoinHostPort(cfg.Name, port)
}

// balancers are addresses and networks. One that has everybody in it would let everybody say where they come from.
func (c checker) balancers(cfg *Config, list []string) {
	for i, text := range list {
		p, err := netip.ParsePrefix(text)
		if a, addrErr := netip.ParseAddr(text); addrErr == nil {
			p, err = netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen()), nil
		}
		if err != nil || p.Bits() < 8 {
			c.At(fmt.Sprintf("balancers[%d]", i), "%q is not an address like 10.0.0.5 or a network like 10.0.0.0/24", text)
			continue
		}
		cfg.Balancers = append(cfg.Balancers, p.Masked())
	}
}

func (c checker) mail(m *mail.Config) {
	if m.Server == "" {
		return
	}
	host, _, err := net.SplitHostPort(m.Server)
	ip := net.ParseIP(host)
	switch {
	case err != nil:
		c.At("mail.server", "%q is not like mail.example:587", m.Server)
	case m.From == "":
		c.At("mail.from", "is missing; letters need a sender")
	}
	switch m.TLS {
	case mail.TLSStart, mail.TLSOnly:
	case mail.TLSNone:
		if host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			c.At("mail.tls", "is none: only to this machine itself")
		}
	default:
		c.At("mail.tls", "%q is not starttls, tls or none", m.TLS)
	}
	if (m.User == "") != (m.PasswordFile == "") {
		c.At("mail", "has one of user and password_file; both or none are needed")
	}
}

// notify takes networks that webhooks reach beside the internet (T-85).
func (c checker) notify(cfg *Config, f fileNotify) {
	for i, text := range f.AllowNetworks {
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() || p.Bits() < 8 { // one that has everybody in it would turn the guard off
			c.At(fmt.Sprintf("notify.allow_networks[%d]", i), "%q is not a network like 10.1.0.0/16 (of 8 bits or more)", text)
			continue
		}
		cfg.NotifyNetworks = append(cfg.NotifyNetworks, p)
	}
}

// orders bounds what can switch off people's servers, of one device. That there is a bound is not for the operator to decide (T-07).
func (c checker) orders(cfg *Config, f fileOrders) {
	cfg.Orders = order.DefaultLimits()
	for _, l := range []struct {
		key  string
		from *int
		to   *int
	}{{"orders.load_10m", f.Load, &cfg.Orders.Load}, {"orders.load_day", f.LoadDay, &cfg.Orders.LoadDay}} {
		if l.from == nil {
			continue
		}
		if *l.from < 1 || *l.from > 1000 {
			c.At(l.key, "%d is not between 1 and 1000", *l.from)
		}
		*l.to = *l.from
	}
}

func (c checker) log(cfg *Config, f fileLog) {
	if err := cfg.LogLevel.UnmarshalText([]byte(or(f.Level, "info"))); err != nil {
		c.At("log.level", "%q is not debug, info, warn or error", or(f.Level, ""))
	}
	switch format := or(f.Format, "text"); format {
	case "text":
	case "json":
		cfg.LogJSON = true
	default:
		c.At("log.format", "%q is not text or json", format)
	}
}
