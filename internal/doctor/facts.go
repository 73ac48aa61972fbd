package doctor

import (
	"io"
	"slices"
	"time"
)

// Facts are everything that a bundle can say. There is no field for what other equipment there is, what runs on the box, or who anybody is.
type Facts struct {
	About        string     // the unit it is about, by its name in the configuration; "": all, or none that is here
	Made         *time.Time // nil while the box does not know the time
	Build        Build
	Box          Box
	Config       Config
	Units        []Unit
	Spool        Spool
	Clock        Clock
	Certificates []Certificate
	Uplink       Uplink
	Checks       []Checked
	Orders       []Order
	Metrics      func(io.Writer) error // in the text form of Prometheus; nil: none
	Log          []Line
	// Others are the units of the site that it is not about: nothing of them is in it.
	Others []Other
	// Left says what is not in it and why, beside what Make finds out itself.
	Left []string
}

// An Other is a unit that a bundle is not about.
type Other struct{ Name, Serial string }

// Words are free text that somebody else may have had a hand in: an error of the system, of the cloud, of a device. They are redacted on
// their way out, wherever they stand.
type Words string

// MarshalText redacts.
func (w Words) MarshalText() ([]byte, error) { return []byte(Redact(string(w))), nil }

// Checked is what is told of a check: the worst of what it found. What it would say is for who stands at the box.
type Checked struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
}

// CheckedOf is what is told of findings, in their order.
func CheckedOf(found []Finding) []Checked {
	out := []Checked{}
	for _, f := range found { // problems first
		if !slices.ContainsFunc(out, func(c Checked) bool { return c.Check == f.Check }) {
			out = append(out, Checked{f.Check, f.Level})
		}
	}
	return out
}

// Build is the program.
type Build struct {
	Version  string     `json:"version"`
	Go       string     `json:"go"`
	Platform string     `json:"platform"`
	Changed  *time.Time `json:"source_changed,omitempty"`
	Started  *time.Time `json:"started,omitempty"` // nil: no agent runs
}

// Box is the gateway (PRIV-8).
type Box struct {
	Name         string      `json:"name,omitempty"`
	System       string      `json:"system,omitempty"`
	Kernel       string      `json:"kernel,omitempty"`
	Processors   int         `json:"processors"`
	Load         []float64   `json:"load,omitempty"` // of 1, 5 and 15 minutes
	MemoryBytes  uint64      `json:"memory_bytes,omitempty"`
	MemoryFree   uint64      `json:"memory_available_bytes,omitempty"`
	UpSeconds    int64       `json:"up_seconds,omitempty"`
	DiskBytes    uint64      `json:"disk_bytes,omitempty"`
	DiskFree     uint64      `json:"disk_free_bytes,omitempty"`
	DiskReadOnly bool        `json:"disk_read_only"`
	Interfaces   []Interface `json:"interfaces,omitempty"`
}

// An Interface is one of the box's own to a network.
type Interface struct {
	Name string `json:"name"`
	Up   bool   `json:"up"`
}

// A Unit is one UPS.
type Unit struct {
	Name         string            `json:"unit"`
	Serial       string            `json:"serial,omitempty"`
	Model        string            `json:"model,omitempty"`
	SKU          string            `json:"sku,omitempty"`
	Firmware     string            `json:"firmware,omitempty"`
	Condition    []string          `json:"condition"`
	Alarms       []Alarm           `json:"alarms"`
	Failure      Words             `json:"failure,omitempty"`
	Age          *float64          `json:"answered_seconds_ago,omitempty"`
	Capabilities map[string]string `json:"capabilities,omitempty"`
	Line         LineFacts         `json:"line"`
}

// An Alarm is an active one.
type Alarm struct {
	ID          int    `json:"alarm"`
	Severity    string `json:"severity"`
	Text        Words  `json:"text"`
	Group       string `json:"group,omitempty"`
	Unconfirmed bool   `json:"unconfirmed,omitempty"`
}

// LineFacts are what the line to a unit is asked to carry and does.
type LineFacts struct {
	Kind       string   `json:"kind"` // serial, tcp, card
	Units      int      `json:"units"`
	Load       float64  `json:"load"` // share of its time that is asked for
	Stretch    float64  `json:"stretch"`
	Turnaround float64  `json:"turnaround_ms"`
	Missed     int      `json:"missed"` // readings since the last one that came
	Lost       bool     `json:"lost"`   // it is tried to connect
	Plan       []string `json:"plan"`   // tier, first register and registers, time
}

// Spool is what waits, in numbers.
type Spool struct {
	Running     bool           `json:"running"` // else only what the directory shows
	Disk        Words          `json:"disk,omitempty"`
	FileBytes   int64          `json:"file_bytes"`
	MaxBytes    int64          `json:"max_bytes"`
	Damaged     uint64         `json:"damaged"`
	Lanes       []Lane         `json:"lanes,omitempty"`
	Orders      map[string]int `json:"orders_ended,omitempty"` // those shown, by their end
	OrdersKnown int64          `json:"orders_known"`           // by the journal
	OrdersMost  int64          `json:"orders_most"`
	Rejected    uint64         `json:"messages_that_were_no_order"`
	Files       []File         `json:"files,omitempty"`
	Alarms      []Alarm        `json:"alarms,omitempty"` // of the agent itself
}

// A Lane is what waits to be delivered.
type Lane struct {
	Name    string            `json:"lane"`
	Records int64             `json:"records"`
	Bytes   int64             `json:"bytes"`
	First   uint64            `json:"first"`
	Last    uint64            `json:"last"`
	Age     *float64          `json:"oldest_seconds,omitempty"`
	Dropped map[string]uint64 `json:"dropped,omitempty"`
}

// A File is one of the agent's own in its state directory.
type File struct {
	Name  string  `json:"file"`
	Bytes int64   `json:"bytes"`
	Age   float64 `json:"changed_seconds_ago"`
	Mode  string  `json:"mode"`
}

// Clock is what is known of the time.
type Clock struct {
	State   string     `json:"state"` // synced, holdover, unset
	Error   *float64   `json:"error_seconds,omitempty"`
	Floor   *time.Time `json:"not_before,omitempty"`
	Machine time.Time  `json:"machine"` // what the clock of the box says, right or not
}

// A Certificate is its dates.
type Certificate struct {
	Of    string    `json:"of"` // agent, authority
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// Uplink is the link to broker and cloud.
type Uplink struct {
	Configured bool  `json:"configured"`
	Connected  bool  `json:"connected"`
	Cloud      bool  `json:"cloud"` // enrolled
	Failure    Words `json:"last_failure,omitempty"`
}

// An Order is one that ended, as the box shows it itself.
type Order struct {
	Time    *time.Time `json:"time,omitempty"`
	Unit    string     `json:"unit,omitempty"`
	Action  string     `json:"action"`
	Role    string     `json:"role"`
	Outcome string     `json:"outcome"`
	Reason  string     `json:"reason,omitempty"`
	Detail  Words      `json:"detail,omitempty"`
}
