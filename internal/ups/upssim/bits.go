package upssim

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
	stateBypass      = 1 << 3
	stateOutputOff   = 1 << 4
	statusFault      = 1 << 5
	statusInputBad   = 1 << 6
	statusTest       = 1 << 7
	pendingOutputOn  = 1 << 8
	pendingOutputOff = 1 << 9
	statusCommanded  = 1 << 10
	highEfficiency   = 1 << 13
	statusAlert      = 1 << 14
	faultState       = 1 << 15
	mainsBadState    = 1 << 19
	faultRecovery    = 1 << 20
	overloadState    = 1 << 21
	statusChange     = 1 << 0
)

// statusColumns says which families show a bit of UPSStatus_BF (990-9840B). The other bits are marked for none.
var statusColumns = map[uint32]column{
	statusChange: surtd, stateOnline: all, stateOnBattery: all, stateBypass: srt | surtd, stateOutputOff: all, statusFault: all,
	statusInputBad: all, statusTest: all, pendingOutputOn: all, pendingOutputOff: all, statusCommanded: srt, highEfficiency: smt | srt,
	statusAlert: smt, faultState: smt | srt, mainsBadState: srt, faultRecovery: srt, overloadState: srt,
}

var statusBits = []bit{
	{statusChange, "StatusChange"},
	{stateOnline, "StateOnline"},
	{stateOnBattery, "StateOnBattery"},
	{stateBypass, "StateBypass"},
	{stateOutputOff, "StateOutputOff"},
	{statusFault, "Fault"},
	{statusInputBad, "InputBad"},
	{statusTest, "Test"},
	{pendingOutputOn, "PendingOutputOn"},
	{pendingOutputOff, "PendingOutputOff"},
	{statusCommanded, "Commanded"},
	{highEfficiency, "HighEfficiency"},
	{statusAlert, "InformationalAlert"},
	{faultState, "FaultState"},
	{mainsBadState, "MainsBadState"},
	{faultRecovery, "FaultRecoveryState"},
	{overloadState, "OverloadState"},
	{1 << 22, "MaintenanceMode"},
	{1 << 23, "EfficiencyTestMode"},
}

// UPSStatusChangeCause_EN (section 6.2).
const (
	causeStart             = 0
	causeHighInput         = 1
	causeLowInput          = 2
	causeDistorted         = 3
	causeRapidChange       = 4
	causeFast              = 5
	causeSlow              = 6
	causeUnlocked          = 7
	causeAcceptable        = 8
	causeAutomaticTest     = 9
	causeTestEnded         = 10
	causeLocalUI           = 11
	causeProtocol          = 12
	causeLowBattery        = 13
	causeGeneralError      = 14
	causePowerError        = 15
	causeBatteryError      = 16
	causeErrorCleared      = 17
	causeAutomaticRestart  = 18
	causeInverterDistorted = 19
	causeInverterGood      = 20
	causeEPO               = 21
	causePhase             = 22
	causeNeutral           = 23
	causeAlert             = 26
	causeAlertCleared      = 27
	causeOutletStateChange = 29
	causeBypassExpired     = 30
)

var causeNames = map[int]string{
	causeStart: "SystemInitialization", causeHighInput: "HighInputVoltage", causeLowInput: "LowInputVoltage", causeDistorted: "DistortedInput",
	causeRapidChange: "RapidChangeOfInputVoltage", causeFast: "HighInputFrequency", causeSlow: "LowInputFrequency",
	causeUnlocked: "FreqAndOrPhaseDifference", causeAcceptable: "AcceptableInput", causeAutomaticTest: "AutomaticTest", causeTestEnded: "TestEnded",
	causeLocalUI: "LocalUICommand", causeProtocol: "ProtocolCommand", causeLowBattery: "LowBatteryVoltage", causeGeneralError: "GeneralError",
	causePowerError: "PowerSystemError", causeBatteryError: "BatterySystemError", causeErrorCleared: "ErrorCleared",
	causeAutomaticRestart: "AutomaticRestart", causeInverterDistorted: "DistortedInverterOutput", causeInverterGood: "InverterOutputAcceptable",
	causeEPO: "EPOInterface", causePhase: "InputPhaseDeltaOutOfRange", causeNeutral: "InputNeutralNotConnected", 24: "ATSTransfer",
	25: "ConfigurationChange", causeAlert: "AlertAsserted", causeAlertCleared: "AlertCleared", 28: "PlugRatingExceeded",
	causeOutletStateChange: "OutletGroupStateChange", causeBypassExpired: "FailureBypassExpired",
}

// OutletStatus_BF (section 6.3; the layout of AN177 and 990, not the shifted one of AN176, D1).
const (
	outletOn          = 1 << 0
	outletOff         = 1 << 1
	outletReboot      = 1 << 2
	outletShutdown    = 1 << 3
	outletSleep       = 1 << 4
	outletLoadShed    = 1 << 7
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
	{outletLoadShed, "PendingLoadShed"},
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
const (
	siteWiring = 1 << 0
	epoActive  = 1 << 7
)

var generalErrorBits = []bit{
	{siteWiring, "SiteWiring"},
	{1 << 1, "EEPROM"},
	{1 << 2, "ADConverter"},
	{1 << 3, "LogicPowerSupply"},
	{1 << 4, "InternalCommunication"},
	{1 << 5, "UIButton"},
	{1 << 6, "NeedsFactorySetup"},
	{epoActive, "EPOActive"},
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
const (
	outputOverload  = 1 << 0
	overtemperature = 1 << 4
	inverterFault   = 1 << 13
)

var powerErrorBits = []bit{
	{outputOverload, "OutputOverload"},
	{1 << 1, "OutputShortCircuit"},
	{1 << 2, "OutputOvervoltage"},
	{1 << 3, "TransformerDCImbalance"},
	{overtemperature, "Overtemperature"},
	{1 << 5, "BackfeedRelay"},
	{1 << 6, "AVRRelay"},
	{1 << 7, "PFCInputRelay"},
	{1 << 8, "OutputRelay"},
	{1 << 9, "BypassRelay"},
	{1 << 10, "Fan"},
	{1 << 11, "PFC"},
	{1 << 12, "DCBusOvervoltage"},
	{inverterFault, "Inverter"},
	{1 << 14, "OverCurrent"},
	{1 << 15, "BypassPFCRelay"},
	{1 << 16, "BusSoftStart"},
	{1 << 17, "GreenRelay"},
	{1 << 18, "DCOutput"},
	{1 << 19, "DCBusConverter"},
	{1 << 20, "Sensor"},
}

// BatterySystemError_BF (section 6.7).
const (
	batteryDisconnected = 1 << 0
	needsReplacement    = 1 << 2
	batteryTooHot       = 1 << 3
	chargerFault        = 1 << 4
	batteryHot          = 1 << 7
)

var batteryErrorBits = []bit{
	{batteryDisconnected, "Disconnected"},
	{1 << 1, "Overvoltage"},
	{needsReplacement, "NeedsReplacement"},
	{batteryTooHot, "OvertemperatureCritical"},
	{chargerFault, "Charger"},
	{1 << 5, "TemperatureSensor"},
	{1 << 6, "BusSoftStart"},
	{batteryHot, "OvertemperatureWarning"},
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
	byInternal       = 1 << 8
	testInvalidState = 1 << 9
	testFault        = 1 << 10
	testCharge       = 1 << 11
	calLoadChange    = 1 << 12
	calInput         = 1 << 13
	calLoadTooLow    = 1 << 14
	calOverCharge    = 1 << 15

	testSources = byProtocol | byLocalUI | byInternal
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
	{byInternal, "Internal"},
	{testInvalidState, "InvalidState"},
	{testFault, "InternalFault"},
	{testCharge, "StateOfChargeNotAcceptable"},
}

var calibrationBits = append(testBits[:len(testBits):len(testBits)],
	bit{calLoadChange, "LoadChange"},
	bit{calInput, "ACInputNotAcceptable"},
	bit{calLoadTooLow, "LoadTooLow"},
	bit{calOverCharge, "OverChargeInProgress"},
)

// Battery.LifeTimeStatus_BF (section 6.10).
const (
	lifeTimeOK     = 1 << 0
	lifeNearEnd    = 1 << 1
	lifeExceeded   = 1 << 2
	lifeNearEndAck = 1 << 3
	lifeExceedAck  = 1 << 4
	lifeWorn       = 1 << 5
	lifeWornAck    = 1 << 6
)

var lifeTimeBits = []bit{
	{lifeTimeOK, "LifeTimeStatusOK"},
	{lifeNearEnd, "LifeTimeNearEnd"},
	{lifeExceeded, "LifeTimeExceeded"},
	{lifeNearEndAck, "LifeTimeNearEndAcknowledged"},
	{lifeExceedAck, "LifeTimeExceededAcknowledged"},
	{lifeWorn, "MeasuredLifeTimeNearEnd"},
	{lifeWornAck, "MeasuredLifeTimeNearEndAcknowledged"},
}

// UserInterfaceStatus_BF (section 6.11).
const (
	uiContinuousTest = 1 << 0
	uiAlarm          = 1 << 1
	uiMuted          = 1 << 2
	uiButton         = 1 << 3
)

var userInterfaceBits = []bit{
	{uiContinuousTest, "ContinuousTestInProgress"},
	{uiAlarm, "AudibleAlarmInProgress"},
	{uiMuted, "AudibleAlarmMuted"},
	{uiButton, "AnyButtonPressedRecently"},
}

// InputStatus_BF (section 6.12).
const (
	inputAcceptable = 1 << 0
	inputPending    = 1 << 1
	inputTooLow     = 1 << 2
	inputTooHigh    = 1 << 3
	inputDistorted  = 1 << 4
	inputBoost      = 1 << 5
	inputTrim       = 1 << 6
	inputSlow       = 1 << 7
	inputFast       = 1 << 8
	inputUnlocked   = 1 << 9
	inputPhase      = 1 << 10
	inputNeutral    = 1 << 11
	inputPowering   = 1 << 15
)

var inputBits = []bit{
	{inputAcceptable, "Acceptable"},
	{inputPending, "PendingAcceptable"},
	{inputTooLow, "VoltageTooLow"},
	{inputTooHigh, "VoltageTooHigh"},
	{inputDistorted, "Distorted"},
	{inputBoost, "Boost"},
	{inputTrim, "Trim"},
	{inputSlow, "FrequencyTooLow"},
	{inputFast, "FrequencyTooHigh"},
	{inputUnlocked, "FreqAndPhaseNotLocked"},
	{inputPhase, "PhaseDeltaOutOfRange"},
	{inputNeutral, "NeutralNotConnected"},
	{inputPowering, "PoweringLoad"},
}

// Efficiency_EN, negative codes (section 6.13).
const (
	efficiencyNone     = -1
	efficiencyLowLoad  = -2
	efficiencyOff      = -3
	efficiencyBattery  = -4
	efficiencyBypass   = -5
	efficiencyCharging = -6
	efficiencyPoorAC   = -7
	efficiencyNoPack   = -8
)

var efficiencyNames = map[int]string{
	efficiencyNone: "NotAvailable", efficiencyLowLoad: "LoadTooLow", efficiencyOff: "OutputOff", efficiencyBattery: "OnBattery",
	efficiencyBypass: "InBypass", efficiencyCharging: "BatteryCharging", efficiencyPoorAC: "PoorACInput", efficiencyNoPack: "BatteryDisconnected",
}

// SOGRelayConfigSetting_BF (section 6.14).
const (
	mogPresent  = 1 << 0
	sog0Present = 1 << 1
	sog1Present = 1 << 2
	sog2Present = 1 << 3
)

var groupBits = []bit{
	{mogPresent, "MOGPresent"},
	{sog0Present, "SOG0Present"},
	{sog1Present, "SOG1Present"},
	{sog2Present, "SOG2Present"},
	{1 << 4, "SOG3Present"},
}

// Output.VoltageACSetting_BF, 16 and 32 bits (section 6.15).
const (
	volts120 = 1 << 1
	volts230 = 1 << 5

	volts120x208 = 1 << 14
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
	{volts120x208, "120/208V"},
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
		{shedUseOff, "UseOffDelay"},
		{shedManual, "ManualRestartRequired"},
		{shedTime, "TimeOnBattery"},
		{shedRuntime, "RunTimeRemaining"},
		{shedOverload, "UPSOverload"},
	}
)

const (
	shedUseOff   = 1 << 0
	shedManual   = 1 << 1
	shedTime     = 1 << 3
	shedRuntime  = 1 << 4
	shedOverload = 1 << 5
)

const (
	testNever   = 1 << 0
	testStartUp = 1 << 1
	test7Days   = 1 << 4
	test14Days  = 1 << 5
)
