package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The shape of the file, keys as written. A nil pointer means that the key is absent and its default holds.

type fileConfig struct {
	StateDir *string     `yaml:"state_dir"`
	Spool    fileSpool   `yaml:"spool"`
	Units    []fileUnit  `yaml:"units"`
	Uplink   *fileUplink `yaml:"uplink"`
	Metrics  fileMetrics `yaml:"metrics"`
	Local    fileLocal   `yaml:"local"`
	Orders   fileOrders  `yaml:"orders"`
	Log      fileLog     `yaml:"log"`
}

type fileSpool struct {
	MaxBytes *byteSize `yaml:"max_bytes"`
	Flush    *duration `yaml:"flush"`
}

type fileUnit struct {
	Name       *string        `yaml:"name"`
	Serial     *fileSerial    `yaml:"serial"`
	TCP        *fileTCP       `yaml:"tcp"`
	UnitID     *int           `yaml:"unit_id"`
	Poll       filePoll       `yaml:"poll"`
	Thresholds fileThresholds `yaml:"thresholds"`
	Card       *fileCard      `yaml:"card"`
}

type fileSerial struct {
	Device *string `yaml:"device"`
	Baud   *int    `yaml:"baud"`
	Parity *string `yaml:"parity"`
}

type fileTCP struct {
	Address *string `yaml:"address"`
	Via     *string `yaml:"via"`
}

type filePoll struct {
	Watch    *duration `yaml:"watch"`
	Status   *duration `yaml:"status"`
	Live     *duration `yaml:"live"`
	Settings *duration `yaml:"settings"`
}

type fileThresholds struct {
	LowBatteryRuntime  *duration `yaml:"low_battery_runtime"`
	BatteryTemperature *float64  `yaml:"battery_temperature"`
	Load               *float64  `yaml:"load"`
}

type fileCard struct {
	Address         *string `yaml:"address"`
	CredentialsFile *string `yaml:"credentials_file"`
}

type fileUplink struct {
	Broker    *string   `yaml:"broker"`
	TLS       fileTLS   `yaml:"tls"`
	Insecure  *bool     `yaml:"insecure"`
	AgentID   *string   `yaml:"agent_id"`
	MaxRate   *byteSize `yaml:"max_rate"`
	Addresses *string   `yaml:"addresses"`
}

type fileTLS struct {
	CAFile   *string `yaml:"ca_file"`
	CertFile *string `yaml:"cert_file"`
	KeyFile  *string `yaml:"key_file"`
}

type fileMetrics struct {
	Listen      *string `yaml:"listen"`
	WebConfig   *string `yaml:"web_config"`
	SerialLabel *bool   `yaml:"serial_label"`
}

type fileLocal struct {
	Listen *string `yaml:"listen"`
	Socket *string `yaml:"socket"`
}

type fileOrders struct {
	Allow       []string  `yaml:"allow"`
	Hours       *string   `yaml:"hours"`
	MinInterval *duration `yaml:"min_interval"`
	DailyMax    *int      `yaml:"daily_max"`
}

type fileLog struct {
	Level  *string `yaml:"level"`
	Format *string `yaml:"format"`
}

// A duration is written with its unit: 100ms, 10s, 2m, 1h. Only 0 needs none.
type duration time.Duration

func (d *duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		if _, e := strconv.ParseFloat(n.Value, 64); e == nil {
			return fmt.Errorf("%s has no unit: write %sms, %ss or %sm", n.Value, n.Value, n.Value, n.Value)
		}
		return fmt.Errorf("%q is not a duration such as 100ms, 10s or 2m", n.Value)
	}
	if v < 0 {
		return fmt.Errorf("%s is negative", n.Value)
	}
	*d = duration(v)
	return nil
}

// A byteSize is a number of bytes, with or without a unit: 1GiB, 500MB, 4096.
type byteSize int64

var byteUnits = []struct {
	suffix string
	bytes  float64
}{ // longest suffix first
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
	{"", 1},
}

func (b *byteSize) UnmarshalYAML(n *yaml.Node) error {
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(n.Value, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil {
			break
		}
		if bytes := v * u.bytes; !(bytes >= 0 && bytes <= math.MaxInt64/2) || bytes > 0 && bytes < 1 { // not NaN either
			return fmt.Errorf("%s is out of range", n.Value)
		}
		*b = byteSize(v * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 512MiB or 1GiB", n.Value)
}
