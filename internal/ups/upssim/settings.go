package upssim

import (
	"slices"
	"time"
)

// factory fills inventory, settings and the verification block.
func (u *Unit) factory() {
	u.text(aFirmware, u.fam.firmware)
	u.text(aModel, u.fam.model)
	u.text(aSKU, u.fam.sku)
	u.text(aSerial, u.o.Serial)
	u.text(aBatterySKU, u.fam.batterySKU)
	u.text(aExternalSKU, u.fam.externalSKU)
	u.put(aProduct, float64(u.fam.product))
	u.put(aVA, float64(u.fam.va))
	u.put(aWatts, float64(u.fam.watts))
	u.set(aGroups, uint32(u.fam.groups))
	u.put(aManufactured, 8836) // 2024-03-11
	u.put(aInstalled, float64(u.battery.installed))
	u.set(aVoltage, u.fam.setting)
	u.set(aVoltage4, u.fam.setting)
	u.factoryStrings()
	u.factorySettings()
	u.text(aMapID, "00.5")
	u.text(aTestString, "12345678")
	u.put(aTest4B1, 0x12345678)
	u.put(aTest4B2, -5)
	u.put(aTest2B1, 0x1234)
	u.put(aTest2B2, -5)
	u.put(aTestBPI1, 128.5)
	u.put(aTestBPI2, -128.5)
}

func (u *Unit) factoryStrings() {
	u.text(aName, u.o.Name)
	u.text(aMOGName, "UPS Outlets")
	u.text(aSOG0Name, "Outlet Group 1")
	u.text(aSOG1Name, "Outlet Group 2")
	u.text(aSOG2Name, "Outlet Group 3")
}

// factorySettings follows section 5.4 (AN177's defaults): on delay 0, off delay 0 for the main group where switched groups
// exist and 90 s for those, stay-off 8 s, no minimum runtime; or what was seen on the model.
func (u *Unit) factorySettings() {
	u.set(aTestInterval, test7Days)
	if len(u.fam.frequencies) > 0 {
		u.set(aFrequency, u.fam.frequencies[0])
	}
	u.put(aUpper, float64(u.fam.upper.factory))
	u.put(aLower, float64(u.fam.lower.factory))
	u.set(aSensitive, 1)
	d := u.fam.delays
	for g := range groupPrefix {
		a := settingsOf(g)
		off, on, stay := d.sogOff, d.sogOn, d.sogStay
		if g == 0 {
			off, on, stay = 0, 0, d.mogStay
		}
		u.put(a+settingOff, float64(off))
		u.put(a+settingOn, float64(on))
		u.put(a+settingStay, float64(stay))
		if g < 4 { // SOG[3], known from AN176 alone, has none
			u.put(a+settingMin, 0)
			u.factoryShedding(g)
		}
	}
}

// A group's settings: turn-off, turn-on, stay-off (two registers), minimum return runtime; a step of 5 per group (D3).
const (
	settingOff  = 0
	settingOn   = 1
	settingStay = 2
	settingMin  = 4

	settingStep = aSOG0Settings - aMOGSettings
)

// setting returns a setting in seconds, 0 where the model has none.
func (u *Unit) setting(addr uint16) time.Duration {
	switch {
	case !u.have[addr]:
		return 0
	case items[itemAt[addr]].count == 2:
		return seconds(u.long(addr))
	}
	return seconds(uint32(u.regs[addr]))
}

// transferPoints returns what the input must be within, in volts.
func (u *Unit) transferPoints() (lower, upper float64) {
	if !u.have[aUpper] {
		return float64(u.fam.lower.factory), float64(u.fam.upper.factory)
	}
	return float64(u.regs[aLower]), float64(u.regs[aUpper])
}

func settingsOf(group int) uint16 { return uint16(aMOGSettings + settingStep*group) }

// takes reports whether a unit accepts the raw values for the item; if not, it answers exception 4. Section 9 and, for the
// test interval, 6.17. A stay-off time below 4 s is accepted here; the reference says only "typically 4 to 300".
func (u *Unit) takes(it *item, raw []uint16) bool {
	if it.kind == str {
		return printable(raw)
	}
	v := uint32(raw[0])
	if it.count == 2 {
		v = v<<16 | uint32(raw[1])
	}
	switch it.addr {
	case aTestInterval:
		return v == testNever || v == testStartUp || v == test7Days || v == test14Days
	case aUpper:
		return u.fam.upper.allow(v)
	case aLower:
		return u.fam.lower.allow(v)
	case aSensitive:
		return v == 1 || v == 2 || v == 4
	case aInstalled:
		return v != 0xFFFF
	case aFrequency: // section 6.16
		return slices.Contains(u.fam.frequencies, v)
	case aShedConfig, aShedConfig + 2, aShedConfig + 4, aShedConfig + 6:
		return u.takesShedding(it.addr, v)
	}
	if it.kind == s32 {
		return v <= 0x7FFFFFFF
	}
	return v <= 32767 // delays and minimum runtimes
}

// printable reports whether a string may be written: 0x20 to 0x7E only, the whole length (section 4).
func printable(raw []uint16) bool {
	for _, r := range raw {
		for _, c := range [2]byte{byte(r >> 8), byte(r)} {
			if c < 0x20 || c > 0x7E {
				return false
			}
		}
	}
	return true
}
