package agent

import (
	"strings"
	"time"
)

// The models whose maps have what others lack (protocol reference, section 6.1).
const (
	srt   = "SRT1000XLA" // bypass, two switched groups and no main one
	smx   = "SMX1500RM2U"
	smt   = "SMT1500RM2UC"
	surtd = "SURTD5000RMXLT3U"
)

// stages are the lives of the whole catalogue, by how long they take: what takes days is polled rarely.
var stages = []stage{
	{"power", "{watch: 500ms, status: 1s, live: 1s}", 20 * time.Second, livesOfPower},
	{"battery", quick, 20 * time.Second, livesOfBattery},
	{"output", quick, 20 * time.Second, livesOfOutput},
	{"hardware", quick, 20 * time.Second, livesOfHardware},
	{"tests", quick, 20 * time.Second, livesOfTests},
	{"outlets", quick, 20 * time.Second, livesOfOutlets},
	{"line", quick, 20 * time.Second, livesOfTheLine},
	{"serial", serialRates, 10 * time.Second, livesOfASerialLine},
	{"half an hour", "{watch: 5s, status: 5s, live: 5s, settings: 30s}", 20 * time.Second, livesOfHalfAnHour},
	{"an hour", "{watch: 5s, status: 5s, live: 1m}", 20 * time.Second, livesOfAnHour},
	{"hours", "{watch: 1m, status: 1m, live: 1m}", 10 * time.Minute, livesOfHours},
	{"days", "{watch: 1m, status: 1m, live: 1m}", 10 * time.Minute, livesOfDays},
	{"months", "{watch: 30s, status: 30s, live: 30s}", time.Minute, livesOfMonths},
}

// serialRates are the default rates of a serial line, which the units of their stage are on.
const serialRates = "{watch: 200ms, status: 1s, live: 500ms}"

const quick = "{watch: 1s, status: 1s, live: 1s}"

var livesOfPower = []life{
	{id: 101, enter: "mains-fail", leave: "mains-return", detail: "Input"},
	{id: 101, enter: "input=180", leave: "input=0", detail: "LowInputVoltage"},
	{id: 101, sku: srt, enter: "mains-fail", leave: "mains-return", detail: "Input"},
	{id: 101, sku: surtd, enter: "mains-fail", leave: "mains-return"},
	{id: 102, enter: "mains-fail 10s mains-return", detail: "AcceptableInput"},
	{id: 103, enter: "self-test", detail: "self-test"},
	{id: 103, enter: "calibrate", leave: "abort", detail: "runtime calibration"},
	{id: 104, enter: "input=265", leave: "input=0", detail: "HighInputVoltage"},
	{id: 105, enter: "input=180", leave: "input=0", detail: "LowInputVoltage"},
	{id: 106, enter: "wave=Distorted", leave: "wave=good", detail: "DistortedInput"},
	{id: 107, enter: "dip"},
	{id: 108, enter: "wave=FrequencyTooHigh", leave: "wave=good"},
	{id: 109, enter: "wave=FrequencyTooLow", leave: "wave=good"},
	{id: 110, enter: "wave=FreqAndPhaseNotLocked", leave: "wave=good"},
	{id: 111, enter: "wave=PhaseDeltaOutOfRange", leave: "wave=good"},
	{id: 112, enter: "wave=NeutralNotConnected", leave: "wave=good"},
	{id: 113, enter: "off 5s mains-fail", leave: "mains-return"},
	{id: 114, sku: smt, enter: "input=108", leave: "input=0", detail: "input voltage 10"},
	{id: 115, enter: "write=1026:276 input=262", leave: "input=0", detail: "input voltage 26"},
	{id: 116, sku: srt, enter: "bits=UPSStatus+MainsBadState", leave: "bits=UPSStatus-MainsBadState"},
	{id: 117, enter: "dip=PlugRatingExceeded"},
	{id: 120, enter: "dip=ATSTransfer"},
	{id: 123, enter: "mains-fail charge=0.001 1m mains-return"},
}

var livesOfBattery = []life{
	{id: 201, enter: "mains-fail low-battery", leave: "mains-return", detail: "limit 120 s"},
	{id: 202, enter: "mains-fail low-battery 10s mains-return"},
	{id: 203, enter: "charge=0.02", leave: "charge=0.9", detail: "limit 120 s"},
	{id: 204, enter: "battery-disconnect", leave: "battery-connect"},
	{id: 205, enter: "bits=BatterySystemError+Overvoltage", leave: "bits=BatterySystemError-Overvoltage"},
	{id: 206, enter: "battery-bad self-test", leave: "battery-good"},
	{id: 207, enter: "heat=60", leave: "heat=24"},
	{id: 208, enter: "heat=48", leave: "heat=24", detail: "battery temperature"},
	{id: 209, enter: "bits=BatterySystemError+Charger", leave: "bits=BatterySystemError-Charger"},
	{id: 210, enter: "bits=BatterySystemError+TemperatureSensor", leave: "bits=BatterySystemError-TemperatureSensor"},
	{id: 211, enter: "bits=BatterySystemError+BusSoftStart", leave: "bits=BatterySystemError-BusSoftStart"},
	{id: 212, enter: "bits=BatterySystemError+GeneralError", leave: "bits=BatterySystemError-GeneralError"},
	{id: 213, enter: "bits=BatterySystemError+Communication", leave: "bits=BatterySystemError-Communication"},
	{id: 214, enter: "poke=133:9706", leave: "poke=133:9906"}, // the date alone: a unit that calls it near says so in a bit, 215
	{id: 215, enter: "battery-life=60", leave: "battery-replace"},
	{id: 216, enter: "battery-life=-5", leave: "battery-replace"},
	{id: 225, enter: "self-test 3s poke=131:600 15s unpoke=131", leave: "self-test", detail: "18.75 V"}, // a weak battery fails the simulated test
	{id: 217, enter: "battery-worn", leave: "battery-replace"},
	{id: 218, enter: "battery-life=-5 10s ack-battery"},
	{id: 224, enter: "mains-fail charge=0.001"},
}

var livesOfOutput = []life{
	{id: 301, enter: "overload", leave: "load=0.3", detail: "OutputOverload"},
	{id: 301, sku: srt, enter: "overload", leave: "load=0.3", detail: "Overload"},
	{id: 302, enter: "overload 15s load=0.3"},
	{id: 303, enter: "load=0.9", leave: "load=0.3", within: 2 * time.Minute, gone: 2 * time.Minute, detail: "limit 80 %"},
	{id: 304, enter: "bits=PowerSystemError+OutputShortCircuit", leave: "bits=PowerSystemError-OutputShortCircuit"},
	{id: 305, enter: "bits=PowerSystemError+OutputOvervoltage", leave: "bits=PowerSystemError-OutputOvervoltage"},
	{id: 306, enter: "bits=PowerSystemError+OverCurrent", leave: "bits=PowerSystemError-OverCurrent"},
	{id: 307, enter: "off", leave: "on"},
	{id: 308, enter: "off 10s on"},
	{id: 309, enter: "write=1030:30 off 5s outlet=on:mog", leave: "", within: 20 * time.Second, gone: 2 * time.Minute},
	{id: 310, enter: "write=1029:90 outlet=off", leave: "outlet=cancel", detail: "in "},
	{id: 311, enter: "shutdown", leave: "outlet=cancel", within: 5 * time.Minute, detail: "commanded"},
	{id: 312, sku: srt, enter: "bypass", leave: "bypass-end"},
	{id: 313, sku: srt, enter: "inverter-bad", leave: "inverter-good"},
	{id: 313, sku: surtd, enter: "inverter-bad", leave: "inverter-good"},
	{id: 314, sku: srt, enter: "bypass 10s bypass-end"},
	{id: 315, sku: srt, enter: "bypass-feed=60", leave: "bypass-feed=0"},
	{id: 316, sku: srt, enter: "bits=UPSStatus+FaultRecoveryState", leave: "bits=UPSStatus-FaultRecoveryState"},
	{id: 317, enter: "inverter-bad", leave: "inverter-good"},
	{id: 318, sku: srt, enter: "inverter-distorted", leave: "inverter-good"},
	{id: 319, sku: srt, enter: "inverter-bad 10s bypass-expire"},
	{id: 320, enter: "epo", leave: "epo-release"},
	{id: 321, enter: "load=0", leave: "load=0.3"},
}

var livesOfHardware = []life{
	{id: 401, enter: "wiring-bad", leave: "wiring-good"},
	{id: 402, enter: "bits=GeneralError+EEPROM", leave: "bits=GeneralError-EEPROM"},
	{id: 403, enter: "bits=GeneralError+ADConverter", leave: "bits=GeneralError-ADConverter"},
	{id: 404, enter: "bits=GeneralError+LogicPowerSupply", leave: "bits=GeneralError-LogicPowerSupply"},
	{id: 405, enter: "bits=GeneralError+InternalCommunication", leave: "bits=GeneralError-InternalCommunication"},
	{id: 406, enter: "bits=GeneralError+UIButton", leave: "bits=GeneralError-UIButton"},
	{id: 407, enter: "bits=GeneralError+FirmwareMismatch", leave: "bits=GeneralError-FirmwareMismatch"},
	{id: 408, enter: "bits=GeneralError+Oscillator", leave: "bits=GeneralError-Oscillator"},
	{id: 409, enter: "bits=GeneralError+MeasurementMismatch", leave: "bits=GeneralError-MeasurementMismatch"},
	{id: 410, enter: "bits=GeneralError+Subsystem", leave: "bits=GeneralError-Subsystem"},
	{id: 411, enter: "overheat", leave: "cool"},
	{id: 412, enter: "bits=PowerSystemError+BackfeedRelay", leave: "bits=PowerSystemError-BackfeedRelay"},
	{id: 413, enter: "bits=PowerSystemError+AVRRelay", leave: "bits=PowerSystemError-AVRRelay"},
	{id: 414, enter: "bits=PowerSystemError+PFCInputRelay", leave: "bits=PowerSystemError-PFCInputRelay"},
	{id: 415, enter: "bits=PowerSystemError+OutputRelay", leave: "bits=PowerSystemError-OutputRelay"},
	{id: 416, enter: "bits=PowerSystemError+BypassRelay", leave: "bits=PowerSystemError-BypassRelay"},
	{id: 417, enter: "bits=PowerSystemError+Fan", leave: "bits=PowerSystemError-Fan"},
	{id: 418, enter: "bits=PowerSystemError+PFC", leave: "bits=PowerSystemError-PFC"},
	{id: 419, enter: "bits=PowerSystemError+DCBusOvervoltage", leave: "bits=PowerSystemError-DCBusOvervoltage"},
	{id: 420, enter: "inverter-bad", leave: "inverter-good"},
	{id: 421, enter: "bits=PowerSystemError+TransformerDCImbalance", leave: "bits=PowerSystemError-TransformerDCImbalance"},
	{id: 422, enter: "bits=UPSStatus+Fault", leave: "bits=UPSStatus-Fault"},
	{id: 423, enter: "alert", leave: "alert-end"},
	{id: 713, enter: "mains-fail 5s mains-return 10s restart", detail: "SystemInitialization"},
	{id: 424, enter: "bits=GeneralError+EEPROM 10s bits=GeneralError-EEPROM"},
}

var livesOfTests = []life{
	{id: 501, enter: "bits=ReplaceBatteryTestStatus+Pending", leave: "bits=ReplaceBatteryTestStatus-Pending"},
	{id: 502, enter: "self-test", detail: "source: panel"},
	{id: 502, enter: "self-test=protocol", detail: "source: command"},
	{id: 502, enter: "self-test=internal", detail: "source: internal"},
	{id: 503, enter: "self-test", detail: "source: panel"},
	{id: 504, enter: "battery-bad self-test", leave: "battery-good self-test", detail: "source: panel"},
	{id: 505, enter: "charge=0.5 self-test", detail: "charge"},
	{id: 506, enter: "self-test 5s abort"},
	{id: 508, enter: "calibrate", leave: "abort", detail: "source: panel"},
	{id: 509, enter: "load=0.95 1m calibrate", within: 10 * time.Minute},
	{id: 510, enter: "bits=RunTimeCalibrationStatus+Failed"},
	{id: 511, enter: "charge=0.5 calibrate", detail: "charge"},
	{id: 512, enter: "calibrate 10s abort"},
	{id: 513, enter: "panel-test", leave: "panel-test-end"},
	{id: 514, enter: "mains-fail", leave: "mains-return"},
	{id: 515, enter: "mains-fail 5s mute", leave: "unmute"},
}

var livesOfOutlets = []life{
	{id: 601, enter: "outlet=off:sog0 100s outlet=on:sog0", group: "sog0"},
	{id: 601, sku: srt, enter: "outlet=off:sog1 100s outlet=on:sog1", group: "sog1"},
	{id: 602, enter: "outlet=off:sog0", within: 2 * time.Minute, group: "sog0"},
	{id: 602, sku: smx, enter: "outlet=off:sog1", within: 2 * time.Minute, group: "sog1"},
	{id: 603, enter: "outlet=reboot:sog0", gone: 3 * time.Minute, group: "sog0"},
	{id: 604, enter: "outlet=shutdown:sog0", gone: 3 * time.Minute, group: "sog0"},
	{id: 605, enter: "write=1036:0,400 outlet=reboot:sog0", gone: 10 * time.Minute, group: "sog0"},
	{id: 606, enter: "bits=SOG[0].OutletStatus+PendingLoadShed", leave: "bits=SOG[0].OutletStatus-PendingLoadShed", group: "sog0"},
	{id: 607, enter: "write=1035:60 outlet=off:sog0 100s outlet=on:sog0", gone: 2 * time.Minute, group: "sog0"},
	{id: 608, enter: "outlet=off:sog0", gone: 2 * time.Minute, group: "sog0"},
	{id: 609, enter: "mains-fail 5s outlet=shutdown:sog0", leave: "110s mains-return", group: "sog0"},
	{id: 610, enter: "write=1038:1200 charge=0.3 mains-fail 5s outlet=shutdown:sog0", leave: "mains-return charge=1", within: 2 * time.Minute, group: "sog0"},
	{id: 611, enter: "mains-fail low-battery", leave: "mains-return charge=1", group: "main"},
}

var livesOfTheLine = []life{
	{id: 714, enter: "swap=AS9999999999", leave: "swap-back"},
	{id: 801, enter: "deaf", leave: "talk", detail: "no-answer, no good reading for 3"},
	{id: 802, enter: "mains-fail 10s deaf", leave: "talk", detail: "no-answer"},
	{id: 802, enter: "calibrate 10s deaf", leave: "talk", detail: "in a calibration", as: "warning"},
	{id: 803, enter: "deaf 2m talk", detail: "without communication for 2m"},
	{id: 804, enter: "closed", leave: "open", within: 3 * time.Minute, detail: "refused"},
	{id: 805, enter: "poke=0:0,0", leave: "unpoke=0:2", detail: "implausible"},
	{id: 805, enter: "refuse", leave: "talk", detail: "exception"},
	{id: 806, enter: "poke=2048:0x3939 closed 30s open", leave: "unpoke=2048"},
}

// What the line has a part in, once more with every byte at its time.
var livesOfASerialLine = []life{
	{id: 101, enter: "mains-fail", leave: "mains-return", within: time.Second},
	{id: 102, enter: "mains-fail 10s mains-return", within: 5 * time.Second},
	{id: 201, enter: "mains-fail low-battery", leave: "mains-return", within: 5 * time.Second},
	{id: 801, enter: "deaf", leave: "talk", within: 32 * time.Second, detail: "no-answer"},
	{id: 801, enter: "bad-crc", leave: "talk", within: 32 * time.Second, detail: "garbled"},
	{id: 802, enter: "mains-fail 10s deaf", leave: "talk", within: 32 * time.Second},
	{id: 803, enter: "deaf 40s talk"},
	{id: 805, enter: "poke=0:0,0", leave: "unpoke=0:2", detail: "implausible"},
}

var livesOfHalfAnHour = []life{
	{id: 119, enter: "mains-fail", leave: "mains-return", within: 11 * time.Minute},
	{id: 121, enter: "write=1026:276 input=262 11m input=0", within: 20 * time.Minute},
	{id: 122, enter: "write=1026:276 input=262", within: 12 * time.Minute},
	{id: 208, enter: "heat=42", leave: "heat=24", within: 30 * time.Minute, gone: 30 * time.Minute},
	{id: 711, enter: "write=1035:30", detail: "sog0_turn_on_delay was 0 s, is 30 s"},
	{id: 220, enter: "charge=0.5", leave: "charge=1", within: 10 * time.Minute},
	{id: 221, enter: "charge=0.5 10m charge=1"},
}

var livesOfAnHour = []life{
	{id: 834, enter: strings.Repeat("panel-test 12s panel-test-end 12s ", 12), gone: 62 * time.Minute, detail: "513 came more than 10 times"},
}

var livesOfHours = []life{
	{id: 219, enter: "2h battery-replace", within: 2 * time.Hour}, // the date is read once an hour, and believed the second time
	{id: 223, enter: "2h battery-replace 3h poke=128:0,600", leave: "unpoke=128:2", within: 5 * time.Minute, gone: 5 * time.Minute, detail: "reference"},
}

// A day or a month of polls costs more than it shows: the agent is away for most of it, and the clock of the unit stands still,
// which else would test itself every week.
var livesOfDays = []life{
	{
		id: 118, enter: "mains-fail 3m mains-return 5m mains-fail 3m mains-return 5m mains-fail", leave: "3m mains-return 1h away=21h",
		within: 2 * time.Minute, gone: 3 * time.Hour, detail: "3 transfers in 1",
	},
	{id: 222, enter: "poke=130:25600", leave: "poke=130:30720", within: 25 * time.Hour, gone: 5 * time.Minute}, // the simulated charger never fails
}

var livesOfMonths = []life{
	{id: 507, enter: "self-test 2m away=719h", leave: "self-test=protocol", within: 2 * time.Hour, gone: 5 * time.Minute, detail: "none passed for 3"},
}
