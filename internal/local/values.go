// Package local shows the agent to whoever stands beside the box: the status page, and the socket API that the installer's
// commands ask. It reads memory, never a line; what it answers is stable JSON.
package local

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"upsedge/internal/ups"
)

// A Value is one point as people and scripts read it.
type Value struct {
	Point   string   `json:"point"`             // name in the catalogue
	Group   string   `json:"group,omitempty"`   // main, sog0 ...
	Number  *float64 `json:"value,omitempty"`   // of a measurement or countdown, in Unit
	Unit    string   `json:"unit,omitempty"`    //
	Names   []string `json:"names,omitempty"`   // bits that are set, or the name of a code
	Text    string   `json:"text,omitempty"`    // of a text or date (2006-01-02)
	Raw     *int64   `json:"raw,omitempty"`     // the integer the unit sent
	Divisor uint16   `json:"divisor,omitempty"` // value = raw / divisor
	Age     *float64 `json:"age_seconds,omitempty"`
}

// Values returns every point that st has a value of, in the order of the catalogue.
func Values(st *ups.State) []Value { return ValuesAt(st, time.Time{}) }

// ValuesAt is Values with the age that each has at the time now.
func ValuesAt(st *ups.State, now time.Time) []Value {
	var out []Value
	for _, p := range ups.Points() {
		if v, ok := valueOf(st, p); ok {
			if read := st.ReadAt(p); !read.IsZero() && !now.IsZero() {
				age := max(now.Sub(read).Seconds(), 0)
				v.Age = &age
			}
			out = append(out, v)
		}
	}
	return out
}

func valueOf(st *ups.State, p ups.Point) (Value, bool) {
	info := p.Info()
	v := Value{Point: info.Name, Group: info.Group.String()}
	if info.Kind == ups.Text {
		v.Text = st.Text(p)
		return v, v.Text != ""
	}
	raw, ok := st.Raw(p)
	if !ok {
		return v, false
	}
	v.Raw = &raw
	switch info.Kind {
	case ups.Flags, ups.Choice:
		v.Names = bitNames(p, uint32(raw))
	case ups.Code:
		v.Names = []string{codeName(p, raw)}
	case ups.Date:
		v.Text = ups.Day(raw).Format("2006-01-02")
	default:
		f, ok := st.Value(p)
		if !ok {
			v.Names = []string{codeName(p, raw)} // an efficiency below zero is a reason
			break
		}
		v.Number, v.Unit, v.Divisor = &f, info.Unit, st.Divisor(p)
	}
	return v, true
}

func bitNames(p ups.Point, set uint32) []string {
	var names []string
	for _, b := range ups.Names(p) {
		if b.Number < 32 && set&(1<<b.Number) != 0 {
			names = append(names, b.Name)
			set &^= 1 << b.Number
		}
	}
	for b := range 32 {
		if set&(1<<b) != 0 {
			names = append(names, fmt.Sprintf("bit %d", b)) // reserved: it keeps its number
		}
	}
	return names
}

func codeName(p ups.Point, raw int64) string {
	for _, b := range ups.Names(p) {
		if int64(b.Number) == raw {
			return b.Name
		}
	}
	return strconv.FormatInt(raw, 10)
}

// String returns the value as it stands in a table: "230.5 V", "StateOnline HighEfficiency", "2017-07-14".
func (v Value) String() string {
	switch {
	case v.Number != nil:
		text := strconv.FormatFloat(*v.Number, 'f', decimals(v.Divisor), 64)
		return strings.TrimSuffix(text+" "+v.Unit, " ")
	case v.Text != "":
		return v.Text
	case len(v.Names) > 0:
		return strings.Join(v.Names, " ")
	}
	return "none" // a bit field with no bit set
}

// decimals is how many digits behind the point a raw integer of this divisor can tell apart.
func decimals(divisor uint16) int {
	if divisor <= 1 {
		return 0
	}
	return min(2, int(math.Floor(math.Log10(float64(divisor)))))
}
