package upssim

import (
	"fmt"
	"strings"
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
