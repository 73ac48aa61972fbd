package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/ups"
)

// candidates are the places that the flags name, with lasting names where every port is meant. skipped says which ports are not asked.
func (s *setup) candidates() (all []candidate, skipped []string, err error) {
	f := s.Find
	if f.Serial.all || len(f.Serial.named)+len(f.TCP) == 0 {
		agent, _ := local.Peer(s.cfg.Local.Socket) // 0: nobody is there
		ports, err := thisBox(agent)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range ports {
			if p.not != "" {
				skipped = append(skipped, p.name+" is not asked: "+p.not)
				continue
			}
			f.Serial.named = append(slices.Clone(f.Serial.named), p.name)
		}
		f.Serial.all = false
		if len(f.Serial.named)+len(f.TCP) == 0 {
			return nil, skipped, nil
		}
	}
	all, err = f.candidates()
	return all, skipped, err
}

// search asks every candidate. The units that are configured are asked, too: one that is found on another line is no new one.
func (s *setup) search(ctx context.Context, all []candidate) *searcher {
	asked := map[string]bool{}
	for _, c := range all {
		asked[placeOf(c.unit)] = true
	}
	for _, u := range s.cfg.Units {
		if !asked[placeOf(u)] {
			all = append(all, candidate{unit: u, have: true})
		}
	}
	found := newSearch(s.words, len(all))
	found.full = true
	found.agent = askAgent(ctx, s.cli)
	found.run(ctx, all)
	found.failures = slices.DeleteFunc(found.failures, func(f failure) bool {
		name := s.configured(f.unit)
		if name != "" {
			u := foundAt(f.unit)
			u.Unit, u.silent, u.have = name, explain(f.unit, f.err), f.have
			found.units = append(found.units, u)
		}
		return name != ""
	})
	return found
}

// find asks the places that the flags name. What a person has named by itself has to be there.
func (s *setup) find(ctx context.Context) error {
	s.step("find")
	all, skipped, err := s.candidates()
	if err != nil {
		return usageError{err}
	}
	for _, w := range skipped {
		s.say("%s", w)
	}
	if len(all) == 0 && len(s.cfg.Units) == 0 {
		return usageError{errors.New("this box has no serial port that can be asked; name a port or an address: --serial /dev/ttyUSB0, --tcp 192.0.2.20")}
	}
	r := s.search(ctx, all)
	if ctx.Err() != nil {
		return errStopped
	}
	s.units = r.units
	var missing []string
	for _, f := range s.absent(r.failures) {
		missing = append(missing, fmt.Sprintf("%s, slave %d: %s", f.unit.Name, f.unit.UnitID, explain(f.unit, f.err)))
	}
	if missing != nil {
		return errors.New("nothing was written: " + strings.Join(missing, "\n"))
	}
	for _, w := range append(r.failures.advice(s.units), doubles(s.units)...) {
		s.say("%s", w)
	}
	if len(s.units) == 0 && len(s.cfg.Units) == 0 {
		return fmt.Errorf("%w; nothing was written", r.failures.nothing(len(all)))
	}
	s.list()
	return nil
}

// absent are the failures at places which somebody named one by one, and where nobody has answered: no range of addresses or slaves.
func (s *setup) absent(all failures) (out failures) {
	named := func(c candidate) bool {
		return !c.scan && (c.unit.Serial == nil || slices.Contains(s.Find.Serial.named, c.unit.Serial.Device))
	}
	here := map[string]bool{}
	for _, u := range s.units {
		here[lineKey(u.cfg)] = true
	}
	for _, f := range all {
		if named(f.candidate) && !here[lineKey(f.unit)] {
			here[lineKey(f.unit)] = true // once
			out = append(out, f)
		}
	}
	return out
}

// configured is the name that a place has in the configuration.
func (s *setup) configured(u config.Unit) string {
	for _, have := range s.cfg.Units {
		if placeOf(have) == placeOf(u) {
			return have.Name
		}
	}
	return ""
}

// findAndAsk looks where the flags say, else on every serial port, shows who is there, and looks on until somebody is content.
func (s *setup) findAndAsk(ctx context.Context) error {
	s.step("find")
	all, skipped, err := s.candidates()
	if err != nil {
		return usageError{err}
	}
	for {
		if err := s.lookAt(ctx, all, skipped); err != nil {
			return err
		}
		next, err := s.askWhere(ctx)
		if err != nil || next == nil {
			return err
		}
		if all, skipped, err = next(); err != nil {
			return err
		}
	}
}

// lookAt asks places and shows what is known so far.
func (s *setup) lookAt(ctx context.Context, all []candidate, skipped []string) error {
	for _, w := range skipped {
		s.say("\n%s", w)
	}
	if len(all) > 0 {
		s.say("\nAsking %s ...", placesOf(all))
	} else if s.say("\nThere is no serial port to be asked."); len(s.cfg.Units) == 0 {
		return nil
	}
	r := s.search(ctx, all)
	if ctx.Err() != nil {
		return errStopped
	}
	for _, f := range r.units {
		s.units = slices.DeleteFunc(s.units, func(old found) bool {
			same := placeOf(old.cfg) == placeOf(f.cfg)
			f.have = f.have && (!same || old.have) // what was looked for stays so
			return same
		})
		s.units = append(s.units, f)
	}
	for _, w := range r.failures.advice(r.units) {
		s.say("\n%s", w)
	}
	for i := range s.units {
		s.units[i].SameAs = ""
	}
	doubles(s.units)
	s.list()
	if len(s.units) == 0 {
		s.say("\nNo unit has answered.")
	}
	return nil
}

// placesOf names the lines that are asked, or says how many they are.
func placesOf(all []candidate) string {
	var lines []string
	for _, c := range all {
		if !slices.Contains(lines, c.unit.Name) {
			lines = append(lines, c.unit.Name)
		}
	}
	if len(lines) > 4 {
		return ups.Count(len(lines), "place")
	}
	return strings.Join(lines, ", ")
}

// askWhere asks whether to look somewhere else. The function it returns has the places; nil: go on with what there is.
func (s *setup) askWhere(ctx context.Context) (next func() ([]candidate, []string, error), err error) {
	enough := len(s.units)+len(s.cfg.Units) > 0
	s.say("\nSomewhere else to look? Type a port (/dev/ttyUSB0), an address (192.0.2.20), a network (192.0.2.0/24) or other slave IDs (id 1-20).")
	words := "Enter = look again:"
	if enough {
		words = "Enter = go on with these, r = look again:"
		if len(s.units) == 1 && len(s.cfg.Units) == 0 {
			words = "Enter = go on with this one, r = look again:"
		}
	}
	err = s.ask.until(ctx, words, func(answer string) error {
		if enough && slices.Contains([]string{"", "y", "yes"}, strings.ToLower(answer)) {
			return nil
		}
		f := probeCmd{UnitID: s.Find.UnitID, Baud: s.Find.Baud, Parity: s.Find.Parity}
		rest, ids := strings.CutPrefix(answer, "id ")
		switch {
		case ids:
			f = s.Find
			f.UnitID = []string{strings.TrimSpace(rest)}
			if _, err := f.ids(); err != nil {
				return err
			}
		case strings.HasPrefix(answer, "/"):
			f.Serial.named = []string{lastingName(filepath.Clean(answer))}
		case answer == "" || strings.EqualFold(answer, "r"):
			f = s.Find
		default:
			if _, _, err := expand(answer); err != nil {
				return fmt.Errorf("%s: %w", quoted(answer), err)
			}
			f.TCP = []string{answer}
		}
		next = func() ([]candidate, []string, error) {
			s.Find = f
			return s.candidates()
		}
		return nil
	})
	return next, err
}
