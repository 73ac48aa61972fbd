package local

import (
	"slices"
	"strings"
	"time"

	"upsedge/internal/ups"
)

// Status is what `upsagent status --json` prints and what the socket answers.
type Status struct {
	Version string    `json:"version"`
	Agent   string    `json:"agent"`
	Stream  string    `json:"stream"`
	Started time.Time `json:"started"`
	Clock   Clock     `json:"clock"`
	Broker  Broker    `json:"broker"`
	Spool   []Lane    `json:"spool"`
	Alarms  []Alarm   `json:"alarms"` // of the agent itself
	Units   []Unit    `json:"units"`
	// Orders is what is known of orders; nil while none can be given, between two clouds.
	Orders *Orders `json:"orders,omitempty"`

	Now   time.Time `json:"now"` // by the box's clock
	Disk  Disk      `json:"disk"`
	Lines []Line    `json:"lines"`
	// Certificate is when the agent's own certificate for the broker ends; nil where it has none.
	Certificate *time.Time `json:"certificate_expires,omitempty"`
}

// Clock is the state of the box's clock.
type Clock struct {
	Trusted bool   `json:"trusted"`
	State   string `json:"state"` // synced, holdover, unset
	// Error is how far off the time is at most, in seconds; nil where that is not known.
	Error *float64 `json:"error_seconds,omitempty"`
}

// Broker is the state of the uplink.
type Broker struct {
	Configured bool `json:"configured"`
	Connected  bool `json:"connected"`
	// Failure is why the last attempt to connect failed, in plain words; "" while connected, and where nothing is known.
	Failure string `json:"failure,omitempty"`

	Address string `json:"address,omitempty"`
	Cloud   bool   `json:"cloud"` // the agent is enrolled with one; otherwise a broker alone is fed
	// Since is since when Connected is what it is, as far as this run knows; nil without a broker.
	Since *time.Time `json:"since,omitempty"`
}

// Lane is what waits to be delivered.
type Lane struct {
	Name    string `json:"lane"`
	Records uint64 `json:"records"`
	// Age is for how long the oldest waits, in seconds; nil where nothing waits or it was recorded before the box started.
	Age     *float64 `json:"oldest_seconds,omitempty"`
	Dropped uint64   `json:"dropped,omitempty"` // lost for want of room, or damaged, since the agent runs
	Bytes   int64    `json:"bytes"`             // of what waits
}

// What says how many records of the lane wait.
func (l *Lane) What() string { return ups.Count(l.Records, strings.TrimSuffix(l.Name, "s")) }

// Waiting says what waits in each lane: "1 event, 20 samples".
func (s *Status) Waiting() string { return s.waits(false) }

// waits is Waiting; with some only of lanes in which something does.
func (s *Status) waits(some bool) string {
	var out []string
	for i := range s.Spool {
		if l := &s.Spool[i]; !some || l.Records > 0 {
			out = append(out, l.What())
		}
	}
	return strings.Join(out, ", ")
}

// Disk is where records wait.
type Disk struct {
	Bytes int64 `json:"bytes"` // of the database on disk
	Used  int64 `json:"used"`  // of Limit
	Limit int64 `json:"limit"` // at which the oldest samples go
	// Error is why the disk refuses, "" while it does not, and Since since when.
	Error string     `json:"error,omitempty"`
	Since *time.Time `json:"since,omitempty"`
}

// A Line is a serial port or a connection, with what its units ask of it and what it has had to bear.
type Line struct {
	Name  string `json:"line"`
	Kind  string `json:"kind"`  // serial, tcp, card
	Where string `json:"where"` // device or address
	Units int    `json:"units"`
	// Load is the share of the line's time that the plan asks for, as measured so far; above 1 it does not fit, and rates are stretched.
	Load       float64           `json:"load"`
	Gap        float64           `json:"gap_seconds"`        // silence before each request
	Turnaround float64           `json:"turnaround_seconds"` // how long the unit thinks, as measured; 0: not yet
	Requests   map[string]uint64 `json:"requests"`           // since the start, by what became of them: ok, timeout, frame, exception, link
	Failure    string            `json:"last_failure,omitempty"`
	Failed     *float64          `json:"last_failure_age_seconds,omitempty"`
}

// Errors is how many requests were not answered as they should be.
func (l *Line) Errors() (n uint64) {
	for result, count := range l.Requests {
		if result != "ok" {
			n += count
		}
	}
	return n
}

// A Rate is how often a tier of a unit is read.
type Rate struct {
	Tier   string   `json:"tier"`
	Wanted float64  `json:"wanted_hz"`
	Real   *float64 `json:"real_hz,omitempty"` // measured over the last ten seconds or more; nil before
}

// A Unit is what is known of one UPS.
type Unit struct {
	Name      string   `json:"unit"`
	Line      string   `json:"line"`
	Model     string   `json:"model,omitempty"`
	SKU       string   `json:"sku,omitempty"`
	Serial    string   `json:"serial,omitempty"`
	Firmware  string   `json:"firmware,omitempty"`
	Condition []string `json:"condition"`
	Alarms    []Alarm  `json:"alarms"`
	Failure   string   `json:"failure,omitempty"` // why it is not read, in the installer's words
	Do        string   `json:"do,omitempty"`      // what to do about it; Failure has it, too
	// Age is how long ago the unit last answered, in seconds; absent if it never has.
	Age    *float64 `json:"age_seconds,omitempty"`
	Values []Value  `json:"values,omitempty"` // only when asked for
	// Plan is the one that the cloud has stated for the unit; nil where it has stated none, and obeys no order.
	Plan *Plan `json:"plan,omitempty"`

	// Since is for how long, in seconds, the unit has been on mains, on battery, on bypass or off, as it is now. AtLeast says that it was
	// so already when this run first read it. nil: it was never read.
	Since   *float64 `json:"since_seconds,omitempty"`
	AtLeast bool     `json:"since_at_least,omitempty"`
	Now     Now      `json:"now"`
	Rates   []Rate   `json:"rates,omitempty"`
}

// Now are the values that everybody asks for first; nil where the unit does not say.
type Now struct {
	Runtime       *float64 `json:"battery_runtime_seconds,omitempty"`
	Charge        *float64 `json:"battery_charge_percent,omitempty"`
	Load          *float64 `json:"load_percent,omitempty"`
	Temperature   *float64 `json:"battery_temperature_celsius,omitempty"`
	InputVoltage  *float64 `json:"input_volts,omitempty"`
	OutputVoltage *float64 `json:"output_volts,omitempty"`
	OutputHertz   *float64 `json:"output_hertz,omitempty"`
	// Power are the volt-amperes and watts that the unit is made for.
	NominalWatts *float64 `json:"nominal_watts,omitempty"`
	NominalVA    *float64 `json:"nominal_volt_amperes,omitempty"`
}

// Bad reports whether somebody should look at the unit: it has an alarm that is more than informational, cannot be read, or has
// not been heard for too long.
func (u Unit) Bad() bool {
	return u.Failure != "" || slices.Contains(u.Condition, ups.Stale.Names()[0]) ||
		slices.ContainsFunc(u.Alarms, func(a Alarm) bool { return a.Severity != ups.Informational.String() })
}

// An Alarm is an active alarm, of a unit or of the agent itself.
type Alarm struct {
	ID       int    `json:"alarm"`
	Severity string `json:"severity"`
	Text     string `json:"text"`
	Group    string `json:"group,omitempty"` // main, sog0 … sog3; "" for the whole unit
	// Unconfirmed: the unit has not been heard about it since communication was lost or the agent began.
	Unconfirmed bool   `json:"unconfirmed,omitempty"`
	Do          string `json:"do,omitempty"` // what somebody can do about it
}
