package local

import (
	"slices"
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
}

// Lane is what waits to be delivered.
type Lane struct {
	Name    string `json:"lane"`
	Records uint64 `json:"records"`
	// Age is for how long the oldest waits, in seconds; nil where nothing waits or it was recorded before the box started.
	Age     *float64 `json:"oldest_seconds,omitempty"`
	Dropped uint64   `json:"dropped,omitempty"` // lost for want of room, or damaged, since the agent runs
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
	Unconfirmed bool `json:"unconfirmed,omitempty"`
}
