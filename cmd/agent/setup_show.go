package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"upsedge/internal/local"
	"upsedge/internal/ups"
)

// list shows what was found, so that somebody who stands in front of the units knows which is which.
func (s *setup) list() {
	number := 0
	for i := range s.units {
		f := &s.units[i]
		if f.have && f.silent == "" {
			continue
		}
		number++
		if f.silent != "" {
			s.say("\n%d. %s on %s%s is configured already, and cannot be read now: %s", number, f.Unit, f.where(), slaveWords(f), f.silent)
			continue
		}
		s.say("\n%d. %s", number, strings.Join(nonempty(cmp.Or(f.Model, "a unit that does not say its model"), f.SKU, numbered("serial number ", f.Number), numbered("firmware ", f.Firmware)), ", "))
		s.say("   on %s%s%s", f.where(), slaveWords(f), map[bool]string{true: ", through a network card"}[f.Via == "card"])
		if words := f.state(); words != "" {
			s.say("   %s", words)
		}
		if name := s.configured(f.cfg); name != "" {
			s.say("   configured already: %s", name)
		} else if f.SameAs != "" {
			s.say("   the same unit as on %s, %s", f.SameAs, s.better(f.SameAs))
		}
	}
}

// better says why a unit is not taken at a second place.
func (s *setup) better(first string) string {
	for i := range s.units {
		if f := &s.units[i]; f.where() == first && s.lost(f.Unit) != nil {
			words := fmt.Sprintf("where it is configured as %s and cannot be read now", f.Unit)
			if s.ask == nil {
				words += "; --name " + f.Unit + " says that it is here now"
			}
			return words
		}
	}
	return "which is the better way to it"
}

func nonempty(words ...string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

func numbered(what, value string) string {
	if value == "" {
		return ""
	}
	return what + value
}

func slaveWords(f *found) string {
	if f.UnitID == 1 {
		return ""
	}
	return fmt.Sprintf(", slave ID %d", f.UnitID)
}

// state says how a unit is: "online; battery 100 %, 54 min; load 23 %".
func (f *found) state() string { return stateWords(f.condition, f.values) }

func stateWords(condition []string, values []local.Value) string {
	battery := strings.Join(nonempty(reading1(values, ups.Charge), minutes(values)), ", ")
	return strings.Join(nonempty(strings.ReplaceAll(strings.Join(condition, ", "), "_", " "), numbered("battery ", battery),
		numbered("load ", reading1(values, ups.LoadReal))), "; ")
}

// valueOf returns the value of a point.
func valueOf(values []local.Value, p ups.Point) *local.Value {
	i := slices.IndexFunc(values, func(v local.Value) bool { return v.Point == p.Info().Name })
	if i < 0 {
		return nil
	}
	return &values[i]
}

// reading1 is a measurement without digits behind the point, "" where there is none.
func reading1(values []local.Value, p ups.Point) string {
	v := valueOf(values, p)
	if v == nil || v.Number == nil {
		return ""
	}
	return fmt.Sprintf("%.0f %s", *v.Number, v.Unit)
}

func minutes(values []local.Value) string {
	v := valueOf(values, ups.Runtime)
	if v == nil || v.Number == nil {
		return ""
	}
	return fmt.Sprintf("%.0f min", *v.Number/60)
}

// groups are the outlet groups that a unit has, nil where that is not known.
func (f *found) groups() (out []ups.Group) {
	v := valueOf(f.values, ups.OutletConfig)
	if v == nil || v.Raw == nil {
		return nil
	}
	for i, g := range ups.Groups {
		if *v.Raw&(1<<i) != 0 && g != ups.SOG3 { // about which no order can be given
			out = append(out, g)
		}
	}
	return out
}

// greet says what this is, and what is configured already.
func (s *setup) greet() {
	what := "This finds the UPS, writes %s and starts the service."
	if s.NoStart {
		what = "This finds the UPS and writes %s."
	}
	s.say(what+" From the UPS it only reads. Ctrl-C stops it at any point; run again, it goes on.", s.cli.Config)
	if len(s.cfg.Units) > 0 {
		s.say("\nConfigured already:")
	}
	for _, u := range s.cfg.Units {
		s.say("  unit %s on %s", u.Name, placeName(u))
	}
	if s.cfg.Uplink != nil {
		s.say("  uplink to %s", s.cfg.Uplink.Broker)
	}
}
