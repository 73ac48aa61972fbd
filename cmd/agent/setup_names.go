package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"upsedge/internal/config"
	"upsedge/internal/ups"
)

// rename gives the units the names of --name: one for the only unit, or by serial number or place. A unit that has a name keeps it: it is in
// every metric and record.
func (s *setup) rename(added []config.Unit) ([]config.Unit, error) {
	for _, n := range s.Names {
		which, want, several := strings.Cut(n, "=")
		if !several {
			which, want = "", n
		}
		f, err := s.meant(which)
		if err != nil {
			return nil, fmt.Errorf("--name %s: %w", n, err)
		}
		i := slices.IndexFunc(added, func(u config.Unit) bool { return u.Name == f.Unit })
		switch {
		case s.lost(want) != nil && f.silent == "": // somebody says that this is the one
			added = slices.DeleteFunc(added, func(u config.Unit) bool { return u.Name == f.Unit })
			s.move(f, want)
		case f.Unit == want:
		case i < 0:
			return nil, fmt.Errorf("--name %s: the unit on %s is configured as %s; another name is another unit to whoever collects its values. Change it in %s if that is meant",
				n, f.where(), f.Unit, s.cli.Config)
		case s.taken(want, added):
			return nil, fmt.Errorf("--name %s: another unit has the name", n)
		default:
			added[i].Name, f.Unit, f.cfg.Name = want, want, want
		}
	}
	return added, nil
}

// lost is a unit of the configuration that cannot be read at its place, nil where there is none of that name.
func (s *setup) lost(name string) *found {
	for i := range s.units {
		if f := &s.units[i]; f.Unit == name && f.silent != "" && s.configured(f.cfg) == name {
			return f
		}
	}
	return nil
}

// move gives a lost unit the place of f: its adapter has another name now, or the unit another address.
func (s *setup) move(f *found, name string) {
	u := f.cfg
	u.Name = name
	f.Unit, f.cfg.Name = name, name
	s.change.Move = append(s.change.Move, u)
}

// moving reports whether a lost unit has a place again.
func (s *setup) moving(name string) bool {
	return slices.ContainsFunc(s.change.Move, func(u config.Unit) bool { return u.Name == name })
}

// askMoves asks of lost units whether they are where a unit with their serial number has answered.
func (s *setup) askMoves(ctx context.Context) error {
	for i := range s.units {
		f := &s.units[i]
		if f.silent != "" || s.configured(f.cfg) != "" || s.lost(f.Unit) == nil || s.moving(f.Unit) {
			continue
		}
		s.say("\n%s is configured on %s, where it cannot be read, and has answered on %s.", f.Unit, placeName(s.lost(f.Unit).cfg), placeName(f.cfg))
		if err := s.ask.until(ctx, "Enter = change the configuration to that, n = leave it:", func(answer string) error {
			switch strings.ToLower(answer) {
			case "":
				s.move(f, f.Unit)
				return nil
			case "n", "no":
				return nil
			}
			return errors.New("please press Enter, or say n")
		}); err != nil {
			return err
		}
	}
	return nil
}

// meant is the unit with this serial number or at this place; of no words the only one that was looked at.
func (s *setup) meant(which string) (*found, error) {
	byName := map[string]*found{} // a unit that was found twice is one
	for i := range s.units {
		f := &s.units[i]
		if which == "" && !f.have || which != "" && (which == f.Number || f.isAt(which)) {
			if byName[f.Unit] == nil || f.SameAs == "" {
				byName[f.Unit] = f
			}
		}
	}
	for _, f := range byName {
		if len(byName) == 1 {
			return f, nil
		}
	}
	if which == "" {
		return nil, fmt.Errorf("there are %s; say which one, SERIALNUMBER=NAME or PLACE=NAME", ups.Count(len(byName), "unit"))
	}
	return nil, fmt.Errorf("no unit with the serial number or at the place %s has answered", which)
}

// isAt reports whether a place is called so; a port may have several names.
func (f *found) isAt(place string) bool {
	if f.Serial == "" || !strings.HasPrefix(place, "/") {
		return place == f.where()
	}
	u := f.cfg
	u.Serial = &config.Serial{Device: place}
	return lineKey(u) == lineKey(f.cfg)
}

// taken reports whether a unit has the name, in the configuration or among those that come into it.
func (s *setup) taken(name string, added []config.Unit) bool {
	is := func(u config.Unit) bool { return u.Name == name }
	return slices.ContainsFunc(s.cfg.Units, is) || slices.ContainsFunc(added, is)
}

func (s *setup) askNames(ctx context.Context) error {
	added, err := name(s.units, s.cli.Config)
	if err != nil {
		return usageError{err}
	}
	if err := s.askMoves(ctx); err != nil {
		return err
	}
	if len(added) >= manyUnits {
		all, err := s.askAllNames(ctx, added)
		if err != nil || all {
			s.change.Units = added
			return err
		}
	}
	var kept []config.Unit
	for _, u := range added {
		var f *found
		for i := range s.units {
			if placeOf(s.units[i].cfg) == placeOf(u) {
				f = &s.units[i]
			}
		}
		words := fmt.Sprintf("Its name in metrics and alarms; - leaves it out [%s]:", u.Name)
		s.say("\nThe unit on %s%s: %s", f.where(), slaveWords(f), cmp.Or(f.Model, "no model"))
		if err := s.ask.until(ctx, words, func(answer string) error {
			answer = cmp.Or(answer, u.Name)
			if answer == "-" {
				f.Unit = ""
				return nil
			}
			if s.lost(answer) != nil && !s.moving(answer) {
				s.move(f, answer)
				s.say("  %s is configured on %s, where it cannot be read: it gets this place.", answer, placeName(s.lost(answer).cfg))
				return nil
			}
			if s.taken(answer, kept) {
				return fmt.Errorf("another unit has the name %s", answer)
			}
			if err := config.CheckName(answer); err != nil {
				return err
			}
			u.Name, f.Unit, f.cfg.Name = answer, answer, answer
			kept = append(kept, u)
			return nil
		}); err != nil {
			return err
		}
	}
	s.change.Units = kept
	if len(kept)+len(s.cfg.Units) == 0 {
		return errors.New("no unit is left to be configured; nothing was written")
	}
	return nil
}

// manyUnits are not named one by one without need.
const manyUnits = 4

// askAllNames offers the names of all units at once.
func (s *setup) askAllNames(ctx context.Context, added []config.Unit) (all bool, err error) {
	s.say("\nThese names, in metrics and alarms:")
	for _, u := range added {
		s.say("  %s: on %s", u.Name, placeName(u))
	}
	return all, s.ask.until(ctx, "Enter = take them, n = ask for each:", func(answer string) error {
		all = answer == ""
		if !all && strings.ToLower(answer) != "n" {
			return errors.New("please press Enter, or say n")
		}
		return nil
	})
}

// placeName is the port or address of a unit, with its slave ID where that says something.
func placeName(u config.Unit) string {
	f := foundAt(u)
	return f.where() + slaveWords(&f)
}
