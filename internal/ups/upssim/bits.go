package upssim

import (
	"fmt"
	"strings"
)

// A bit names one mask of a bit field. The masks are the ones the simulation works with, so that a test that compares the
// names with the reference compares the simulation too.
type bit struct {
	mask uint32
	name string
}

// UPSStatus_BF (section 6.1).
const (
	stateOnline      = 1 << 1
	stateOnBattery   = 1 << 2
	stateOutputOff   = 1 << 4
	statusFault      = 1 << 5
	statusInputBad   = 1 << 6
	statusTest       = 1 << 7
	pendingOutputOn  = 1 << 8
	pendingOutputOff = 1 << 9
	highEfficiency   = 1 << 13
)

var statusBits = []bit{
	{1 << 0, "StatusChange"},
	{stateOnline, "StateOnline"},
	{stateOnBattery, "StateOnBattery"},
	{1 << 3, "StateBypass"},
	{stateOutputOff, "StateOutputOff"},
	{statusFault, "Fault"},
	{statusInputBad, "InputBad"},
	{statusTest, "Test"},
	{pendingOutputOn, "PendingOutputOn"},
	{pendingOutputOff, "PendingOutputOff"},
	{1 << 10, "Commanded"},
	{highEfficiency, "HighEfficiency"},
	{1 << 14, "InformationalAlert"},
	{1 << 15, "FaultState"},
	{1 << 19, "MainsBadState"},
	{1 << 20, "FaultRecoveryState"},
	{1 << 21, "OverloadState"},
	{1 << 22, "MaintenanceMode"},
	{1 << 23, "EfficiencyTestMode"},
}

// UPSStatusChangeCause_EN (section 6.2).
const (
	causeHighInput         = 1
	causeLowInput          = 2
	causeDistorted         = 3
	causeRapidChange       = 4
	causeAcceptable        = 8
	causeTestEnded         = 10
	causeLocalUI           = 11
	causeProtocol          = 12
	causeLowBattery        = 13
	causePowerError        = 15
	causeBatteryError      = 16
	causeErrorCleared      = 17
	causeAutomaticRestart  = 18
	causeOutletStateChange = 29
)

var causeNames = map[int]string{
	0: "SystemInitialization", causeHighInput: "HighInputVoltage", causeLowInput: "LowInputVoltage", causeDistorted: "DistortedInput",
	causeRapidChange: "RapidChangeOfInputVoltage", 5: "HighInputFrequency", 6: "LowInputFrequency", 7: "FreqAndOrPhaseDifference",
	causeAcceptable: "AcceptableInput", 9: "AutomaticTest", causeTestEnded: "TestEnded", causeLocalUI: "LocalUICommand",
	causeProtocol: "ProtocolCommand", causeLowBattery: "LowBatteryVoltage", 14: "GeneralError", causePowerError: "PowerSystemError",
	causeBatteryError: "BatterySystemError", causeErrorCleared: "ErrorCleared", causeAutomaticRestart: "AutomaticRestart",
	19: "DistortedInverterOutput", 20: "InverterOutputAcceptable", 21: "EPOInterface", 22: "InputPhaseDeltaOutOfRange",
	23: "InputNeutralNotConnected", 24: "ATSTransfer", 25: "ConfigurationChange", 26: "AlertAsserted", 27: "AlertCleared",
	28: "PlugRatingExceeded", causeOutletStateChange: "OutletGroupStateChange", 30: "FailureBypassExpired",
}

// OutletStatus_BF (section 6.3; the layout of AN177 and 990, not the shifted one of AN176, D1).
const (
	outletOn          = 1 << 0
	outletOff         = 1 << 1
	outletReboot      = 1 << 2
	outletShutdown    = 1 << 3
	outletSleep       = 1 << 4
	outletOnDelay     = 1 << 8
	outletOffDelay    = 1 << 9
	outletACPresence  = 1 << 10
	outletMinRuntime  = 1 << 11
	outletFirstGroup  = 1 << 12
	outletSecondGroup = 1 << 13
	outletLowRuntime  = 1 << 14
)

var outletBits = []bit{
	{outletOn, "StateOn"},
	{outletOff, "StateOff"},
	{outletReboot, "ProcessReboot"},
	{outletShutdown, "ProcessShutdown"},
	{outletSleep, "ProcessSleep"},
	{1 << 7, "PendingLoadShed"},
	{outletOnDelay, "PendingOnDelay"},
	{outletOffDelay, "PendingOffDelay"},
	{outletACPresence, "PendingOnACPresence"},
	{outletMinRuntime, "PendingOnMinRuntime"},
	{outletFirstGroup, "MemberGroupProcess1"},
	{outletSecondGroup, "MemberGroupProcess2"},
	{outletLowRuntime, "LowRuntime"},
}

// SimpleSignalingStatus_BF (section 6.4).
const (
	powerFailure     = 1 << 0
	shutdownImminent = 1 << 1
)

var signallingBits = []bit{{powerFailure, "PowerFailure"}, {shutdownImminent, "ShutdownImminent"}}

// GeneralError_BF (section 6.5).
var generalErrorBits = []bit{
	{1 << 0, "SiteWiring"},
	{1 << 1, "EEPROM"},
	{1 << 2, "ADConverter"},
	{1 << 3, "LogicPowerSupply"},
	{1 << 4, "InternalCommunication"},
	{1 << 5, "UIButton"},
	{1 << 6, "NeedsFactorySetup"},
	{1 << 7, "EPOActive"},
	{1 << 8, "FirmwareMismatch"},
	{1 << 9, "Oscillator"},
	{1 << 10, "MeasurementMismatch"},
	{1 << 11, "Subsystem"},
	{1 << 12, "LogicPowerSupplyRelay"},
	{1 << 13, "NetworkWarning"},
	{1 << 14, "InputContactOutputRelay"},
	{1 << 15, "AirFilterWarning"},
}

// PowerSystemError_BF (section 6.6).
const outputOverload = 1 << 0

var powerErrorBits = []bit{
	{outputOverload, "OutputOverload"},
	{1 << 1, "OutputShortCircuit"},
	{1 << 2, "OutputOvervoltage"},
	{1 << 3, "TransformerDCImbalance"},
	{1 << 4, "Overtemperature"},
	{1 << 5, "BackfeedRelay"},
	{1 << 6, "AVRRelay"},
	{1 << 7, "PFCInputRelay"},
	{1 << 8, "OutputRelay"},
	{1 << 9, "BypassRelay"},
	{1 << 10, "Fan"},
	{1 << 11, "PFC"},
	{1 << 12, "DCBusOvervoltage"},
	{1 << 13, "Inverter"},
	{1 << 14, "OverCurrent"},
	{1 << 15, "BypassPFCRelay"},
	{1 << 16, "BusSoftStart"},
	{1 << 17, "GreenRelay"},
	{1 << 18, "DCOutput"},
	{1 << 19, "DCBusConverter"},
	{1 << 20, "Sensor"},
}

// BatterySystemError_BF (section 6.7).
const needsReplacement = 1 << 2

var batteryErrorBits = []bit{
	{1 << 0, "Disconnected"},
	{1 << 1, "Overvoltage"},
	{needsReplacement, "NeedsReplacement"},
	{1 << 3, "OvertemperatureCritical"},
	{1 << 4, "Charger"},
	{1 << 5, "TemperatureSensor"},
	{1 << 6, "BusSoftStart"},
	{1 << 7, "OvertemperatureWarning"},
	{1 << 8, "GeneralError"},
	{1 << 9, "Communication"},
	{1 << 10, "DisconnectedFrame"},
	{1 << 11, "FirmwareMismatch"},
	{1 << 12, "VoltageSenseError"},
	{1 << 13, "IncompatiblePack"},
}

// ReplaceBatteryTestStatus_BF and RunTimeCalibrationStatus_BF (sections 6.8 and 6.9): result, source, modifiers.
const (
	testPending      = 1 << 0
	testInProgress   = 1 << 1
	testPassed       = 1 << 2
	testFailed       = 1 << 3
	testRefused      = 1 << 4
	testAborted      = 1 << 5
	byProtocol       = 1 << 6
	byLocalUI        = 1 << 7
	testInvalidState = 1 << 9
	testFault        = 1 << 10
	testCharge       = 1 << 11
	calLoadChange    = 1 << 12
	calInput         = 1 << 13
	calLoadTooLow    = 1 << 14

	testSources = byProtocol | byLocalUI | 1<<8
)

var testBits = []bit{
	{testPending, "Pending"},
	{testInProgress, "InProgress"},
	{testPassed, "Passed"},
	{testFailed, "Failed"},
	{testRefused, "Refused"},
	{testAborted, "Aborted"},
	{byProtocol, "Protocol"},
	{byLocalUI, "LocalUI"},
	{1 << 8, "Internal"},
	{testInvalidState, "InvalidState"},
	{testFault, "InternalFault"},
	{testCharge, "StateOfChargeNotAcceptable"},
}

var calibrationBits = append(testBits[:len(testBits):len(testBits)],
	bit{calLoadChange, "LoadChange"},
	bit{calInput, "ACInputNotAcceptable"},
	bit{calLoadTooLow, "LoadTooLow"},
	bit{1 << 15, "OverChargeInProgress"},
)

// Battery.LifeTimeStatus_BF (section 6.10).
const lifeTimeOK = 1 << 0

var lifeTimeBits = []bit{
	{lifeTimeOK, "LifeTimeStatusOK"},
	{1 << 1, "LifeTimeNearEnd"},
	{1 << 2, "LifeTimeExceeded"},
	{1 << 3, "LifeTimeNearEndAcknowledged"},
	{1 << 4, "LifeTimeExceededAcknowledged"},
	{1 << 5, "MeasuredLifeTimeNearEnd"},
	{1 << 6, "MeasuredLifeTimeNearEndAcknowledged"},
}

// UserInterfaceStatus_BF (section 6.11).
const (
	uiContinuousTest = 1 << 0
	uiAlarm          = 1 << 1
	uiMuted          = 1 << 2
)

var userInterfaceBits = []bit{
	{uiContinuousTest, "ContinuousTestInProgress"},
	{uiAlarm, "AudibleAlarmInProgress"},
	{uiMuted, "AudibleAlarmMuted"},
	{1 << 3, "AnyButtonPressedRecently"},
}

// InputStatus_BF (section 6.12).
const (
	inputAcceptable = 1 << 0
	inputPending    = 1 << 1
	inputTooLow     = 1 << 2
	inputTooHigh    = 1 << 3
	inputBoost      = 1 << 5
	inputTrim       = 1 << 6
	inputPowering   = 1 << 15
)

var inputBits = []bit{
	{inputAcceptable, "Acceptable"},
	{inputPending, "PendingAcceptable"},
	{inputTooLow, "VoltageTooLow"},
	{inputTooHigh, "VoltageTooHigh"},
	{1 << 4, "Distorted"},
	{inputBoost, "Boost"},
	{inputTrim, "Trim"},
	{1 << 7, "FrequencyTooLow"},
	{1 << 8, "FrequencyTooHigh"},
	{1 << 9, "FreqAndPhaseNotLocked"},
	{1 << 10, "PhaseDeltaOutOfRange"},
	{1 << 11, "NeutralNotConnected"},
	{inputPowering, "PoweringLoad"},
}

// Efficiency_EN, negative codes (section 6.13).
const (
	efficiencyNone     = -1
	efficiencyLowLoad  = -2
	efficiencyOff      = -3
	efficiencyBattery  = -4
	efficiencyCharging = -6
)

var efficiencyNames = map[int]string{
	efficiencyNone: "NotAvailable", efficiencyLowLoad: "LoadTooLow", efficiencyOff: "OutputOff", efficiencyBattery: "OnBattery",
	-5: "InBypass", efficiencyCharging: "BatteryCharging", -7: "PoorACInput", -8: "BatteryDisconnected",
}

// SOGRelayConfigSetting_BF (section 6.14).
const (
	mogPresent  = 1 << 0
	sog0Present = 1 << 1
)

var groupBits = []bit{
	{mogPresent, "MOGPresent"},
	{sog0Present, "SOG0Present"},
	{1 << 2, "SOG1Present"},
	{1 << 3, "SOG2Present"},
	{1 << 4, "SOG3Present"},
}

// Output.VoltageACSetting_BF, 16 and 32 bits (section 6.15).
const (
	volts120 = 1 << 1
	volts230 = 1 << 5
)

var voltageBits = []bit{
	{1 << 0, "100V"},
	{volts120, "120V"},
	{1 << 2, "200V"},
	{1 << 3, "208V"},
	{1 << 4, "220V"},
	{volts230, "230V"},
	{1 << 6, "240V"},
	{1 << 11, "110V"},
	{1 << 13, "120V-208/240V"},
	{1 << 14, "120/208V"},
	{1 << 15, "120/240V"},
}

var voltage32Bits = append(voltageBits[:len(voltageBits):len(voltageBits)],
	bit{1 << 16, "100/200V"},
	bit{1 << 18, "115V"},
	bit{1 << 19, "125V"},
)

// Settings chosen from a list (sections 6.16 to 6.19).
var (
	frequencyBits = []bit{
		{1 << 0, "Auto50/60Hz"},
		{1 << 1, "50Hz+/-0.1"},
		{1 << 2, "50Hz+/-1.0"},
		{1 << 3, "50Hz+/-3.0"},
		{1 << 4, "60Hz+/-0.1"},
		{1 << 5, "60Hz+/-1.0"},
		{1 << 6, "60Hz+/-3.0"},
	}
	testIntervalBits = []bit{
		{testNever, "Never"},
		{testStartUp, "StartUp"},
		{1 << 2, "StartUpAndEvery7Days"},
		{1 << 3, "StartUpAndEvery14Days"},
		{test7Days, "StartUpAnd7DaysSinceTest"},
		{test14Days, "StartUpAnd14DaysSinceTest"},
	}
	sensitivityBits = []bit{{1 << 0, "Normal"}, {1 << 1, "Reduced"}, {1 << 2, "Low"}}
	loadShedBits    = []bit{
		{1 << 0, "UseOffDelay"},
		{1 << 1, "ManualRestartRequired"},
		{1 << 3, "TimeOnBattery"},
		{1 << 4, "RunTimeRemaining"},
		{1 << 5, "UPSOverload"},
	}
)

const (
	testNever   = 1 << 0
	testStartUp = 1 << 1
	test7Days   = 1 << 4
	test14Days  = 1 << 5
)

// bitsOf gives the names of every bit field of the map.
var bitsOf = map[string][]bit{
	"UPSStatus_BF":                         statusBits,
	"MOG.OutletStatus_BF":                  outletBits,
	"SOG[0].OutletStatus_BF":               outletBits,
	"SOG[1].OutletStatus_BF":               outletBits,
	"SOG[2].OutletStatus_BF":               outletBits,
	"SOG[3].OutletStatus_BF":               outletBits,
	"SimpleSignalingStatus_BF":             signallingBits,
	"GeneralError_BF":                      generalErrorBits,
	"PowerSystemError_BF":                  powerErrorBits,
	"BatterySystemError_BF":                batteryErrorBits,
	"ReplaceBatteryTestStatus_BF":          testBits,
	"RunTimeCalibrationStatus_BF":          calibrationBits,
	"Battery.LifeTimeStatus_BF":            lifeTimeBits,
	"UserInterfaceStatus_BF":               userInterfaceBits,
	"Bypass.InputStatus_BF":                inputBits,
	"Input.InputStatus_BF":                 inputBits,
	"SOGRelayConfigSetting_BF":             groupBits,
	"Output.VoltageACSetting_BF":           voltageBits,
	"Output.VoltageACSetting_BF_32":        voltage32Bits,
	"Output.AcceptableFrequencySetting_BF": frequencyBits,
	"BatteryTestIntervalSetting_BF":        testIntervalBits,
	"Output.SensitivitySetting_BF":         sensitivityBits,
	"MOG.LoadShedConfigSetting_BF":         loadShedBits,
	"SOG[0].LoadShedConfigSetting_BF":      loadShedBits,
	"SOG[1].LoadShedConfigSetting_BF":      loadShedBits,
	"SOG[2].LoadShedConfigSetting_BF":      loadShedBits,
}

// valuesOf gives the names of the enumerations of the map.
var valuesOf = map[string]map[int]string{
	"UPSStatusChangeCause_EN": causeNames,
	"Efficiency_EN":           efficiencyNames,
}

// describe renders the bit field v of item with the names of its bits: "0x244 StateOnBattery|InputBad|PendingOutputOff".
func describe(item string, v uint32) string {
	var names []string
	for _, b := range bitsOf[item] {
		if v&b.mask != 0 {
			names = append(names, b.name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("0x%X", v)
	}
	return fmt.Sprintf("0x%X %s", v, strings.Join(names, "|"))
}
