package ups

import (
	"fmt"
	"slices"
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

// Alarms are the alarms and events this program raises about units, in ascending order. Source: event catalogue, sections 2 to 9.
// What a section of the catalogue says of all its rows is not repeated here; footnotes are left out of the texts.
var Alarms = []Alarm{
	{101, Warning, false, "UPS on battery"},
	{102, Informational, true, "Power restored, no longer on battery"},
	{103, Informational, false, "On battery for a test"},
	{104, Warning, false, "Input voltage too high"},
	{105, Warning, false, "Input voltage too low"},
	{106, Warning, false, "Input waveform distorted"},
	{107, Informational, true, "Input voltage changed rapidly"},
	{108, Warning, false, "Input frequency too high"},
	{109, Warning, false, "Input frequency too low"},
	{110, Informational, false, "Input frequency or phase not locked"},
	{111, Warning, false, "Input phase angle out of range"},
	{112, Critical, false, "Input neutral not connected"},
	{113, Warning, false, "Input power not acceptable"},
	{114, Informational, false, "Compensating for low input voltage (boost)"},
	{115, Informational, false, "Compensating for high input voltage (trim)"},
	{116, Warning, false, "Running on poor mains"},
	{117, Warning, true, "Input plug rating exceeded"},
	{118, Warning, false, "Frequent transfers to battery"},
	{119, Warning, false, "Long time on battery"},
	{120, Informational, true, "Source changed by transfer switch"},
	{121, Informational, true, "High efficiency mode on"},
	{122, Informational, true, "High efficiency mode off"},
	{123, Informational, true, "Automatic restart after power return"},
	{201, Critical, false, "Low battery"},
	{202, Informational, true, "Returned from low battery"},
	{203, Warning, false, "Battery discharged"},
	{204, Critical, false, "Battery disconnected"},
	{205, Critical, false, "Battery over-voltage"},
	{206, Critical, false, "Battery needs replacement"},
	{207, Critical, false, "Battery temperature threshold exceeded"},
	{208, Warning, false, "Battery temperature high"},
	{209, Critical, false, "Battery charger fault"},
	{210, Warning, false, "Battery temperature sensor fault"},
	{211, Critical, false, "Battery bus soft start fault"},
	{212, Critical, false, "Battery system fault"},
	{213, Warning, false, "Battery pack communication fault"},
	{214, Informational, false, "Battery replacement due (early notice)"},
	{215, Warning, false, "Battery replacement due"},
	{216, Warning, false, "Battery end of life exceeded"},
	{217, Warning, false, "Measured battery capacity near its end"},
	{218, Informational, true, "Battery lifetime alarm acknowledged at the unit"},
	{219, Informational, true, "Battery replaced"},
	{220, Informational, false, "Battery charging"},
	{221, Informational, true, "Battery fully charged"},
	{222, Warning, false, "Battery does not charge"},
	{223, Warning, false, "Runtime far below its reference"},
	{224, Informational, true, "Low battery voltage caused a state change"},
	{225, Warning, false, "Self-test suggests a weak battery"},
	{301, Critical, false, "UPS overloaded"},
	{302, Informational, true, "Overload ended"},
	{303, Warning, false, "Load high"},
	{304, Critical, false, "Output short circuit"},
	{305, Critical, false, "Output over-voltage"},
	{306, Critical, false, "Output over-current"},
	{307, Warning, false, "Output power is off"},
	{308, Informational, true, "Output power is on"},
	{309, Informational, false, "Output will turn on"},
	{310, Warning, false, "Output will turn off"},
	{311, Critical, false, "Shutdown imminent"},
	{312, Warning, false, "On bypass, by command"},
	{313, Critical, false, "On bypass, because of a fault"},
	{314, Informational, true, "Returned from bypass"},
	{315, Warning, false, "Bypass source not acceptable"},
	{316, Informational, false, "Recovering from a fault"},
	{317, Critical, false, "UPS in fault state"},
	{318, Warning, false, "Inverter output distorted"},
	{319, Critical, true, "Time on fault bypass expired"},
	{320, Critical, false, "Emergency power off active"},
	{321, Warning, false, "Load disappeared"},
	{401, Warning, false, "Site wiring fault"},
	{402, Critical, false, "Memory (EEPROM) fault"},
	{403, Critical, false, "Measurement converter fault"},
	{404, Critical, false, "Logic power supply fault"},
	{405, Critical, false, "Internal communication fault"},
	{406, Warning, false, "Front panel button fault"},
	{407, Warning, false, "Firmware parts do not match"},
	{408, Critical, false, "Oscillator fault"},
	{409, Warning, false, "Measurements disagree"},
	{410, Critical, false, "Subsystem fault"},
	{411, Critical, false, "Internal temperature exceeded"},
	{412, Critical, false, "Back-feed relay fault"},
	{413, Critical, false, "Voltage regulation relay fault"},
	{414, Critical, false, "Input relay fault"},
	{415, Critical, false, "Output relay fault"},
	{416, Critical, false, "Bypass relay fault"},
	{417, Critical, false, "Fan fault"},
	{418, Critical, false, "Power factor correction fault"},
	{419, Critical, false, "DC bus over-voltage"},
	{420, Critical, false, "Inverter fault"},
	{421, Critical, false, "Transformer DC imbalance"},
	{422, Critical, false, "UPS fault without detail"},
	{423, Informational, false, "UPS reports an informational alert"},
	{424, Informational, true, "Faults cleared"},
	{501, Informational, false, "Self-test waiting"},
	{502, Informational, false, "Self-test running"},
	{503, Informational, true, "Self-test passed"},
	{504, Critical, false, "Self-test failed"},
	{505, Warning, true, "Self-test refused"},
	{506, Warning, true, "Self-test aborted"},
	{507, Warning, false, "No self-test for a long time"},
	{508, Informational, false, "Runtime calibration running"},
	{509, Informational, true, "Runtime calibration finished"},
	{510, Warning, true, "Runtime calibration failed"},
	{511, Warning, true, "Runtime calibration refused"},
	{512, Warning, true, "Runtime calibration aborted"},
	{513, Informational, false, "Panel test running"},
	{514, Informational, false, "Audible alarm sounding"},
	{515, Informational, false, "Audible alarm muted"},
	{601, Informational, true, "Outlet group turned on"},
	{602, Warning, true, "Outlet group turned off"},
	{603, Informational, false, "Outlet group rebooting"},
	{604, Warning, false, "Outlet group shutting down"},
	{605, Warning, false, "Outlet group sleeping"},
	{606, Warning, false, "Load shedding pending for group"},
	{607, Informational, false, "Group waits for its turn-on delay"},
	{608, Warning, false, "Group waits for its turn-off delay"},
	{609, Warning, false, "Group waits for mains"},
	{610, Informational, false, "Group waits for minimum runtime"},
	{611, Warning, false, "Group runtime low"},
	{711, Informational, true, "Setting changed at the unit"},
	{713, Warning, true, "UPS controller restarted"},
	{714, Critical, false, "Another unit answers at this address"},
	{801, Warning, false, "Communication with the UPS lost"},
	{802, Critical, false, "Communication lost while on battery"},
	{803, Informational, true, "Communication with the UPS restored"},
	{804, Warning, false, "UPS refuses the connection (Modbus switched off, or another master connected)"},
	{805, Warning, false, "Unusable answer from the UPS"},
	{806, Warning, false, "Model or map not supported"},
	{807, Informational, false, "UPS found but not registered"},
	{834, Warning, false, "Event repeats too often"},
}

// AgentAlarms are those it raises about itself, its link, its store and its clock, in ascending order. Source: event catalogue,
// section 9. 834 is there of units and of the agent; it stands in Alarms.
var AgentAlarms = []Alarm{
	{810, Informational, true, "Agent started"},
	{811, Informational, true, "Agent stopping"},
	{812, Warning, true, "Agent was stopped without warning"},
	{813, Informational, true, "Agent updated"},
	{814, Warning, false, "Configuration rejected, old one kept"},
	{820, Warning, false, "Cloud link lost"},
	{821, Informational, true, "Cloud link restored"},
	{822, Critical, false, "Cloud certificate not trusted"},
	{823, Warning, false, "Agent certificate expires soon"},
	{824, Critical, false, "Agent rejected by the cloud"},
	{830, Warning, false, "Buffer 80 % full"},
	{831, Critical, false, "Samples dropped"},
	{832, Critical, false, "Storage error"},
	{833, Warning, false, "Clock not trustworthy"},
}

// OrderAlarms are those that tell of orders, of a unit or, where none is known, of the agent, in ascending order. Source: event catalogue,
// sections 7 and 9.
var OrderAlarms = []Alarm{
	{620, Informational, true, "Command accepted"},
	{621, Informational, true, "Command done"},
	{622, Warning, true, "Command refused by rule"},
	{623, Warning, true, "Command held back for safety"},
	{624, Warning, true, "Command refused by the UPS"},
	{625, Warning, true, "Command outcome unknown"},
	{626, Informational, true, "Command expired before it could be carried out"},
	{627, Informational, true, "Command repeated, earlier result returned"},
	{710, Informational, true, "Setting changed by command"},
	{712, Warning, true, "Setting not accepted by the UPS"},
	{841, Critical, true, "Policy of cloud and agent differ"},
}

// AlarmByID returns the catalogue row of id, the zero Alarm if this program does not raise it.
func AlarmByID(id AlarmID) Alarm {
	for _, list := range [][]Alarm{Alarms, AgentAlarms, OrderAlarms} {
		if i, ok := rowOf(list, id); ok {
			return list[i]
		}
	}
	return Alarm{}
}

// OfAgent reports whether an alarm is about the agent itself and never about a unit.
func (id AlarmID) OfAgent() bool {
	_, ok := rowOf(AgentAlarms, id)
	return ok
}

func rowOf(list []Alarm, id AlarmID) (int, bool) {
	return slices.BinarySearchFunc(list, id, func(a Alarm, id AlarmID) int { return int(a.ID) - int(id) })
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

// An Event is one entry of the events lane, about a unit or the agent itself (event catalogue, section 12). Its number is given
// by the store.
type Event struct {
	ID       AlarmID
	Kind     EventKind
	Severity Severity
	Unit     string // name in the configuration; "": the agent itself
	Device   string // serial number, "" while it is not known
	At       time.Time
	Text     string
	Detail   string     // cause text, values, limits; never an address, host or user name
	Raw      []RawValue // the registers that decided it
	// Group is the outlet group it is about, NoGroup if it is about the whole unit; GroupName what the unit calls it.
	Group     Group
	GroupName string
	// Inferred marks what nobody saw happen: an alarm found to be over when communication came back, with the time of the first
	// good poll (READ-8).
	Inferred bool
	// Unconfirmed marks what is not known for certain: the state of an alarm while there is no communication.
	Unconfirmed bool
	RaisedBy    uint64 // of a Clear: the number of its Raise in the events lane
}

// A RawValue is a raw integer that decided an event.
type RawValue struct {
	Point Point
	Raw   int64
}
