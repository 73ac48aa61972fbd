package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.bug.st/serial/enumerator"

	"upsedge/internal/config"
	"upsedge/internal/doctor"
	"upsedge/internal/local"
	"upsedge/internal/ups"
)

// A port is a serial port of this box.
type port struct {
	node string // /dev/ttyUSB0
	name string // lasting, where there is such a name
	not  string // why it is not asked unless somebody names it; "": it is
}

// thisBox lists the serial ports. agent is the process that runs with this configuration, 0 without one: it is asked itself.
func thisBox(agent int) ([]port, error) {
	list, err := enumerator.GetDetailedPortsList()
	if err != nil {
		return nil, fmt.Errorf("list the serial ports: %w", err)
	}
	active, _ := os.ReadFile("/sys/class/tty/console/active")
	var out []port
	for _, p := range list {
		one := port{node: p.Name, name: lasting(p, list, "/dev/serial")}
		if slices.Contains(strings.Fields(string(active)), filepath.Base(p.Name)) {
			one.not = "it is the console of this box"
		} else {
			one.not = taken(p.Name, agent)
		}
		out = append(out, one)
	}
	return out, nil
}

// taken says who has a port, and how it is got back; "" where nobody has.
func taken(node string, agent int) string {
	for _, f := range doctor.Root("/").LookAtMasters([]config.Unit{{Serial: &config.Serial{Device: node}}}, agent) {
		if f.Level == doctor.Problem {
			return f.What + ". " + f.Do
		}
	}
	return ""
}

// lastingName is the lasting name of a port that somebody named, which may be the same.
func lastingName(node string) string {
	all, _ := thisBox(0) // without a list the name stays
	for _, p := range all {
		if p.node == node {
			return p.name
		}
	}
	return node
}

// lasting is the name under which udev finds a USB adapter again after it was plugged in anew: by who it is, where no other adapter here
// calls itself the same, else by the socket it is in. Other ports keep their names.
func lasting(p *enumerator.PortDetails, all []*enumerator.PortDetails, dir string) string {
	if !p.IsUSB {
		return p.Name
	}
	alike := 0
	for _, o := range all {
		if o.IsUSB && o.VID == p.VID && o.PID == p.PID && o.SerialNumber == p.SerialNumber {
			alike++
		}
	}
	kinds := []string{"by-path", "by-id"}
	if alike == 1 || p.SerialNumber != "" { // several ports of one adapter have the same number, and names that end differently
		kinds = []string{"by-id", "by-path"}
	}
	for _, kind := range kinds {
		links, _ := filepath.Glob(filepath.Join(dir, kind, "*"))
		for _, link := range links {
			if to, err := filepath.EvalSymlinks(link); err == nil && to == p.Name {
				return link
			}
		}
	}
	return p.Name
}

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
			u.Unit, u.silent = name, explain(f.unit, f.err)
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
	for _, dev := range s.Find.Serial.named {
		if name := lastingName(dev); name != dev {
			s.say("%s is what it is called until it is plugged in anew; its lasting name: %s", dev, name)
		}
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

// list shows what was found, so that somebody who stands in front of the units knows which is which.
func (s *setup) list() {
	number := 0
	for i := range s.units {
		f := &s.units[i]
		if f.have {
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

// better says why a unit is not taken at a second place, when the first may be one where it was once.
func (s *setup) better(first string) string {
	for i := range s.units {
		if f := &s.units[i]; f.where() == first && f.silent != "" {
			return fmt.Sprintf("where it is configured as %s and cannot be read now: plug it back, or change its place in %s", f.Unit, s.cli.Config)
		}
	}
	return "which is the better way to it"
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
		return count(len(lines), "place")
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
		if answer == "" && enough {
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
