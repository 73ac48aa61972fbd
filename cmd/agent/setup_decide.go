package main

import (
	"cmp"
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

// errDeclined is the end of a run whose result was not wanted.
var errDeclined = errors.New("nothing was written")

// none is how a person says that there is nothing.
const none = "none"

// checkFlags checks what needs no unit.
func (s *setup) checkFlags() error {
	_, err := s.Find.ids()
	if err := errors.Join(s.Find.line(), err); err != nil {
		return err
	}
	for i, dev := range s.Find.Serial.named { // the service runs elsewhere
		if s.Find.Serial.named[i], err = filepath.Abs(dev); err != nil {
			return err
		}
		s.Find.Serial.named[i] = s.lasting(s.Find.Serial.named[i])
	}
	if (s.Cloud == "") != (s.Token == "") {
		return errors.New("--cloud and --token go together: who the cloud is, and the token that the owner of the site got from it")
	}
	if s.Allow != "" {
		groups, err := parseAllow(s.Allow)
		if err != nil {
			return fmt.Errorf("--allow: %w", err)
		}
		s.change.Allow = &groups
	}
	if s.FedBy != "" && s.FedBy != none {
		unit, group, ok := strings.Cut(s.FedBy, ":")
		if groups, err := ups.ParseGroups(group); !ok || unit == "" || err != nil || len(groups) != 1 {
			return fmt.Errorf("--fed-by %s is not UNIT:GROUP like rack-a:main or rack-a:sog0, and not none", s.FedBy)
		}
	}
	for _, n := range s.Names {
		if err := config.CheckName(n[strings.LastIndex(n, "=")+1:]); err != nil {
			return fmt.Errorf("--name: %w", err)
		}
	}
	if s.Cloud != "" {
		if s.enrol, err = s.wanted(s.Cloud, s.Token); err != nil {
			return fmt.Errorf("--cloud, --token: %w", err)
		}
	}
	return nil
}

// parseAllow reads groups of orders with commas or spaces between them, in the order in which they are known.
func parseAllow(text string) ([]string, error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	out := []string{}
	if len(words) == 1 && words[0] == none {
		return out, nil
	}
	for _, w := range words {
		if !slices.Contains(config.OrderGroups(), w) {
			return nil, fmt.Errorf("%q is not one of %s, and not %s", w, strings.Join(config.OrderGroups(), ", "), none)
		}
	}
	for _, g := range config.OrderGroups() {
		if slices.Contains(words, g) {
			out = append(out, g)
		}
	}
	return out, nil
}

// decideByFlags decides what is written. Its errors are the caller's.
func (s *setup) decideByFlags() error {
	added, err := name(s.units, s.cli.Config)
	if err != nil {
		return err
	}
	if added, err = s.rename(added); err != nil {
		return err
	}
	s.change.Units = added
	if s.FedBy == "" {
		return config.CheckApply(s.cli.Config, s.change)
	}
	by := config.FedBy{}
	if unit, group, ok := strings.Cut(s.FedBy, ":"); ok {
		groups, _ := ups.ParseGroups(group) // checked with the flags
		by = config.FedBy{Unit: unit, Group: groups[0]}
	}
	if err := s.checkFedBy(by); err != nil {
		return fmt.Errorf("--fed-by %s: %w", s.FedBy, err)
	}
	s.change.FedBy = &by
	return config.CheckApply(s.cli.Config, s.change)
}

// checkFedBy says what is wrong with an outlet: a wrong one would let an order leave this box dark.
func (s *setup) checkFedBy(by config.FedBy) error {
	if by == (config.FedBy{}) {
		return nil
	}
	if !s.taken(by.Unit, s.change.Units) {
		return fmt.Errorf("%q is no unit of the configuration", by.Unit)
	}
	for i := range s.units {
		if f := &s.units[i]; f.Unit == by.Unit && f.groups() != nil && !slices.Contains(f.groups(), by.Group) {
			return fmt.Errorf("%s has no outlet group %v; it has %s", by.Unit, by.Group, groupWords(f.groups()))
		}
	}
	return nil
}

func groupWords(all []ups.Group) string {
	var out []string
	for _, g := range all {
		out = append(out, g.String())
	}
	return strings.Join(out, ", ")
}

// decideByQuestions asks what only a person on site knows, shows what it comes to, and has it confirmed.
func (s *setup) decideByQuestions(ctx context.Context) error {
	if err := s.askNames(ctx); err != nil {
		return err
	}
	if err := s.askCloud(ctx); err != nil {
		return err
	}
	if err := s.askAllow(ctx); err != nil {
		return err
	}
	if err := s.askFedBy(ctx); err != nil {
		return err
	}
	if err := config.CheckApply(s.cli.Config, s.change); err != nil {
		return err
	}
	return s.confirm(ctx)
}

// askAllow asks which orders from afar are obeyed, where somebody could give any: none unless somebody on site says so (R7).
func (s *setup) askAllow(ctx context.Context) error {
	if s.change.Allow != nil || s.enrol == nil && s.cfg.Uplink == nil || config.Says(s.cli.Config, "orders", "allow") {
		return nil
	}
	s.say("\nOrders from the cloud: which groups may this box obey? diagnostics (self-tests), alarms (silence the beeper), settings, reboot, outlets (switch sockets), firmware.")
	return s.ask.until(ctx, "Groups, with commas [none]:", func(answer string) error {
		groups, err := parseAllow(cmp.Or(answer, none))
		s.change.Allow = &groups
		return err
	})
}

// askFedBy asks what feeds this box. There is no default: a wrong answer costs a way to the site.
func (s *setup) askFedBy(ctx context.Context) error {
	units := s.names()
	if s.FedBy != "" || config.Says(s.cli.Config, "orders", "fed_by") {
		return nil
	}
	s.say("\nIs this box itself plugged into %s? Then an order that would leave it without power for good is refused.", oneOf("the UPS", units))
	var yes, known bool
	if err := s.ask.until(ctx, "y = yes, n = no, ? = I do not know:", func(answer string) error {
		switch strings.ToLower(answer) {
		case "y", "yes":
			yes, known = true, true
		case "n", "no":
			known = true
		case "?":
		default:
			return errors.New("please say y, n or ?")
		}
		return nil
	}); err != nil || !known {
		return err
	}
	by := config.FedBy{}
	if yes {
		var err error
		if by, err = s.askOutlet(ctx, units); err != nil {
			return err
		}
	}
	s.change.FedBy = &by
	return nil
}

// names are the units that the configuration will have.
func (s *setup) names() (out []string) {
	for _, u := range slices.Concat(s.cfg.Units, s.change.Units) {
		out = append(out, u.Name)
	}
	return out
}

func oneOf(what string, units []string) string {
	if len(units) == 1 {
		return what + " " + units[0]
	}
	return "one of these: " + strings.Join(units, ", ")
}

// askOutlet asks which unit, and which of its outlet groups; what there is one of is not asked.
func (s *setup) askOutlet(ctx context.Context, units []string) (by config.FedBy, err error) {
	by.Unit = units[0]
	if len(units) > 1 {
		if err := s.ask.until(ctx, "Which unit?", func(answer string) error {
			by.Unit = answer
			if !slices.Contains(units, answer) {
				return fmt.Errorf("there are %s", strings.Join(units, ", "))
			}
			return nil
		}); err != nil {
			return by, err
		}
	}
	groups, names := ups.Groups[:4], []local.Value(nil)
	for i := range s.units {
		if f := &s.units[i]; f.Unit == by.Unit && f.groups() != nil {
			groups, names = f.groups(), f.values
		}
	}
	if len(groups) == 1 {
		by.Group = groups[0]
		return by, nil
	}
	s.say("Which of its outlet groups? The sockets at the back are labelled.")
	for _, g := range groups {
		s.say("  %s", outletWords(g, names))
	}
	return by, s.ask.until(ctx, "Group:", func(answer string) error {
		all, err := ups.ParseGroups(strings.ToLower(answer))
		if err != nil || len(all) != 1 || !slices.Contains(groups, all[0]) {
			return fmt.Errorf("it is one of %s", groupWords(groups))
		}
		by.Group = all[0]
		return nil
	})
}

// outletWords says what a group is called: here, at the back of the unit, and by whoever gave it a name.
func outletWords(g ups.Group, values []local.Value) string {
	words := "main: the main outlet group"
	if g != ups.MainGroup {
		words = fmt.Sprintf("%v: switched outlet group %d", g, g-ups.SOG0+1)
	}
	if v := valueOf(values, g.NamePoint()); v != nil && v.Text != "" {
		words += fmt.Sprintf(", called %q", v.Text)
	}
	return words
}

// confirm shows what will be written and done. Nothing has been until here.
func (s *setup) confirm(ctx context.Context) error {
	if len(s.change.Units)+len(s.change.Move) == 0 && s.change.Allow == nil && s.change.FedBy == nil && s.enrol == nil {
		return nil
	}
	s.say("\nThis comes into %s:", s.cli.Config)
	for _, u := range s.change.Units {
		s.say("  unit %s on %s", u.Name, placeName(u))
	}
	for _, u := range s.change.Move {
		s.say("  unit %s, which is on %s now", u.Name, placeName(u))
	}
	if a := s.change.Allow; a != nil {
		s.say("  orders from afar that are obeyed: %s", cmp.Or(strings.Join(*a, ", "), none))
	}
	if by := s.change.FedBy; by != nil && *by == (config.FedBy{}) {
		s.say("  no unit feeds this box")
	} else if by != nil {
		s.say("  this box is fed by %s, outlet group %v", by.Unit, by.Group)
	}
	if s.enrol != nil {
		s.say("  the uplink to %s, once it has taken the token", s.enrol.cloud)
	}
	what := "Write it and start the service? Enter = yes, n = no:"
	if s.NoStart {
		what = "Write it? Enter = yes, n = no:"
	}
	return s.ask.until(ctx, what, func(answer string) error {
		switch strings.ToLower(answer) {
		case "", "y", "yes":
			return nil
		case "n", "no":
			return errDeclined
		}
		return errors.New("please press Enter, or say n")
	})
}
