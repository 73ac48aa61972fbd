package alarm

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"upsedge/internal/ups"
)

// pointRoom is one above the highest point there is room for; a test holds the catalogue against that.
const pointRoom = 256

// valueRoom is one above the highest point there is.
var valueRoom = int(slices.Max(ups.Points())) + 1

// A pointSet is a set of points.
type pointSet [pointRoom / 64]uint64

func points(ps ...ups.Point) pointSet {
	var s pointSet
	for _, p := range ps {
		s.add(p)
	}
	return s
}

func (s *pointSet) add(p ups.Point) {
	if i := int(p / 64); i < len(s) {
		s[i] |= 1 << (p % 64)
	}
}

func (s *pointSet) has(p ups.Point) bool {
	i := int(p / 64)
	return i < len(s) && s[i]&(1<<(p%64)) != 0
}

func (s *pointSet) meets(o *pointSet) bool {
	return s[0]&o[0]|s[1]&o[1]|s[2]&o[2]|s[3]&o[3] != 0
}

func (s *pointSet) join(o *pointSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

// A look is one read as the conditions see it: the latest values, and which of them this read brought.
type look struct {
	st       *ups.State
	read     pointSet
	at       time.Time
	now      time.Duration // at, as the time since the engine's first call
	limits   *Limits
	active   *activeSet
	family   ups.Family // 0 while it is not known
	turn                // what this read says about transitions
	calendar            // what day it is
	mem      *memory
}

// bits reports whether any of mask is set in the latest value of p.
func (x *look) bits(p ups.Point, mask uint32) bool { return x.st.Flags(p)&mask != 0 }

// u reports whether any of mask is set in the latest status word.
func (x *look) u(mask uint32) bool { return x.bits(ups.StatusFlags, mask) }

// over reports whether the latest value of p is above limit. An absent value is not.
func (x *look) over(p ups.Point, limit float64) bool {
	v, ok := x.st.Value(p)
	return ok && v > limit
}

// atMost reports whether the latest value of p is limit or less. An absent value is not.
func (x *look) atMost(p ups.Point, limit float64) bool {
	v, ok := x.st.Value(p)
	return ok && v <= limit
}

// present reports whether the outlet group exists: by the unit's own list, and until that has been read by a state that
// says on or off (protocol reference, section 3.3: an absent group may read 0).
func (x *look) present(g ups.Group) bool {
	if _, ok := x.st.Raw(ups.OutletConfig); ok {
		return x.bits(ups.OutletConfig, 1<<(g-ups.MainGroup))
	}
	return x.bits(g.Outlet(), ups.OStateOn|ups.OStateOff)
}

// plausible reports whether the status word can be one (READ-6, READ-7; protocol reference, section 10): exactly one mode,
// nothing in the reserved bits. Drivers refuse such a read; what must never end an alarm is looked at twice.
func (x *look) plausible() bool {
	if !x.read.has(ups.StatusFlags) {
		return true
	}
	u := x.st.Flags(ups.StatusFlags) // 0 if absent
	mode := u & ups.UModes
	return mode != 0 && mode&(mode-1) == 0 && u&ups.UReserved == 0
}

// raw returns the raw values of those points that have one.
func (x *look) raw(ps []ups.Point) []ups.RawValue {
	if x.st == nil {
		return nil // nothing was read since the program began
	}
	out := make([]ups.RawValue, 0, len(ps))
	for _, p := range ps {
		if v, ok := x.st.Raw(p); ok {
			out = append(out, ups.RawValue{Point: p, Raw: v})
		}
	}
	return out
}

// causeName returns the name of the cause of the last change of state, "" if it was not read.
func (x *look) causeName() string {
	v, ok := x.st.Raw(ups.StatusCause)
	if !ok {
		return ""
	}
	for _, n := range ups.Names(ups.StatusCause) {
		if int64(n.Number) == v {
			return n.Name
		}
	}
	return fmt.Sprintf("cause %d", v)
}

// value returns "what 95 s", "" if p has no value.
func (x *look) value(what string, p ups.Point) string {
	v, ok := x.st.Value(p)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s %.4g %s", what, v, p.Info().Unit)
}

// phrase joins what is not empty.
func phrase(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, ", ")
}
