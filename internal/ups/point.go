package ups

import "fmt"

// A Point is one thing a unit can say: a measurement, a bit field, an enumeration, a date or a text. Its number is part of
// the wire format: it never changes meaning and is never used again.
type Point uint16

// A Kind says how the raw integer of a Point is read.
type Kind uint8

// The kinds.
const (
	Measure   Kind = iota + 1 // a quantity: raw / divisor in Unit
	Flags                     // a bit field; bit 0 is the least significant bit of the whole item
	Choice                    // a bit field with exactly one bit set: a setting chosen from a list
	Code                      // an enumeration
	Date                      // whole days since 2000-01-01
	Countdown                 // seconds left; 0 = expired. "Not active" is Absent
	Text                      // characters
)

var kindNames = [...]string{"", "measure", "flags", "choice", "code", "date", "countdown", "text"}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// A Group is an outlet group, or none.
type Group uint8

// The outlet groups. The fourth switched group is named by AN176 only; no unit with it is known.
const (
	NoGroup Group = iota
	MainGroup
	SOG0
	SOG1
	SOG2
	SOG3
)

var groupNames = [...]string{"", "main", "sog0", "sog1", "sog2", "sog3"}

// String returns the group's name as it is written in metrics and orders: main, sog0 … sog3.
func (g Group) String() string { return groupNames[g] }

// Groups lists the outlet groups in the order of their bits in OutletConfig.
var Groups = [...]Group{MainGroup, SOG0, SOG1, SOG2, SOG3}

// A Metric is the Prometheus series a Point makes of its own. The zero value means none.
type Metric struct {
	Name         string  // in base units, "ups_battery_charge_ratio"
	Label, Value string  // one constant label beside `ups`, or empty
	Scale        float64 // series = value · Scale, to the base unit
	Counter      bool    // a counter instead of a gauge
}

// Info is the row of a Point in the catalogue.
type Info struct {
	Name   string // stable, [a-z0-9_]; the name in JSON, tables and blocks
	Unit   string // s, %, V, A, Hz, W, VA, Wh, °C, d or empty
	Kind   Kind
	Group  Group // the outlet group it belongs to, NoGroup for the whole unit
	Metric Metric
	Help   string // one line for people
}

// Info returns the catalogue row of p, the zero Info if p is not in the catalogue.
func (p Point) Info() Info {
	if int(p) < len(catalogue) {
		return catalogue[p]
	}
	return Info{}
}

// Known reports whether p is in the catalogue.
func (p Point) Known() bool { return p.Info().Name != "" }

// String returns the name of p.
func (p Point) String() string {
	if n := p.Info().Name; n != "" {
		return n
	}
	return fmt.Sprintf("point_%d", uint16(p))
}

// Points returns every Point of the catalogue in ascending order.
func Points() []Point {
	out := make([]Point, 0, len(catalogue))
	for p := range catalogue {
		if catalogue[p].Name != "" {
			out = append(out, Point(p))
		}
	}
	return out
}

// PointByName returns the Point of that name.
func PointByName(name string) (Point, bool) {
	for p := range catalogue {
		if catalogue[p].Name == name && name != "" {
			return Point(p), true
		}
	}
	return 0, false
}
