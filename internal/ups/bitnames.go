package ups

import "slices"

// A BitName names one bit of a Flags or Choice point, or one value of a Code.
type BitName struct {
	Number int // bit, 0 = least significant; or value
	Name   string
}

// Names returns the names of the bits or values of p as the protocol reference, section 6, prints them; nil if it has none.
// Bits and values that are not in the list are reserved: they keep their number.
func Names(p Point) []BitName {
	switch info := p.Info(); {
	case p >= MainOutlet && p <= SOG3Outlet:
		return outletBits
	case p == BypassStatus || p == InputStatus:
		return inputBits
	case p == OutputVoltageSetting || p == OutputVoltageSettingWide:
		return voltageBits
	case info.Kind == Flags && info.Group != NoGroup:
		return shedBits
	}
	return bitNames[p]
}

// Section 6.3.
var outletBits = []BitName{
	{0, "StateOn"},
	{1, "StateOff"},
	{2, "ProcessReboot"},
	{3, "ProcessShutdown"},
	{4, "ProcessSleep"},
	{7, "PendingLoadShed"},
	{8, "PendingOnDelay"},
	{9, "PendingOffDelay"},
	{10, "PendingOnACPresence"},
	{11, "PendingOnMinRuntime"},
	{12, "MemberGroupProcess1"},
	{13, "MemberGroupProcess2"},
	{14, "LowRuntime"},
}

// Section 6.12.
var inputBits = []BitName{
	{0, "Acceptable"},
	{1, "PendingAcceptable"},
	{2, "VoltageTooLow"},
	{3, "VoltageTooHigh"},
	{4, "Distorted"},
	{5, "Boost"},
	{6, "Trim"},
	{7, "FrequencyTooLow"},
	{8, "FrequencyTooHigh"},
	{9, "FreqAndPhaseNotLocked"},
	{10, "PhaseDeltaOutOfRange"},
	{11, "NeutralNotConnected"},
	{15, "PoweringLoad"},
}

// Section 6.15.
var voltageBits = []BitName{
	{0, "100V"},
	{1, "120V"},
	{2, "200V"},
	{3, "208V"},
	{4, "220V"},
	{5, "230V"},
	{6, "240V"},
	{11, "110V"},
	{13, "120V-208/240V"},
	{14, "120/208V"},
	{15, "120/240V"},
	{16, "100/200V"},
	{18, "115V"},
	{19, "125V"},
}

// Section 6.19.
var shedBits = []BitName{
	{0, "UseOffDelay"},
	{1, "ManualRestartRequired"},
	{3, "TimeOnBattery"},
	{4, "RunTimeRemaining"},
	{5, "UPSOverload"},
}

// Section 6.8.
var testBits = []BitName{
	{0, "Pending"},
	{1, "InProgress"},
	{2, "Passed"},
	{3, "Failed"},
	{4, "Refused"},
	{5, "Aborted"},
	{6, "Protocol"},
	{7, "LocalUI"},
	{8, "Internal"},
	{9, "InvalidState"},
	{10, "InternalFault"},
	{11, "StateOfChargeNotAcceptable"},
}

var bitNames = map[Point][]BitName{
	// Section 6.1.
	StatusFlags: {
		{0, "StatusChange"},
		{1, "StateOnline"},
		{2, "StateOnBattery"},
		{3, "StateBypass"},
		{4, "StateOutputOff"},
		{5, "Fault"},
		{6, "InputBad"},
		{7, "Test"},
		{8, "PendingOutputOn"},
		{9, "PendingOutputOff"},
		{10, "Commanded"},
		{13, "HighEfficiency"},
		{14, "InformationalAlert"},
		{15, "FaultState"},
		{19, "MainsBadState"},
		{20, "FaultRecoveryState"},
		{21, "OverloadState"},
		{22, "MaintenanceMode"},
		{23, "EfficiencyTestMode"},
	},
	// Section 6.2.
	StatusCause: {
		{0, "SystemInitialization"},
		{1, "HighInputVoltage"},
		{2, "LowInputVoltage"},
		{3, "DistortedInput"},
		{4, "RapidChangeOfInputVoltage"},
		{5, "HighInputFrequency"},
		{6, "LowInputFrequency"},
		{7, "FreqAndOrPhaseDifference"},
		{8, "AcceptableInput"},
		{9, "AutomaticTest"},
		{10, "TestEnded"},
		{11, "LocalUICommand"},
		{12, "ProtocolCommand"},
		{13, "LowBatteryVoltage"},
		{14, "GeneralError"},
		{15, "PowerSystemError"},
		{16, "BatterySystemError"},
		{17, "ErrorCleared"},
		{18, "AutomaticRestart"},
		{19, "DistortedInverterOutput"},
		{20, "InverterOutputAcceptable"},
		{21, "EPOInterface"},
		{22, "InputPhaseDeltaOutOfRange"},
		{23, "InputNeutralNotConnected"},
		{24, "ATSTransfer"},
		{25, "ConfigurationChange"},
		{26, "AlertAsserted"},
		{27, "AlertCleared"},
		{28, "PlugRatingExceeded"},
		{29, "OutletGroupStateChange"},
		{30, "FailureBypassExpired"},
	},
	// Section 6.4.
	Signalling: {
		{0, "PowerFailure"},
		{1, "ShutdownImminent"},
	},
	// Section 6.5.
	GeneralError: {
		{0, "SiteWiring"},
		{1, "EEPROM"},
		{2, "ADConverter"},
		{3, "LogicPowerSupply"},
		{4, "InternalCommunication"},
		{5, "UIButton"},
		{6, "NeedsFactorySetup"},
		{7, "EPOActive"},
		{8, "FirmwareMismatch"},
		{9, "Oscillator"},
		{10, "MeasurementMismatch"},
		{11, "Subsystem"},
		{12, "LogicPowerSupplyRelay"},
		{13, "NetworkWarning"},
		{14, "InputContactOutputRelay"},
		{15, "AirFilterWarning"},
	},
	// Section 6.6.
	PowerError: {
		{0, "OutputOverload"},
		{1, "OutputShortCircuit"},
		{2, "OutputOvervoltage"},
		{3, "TransformerDCImbalance"},
		{4, "Overtemperature"},
		{5, "BackfeedRelay"},
		{6, "AVRRelay"},
		{7, "PFCInputRelay"},
		{8, "OutputRelay"},
		{9, "BypassRelay"},
		{10, "Fan"},
		{11, "PFC"},
		{12, "DCBusOvervoltage"},
		{13, "Inverter"},
		{14, "OverCurrent"},
		{15, "BypassPFCRelay"},
		{16, "BusSoftStart"},
		{17, "GreenRelay"},
		{18, "DCOutput"},
		{19, "DCBusConverter"},
		{20, "Sensor"},
	},
	// Section 6.7.
	BatteryError: {
		{0, "Disconnected"},
		{1, "Overvoltage"},
		{2, "NeedsReplacement"},
		{3, "OvertemperatureCritical"},
		{4, "Charger"},
		{5, "TemperatureSensor"},
		{6, "BusSoftStart"},
		{7, "OvertemperatureWarning"},
		{8, "GeneralError"},
		{9, "Communication"},
		{10, "DisconnectedFrame"},
		{11, "FirmwareMismatch"},
		{12, "VoltageSenseError"},
		{13, "IncompatiblePack"},
	},
	BatteryTest: testBits,
	// Section 6.9: the bits of a self-test, and four more reasons.
	Calibration: append(slices.Clone(testBits),
		BitName{12, "LoadChange"},
		BitName{13, "ACInputNotAcceptable"},
		BitName{14, "LoadTooLow"},
		BitName{15, "OverChargeInProgress"},
	),
	// Section 6.10.
	BatteryLife: {
		{0, "LifeTimeStatusOK"},
		{1, "LifeTimeNearEnd"},
		{2, "LifeTimeExceeded"},
		{3, "LifeTimeNearEndAcknowledged"},
		{4, "LifeTimeExceededAcknowledged"},
		{5, "MeasuredLifeTimeNearEnd"},
		{6, "MeasuredLifeTimeNearEndAcknowledged"},
	},
	// Section 6.11.
	UserInterface: {
		{0, "ContinuousTestInProgress"},
		{1, "AudibleAlarmInProgress"},
		{2, "AudibleAlarmMuted"},
		{3, "AnyButtonPressedRecently"},
	},
	// Section 6.13.
	Efficiency: {
		{-1, "NotAvailable"},
		{-2, "LoadTooLow"},
		{-3, "OutputOff"},
		{-4, "OnBattery"},
		{-5, "InBypass"},
		{-6, "BatteryCharging"},
		{-7, "PoorACInput"},
		{-8, "BatteryDisconnected"},
	},
	// Section 6.14.
	OutletConfig: {
		{0, "MOGPresent"},
		{1, "SOG0Present"},
		{2, "SOG1Present"},
		{3, "SOG2Present"},
		{4, "SOG3Present"},
	},
	// Section 6.16.
	OutputFrequencySetting: {
		{0, "Auto50/60Hz"},
		{1, "50Hz+/-0.1"},
		{2, "50Hz+/-1.0"},
		{3, "50Hz+/-3.0"},
		{4, "60Hz+/-0.1"},
		{5, "60Hz+/-1.0"},
		{6, "60Hz+/-3.0"},
	},
	// Section 6.17.
	TestInterval: {
		{0, "Never"},
		{1, "StartUp"},
		{2, "StartUpAndEvery7Days"},
		{3, "StartUpAndEvery14Days"},
		{4, "StartUpAnd7DaysSinceTest"},
		{5, "StartUpAnd14DaysSinceTest"},
	},
	// Section 6.18.
	Sensitivity: {
		{0, "Normal"},
		{1, "Reduced"},
		{2, "Low"},
	},
}
