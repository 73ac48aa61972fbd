package ups

// Bits that rules are written with. The letter is the short name of the register in the event catalogue, section 1:
// U status, O outlet group, S signalling, P power system, B battery system, T test and calibration, I input.
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
	UHighEfficiency = 1 << 13
	UOverload       = 1 << 21

	OStateOn    = 1 << 0
	OStateOff   = 1 << 1
	OLowRuntime = 1 << 14

	SPowerFailure     = 1 << 0
	SShutdownImminent = 1 << 1

	POverload = 1 << 0

	BNeedsReplacement = 1 << 2

	TPending    = 1 << 0
	TInProgress = 1 << 1
	TPassed     = 1 << 2
	TFailed     = 1 << 3
	TRefused    = 1 << 4
	TAborted    = 1 << 5
	TProtocol   = 1 << 6
	TLocalUI    = 1 << 7
	TInternal   = 1 << 8

	IBoost = 1 << 5
	ITrim  = 1 << 6
)

// UModes are the bits of which exactly one is expected in a plausible StatusFlags, and UReserved those that are never set
// (protocol reference, sections 6.1 and 10).
const (
	UModes    = UOnline | UOnBattery | UBypass | UOutputOff
	UReserved = 1<<11 | 1<<12 | 7<<16 | 0xFF<<24
)
