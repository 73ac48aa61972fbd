package upssim

import (
	"fmt"
	"strconv"
	"strings"
)

// rawVerbs bend single items, registers and bits, and write as a client does.
var rawVerbs = []verb{
	{"bits", "ITEM{+|-|!}NAME…", "shows a bit, gives it back to the simulation (-) or hides it (!): bits=GeneralError+SiteWiring", forceBits},
	{"cause", "NAME", "the cause the next change of status shows, name or number; a SURTD shows it at once", forceCause},
	{"write", "ADDR:RAW[,RAW]", "writes one item as a client does with function 16; a refusal changes nothing", writeRaw},
	{"keep-settings", "", "says yes to a write of a setting, and keeps the old one", plain(func(u *Unit) { u.KeepSettings(true) })},
	{"take-settings", "", "takes it again", plain(func(u *Unit) { u.KeepSettings(false) })},
	{"serial", "TEXT", "another unit of the same model stands there, with this serial number", serial},
	{"restart", "", "the controller starts afresh: results of tests are gone, cause SystemInitialization; the output stays", plain(then((*Unit).restart))},
	{"poke", "ADDR:RAW[,RAW]", "registers from ADDR on read as RAW, until unpoke", poke},
	{"unpoke", "ADDR[:COUNT]", "gives registers back to the simulation", unpoke},
}

// bitItem finds a bit field by its name, with or without its "_BF".
func bitItem(name string) *item {
	for i := range items {
		if it := &items[i]; bitsOf[it.name] != nil && (it.name == name || it.name == name+"_BF") {
			return it
		}
	}
	return nil
}

func bitNamed(item, name string) (mask uint32, ok bool) {
	for _, b := range bitsOf[item] {
		if b.name == name {
			return b.mask, true
		}
	}
	return 0, false
}

// A change is what one sign in front of a name does.
type change struct {
	sign byte
	mask uint32
}

// forceBits parses "GeneralError+SiteWiring-EEPROM". The names hold signs of their own (120/208V does not, 50Hz+/-0.1 does):
// only status and error items are meant, whose names are letters and digits.
func forceBits(s string) (func(*Unit), error) {
	i := strings.IndexAny(s, "+-!")
	if i < 0 {
		return nil, fmt.Errorf("%q is not ITEM+NAME", s)
	}
	it := bitItem(s[:i])
	if it == nil || it.access != ro {
		return nil, fmt.Errorf("no status item %q", s[:i])
	}
	var changes []change
	for rest := s[i:]; rest != ""; {
		end := strings.IndexAny(rest[1:], "+-!") + 1
		if end == 0 {
			end = len(rest)
		}
		mask, ok := bitNamed(it.name, rest[1:end])
		if !ok {
			return nil, fmt.Errorf("%s has no bit %q", it.name, rest[1:end])
		}
		changes = append(changes, change{rest[0], mask})
		rest = rest[end:]
	}
	return then(func(u *Unit) { u.force(it.addr, changes) }), nil
}

// force changes what an item shows. The cause is the one the reference names for such a change (section 6.2).
func (u *Unit) force(addr uint16, changes []change) {
	f, asserted := u.forces[addr], false
	for _, c := range changes {
		f.set &^= c.mask
		f.clear &^= c.mask
		switch c.sign {
		case '+':
			f.set |= c.mask
			asserted = true
		case '!':
			f.clear |= c.mask
		}
	}
	u.forces[addr] = f
	switch addr {
	case aGeneralError:
		u.cause = errorCause(asserted, causeGeneralError)
	case aPowerError:
		u.cause = errorCause(asserted, causePowerError)
	case aBatteryError:
		u.cause = errorCause(asserted, causeBatteryError)
	case aStatus:
		u.cause = causeAlertCleared
		if asserted {
			u.cause = causeAlert
		}
	}
}

// causeNamed finds a cause by name or number.
func causeNamed(s string) (uint16, error) {
	if n, err := strconv.ParseUint(s, 10, 16); err == nil {
		return uint16(n), nil
	}
	for n, name := range causeNames {
		if name == s {
			return uint16(n), nil
		}
	}
	return 0, fmt.Errorf("no cause %q", s)
}

func forceCause(s string) (func(*Unit), error) {
	n, err := causeNamed(s)
	if err != nil {
		return nil, err
	}
	return then(func(u *Unit) { u.say(n) }), nil
}

// say makes the next change of status show this cause. On a unit with the bit StatusChange that is one by itself.
func (u *Unit) say(cause uint16) {
	u.said = &cause
	if statusChange&u.fam.shows() != 0 {
		u.toggle = !u.toggle
	}
}

// registersOf parses "ADDR:RAW,RAW".
func registersOf(s string) (addr uint16, raw []uint16, err error) {
	at, values, ok := strings.Cut(s, ":")
	a, err := strconv.ParseUint(at, 0, 16)
	if !ok || err != nil {
		return 0, nil, fmt.Errorf("%q is not ADDR:RAW", s)
	}
	for v := range strings.SplitSeq(values, ",") {
		n, err := strconv.ParseUint(v, 0, 16)
		if err != nil {
			return 0, nil, fmt.Errorf("%q is not a register value", v)
		}
		raw = append(raw, uint16(n))
	}
	return uint16(a), raw, nil
}

func serial(s string) (func(*Unit), error) {
	if s == "" || len(s) > 16 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("%q is not 1 to 16 characters", s)
	}
	return then(func(u *Unit) {
		u.o.Serial = s
		u.text(aSerial, s)
	}), nil
}

// restart is what a controller forgets when it starts.
func (u *Unit) restart() {
	u.test, u.cal = test{}, test{}
	u.regs[aCause], u.cause, u.said = causeStart, 0, nil
}

func writeRaw(s string) (func(*Unit), error) {
	addr, raw, err := registersOf(s)
	if err != nil {
		return nil, err
	}
	return then(func(u *Unit) { u.write(addr, raw) }), nil
}

func poke(s string) (func(*Unit), error) {
	addr, raw, err := registersOf(s)
	if err != nil {
		return nil, err
	}
	return func(u *Unit) { u.Poke(addr, raw...) }, nil
}

func unpoke(s string) (func(*Unit), error) {
	at, count, ok := strings.Cut(s, ":")
	if !ok {
		count = "1"
	}
	addr, err := strconv.ParseUint(at, 0, 16)
	n, err2 := strconv.ParseUint(count, 0, 16)
	if err != nil || err2 != nil {
		return nil, fmt.Errorf("%q is not ADDR or ADDR:COUNT", s)
	}
	return func(u *Unit) { u.Unpoke(uint16(addr), uint16(n)) }, nil
}
