package upssim

import (
	"slices"
	"strings"
)

// A family is one model as the simulation knows it: what it is called, what it can do, what it lacks. A new model is a row
// in families.go.
type family struct {
	sku, model, firmware, batterySKU, externalSKU string

	name   string // of the family: SMT, SMX, SRT, SURTD, SMC
	column column // what 990-9840B marks for it; where the family has no column, what is taken in its place
	guess  bool   // the family has no column
	from   string // where the row comes from, in a sentence for people

	product         uint16 // register 512, 0 = undefined
	va, watts       uint16 // ratings
	nominal         float64
	setting         uint32 // the same as a bit of Output.VoltageACSetting_BF
	hertz           float64
	groups          uint16 // SOGRelayConfigSetting_BF; 0 where the family has none
	inputs, outputs int    // phases

	batteryVolts float64 // nominal, V; of one half where the bus is split
	split        bool    // positive and negative half
	fullLoad     float64 // runtime at full load from a full battery, s

	upper, lower limits // transfer points, V
	delays       delays // factory settings

	frequencies []uint32 // values of 593 it takes; the first is its factory setting
	readOnly    bool     // refuses every write
	noOutlets   bool     // refuses every OutletCommand_BF
	tcp         tcpPort  // of its own

	lacks []absence // items this model does not have although its column has them
}

// A tcpPort says whether a model has a Modbus TCP port of its own, for people.
type tcpPort = string

// Section 1. Where no source names one the simulation has it all the same.
const (
	tcpKnown   tcpPort = "yes"
	tcpNone    tcpPort = "no"
	tcpUnknown tcpPort = "no source says so; simulated"
)

// limits are the values a setting takes.
type limits struct{ least, most, factory uint16 }

func (l limits) allow(v uint32) bool { return v >= uint32(l.least) && v <= uint32(l.most) }

// delays are the factory settings of the outlet groups, in seconds.
type delays struct{ mogStay, sogOff, sogOn, sogStay uint16 }

// An absence is a set of items a model lacks, by the beginning of their names, and who says so.
type absence struct {
	prefix    string
	source    string // FIELD, 990 or INF
	undefined bool   // the firmware does not even know them: what reads there is what reads at an undefined address
}

// groupPrefix is the beginning of the names of a group's items, in the order of the bits of 590.
var groupPrefix = [...]string{"MOG.", "SOG[0].", "SOG[1].", "SOG[2].", "SOG[3]."}

// productItem is the undocumented UPSID, seen on an SRT alone (section 5.3).
const productItem = "UPSID"

// A presence says whether a model has an item, and why.
type presence uint8

const (
	present      presence = iota
	inapplicable          // known to the firmware, not applicable: reads its N/A value, writes get exception 2
	unknown               // an undefined address
)

// presence says whether the model has the item, and from which source. A switched group that 590 does not name has no
// items. The main group has some even where nobody can reach it: it is the output of the unit itself (section 6.14).
func (f *family) presence(it *item) (presence, string) {
	for _, l := range f.lacks {
		switch {
		case !strings.HasPrefix(it.name, l.prefix):
		case l.undefined:
			return unknown, l.source
		default:
			return inapplicable, l.source
		}
	}
	for g, prefix := range groupPrefix {
		if g > 0 && it.fam != unlisted && f.groups&(1<<g) == 0 && strings.HasPrefix(it.name, prefix) {
			return inapplicable, "590"
		}
	}
	switch {
	case it.name == productItem && f.product != 0:
		return present, "FIELD"
	case it.fam == unlisted:
		return unknown, "990"
	case it.fam&f.column == 0:
		return inapplicable, f.source("990")
	}
	return present, f.source("990")
}

// source returns who says what the column says: nobody does for a family without one.
func (f *family) source(s string) string {
	if f.guess {
		return "INF"
	}
	return s
}

// bypass reports whether the model can feed its output around the electronics.
func (f *family) bypass() bool { return f.column&(srt|surtd) != 0 }

// shows returns the bits of UPSStatus_BF the model shows (section 6.1).
func (f *family) shows() (mask uint32) {
	for _, b := range statusBits {
		if statusColumns[b.mask]&f.column != 0 {
			mask |= b.mask
		}
	}
	return mask
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
	i := slices.IndexFunc(families, func(f family) bool { return f.sku == sku })
	switch {
	case sku == "":
		return &families[0], true
	case i < 0:
		return nil, false
	}
	return &families[i], true
}
