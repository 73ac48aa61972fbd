package ups

// Bits that rules are written with. The letter is the short name of the register in the event catalogue, section 1:
// U status, O outlet group, S signalling, G general error, P power system, B battery system, T test and calibration, R
// calibration alone, L battery lifetime, K user interface (there UI), I input.
// Source: protocol reference, section 6.
const (
	UOnline         = 1 << 1
	UOnBattery      = 1 << 2
	UBypass         = 1 << 3
	UOutputOff      = 1 << 4
	UFault          = 1 << 5
	UInputBad       = 1 << 6
	UTest           = 1 << 7
	UPendingOn      = 1 << 8
	UPendingOff     = 1 << 9
	UCommanded      = 1 << 10
	UHighEfficiency = 1 << 13
	UInfoAlert      = 1 << 14
	UFaultState     = 1 << 15
	UMainsBad       = 1 << 19
	UFaultRecovery  = 1 << 20
	UOverload       = 1 << 21

	OStateOn      = 1 << 0
	OStateOff     = 1 << 1
	OReboot       = 1 << 2
	OShutdown     = 1 << 3
	OSleep        = 1 << 4
	OLoadShed     = 1 << 7
	OOnDelay      = 1 << 8
	OOffDelay     = 1 << 9
	OOnMains      = 1 << 10
	OOnMinRuntime = 1 << 11
	OLowRuntime   = 1 << 14

	SPowerFailure     = 1 << 0
	SShutdownImminent = 1 << 1

	GSiteWiring       = 1 << 0
	GEEPROM           = 1 << 1
	GADConverter      = 1 << 2
	GLogicPower       = 1 << 3
	GInternalComm     = 1 << 4
	GUIButton         = 1 << 5
	GEPOActive        = 1 << 7
	GFirmwareMismatch = 1 << 8
	GOscillator       = 1 << 9
	GMeasurements     = 1 << 10
	GSubsystem        = 1 << 11

	POverload         = 1 << 0
	PShortCircuit     = 1 << 1
	POvervoltage      = 1 << 2
	PTransformerDC    = 1 << 3
	POvertemperature  = 1 << 4
	PBackfeedRelay    = 1 << 5
	PAVRRelay         = 1 << 6
	PInputRelay       = 1 << 7
	POutputRelay      = 1 << 8
	PBypassRelay      = 1 << 9
	PFan              = 1 << 10
	PPFC              = 1 << 11
	PDCBusOvervoltage = 1 << 12
	PInverter         = 1 << 13
	POverCurrent      = 1 << 14

	BDisconnected      = 1 << 0
	BOvervoltage       = 1 << 1
	BNeedsReplacement  = 1 << 2
	BOverheated        = 1 << 3
	BCharger           = 1 << 4
	BTemperatureSensor = 1 << 5
	BBusSoftStart      = 1 << 6
	BHot               = 1 << 7
	BGeneral           = 1 << 8
	BCommunication     = 1 << 9

	TPending       = 1 << 0
	TInProgress    = 1 << 1
	TPassed        = 1 << 2
	TFailed        = 1 << 3
	TRefused       = 1 << 4
	TAborted       = 1 << 5
	TProtocol      = 1 << 6
	TLocalUI       = 1 << 7
	TInternal      = 1 << 8
	TInvalidState  = 1 << 9
	TInternalFault = 1 << 10
	TCharge        = 1 << 11
	RLoadChange    = 1 << 12 // this and the next three in Calibration only
	RInputBad      = 1 << 13
	RLoadTooLow    = 1 << 14
	ROverCharging  = 1 << 15

	LNearEnd              = 1 << 1
	LExceeded             = 1 << 2
	LNearEndAcknowledged  = 1 << 3
	LExceededAcknowledged = 1 << 4
	LMeasuredNearEnd      = 1 << 5
	LMeasuredAcknowledged = 1 << 6

	KPanelTest   = 1 << 0
	KAlarmSounds = 1 << 1
	KAlarmMuted  = 1 << 2

	IAcceptable    = 1 << 0
	IVoltageLow    = 1 << 2
	IVoltageHigh   = 1 << 3
	IDistorted     = 1 << 4
	IBoost         = 1 << 5
	ITrim          = 1 << 6
	IFrequencyLow  = 1 << 7
	IFrequencyHigh = 1 << 8
	INotLocked     = 1 << 9
	IPhaseDelta    = 1 << 10
	INeutral       = 1 << 11
)

// Causes that rules are written with (StatusCause). Source: protocol reference, section 6.2.
const (
	CauseHighVoltage       = 1
	CauseLowVoltage        = 2
	CauseDistorted         = 3
	CauseRapidChange       = 4
	CauseHighFrequency     = 5
	CauseLowFrequency      = 6
	CauseNotLocked         = 7
	CauseAutomaticTest     = 9
	CauseLowBatteryVoltage = 13
	CauseErrorCleared      = 17
	CauseAutomaticRestart  = 18
	CauseInverterDistorted = 19
	CauseInverterGood      = 20
	CauseEPO               = 21
	CausePhaseDelta        = 22
	CauseNeutral           = 23
	CauseATS               = 24
	CausePlugRating        = 28
	CauseBypassExpired     = 30
)

// Choices of TestInterval: every 7 and every 14 days. The others ask for no test by time (protocol reference, section 6.17).
const (
	TestWeekly      = 1<<2 | 1<<4
	TestFortnightly = 1<<3 | 1<<5
)

// UModes are the bits of which exactly one is expected in a plausible StatusFlags, and UReserved those that are never set
// (protocol reference, sections 6.1 and 10).
const (
	UModes    = UOnline | UOnBattery | UBypass | UOutputOff
	UReserved = 1<<11 | 1<<12 | 7<<16 | 0xFF<<24
)
