package upssim

import (
	"fmt"
	"strings"
	"time"
)

// A Variant is a way the same map is answered: by a firmware, or by a network management card in front of it (sections 2.3,
// 2.4, 3.1 and 3.3). More than one may apply.
type Variant struct {
	Name, Help string
	apply      func(*manner)
}

// Variants lists them in the order in which people read them.
var Variants = []Variant{
	{"strict", "undefined registers are refused with exception 2 (as SRT1000XLA over serial); otherwise they read 0xFFFF", func(m *manner) { m.gaps = gapsRefused }},
	{"odd", "registers 134 and 147 read 0, the reserved 5 and 8 read 2 (as SMX750 over USB)", func(m *manner) { m.odd = map[uint16]uint16{5: 2, 8: 2, 134: 0, 147: 0} }},
	{"card", "behind a network management card: undefined and absent registers read 0 in a block, an undefined one alone is refused, replies take 490 ms on TCP", func(m *manner) {
		m.gaps, m.odd, m.turnaround = gapsCard, map[uint16]uint16{134: 1}, 490*time.Millisecond
	}},
	{"one-request", "TCP: one request a connection, then refused for 2 s (as SMT750IC with UPS 18.0)", func(m *manner) { m.oneRequest = true }},
	{"no-six", "function 6 is refused with exception 1", func(m *manner) { m.six = sixNever }},
	{"no-six-commands", "function 6 is refused for commands alone (as SMT1500RMI2U with UPS 15.1)", func(m *manner) { m.six = sixSettings }},
	{"six-tells", "the reply to a refused function 6 carries the old value instead of an exception (AN176 3.3)", func(m *manner) { m.six = sixTells }},
	{"no-abort", "the abort of a self-test is refused (as SMT1500 with UPS 9.6)", func(m *manner) { m.noAbort = true }},
	{"no-pending", "a test that was taken runs at once, or is refused: Pending shows nowhere (it may be too short to see)", func(m *manner) { m.noPending = true }},
	{"read-only", "every write is refused (TCP Protocols: Read-Only)", func(m *manner) { m.readOnly = true }},
}

// A manner is what variants make of a unit; the zero value is a direct port that takes everything.
type manner struct {
	gaps       gaps
	odd        map[uint16]uint16 // what single undefined registers read
	six        six
	readOnly   bool
	oneRequest bool
	noAbort    bool          // 1541 bit 1 is reserved (D6)
	noPending  bool          // of tests
	turnaround time.Duration // at least, on TCP
}

// gaps says what an undefined register reads.
type gaps uint8

const (
	gapsOnes    gaps = iota // 0xFFFF
	gapsRefused             // exception 2
	gapsCard                // 0 in a block that starts on a defined register, otherwise exception 2 (990, note 4)
)

// six says what becomes of function 6.
type six uint8

const (
	sixAlways   six = iota
	sixSettings     // not for commands
	sixNever
	sixTells // a refused value comes back as a normal reply with the old one
)

// mannerOf puts the variants together.
func mannerOf(names []string) (m manner, err error) {
	for _, n := range names {
		found := false
		for _, v := range Variants {
			if v.Name == n {
				v.apply(&m)
				found = true
			}
		}
		if !found {
			return m, fmt.Errorf("no variant %q; there are %s", n, strings.Join(VariantNames(), ", "))
		}
	}
	return m, nil
}

// VariantNames lists the names of Variants.
func VariantNames() []string {
	var out []string
	for _, v := range Variants {
		out = append(out, v.Name)
	}
	return out
}

// Port returns o with what is this unit's own way on TCP.
func (u *Unit) Port(o TCPOptions) TCPOptions {
	o.Turnaround = max(o.Turnaround, u.manner.turnaround)
	o.OneRequest = o.OneRequest || u.manner.oneRequest
	return o
}

// HasTCP reports whether there is a Modbus TCP port: SMC has none (section 1), a card always has.
func (u *Unit) HasTCP() bool { return u.fam.tcp != tcpNone || u.manner.gaps == gapsCard }

// gap returns what register addr reads where the unit has nothing there.
func (u *Unit) gap(addr uint16) uint16 {
	if v, ok := u.manner.odd[addr]; ok {
		return v
	}
	if u.manner.gaps == gapsCard {
		return 0
	}
	return 0xFFFF
}

// covers reports whether a read may cover undefined registers where they are.
func (u *Unit) covers(addr, count uint16) bool {
	switch u.manner.gaps {
	case gapsOnes:
		return true
	case gapsCard:
		return u.defined(addr)
	}
	for i := range count {
		if !u.defined(addr + i) {
			return false
		}
	}
	return true
}

// defined reports whether the firmware knows an item at addr, applicable or not.
func (u *Unit) defined(addr uint16) bool { return addr < mapEnd && u.knows[addr] }
