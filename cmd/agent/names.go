package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"upsedge/internal/config"
)

// doubles marks units that were found twice, over two lines or under two addresses, and says so. The first place is the
// better one: a serial line works without the network, which may fail with the mains; a unit's own port is faster than a card.
func doubles(units []found) []string {
	byNumber := map[string][]*found{}
	var numbers []string
	for i := range units {
		n := units[i].self()
		if n == "" {
			continue
		}
		if byNumber[n] == nil {
			numbers = append(numbers, n)
		}
		byNumber[n] = append(byNumber[n], &units[i])
	}
	var out []string
	for _, n := range numbers {
		same := byNumber[n]
		slices.SortStableFunc(same, func(a, b *found) int { return cmp.Compare(a.rank(), b.rank()) })
		for _, f := range same[1:] {
			f.SameAs = same[0].where()
			out = append(out, fmt.Sprintf("%s, slave %d: the same unit as at %s, by its serial number", f.where(), f.UnitID, f.SameAs))
		}
	}
	return out
}

// self tells a unit from every other: its serial number and what it is. It is empty where the unit does not say.
func (f *found) self() string {
	if f.Number == "" {
		return ""
	}
	return f.SKU + "/" + f.Number
}

// rank orders the places of one unit: the one that is in use, a serial line, the unit's own port, a card.
func (f *found) rank() int {
	switch {
	case f.ByAgent:
		return 0
	case f.Serial != "":
		return 1
	case f.Via == "unit":
		return 2
	}
	return 3
}

// name gives the units that are not yet in the configuration names that are free there, and returns those units. A unit that
// is there already, or was found at a better place, gets the name it has.
func name(units []found, path string) ([]config.Unit, error) {
	used, known := map[string]bool{}, map[string]string{}
	if _, err := os.Stat(path); err == nil {
		cfg, err := config.Load(path)
		if err != nil {
			return nil, err
		}
		for _, u := range cfg.Units {
			used[u.Name] = true
			known[placeOf(u)] = u.Name
		}
	}
	names := map[string]string{} // by self
	for i := range units {
		f := &units[i]
		if f.Unit = cmp.Or(f.Unit, known[placeOf(f.cfg)]); f.Unit != "" {
			names[f.self()] = f.Unit
		}
	}
	var added []config.Unit
	for i := range units {
		f := &units[i]
		if f.Unit != "" || f.SameAs != "" {
			continue
		}
		if n := names[f.self()]; n != "" && f.self() != "" { // in the configuration under a worse place
			f.Unit = n
			continue
		}
		f.Unit = freeName(f.label, used)
		used[f.Unit], names[f.self()], f.cfg.Name = true, f.Unit, f.Unit
		added = append(added, f.cfg)
	}
	for i := range units {
		if f := &units[i]; f.Unit == "" {
			f.Unit = names[f.self()]
		}
	}
	return added, nil
}

// unname takes the names back that were given to the units in added.
func unname(units []found, added []config.Unit) {
	for i := range units {
		if slices.ContainsFunc(added, func(u config.Unit) bool { return u.Name == units[i].Unit }) {
			units[i].Unit = ""
		}
	}
}

func placeOf(u config.Unit) string { return fmt.Sprintf("%s/%d", lineKey(u), u.UnitID) }

// freeName makes a unit name of what somebody called the unit, or of "ups": never of the serial number, which would go into
// every metric and log.
func freeName(label string, used map[string]bool) string {
	base := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, label), "-")
	if base == "" {
		base = "ups"
	}
	for n := 1; ; n++ {
		candidate := base
		if n > 1 || base == "ups" {
			candidate = fmt.Sprintf("%s-%d", base, n)
		}
		if !used[candidate] {
			return candidate
		}
	}
}
