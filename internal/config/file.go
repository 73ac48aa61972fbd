package config

import "upsedge/internal/config/strict"

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
	MaxBytes *strict.ByteSize `yaml:"max_bytes"`
	Flush    *strict.Duration `yaml:"flush"`
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
	Watch    *strict.Duration `yaml:"watch"`
	Status   *strict.Duration `yaml:"status"`
	Live     *strict.Duration `yaml:"live"`
	Settings *strict.Duration `yaml:"settings"`
}

type fileThresholds struct {
	LowBatteryRuntime  *strict.Duration `yaml:"low_battery_runtime"`
	BatteryTemperature *float64         `yaml:"battery_temperature"`
	Load               *float64         `yaml:"load"`
}

type fileCard struct {
	Address         *string `yaml:"address"`
	CredentialsFile *string `yaml:"credentials_file"`
}

type fileUplink struct {
	Broker    *string          `yaml:"broker"`
	TLS       fileTLS          `yaml:"tls"`
	Insecure  *bool            `yaml:"insecure"`
	AgentID   *string          `yaml:"agent_id"`
	MaxRate   *strict.ByteSize `yaml:"max_rate"`
	Addresses *string          `yaml:"addresses"`
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

	WebConfig *string  `yaml:"web_config"`
	Names     []string `yaml:"names"`
}

type fileOrders struct {
	Allow       []string         `yaml:"allow"`
	Hours       *string          `yaml:"hours"`
	MinInterval *strict.Duration `yaml:"min_interval"`
	DailyMax    *int             `yaml:"daily_max"`
	Bundle      *bool            `yaml:"bundle"`
	FedBy       fileFedBy        `yaml:"fed_by"`
}

type fileFedBy struct {
	Unit  *string `yaml:"unit"`
	Group *string `yaml:"group"`
}

type fileLog struct {
	Level  *string `yaml:"level"`
	Format *string `yaml:"format"`
}
