package ups

import (
	"slices"
	"time"
)

// dateEpoch is day 0 of a Date: 2000-01-01 UTC (protocol reference, section 4).
var dateEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// State is what is known of a unit: the latest value of every point. Use NewState; the zero State is not ready. A State can be
// copied; the copy changes no more with the original.
type State struct {
	raw     [pointLimit]int64
	divisor [pointLimit]uint16
	tier    [pointLimit]Tier // with which it was read last
	text    []pointText      // of those that have one; never changed, but replaced
	at      [TierCount]time.Time
}

type pointText struct {
	point Point
	text  string
}

// NewState returns a State in which everything is absent.
func NewState() *State {
	s := &State{}
	for p := range s.raw {
		s.raw[p], s.divisor[p] = Absent, 1
	}
	return s
}

// Apply takes over every value of r. A point that r marks as Absent becomes absent: what is no longer applicable is not kept.
func (s *State) Apply(r *Reading) {
	for i, c := range r.Layout.Columns {
		if int(c.Point) >= pointLimit {
			continue
		}
		s.raw[c.Point], s.divisor[c.Point], s.tier[c.Point] = r.Raw[i], c.Divisor, r.Tier
		if r.Text != nil {
			s.setText(c.Point, r.Text[i])
		}
	}
	s.at[r.Tier] = r.At
	if r.Tier == TierStatus {
		s.at[TierWatch] = r.At // a read of the status block counts as a watch (design, section 4)
	}
}

// At returns when the tier was last read, the zero time if never.
func (s *State) At(t Tier) time.Time { return s.at[t] }

// ReadAt returns when p was last read, as that is known: when the tier was that it is read with. The zero time if never.
func (s *State) ReadAt(p Point) time.Time { return s.at[s.tier[p]] }

// Raw returns the raw integer of p, and whether there is one.
func (s *State) Raw(p Point) (int64, bool) {
	v := s.raw[p]
	return v, v != Absent
}

// Flags returns the bits of p, 0 if p is absent.
func (s *State) Flags(p Point) uint32 {
	if v := s.raw[p]; v != Absent {
		return uint32(v)
	}
	return 0
}

// Text returns the text of p, "" if there is none.
func (s *State) Text(p Point) string {
	for i := range s.text {
		if s.text[i].point == p {
			return s.text[i].text
		}
	}
	return ""
}

func (s *State) setText(p Point, text string) {
	if s.Text(p) == text {
		return
	}
	i := slices.IndexFunc(s.text, func(t pointText) bool { return t.point == p })
	s.text = slices.Clone(s.text) // copies of the State have the old ones
	if i >= 0 {
		s.text[i].text = text
	} else {
		s.text = append(s.text, pointText{p, text})
	}
}

// Divisor returns the divisor of p as the driver read it, at least 1.
func (s *State) Divisor(p Point) uint16 { return max(s.divisor[p], 1) }

// Value returns the value of p in its unit, and whether there is one. A Date is the Unix time of the day's start in seconds.
// An efficiency below zero is a reason, not a value.
func (s *State) Value(p Point) (float64, bool) { return ValueOf(p, s.raw[p], s.divisor[p]) }

// ValueOf returns the value that raw stands for, as State.Value does.
func ValueOf(p Point, raw int64, divisor uint16) (float64, bool) {
	switch {
	case raw == Absent, p == Efficiency && raw < 0:
		return 0, false
	case p.Info().Kind == Date:
		return float64(dateEpoch.AddDate(0, 0, int(raw)).Unix()), true
	}
	return float64(raw) / float64(max(divisor, 1)), true
}

// Day returns the day that the raw integer of a Date stands for, in UTC.
func Day(raw int64) time.Time { return dateEpoch.AddDate(0, 0, int(raw)) }

// Groups returns the outlet groups that exist (OutletConfig), nil while that is not known.
func (s *State) Groups() []Group {
	var out []Group
	for i, g := range Groups {
		if s.Flags(OutletConfig)&(1<<i) != 0 {
			out = append(out, g)
		}
	}
	return out
}

// Outlet returns the point that holds the state of g.
func (g Group) Outlet() Point { return MainOutlet + Point(g-MainGroup) }

// NamePoint returns the point that holds the name a user gave to g, 0 if there is none.
func (g Group) NamePoint() Point {
	if g < MainGroup || g > SOG2 {
		return 0
	}
	return MainName + Point(g-MainGroup)
}

// Identity returns who the unit is, as far as it has been read.
func (s *State) Identity() Identity {
	return Identity{
		Model: s.Text(Model), SKU: s.Text(SKU), Serial: s.Text(Serial), Firmware: s.Text(Firmware), MapID: s.Text(MapID),
		Groups: s.Groups(),
	}
}

// An Identity says who a unit is. Empty strings are not known.
type Identity struct {
	Model    string // "Smart-UPS 1500"; has no family letters on some families
	SKU      string // "SMT1500RM2UC"; tells the family
	Serial   string
	Firmware string // "UPS 04.1"
	MapID    string // version of the register map, "00.5"
	Groups   []Group
}
