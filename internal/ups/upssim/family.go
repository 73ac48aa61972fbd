package upssim

import "strings"

// A family is one model as the simulation knows it: what it is called, what it can do, what it lacks. A new model is a row.
type family struct {
	sku, model, firmware, batterySKU string

	va, watts uint16  // ratings
	nominal   float64 // V, output
	setting   uint32  // the same as a bit of Output.VoltageACSetting_BF
	hertz     float64
	groups    uint16 // SOGRelayConfigSetting_BF

	batteryVolts float64 // nominal, V
	fullLoad     float64 // runtime at full load from a full battery, s

	upper, lower limits // transfer points, V

	lacks []string // items this model does not have, by the beginning of their names
}

// limits are the values a setting takes.
type limits struct{ least, most, factory uint16 }

func (l limits) allow(v uint32) bool { return v >= uint32(l.least) && v <= uint32(l.most) }

// lineInteractive lists what the families SMT and SMX lack: the bypass feed, the second and third phase and the negative
// battery half belong to SRT and SURTD (990-9840B), 512 was seen on SRT alone. An SMT1500RM2UC with UPS 04.1 answers every
// write to the load-shed items with exception 2, its config items read 0 and the thresholds 0xFFFF (section 6.19).
var lineInteractive = []string{
	"Battery.Negative.", "Output[1].", "Bypass.", "Input[1].", "Input[2].", "UPSID", "Output.AcceptableFrequencySetting_BF",
	"Battery.ExternalBattery.", "MOG.LoadShed", "SOG[0].LoadShed", "SOG[3].",
}

// families holds the models by SKU. Legal transfer points are not public (section 14): the ranges here enclose the examples
// of section 9 and are a guess. Runtimes at full load are of the size of the vendor's published charts.
var families = []family{
	{
		sku: "SMT1500RM2UC", model: "Smart-UPS 1500", firmware: "UPS 04.1", batterySKU: "APCRBC133",
		va: 1440, watts: 1000, nominal: 120, setting: volts120, hertz: 60, groups: mogPresent | sog0Present,
		batteryVolts: 24, fullLoad: 402,
		upper: limits{127, 136, 127}, lower: limits{97, 106, 106},
		lacks: lineInteractive,
	},
	{
		sku: "SMT1500IC", model: "Smart-UPS 1500", firmware: "UPS 04.1", batterySKU: "APCRBC7",
		va: 1500, watts: 1000, nominal: 230, setting: volts230, hertz: 50, groups: mogPresent | sog0Present,
		batteryVolts: 24, fullLoad: 402,
		upper: limits{253, 276, 253}, lower: limits{196, 212, 207},
		lacks: lineInteractive,
	},
}

// SKUs lists the models that can be simulated; the first is the default.
func SKUs() []string {
	var out []string
	for _, f := range families {
		out = append(out, f.sku)
	}
	return out
}

func familyOf(sku string) (*family, bool) {
	if sku == "" {
		return &families[0], true
	}
	for i := range families {
		if families[i].sku == sku {
			return &families[i], true
		}
	}
	return nil, false
}

// has reports whether the model has the item. A group that 590 does not name has no items.
func (f *family) has(it *item) bool {
	for g, name := range groupPrefix {
		if f.groups&(1<<g) == 0 && strings.HasPrefix(it.name, name) {
			return false
		}
	}
	for _, l := range f.lacks {
		if strings.HasPrefix(it.name, l) {
			return false
		}
	}
	return true
}

// groupPrefix is the beginning of the names of a group's items, in the order of the bits of 590.
var groupPrefix = [...]string{"MOG.", "SOG[0].", "SOG[1].", "SOG[2].", "SOG[3]."}
