package upssim

// A kind is the type column of the map (section 4).
type kind uint8

const (
	u16 kind = iota
	u32
	s16
	s32
	enum
	bf16
	bf32
	str
)

var kindNames = [...]string{"U16", "U32", "S16", "S32", "EN", "BF16", "BF32", "STR"}

// access is the Acc column.
type access uint8

const (
	ro access = iota // read
	rw               // read and write
	wo               // command: written, not read
)

var accessNames = [...]string{"R", "RW", "W"}

// absent is the N/A raw column: what every register of an item holds that this model does not have. 0xFFFF is -1 and
// 0xFFFFFFFF too, and a string of zeros is zeros.
type absent uint8

const (
	none  absent = iota // the reference names no value
	zeros               // 0x0000 in every register
	ones                // 0xFFFF in every register
)

// A column is a set of the family columns of part 990-9840B in which an item is marked. A family is in one of them, or, like
// SMC, in none.
type column uint8

const (
	smt   column = 1 << iota // SMT and SMX
	srt                      // SRT
	surtd                    // SURTD

	all      = smt | srt | surtd
	unlisted = column(0) // in none: AN176 alone has it, or it was seen on a unit (section 5.3, 512)
)

// An item is one data point of the map. Reads start and end at item boundaries, writes cover exactly one (section 3.2).
type item struct {
	addr   uint16 // zero-based protocol address
	count  uint16 // registers
	name   string // as in the vendor's map
	kind   kind
	div    int // value = raw / div
	access access
	na     absent
	fam    column
}

// items is the whole map, in address order. Sections 5.1 to 5.6.
var items = []item{
	// 5.1 status
	{0, 2, "UPSStatus_BF", bf32, 1, ro, none, all},
	{2, 1, "UPSStatusChangeCause_EN", enum, 1, ro, none, all},
	{3, 2, "MOG.OutletStatus_BF", bf32, 1, ro, zeros, smt | srt},
	{6, 2, "SOG[0].OutletStatus_BF", bf32, 1, ro, zeros, smt | srt},
	{9, 2, "SOG[1].OutletStatus_BF", bf32, 1, ro, zeros, smt | srt},
	{12, 2, "SOG[2].OutletStatus_BF", bf32, 1, ro, zeros, smt | srt},
	{15, 2, "SOG[3].OutletStatus_BF", bf32, 1, ro, zeros, unlisted},
	{18, 1, "SimpleSignalingStatus_BF", bf16, 1, ro, none, all},
	{19, 1, "GeneralError_BF", bf16, 1, ro, none, all},
	{20, 2, "PowerSystemError_BF", bf32, 1, ro, none, all},
	{22, 1, "BatterySystemError_BF", bf16, 1, ro, none, all},
	{23, 1, "ReplaceBatteryTestStatus_BF", bf16, 1, ro, none, all},
	{24, 1, "RunTimeCalibrationStatus_BF", bf16, 1, ro, none, all},
	{25, 1, "Battery.LifeTimeStatus_BF", bf16, 1, ro, zeros, smt | srt},
	{26, 1, "UserInterfaceStatus_BF", bf16, 1, ro, none, all},
	// 5.2 dynamic data
	{128, 2, "RunTimeRemaining", u32, 1, ro, none, all},
	{130, 1, "StateOfCharge_Pct", u16, 512, ro, ones, all},
	{131, 1, "Battery.Positive.VoltageDC", s16, 32, ro, ones, all},
	{132, 1, "Battery.Negative.VoltageDC", s16, 32, ro, ones, srt},
	{133, 1, "Battery.Date", u16, 1, ro, ones, all},
	{135, 1, "Battery.Temperature", s16, 128, ro, ones, all},
	{136, 1, "Output[0].RealPower_Pct", u16, 256, ro, ones, all},
	{137, 1, "Output[1].RealPower_Pct", u16, 256, ro, ones, surtd},
	{138, 1, "Output[0].ApparentPower_Pct", u16, 256, ro, ones, all},
	{139, 1, "Output[1].ApparentPower_Pct", u16, 256, ro, ones, surtd},
	{140, 1, "Output[0].CurrentAC", u16, 32, ro, ones, all},
	{141, 1, "Output[1].CurrentAC", u16, 32, ro, ones, surtd},
	{142, 1, "Output[0].VoltageAC", u16, 64, ro, ones, all},
	{143, 1, "Output[1].VoltageAC", u16, 64, ro, ones, surtd},
	{144, 1, "Output.Frequency", u16, 128, ro, ones, all},
	{145, 2, "Output.Energy", u32, 1, ro, ones, smt | srt},
	{147, 1, "Bypass.InputStatus_BF", bf16, 1, ro, zeros, srt | surtd},
	{148, 1, "Bypass.VoltageAC", u16, 64, ro, ones, srt},
	{149, 1, "Bypass.Frequency", u16, 128, ro, ones, srt},
	{150, 1, "Input.InputStatus_BF", bf16, 1, ro, none, all},
	{151, 1, "Input[0].VoltageAC", u16, 64, ro, ones, all},
	{152, 1, "Input[1].VoltageAC", u16, 64, ro, ones, srt | surtd},
	{153, 1, "Input[2].VoltageAC", u16, 64, ro, ones, srt},
	{154, 1, "Efficiency_EN", s16, 128, ro, ones, smt | srt},
	{155, 1, "MOG.TurnOffCountdown_EN", s16, 1, ro, ones, smt | srt},
	{156, 1, "MOG.TurnOnCountdown_EN", s16, 1, ro, ones, smt | srt},
	{157, 2, "MOG.StayOffCountdown_EN", s32, 1, ro, ones, smt | srt},
	{159, 1, "SOG[0].TurnOffCountdown_EN", s16, 1, ro, ones, smt | srt},
	{160, 1, "SOG[0].TurnOnCountdown_EN", s16, 1, ro, ones, smt | srt},
	{161, 2, "SOG[0].StayOffCountdown_EN", s32, 1, ro, ones, smt | srt},
	{163, 1, "SOG[1].TurnOffCountdown_EN", s16, 1, ro, ones, smt | srt},
	{164, 1, "SOG[1].TurnOnCountdown_EN", s16, 1, ro, ones, smt | srt},
	{165, 2, "SOG[1].StayOffCountdown_EN", s32, 1, ro, ones, smt | srt},
	{167, 1, "SOG[2].TurnOffCountdown_EN", s16, 1, ro, ones, smt | srt},
	{168, 1, "SOG[2].TurnOnCountdown_EN", s16, 1, ro, ones, smt | srt},
	{169, 2, "SOG[2].StayOffCountdown_EN", s32, 1, ro, ones, smt | srt},
	{171, 1, "SOG[3].TurnOffCountdown_EN", s16, 1, ro, ones, unlisted},
	{172, 1, "SOG[3].TurnOnCountdown_EN", s16, 1, ro, ones, unlisted},
	{173, 2, "SOG[3].StayOffCountdown_EN", s32, 1, ro, ones, unlisted},
	// 5.3 inventory
	{512, 1, "UPSID", u16, 1, ro, none, unlisted},
	{516, 8, "FWVersion_STR", str, 1, ro, zeros, all},
	{532, 16, "Model_STR", str, 1, ro, zeros, all},
	{548, 16, "SKU_STR", str, 1, ro, zeros, all},
	{564, 8, "SerialNumber_STR", str, 1, ro, zeros, all},
	{572, 8, "Battery.SKU_STR", str, 1, ro, zeros, smt | srt},
	{580, 8, "Battery.ExternalBattery.SKU_STR", str, 1, ro, zeros, smt},
	{588, 1, "Output.ApparentPowerRating", u16, 1, ro, ones, all},
	{589, 1, "Output.RealPowerRating", u16, 1, ro, ones, all},
	{590, 1, "SOGRelayConfigSetting_BF", bf16, 1, ro, none, smt | srt},
	{591, 1, "ManufactureDate", u16, 1, ro, ones, all},
	{592, 1, "Output.VoltageACSetting_BF", bf16, 1, ro, zeros, all},
	{593, 1, "Output.AcceptableFrequencySetting_BF", bf16, 1, rw, zeros, srt | surtd},
	{595, 1, "Battery.DateSetting", u16, 1, rw, ones, all},
	{596, 8, "Name_STR", str, 1, rw, zeros, smt | srt},
	{604, 8, "MOG.Name_STR", str, 1, rw, zeros, smt | srt},
	{612, 8, "SOG[0].Name_STR", str, 1, rw, zeros, smt | srt},
	{620, 8, "SOG[1].Name_STR", str, 1, rw, zeros, smt | srt},
	{628, 8, "SOG[2].Name_STR", str, 1, rw, zeros, smt | srt},
	{644, 2, "Output.VoltageACSetting_BF_32", bf32, 1, ro, zeros, all},
	// 5.4 settings
	{1024, 1, "BatteryTestIntervalSetting_BF", bf16, 1, rw, none, all},
	{1026, 1, "Output.UpperAcceptableVoltageSetting", u16, 1, rw, none, smt | srt},
	{1027, 1, "Output.LowerAcceptableVoltageSetting", u16, 1, rw, none, smt | srt},
	{1028, 1, "Output.SensitivitySetting_BF", bf16, 1, rw, zeros, smt},
	{1029, 1, "MOG.TurnOffCountdownSetting_EN", s16, 1, rw, none, smt | srt},
	{1030, 1, "MOG.TurnOnCountdownSetting_EN", s16, 1, rw, none, smt | srt},
	{1031, 2, "MOG.StayOffCountdownSetting_4B", s32, 1, rw, none, smt | srt},
	{1033, 1, "MOG.MinimumReturnRuntimeSetting", u16, 1, rw, none, smt | srt},
	{1034, 1, "SOG[0].TurnOffCountdownSetting_EN", s16, 1, rw, none, smt | srt},
	{1035, 1, "SOG[0].TurnOnCountdownSetting_EN", s16, 1, rw, none, smt | srt},
	{1036, 2, "SOG[0].StayOffCountdownSetting_4B", s32, 1, rw, none, smt | srt},
	{1038, 1, "SOG[0].MinimumReturnRuntimeSetting", u16, 1, rw, none, smt | srt},
	{1039, 1, "SOG[1].TurnOffCountdownSetting_EN", s16, 1, rw, none, smt | srt},
	{1040, 1, "SOG[1].TurnOnCountdownSetting_EN", s16, 1, rw, none, smt | srt},
	{1041, 2, "SOG[1].StayOffCountdownSetting_4B", s32, 1, rw, none, smt | srt},
	{1043, 1, "SOG[1].MinimumReturnRuntimeSetting", u16, 1, rw, none, smt | srt},
	{1044, 1, "SOG[2].TurnOffCountdownSetting_EN", s16, 1, rw, none, smt | srt},
	{1045, 1, "SOG[2].TurnOnCountdownSetting_EN", s16, 1, rw, none, smt | srt},
	{1046, 2, "SOG[2].StayOffCountdownSetting_4B", s32, 1, rw, none, smt | srt},
	{1048, 1, "SOG[2].MinimumReturnRuntimeSetting", u16, 1, rw, none, smt | srt},
	{1049, 1, "SOG[3].TurnOffCountdownSetting_EN", s16, 1, rw, none, unlisted},
	{1050, 1, "SOG[3].TurnOnCountdownSetting_EN", s16, 1, rw, none, unlisted},
	{1051, 2, "SOG[3].StayOffCountdownSetting_4B", s32, 1, rw, none, unlisted},
	{1054, 2, "MOG.LoadShedConfigSetting_BF", bf32, 1, rw, zeros, smt | srt},
	{1056, 2, "SOG[0].LoadShedConfigSetting_BF", bf32, 1, rw, zeros, smt | srt},
	{1058, 2, "SOG[1].LoadShedConfigSetting_BF", bf32, 1, rw, zeros, smt | srt},
	{1060, 2, "SOG[2].LoadShedConfigSetting_BF", bf32, 1, rw, zeros, smt | srt},
	{1064, 1, "SOG[0].LoadShedRunTimeRemainingSetting", u16, 1, rw, ones, smt | srt},
	{1065, 1, "SOG[1].LoadShedRunTimeRemainingSetting", u16, 1, rw, ones, smt | srt},
	{1066, 1, "SOG[2].LoadShedRunTimeRemainingSetting", u16, 1, rw, ones, smt | srt},
	{1068, 1, "SOG[0].LoadShedTimeOnBatterySetting", u16, 1, rw, ones, smt | srt},
	{1069, 1, "SOG[1].LoadShedTimeOnBatterySetting", u16, 1, rw, ones, smt | srt},
	{1070, 1, "SOG[2].LoadShedTimeOnBatterySetting", u16, 1, rw, ones, smt | srt},
	{1072, 1, "MOG.LoadShedRunTimeRemainingSetting", u16, 1, rw, ones, smt | srt},
	{1073, 1, "MOG.LoadShedTimeOnBatterySetting", u16, 1, rw, ones, smt | srt},
	// 5.5 commands
	{1536, 2, "UPSCommand_BF", bf32, 1, wo, none, all},
	{1538, 2, "OutletCommand_BF", bf32, 1, wo, none, smt | srt},
	{1540, 1, "SimpleSignalingCommand_BF", bf16, 1, wo, none, all},
	{1541, 1, "ReplaceBatteryTestCommand_BF", bf16, 1, wo, none, all},
	{1542, 1, "RunTimeCalibrationCommand_BF", bf16, 1, wo, none, all},
	{1543, 1, "UserInterfaceCommand_BF", bf16, 1, wo, none, all},
	// 5.6 protocol verification
	{2048, 2, "ModbusMapID", str, 1, ro, none, all},
	{2050, 4, "TestString", str, 1, ro, none, all},
	{2054, 2, "Test4BNumber1", u32, 1, ro, none, all},
	{2056, 2, "Test4BNumber2", s32, 1, ro, none, all},
	{2058, 1, "Test2BNumber1", u16, 1, ro, none, all},
	{2059, 1, "Test2BNumber2", s16, 1, ro, none, all},
	{2060, 1, "TestBPINumber1", s16, 64, ro, none, all},
	{2061, 1, "TestBPINumber2", s16, 64, ro, none, all},
}

// Addresses the simulation itself uses.
const (
	aStatus, aCause                            = 0, 2
	aMOG, aSOG0                                = 3, 6
	aSignalling, aGeneralError, aPowerError    = 18, 19, 20
	aBatteryError, aTest, aCalibration         = 22, 23, 24
	aLifeTime, aUserInterface                  = 25, 26
	aRuntime, aCharge, aBatteryVolts           = 128, 130, 131
	aNegativeVolts, aReplaceBy, aTemperature   = 132, 133, 135
	aRealPower, aApparentPower                 = 136, 138
	aOutputAmps, aOutputVolts, aOutputHertz    = 140, 142, 144
	aEnergy, aInputStatus, aInputVolts         = 145, 150, 151
	aBypassStatus, aBypassVolts, aBypassHertz  = 147, 148, 149
	aEfficiency, aMOGTimers, aSOG0Timers       = 154, 155, 159
	aProduct, aExternalSKU, aFrequency         = 512, 580, 593
	aFirmware, aModel, aSKU, aSerial           = 516, 532, 548, 564
	aBatterySKU, aVA, aWatts, aGroups          = 572, 588, 589, 590
	aManufactured, aVoltage                    = 591, 592
	aInstalled, aName, aMOGName                = 595, 596, 604
	aSOG0Name, aSOG1Name, aSOG2Name, aVoltage4 = 612, 620, 628, 644
	aTestInterval, aUpper, aLower, aSensitive  = 1024, 1026, 1027, 1028
	aMOGSettings, aSOG0Settings                = 1029, 1034
	aShedConfig, aShedRuntime, aShedTime       = 1054, 1064, 1068
	aMOGShedRuntime, aMOGShedTime              = 1072, 1073
	aUPSCommand, aOutletCommand                = 1536, 1538
	aSignallingCommand, aTestCommand           = 1540, 1541
	aCalibrationCommand, aUICommand            = 1542, 1543
	aMapID, aTestString, aTest4B1, aTest4B2    = 2048, 2050, 2054, 2056
	aTest2B1, aTest2B2, aTestBPI1, aTestBPI2   = 2058, 2059, 2060, 2061
)

// mapEnd is one above the last address with a meaning of its own: the verification block reaches to 2303.
const mapEnd = 2304

// undefined marks an address no item covers.
const undefined = -1

// itemAt holds, for every address below mapEnd, the index in items of the item that covers it, or undefined.
var itemAt = func() (at [mapEnd]int16) {
	for a := range at {
		at[a] = undefined
	}
	for i, it := range items {
		for a := it.addr; a < it.addr+it.count; a++ {
			at[a] = int16(i)
		}
	}
	return at
}()

// find returns the item that covers addr, nil if none does.
func find(addr uint16) *item {
	if addr >= mapEnd || itemAt[addr] == undefined {
		return nil
	}
	return &items[itemAt[addr]]
}
