package ups

import (
	"fmt"
	"time"
)

// An AlarmID is the number of an alarm or event in the event catalogue. Numbers are stable and never used again.
type AlarmID uint16

// Severity is how bad an alarm is.
type Severity uint8

// The severities.
const (
	Informational Severity = iota + 1
	Warning
	Critical
)

var severityNames = [...]string{"", "informational", "warning", "critical"}

// String returns the severity in lower case.
func (s Severity) String() string { return severityNames[s] }

// MarshalText writes the severity in lower case.
func (s Severity) MarshalText() ([]byte, error) { return []byte(severityNames[s]), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Severity) UnmarshalText(b []byte) error {
	for i, n := range severityNames {
		if i > 0 && n == string(b) {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("severity %q is not informational, warning or critical", b)
}

// An Alarm is a row of the event catalogue.
type Alarm struct {
	ID       AlarmID
	Severity Severity
	Moment   bool // an event without a clear
	Text     string
}

// Alarms are the alarms and events this program raises, in ascending order. Source: event catalogue, sections 2 to 9.
var Alarms = []Alarm{
	{101, Warning, false, "UPS on battery"},
	{102, Informational, true, "Power restored, no longer on battery"},
	{103, Informational, false, "On battery for a test"},
	{201, Critical, false, "Low battery"},
	{301, Critical, false, "UPS overloaded"},
	{311, Critical, false, "Shutdown imminent"},
	{502, Informational, false, "Self-test running"},
	{503, Informational, true, "Self-test passed"},
	{504, Critical, false, "Self-test failed"},
	{801, Warning, false, "Communication with the UPS lost"},
	{802, Critical, false, "Communication lost while on battery"},
	{803, Informational, true, "Communication with the UPS restored"},
	{804, Warning, false, "UPS refuses the connection (Modbus switched off, or another master connected)"},
	{805, Warning, false, "Unusable answer from the UPS"},
}

// AlarmByID returns the catalogue row of id, the zero Alarm if this program does not raise it.
func AlarmByID(id AlarmID) Alarm {
	for _, a := range Alarms {
		if a.ID == id {
			return a
		}
	}
	return Alarm{}
}

// An EventKind says what happened to an alarm.
type EventKind uint8

// The kinds of events (event catalogue, section 12).
const (
	Raise  EventKind = iota + 1 // an alarm began
	Clear                       // an alarm ended
	Moment                      // something happened that has no end
)

var eventKindNames = [...]string{"", "raise", "clear", "event"}

// String returns raise, clear or event.
func (k EventKind) String() string { return eventKindNames[k] }

// An Event is one entry of the events lane about a unit (event catalogue, section 12). Its number is given by the store.
type Event struct {
	ID       AlarmID
	Kind     EventKind
	Severity Severity
	Unit     string // name in the configuration
	Device   string // serial number, "" while it is not known
	At       time.Time
	Text     string
	Detail   string     // cause text, values, limits; never an address, host or user name
	Raw      []RawValue // the registers that decided it
	// Unconfirmed marks what is not known for certain: the state of an alarm while there is no communication.
	Unconfirmed bool
	RaisedBy    uint64 // of a Clear: the number of its Raise in the events lane
}

// A RawValue is a raw integer that decided an event.
type RawValue struct {
	Point Point
	Raw   int64
}
