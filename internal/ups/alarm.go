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
	Do       string // what who stands before the unit or the box can do, "" for nothing; without a capital and a full stop
}

// Alarms are the alarms and events this program raises about units, in ascending order. Source: event catalogue, sections 2 to 9.
// What a section of the catalogue says of all its rows is not repeated here; footnotes are left out of the texts.
var Alarms = []Alarm{
	{101, Warning, false, "UPS on battery", "find out why the mains are gone; if it may last, shut down what can be, before the battery decides"},
	{102, Informational, true, "Power restored, no longer on battery", ""},
	{103, Informational, false, "On battery for a test", "nothing"},
	{104, Warning, false, "Input voltage too high", "measure the supply; transfer points and sensitivity are settings of the unit"},
	{105, Warning, false, "Input voltage too low", "measure the supply; transfer points and sensitivity are settings of the unit"},
	{106, Warning, false, "Input waveform distorted", "look for a generator, welding, a bad neutral"},
	{107, Informational, true, "Input voltage changed rapidly", "if it is frequent: lower the sensitivity"},
	{108, Warning, false, "Input frequency too high", "look at the generator"},
	{109, Warning, false, "Input frequency too low", "look at the generator"},
	{110, Informational, false, "Input frequency or phase not locked", "look at the generator; normal for some seconds after the mains return"},
	{111, Warning, false, "Input phase angle out of range", "check the wiring of the phases"},
	{112, Critical, false, "Input neutral not connected", "call an electrician, today"},
	{113, Warning, false, "Input power not acceptable", "find out what is wrong with the mains"},
	{114, Informational, false, "Compensating for low input voltage (boost)", "nothing, if it is rare"},
	{115, Informational, false, "Compensating for high input voltage (trim)", "nothing, if it is rare"},
	{116, Warning, false, "Running on poor mains", "find out what is wrong with the mains"},
	{117, Warning, true, "Input plug rating exceeded", "take load off the plug, or install a larger one"},
	{118, Warning, false, "Frequent transfers to battery", "look at the supply; or a transfer point is too narrow"},
	{119, Warning, false, "Long time on battery", "shut down what can be"},
	{120, Informational, true, "Source changed by transfer switch", ""},
	{121, Informational, true, "High efficiency mode on", ""},
	{122, Informational, true, "High efficiency mode off", "after a disturbance it comes back by itself"},
	{123, Informational, true, "Automatic restart after power return", ""},
	{201, Critical, false, "Low battery", "shut the load down now"},
	{202, Informational, true, "Returned from low battery", ""},
	{203, Warning, false, "Battery discharged", "another outage now would be short"},
	{204, Critical, false, "Battery disconnected", "connect it"},
	{205, Critical, false, "Battery over-voltage", "call service"},
	{206, Critical, false, "Battery needs replacement", "replace the battery, then test"},
	{207, Critical, false, "Battery temperature threshold exceeded", "cool the room; call service"},
	{208, Warning, false, "Battery temperature high", "cool the room: a battery ages twice as fast with 10 °C more"},
	{209, Critical, false, "Battery charger fault", "call service"},
	{210, Warning, false, "Battery temperature sensor fault", "call service"},
	{211, Critical, false, "Battery bus soft start fault", "call service"},
	{212, Critical, false, "Battery system fault", "call service"},
	{213, Warning, false, "Battery pack communication fault", "check the cables of external packs"},
	{214, Informational, false, "Battery replacement due (early notice)", "order one"},
	{215, Warning, false, "Battery replacement due", "replace it soon"},
	{216, Warning, false, "Battery end of life exceeded", "replace it"},
	{217, Warning, false, "Measured battery capacity near its end", "replace it soon"},
	{218, Informational, true, "Battery lifetime alarm acknowledged at the unit", ""},
	{219, Informational, true, "Battery replaced", ""},
	{220, Informational, false, "Battery charging", "nothing"},
	{221, Informational, true, "Battery fully charged", ""},
	{222, Warning, false, "Battery does not charge", "charger or battery: call service"},
	{223, Warning, false, "Runtime far below its reference", "run a calibration; replace the battery"},
	{224, Informational, true, "Low battery voltage caused a state change", "shut the load down now, if it is on battery"},
	{225, Warning, false, "Self-test suggests a weak battery", "plan a replacement"},
	{301, Critical, false, "UPS overloaded", "switch something off"},
	{302, Informational, true, "Overload ended", ""},
	{303, Warning, false, "Load high", "move load elsewhere"},
	{304, Critical, false, "Output short circuit", "disconnect the load"},
	{305, Critical, false, "Output over-voltage", "call service"},
	{306, Critical, false, "Output over-current", "disconnect load"},
	{307, Warning, false, "Output power is off", "somebody switched it off, or the battery was empty: detail of the event says"},
	{308, Informational, true, "Output power is on", ""},
	{309, Informational, false, "Output will turn on", ""},
	{310, Warning, false, "Output will turn off", "somebody commanded it; detail of the event says in how many seconds"},
	{311, Critical, false, "Shutdown imminent", "somebody commanded it, or the battery is at its end: detail of the event says which, or \"battery or commanded\" where that cannot be told"},
	{312, Warning, false, "On bypass, by command", "the load is not protected"},
	{313, Critical, false, "On bypass, because of a fault", "the load is not protected: call service"},
	{314, Informational, true, "Returned from bypass", ""},
	{315, Warning, false, "Bypass source not acceptable", "look at the feed of the bypass"},
	{316, Informational, false, "Recovering from a fault", ""},
	{317, Critical, false, "UPS in fault state", "call service"},
	{318, Warning, false, "Inverter output distorted", "call service if it returns"},
	{319, Critical, true, "Time on fault bypass expired", "call service"},
	{320, Critical, false, "Emergency power off active", "find out who pressed it; release it"},
	{321, Warning, false, "Load disappeared", "check whether what it feeds is still running"},
	{401, Warning, false, "Site wiring fault", "call an electrician: phase and neutral, earth"},
	{402, Critical, false, "Memory (EEPROM) fault", "call service"},
	{403, Critical, false, "Measurement converter fault", "call service"},
	{404, Critical, false, "Logic power supply fault", "call service"},
	{405, Critical, false, "Internal communication fault", "call service"},
	{406, Warning, false, "Front panel button fault", "call service"},
	{407, Warning, false, "Firmware parts do not match", "update the firmware"},
	{408, Critical, false, "Oscillator fault", "call service"},
	{409, Warning, false, "Measurements disagree", "call service"},
	{410, Critical, false, "Subsystem fault", "call service"},
	{411, Critical, false, "Internal temperature exceeded", "cool the room, clean the filter"},
	{412, Critical, false, "Back-feed relay fault", "call service"},
	{413, Critical, false, "Voltage regulation relay fault", "call service"},
	{414, Critical, false, "Input relay fault", "call service"},
	{415, Critical, false, "Output relay fault", "call service"},
	{416, Critical, false, "Bypass relay fault", "call service"},
	{417, Critical, false, "Fan fault", "replace the fan"},
	{418, Critical, false, "Power factor correction fault", "call service"},
	{419, Critical, false, "DC bus over-voltage", "call service"},
	{420, Critical, false, "Inverter fault", "call service"},
	{421, Critical, false, "Transformer DC imbalance", "call service"},
	{422, Critical, false, "UPS fault without detail", "look at the display"},
	{423, Informational, false, "UPS reports an informational alert", "look at the display"},
	{424, Informational, true, "Faults cleared", ""},
	{501, Informational, false, "Self-test waiting", "nothing"},
	{502, Informational, false, "Self-test running", "nothing"},
	{503, Informational, true, "Self-test passed", ""},
	{504, Critical, false, "Self-test failed", "replace the battery, repeat the test"},
	{505, Warning, true, "Self-test refused", "repeat it when the reasons are gone"},
	{506, Warning, true, "Self-test aborted", "repeat it"},
	{507, Warning, false, "No self-test for a long time", "start one"},
	{508, Informational, false, "Runtime calibration running", "nothing"},
	{509, Informational, true, "Runtime calibration finished", ""},
	{510, Warning, true, "Runtime calibration failed", "repeat it"},
	{511, Warning, true, "Runtime calibration refused", "repeat it when the reasons are gone"},
	{512, Warning, true, "Runtime calibration aborted", "repeat it"},
	{513, Informational, false, "Panel test running", "nothing"},
	{514, Informational, false, "Audible alarm sounding", "nothing"},
	{515, Informational, false, "Audible alarm muted", "nothing"},
	{601, Informational, true, "Outlet group turned on", ""},
	{602, Warning, true, "Outlet group turned off", "somebody or a rule of the unit did it"},
	{603, Informational, false, "Outlet group rebooting", "nothing"},
	{604, Warning, false, "Outlet group shutting down", "nothing, if it was wanted"},
	{605, Warning, false, "Outlet group sleeping", "nothing, if it was wanted"},
	{606, Warning, false, "Load shedding pending for group", "on battery: expected"},
	{607, Informational, false, "Group waits for its turn-on delay", "nothing"},
	{608, Warning, false, "Group waits for its turn-off delay", "nothing, if it was wanted"},
	{609, Warning, false, "Group waits for mains", "wait for the mains"},
	{610, Informational, false, "Group waits for minimum runtime", "wait for the battery"},
	{611, Warning, false, "Group runtime low", "shut the load of the group down now"},
	{711, Informational, true, "Setting changed at the unit", "somebody was at the panel, its web page, or on the Modbus network: was that you?"},
	{713, Warning, true, "UPS controller restarted", "if it is frequent: look for newer firmware; results of tests are gone"},
	{714, Critical, false, "Another unit answers at this address", "two units with one address, or a swap: then register it anew"},
	{801, Warning, false, "Communication with the UPS lost", "check the cable and that Modbus is still on at the unit; look whether another program has the port"},
	{802, Critical, false, "Communication lost while on battery", "go and look: the UPS may be empty"},
	{803, Informational, true, "Communication with the UPS restored", ""},
	{804, Warning, false, "UPS refuses the connection (Modbus switched off, or another master connected)", "switch Modbus TCP on at the unit, or disconnect the other master"},
	{805, Warning, false, "Unusable answer from the UPS", "check wiring, baud rate and whether there are two masters; if it stays, another device answers"},
	{806, Warning, false, "Model or map not supported", "check that it is the right device; it may need a newer agent"},
	{807, Informational, false, "UPS found but not registered", "register it in the cloud by its serial number"},
	{834, Warning, false, "Event repeats too often", "find out what swings to and fro"},
}

// AgentAlarms are those it raises about itself, its link, its store and its clock, in ascending order. Source: event catalogue,
// section 9. 834 is there of units and of the agent; it stands in Alarms.
var AgentAlarms = []Alarm{
	{810, Informational, true, "Agent started", ""},
	{811, Informational, true, "Agent stopping", ""},
	{812, Warning, true, "Agent was stopped without warning", "if it is frequent: look at its power supply and its log"},
	{813, Informational, true, "Agent updated", ""},
	{814, Warning, false, "Configuration rejected, old one kept", "upsagent check says what is wrong"},
	{820, Warning, false, "Cloud link lost", "check the network of this box and its way to the broker; nothing is lost meanwhile, until the buffer is full. The log says why it fails"},
	{821, Informational, true, "Cloud link restored", ""},
	{822, Critical, false, "Cloud certificate not trusted", "the log names the reason; check uplink.tls.ca_file and the clock. If nothing was changed, somebody may stand in between"},
	{823, Warning, false, "Agent certificate expires soon", "renew it: replace the files, or enrol anew"},
	{824, Critical, false, "Agent rejected by the cloud", "its log names the reason; renew the certificate, enrol anew"},
	{830, Warning, false, "Buffer 80 % full", "restore the link, or raise spool.max_bytes"},
	{831, Critical, false, "Samples dropped", "restore the link, or raise spool.max_bytes"},
	{832, Critical, false, "Storage error", "look at the disk: is it full, worn out, read-only?"},
	{833, Warning, false, "Clock not trustworthy", "set up a time service; a battery for the clock helps, too"},
}

// OrderAlarms are those that tell of orders, of a unit or, where none is known, of the agent, in ascending order. Source: event catalogue,
// sections 7 and 9.
var OrderAlarms = []Alarm{
	{620, Informational, true, "Command accepted", ""},
	{621, Informational, true, "Command done", ""},
	{622, Warning, true, "Command refused by rule", "look the code up: FORMAT.md, 10.4"},
	{623, Warning, true, "Command held back for safety", "order it anew when that is over"},
	{624, Warning, true, "Command refused by the UPS", "look at its settings and its firmware"},
	{625, Warning, true, "Command outcome unknown", "look at the unit"},
	{626, Informational, true, "Command expired before it could be carried out", "order it anew"},
	{627, Informational, true, "Command repeated, earlier result returned", ""},
	{710, Informational, true, "Setting changed by command", ""},
	{712, Warning, true, "Setting not accepted by the UPS", "look at its limits and its firmware: settings.md"},
	{841, Critical, true, "Policy of cloud and agent differ", "take it for an attack, or an agent and a cloud of different versions"},
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
