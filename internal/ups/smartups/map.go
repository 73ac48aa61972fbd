package smartups

import "upsedge/internal/ups"

// An encoding says how the registers of an item are read (protocol reference, section 4). The high word comes first.
type encoding uint8

const (
	u16 encoding = iota + 1
	u32
	s16
	s32
	en   // signed enumeration
	bf16 // bit field
	bf32
	str // two characters per register, the first in the high byte
)

// A marker is the raw value by which a unit says that an item does not apply to it: column "N/A raw" of section 5. All ones
// is no value in any numeric item, whatever its row says; decode.go has the reasons.
type marker uint8

const (
	never marker = iota
	ones         // 0xFFFF, 0xFFFFFFFF; as a signed number -1
	zero         // no bit set
	blank        // a text of 0x00
)

// An access says what an item is for.
type access uint8

const (
	readOnly access = iota
	readWrite
	writeOnly // a command
)

// A family is a set of the columns of part 990-9840B in which an item is marked. The zero family is every column.
type family uint8

const (
	smt      = family(ups.SMT)
	srt      = family(ups.SRT)
	surtd    = family(ups.SURTD)
	unlisted = family(1 << 3) // in no column: the register may be undefined
)

// A register is one item of the map: what one address means.
type register struct {
	addr   uint16 // zero-based protocol address
	words  uint16 // registers
	enc    encoding
	div    uint16 // value = raw / div
	na     marker
	fam    family
	some   bool // only some models of its families have it: behind a card, 0 is no value until it was another
	access access
	tier   ups.Tier  // how often it is wanted; of no meaning for a command
	point  ups.Point // 0: never read as a value
}

// end is the address after the item.
func (r *register) end() uint16 { return r.addr + r.words }

// numeric tells whether the item is a number rather than a text.
func (r *register) numeric() bool { return r.enc != str }

// registers is the map, in ascending order. Sources: APC application notes 176 and 177, part 990-9840B, as put together in
// the protocol reference, section 5; where they disagree, section 11. A new measurement is one row here and one in ups.
var registers = []register{
	// Status. Section 5.1.
	{addr: 0, words: 2, enc: bf32, div: 1, tier: ups.TierStatus, point: ups.StatusFlags},
	{addr: 2, words: 1, enc: en, div: 1, tier: ups.TierStatus, point: ups.StatusCause},
	{addr: 3, words: 2, enc: bf32, div: 1, na: zero, fam: smt | srt, tier: ups.TierStatus, point: ups.MainOutlet},
	{addr: 6, words: 2, enc: bf32, div: 1, na: zero, fam: smt | srt, tier: ups.TierStatus, point: ups.SOG0Outlet},
	{addr: 9, words: 2, enc: bf32, div: 1, na: zero, fam: smt | srt, tier: ups.TierStatus, point: ups.SOG1Outlet},
	{addr: 12, words: 2, enc: bf32, div: 1, na: zero, fam: smt | srt, tier: ups.TierStatus, point: ups.SOG2Outlet},
	{addr: 15, words: 2, enc: bf32, div: 1, na: zero, fam: unlisted, tier: ups.TierStatus, point: ups.SOG3Outlet},
	{addr: 18, words: 1, enc: bf16, div: 1, tier: ups.TierStatus, point: ups.Signalling},
	{addr: 19, words: 1, enc: bf16, div: 1, tier: ups.TierStatus, point: ups.GeneralError},
	{addr: 20, words: 2, enc: bf32, div: 1, tier: ups.TierStatus, point: ups.PowerError},
	{addr: 22, words: 1, enc: bf16, div: 1, tier: ups.TierStatus, point: ups.BatteryError},
	{addr: 23, words: 1, enc: bf16, div: 1, tier: ups.TierStatus, point: ups.BatteryTest},
	{addr: 24, words: 1, enc: bf16, div: 1, tier: ups.TierStatus, point: ups.Calibration},
	{addr: 25, words: 1, enc: bf16, div: 1, na: zero, fam: smt | srt, tier: ups.TierStatus, point: ups.BatteryLife},
	{addr: 26, words: 1, enc: bf16, div: 1, tier: ups.TierStatus, point: ups.UserInterface},

	// Dynamic data. Section 5.2. SOG[3] (171 on) is known from AN176 only.
	{addr: 128, words: 2, enc: u32, div: 1, tier: ups.TierLive, point: ups.Runtime},                                                 // s
	{addr: 130, words: 1, enc: u16, div: 512, na: ones, tier: ups.TierLive, point: ups.Charge},                                      // %
	{addr: 131, words: 1, enc: s16, div: 32, na: ones, tier: ups.TierLive, point: ups.BatteryVoltage},                               // V
	{addr: 132, words: 1, enc: s16, div: 32, na: ones, fam: srt, some: true, tier: ups.TierLive, point: ups.BatteryVoltageNegative}, // V
	{addr: 133, words: 1, enc: u16, div: 1, na: ones, tier: ups.TierLive, point: ups.ReplaceBy},                                     // d
	{addr: 135, words: 1, enc: s16, div: 128, na: ones, tier: ups.TierLive, point: ups.BatteryTemperature},                          // °C
	{addr: 136, words: 1, enc: u16, div: 256, na: ones, tier: ups.TierLive, point: ups.LoadReal},                                    // %
	{addr: 137, words: 1, enc: u16, div: 256, na: ones, fam: surtd, tier: ups.TierLive, point: ups.LoadReal2},                       // %
	{addr: 138, words: 1, enc: u16, div: 256, na: ones, tier: ups.TierLive, point: ups.LoadApparent},                                // %
	{addr: 139, words: 1, enc: u16, div: 256, na: ones, fam: surtd, tier: ups.TierLive, point: ups.LoadApparent2},                   // %
	{addr: 140, words: 1, enc: u16, div: 32, na: ones, tier: ups.TierLive, point: ups.OutputCurrent},                                // A
	{addr: 141, words: 1, enc: u16, div: 32, na: ones, fam: surtd, tier: ups.TierLive, point: ups.OutputCurrent2},                   // A
	{addr: 142, words: 1, enc: u16, div: 64, na: ones, tier: ups.TierLive, point: ups.OutputVoltage},                                // V
	{addr: 143, words: 1, enc: u16, div: 64, na: ones, fam: surtd, tier: ups.TierLive, point: ups.OutputVoltage2},                   // V
	{addr: 144, words: 1, enc: u16, div: 128, na: ones, tier: ups.TierLive, point: ups.OutputFrequency},                             // Hz
	{addr: 145, words: 2, enc: u32, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.OutputEnergy},                  // Wh
	{addr: 147, words: 1, enc: bf16, div: 1, na: zero, fam: srt | surtd, tier: ups.TierLive, point: ups.BypassStatus},
	{addr: 148, words: 1, enc: u16, div: 64, na: ones, fam: srt, tier: ups.TierLive, point: ups.BypassVoltage},    // V
	{addr: 149, words: 1, enc: u16, div: 128, na: ones, fam: srt, tier: ups.TierLive, point: ups.BypassFrequency}, // Hz
	{addr: 150, words: 1, enc: bf16, div: 1, tier: ups.TierLive, point: ups.InputStatus},
	{addr: 151, words: 1, enc: u16, div: 64, na: ones, tier: ups.TierLive, point: ups.InputVoltage},                                // V
	{addr: 152, words: 1, enc: u16, div: 64, na: ones, fam: srt | surtd, some: true, tier: ups.TierLive, point: ups.InputVoltage2}, // V
	{addr: 153, words: 1, enc: u16, div: 64, na: ones, fam: srt, some: true, tier: ups.TierLive, point: ups.InputVoltage3},         // V
	{addr: 154, words: 1, enc: s16, div: 128, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.Efficiency},                 // %
	{addr: 155, words: 1, enc: s16, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.MainTurnOff},                  // s
	{addr: 156, words: 1, enc: s16, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.MainTurnOn},                   // s
	{addr: 157, words: 2, enc: s32, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.MainStayOff},                  // s
	{addr: 159, words: 1, enc: s16, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.SOG0TurnOff},                  // s
	{addr: 160, words: 1, enc: s16, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.SOG0TurnOn},                   // s
	{addr: 161, words: 2, enc: s32, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.SOG0StayOff},                  // s
	{addr: 163, words: 1, enc: s16, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.SOG1TurnOff},                  // s
	{addr: 164, words: 1, enc: s16, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.SOG1TurnOn},                   // s
	{addr: 165, words: 2, enc: s32, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.SOG1StayOff},                  // s
	{addr: 167, words: 1, enc: s16, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.SOG2TurnOff},                  // s
	{addr: 168, words: 1, enc: s16, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.SOG2TurnOn},                   // s
	{addr: 169, words: 2, enc: s32, div: 1, na: ones, fam: smt | srt, tier: ups.TierLive, point: ups.SOG2StayOff},                  // s
	{addr: 171, words: 1, enc: s16, div: 1, na: ones, fam: unlisted, tier: ups.TierLive, point: ups.SOG3TurnOff},                   // s
	{addr: 172, words: 1, enc: s16, div: 1, na: ones, fam: unlisted, tier: ups.TierLive, point: ups.SOG3TurnOn},                    // s
	{addr: 173, words: 2, enc: s32, div: 1, na: ones, fam: unlisted, tier: ups.TierLive, point: ups.SOG3StayOff},                   // s

	// Inventory. Section 5.3.
	{addr: 512, words: 1, enc: u16, div: 1, fam: unlisted, tier: ups.TierIdentity, point: ups.ProductID},
	{addr: 516, words: 8, enc: str, div: 1, na: blank, tier: ups.TierIdentity, point: ups.Firmware},
	{addr: 532, words: 16, enc: str, div: 1, na: blank, tier: ups.TierIdentity, point: ups.Model},
	{addr: 548, words: 16, enc: str, div: 1, na: blank, tier: ups.TierIdentity, point: ups.SKU},
	{addr: 564, words: 8, enc: str, div: 1, na: blank, tier: ups.TierIdentity, point: ups.Serial},
	{addr: 572, words: 8, enc: str, div: 1, na: blank, fam: smt | srt, tier: ups.TierIdentity, point: ups.BatterySKU},
	{addr: 580, words: 8, enc: str, div: 1, na: blank, fam: smt, tier: ups.TierIdentity, point: ups.ExternalBatterySKU},
	{addr: 588, words: 1, enc: u16, div: 1, na: ones, tier: ups.TierIdentity, point: ups.NominalApparentPower}, // VA
	{addr: 589, words: 1, enc: u16, div: 1, na: ones, tier: ups.TierIdentity, point: ups.NominalPower},         // W
	{addr: 590, words: 1, enc: bf16, div: 1, fam: smt | srt, tier: ups.TierIdentity, point: ups.OutletConfig},
	{addr: 591, words: 1, enc: u16, div: 1, na: ones, tier: ups.TierIdentity, point: ups.Manufactured}, // d
	{addr: 592, words: 1, enc: bf16, div: 1, na: zero, tier: ups.TierIdentity, point: ups.OutputVoltageSetting},
	{addr: 593, words: 1, enc: bf16, div: 1, na: zero, fam: srt | surtd, access: readWrite, tier: ups.TierIdentity, point: ups.OutputFrequencySetting},
	{addr: 595, words: 1, enc: u16, div: 1, na: ones, access: readWrite, tier: ups.TierIdentity, point: ups.BatteryInstalled}, // d
	{addr: 596, words: 8, enc: str, div: 1, na: blank, fam: smt | srt, access: readWrite, tier: ups.TierIdentity, point: ups.Name},
	{addr: 604, words: 8, enc: str, div: 1, na: blank, fam: smt | srt, access: readWrite, tier: ups.TierIdentity, point: ups.MainName},
	{addr: 612, words: 8, enc: str, div: 1, na: blank, fam: smt | srt, access: readWrite, tier: ups.TierIdentity, point: ups.SOG0Name},
	{addr: 620, words: 8, enc: str, div: 1, na: blank, fam: smt | srt, access: readWrite, tier: ups.TierIdentity, point: ups.SOG1Name},
	{addr: 628, words: 8, enc: str, div: 1, na: blank, fam: smt | srt, access: readWrite, tier: ups.TierIdentity, point: ups.SOG2Name},
	{addr: 644, words: 2, enc: bf32, div: 1, na: zero, tier: ups.TierIdentity, point: ups.OutputVoltageSettingWide},

	// Settings. Section 5.4.
	{addr: 1024, words: 1, enc: bf16, div: 1, access: readWrite, tier: ups.TierSettings, point: ups.TestInterval},
	{addr: 1026, words: 1, enc: u16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.UpperTransfer}, // V
	{addr: 1027, words: 1, enc: u16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.LowerTransfer}, // V
	{addr: 1028, words: 1, enc: bf16, div: 1, na: zero, fam: smt, access: readWrite, tier: ups.TierSettings, point: ups.Sensitivity},
	{addr: 1029, words: 1, enc: s16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.MainTurnOffDelay}, // s
	{addr: 1030, words: 1, enc: s16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.MainTurnOnDelay},  // s
	{addr: 1031, words: 2, enc: s32, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.MainStayOffDelay}, // s
	{addr: 1033, words: 1, enc: u16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.MainMinRuntime},   // s
	{addr: 1034, words: 1, enc: s16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG0TurnOffDelay}, // s
	{addr: 1035, words: 1, enc: s16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG0TurnOnDelay},  // s
	{addr: 1036, words: 2, enc: s32, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG0StayOffDelay}, // s
	{addr: 1038, words: 1, enc: u16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG0MinRuntime},   // s
	{addr: 1039, words: 1, enc: s16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG1TurnOffDelay}, // s
	{addr: 1040, words: 1, enc: s16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG1TurnOnDelay},  // s
	{addr: 1041, words: 2, enc: s32, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG1StayOffDelay}, // s
	{addr: 1043, words: 1, enc: u16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG1MinRuntime},   // s
	{addr: 1044, words: 1, enc: s16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG2TurnOffDelay}, // s
	{addr: 1045, words: 1, enc: s16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG2TurnOnDelay},  // s
	{addr: 1046, words: 2, enc: s32, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG2StayOffDelay}, // s
	{addr: 1048, words: 1, enc: u16, div: 1, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG2MinRuntime},   // s
	{addr: 1049, words: 1, enc: s16, div: 1, fam: unlisted, access: readWrite, tier: ups.TierSettings, point: ups.SOG3TurnOffDelay},  // s
	{addr: 1050, words: 1, enc: s16, div: 1, fam: unlisted, access: readWrite, tier: ups.TierSettings, point: ups.SOG3TurnOnDelay},   // s
	{addr: 1051, words: 2, enc: s32, div: 1, fam: unlisted, access: readWrite, tier: ups.TierSettings, point: ups.SOG3StayOffDelay},  // s
	{addr: 1054, words: 2, enc: bf32, div: 1, na: zero, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.MainShedConfig},
	{addr: 1056, words: 2, enc: bf32, div: 1, na: zero, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG0ShedConfig},
	{addr: 1058, words: 2, enc: bf32, div: 1, na: zero, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG1ShedConfig},
	{addr: 1060, words: 2, enc: bf32, div: 1, na: zero, fam: smt | srt, access: readWrite, tier: ups.TierSettings, point: ups.SOG2ShedConfig},
	{addr: 1064, words: 1, enc: u16, div: 1, na: ones, fam: smt | srt, some: true, access: readWrite, tier: ups.TierSettings, point: ups.SOG0ShedRuntime}, // s
	{addr: 1065, words: 1, enc: u16, div: 1, na: ones, fam: smt | srt, some: true, access: readWrite, tier: ups.TierSettings, point: ups.SOG1ShedRuntime}, // s
	{addr: 1066, words: 1, enc: u16, div: 1, na: ones, fam: smt | srt, some: true, access: readWrite, tier: ups.TierSettings, point: ups.SOG2ShedRuntime}, // s
	{addr: 1068, words: 1, enc: u16, div: 1, na: ones, fam: smt | srt, some: true, access: readWrite, tier: ups.TierSettings, point: ups.SOG0ShedTime},    // s
	{addr: 1069, words: 1, enc: u16, div: 1, na: ones, fam: smt | srt, some: true, access: readWrite, tier: ups.TierSettings, point: ups.SOG1ShedTime},    // s
	{addr: 1070, words: 1, enc: u16, div: 1, na: ones, fam: smt | srt, some: true, access: readWrite, tier: ups.TierSettings, point: ups.SOG2ShedTime},    // s
	{addr: 1072, words: 1, enc: u16, div: 1, na: ones, fam: smt | srt, some: true, access: readWrite, tier: ups.TierSettings, point: ups.MainShedRuntime}, // s
	{addr: 1073, words: 1, enc: u16, div: 1, na: ones, fam: smt | srt, some: true, access: readWrite, tier: ups.TierSettings, point: ups.MainShedTime},    // s

	// Commands. Section 5.5. Never read: what they read as is not defined (D15).
	{addr: 1536, words: 2, enc: bf32, div: 1, access: writeOnly},                 // UPSCommand_BF
	{addr: 1538, words: 2, enc: bf32, div: 1, fam: smt | srt, access: writeOnly}, // OutletCommand_BF
	{addr: 1540, words: 1, enc: bf16, div: 1, access: writeOnly},                 // SimpleSignalingCommand_BF
	{addr: 1541, words: 1, enc: bf16, div: 1, access: writeOnly},                 // ReplaceBatteryTestCommand_BF
	{addr: 1542, words: 1, enc: bf16, div: 1, access: writeOnly},                 // RunTimeCalibrationCommand_BF
	{addr: 1543, words: 1, enc: bf16, div: 1, access: writeOnly},                 // UserInterfaceCommand_BF

	// Verification. Section 5.6. What they must hold stands in verify.go.
	{addr: 2048, words: 2, enc: str, div: 1, tier: ups.TierIdentity, point: ups.MapID},
	{addr: 2050, words: 4, enc: str, div: 1, tier: ups.TierIdentity},  // TestString
	{addr: 2054, words: 2, enc: u32, div: 1, tier: ups.TierIdentity},  // Test4BNumber1
	{addr: 2056, words: 2, enc: s32, div: 1, tier: ups.TierIdentity},  // Test4BNumber2
	{addr: 2058, words: 1, enc: u16, div: 1, tier: ups.TierIdentity},  // Test2BNumber1
	{addr: 2059, words: 1, enc: s16, div: 1, tier: ups.TierIdentity},  // Test2BNumber2
	{addr: 2060, words: 1, enc: s16, div: 64, tier: ups.TierIdentity}, // TestBPINumber1
	{addr: 2061, words: 1, enc: s16, div: 64, tier: ups.TierIdentity}, // TestBPINumber2
}
