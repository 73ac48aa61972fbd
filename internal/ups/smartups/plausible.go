package smartups

import (
	"fmt"
	"math/bits"
	"strconv"

	"upsedge/internal/ups"
)

// The limits of plausible content (protocol reference, section 10).
const (
	lastCause  = 30
	fullCharge = 51200 // 100 % · 512
)

// plausible tells why the words of rd cannot be this unit's answer, nil if they can.
func (d *Driver) plausible(rd *read, words []uint16) error {
	if rd.count > 2 && rd.tier != ups.TierSettings && uniform(words, 0xFFFF) {
		// Settings may all be undefined on a unit, and undefined registers read as ones. READ-7 is about states.
		return &ImplausibleError{Reason: fmt.Sprintf("all %d registers are 0xFFFF", len(words))}
	}
	for _, f := range rd.fields {
		item := words[f.off:][:f.words]
		var err error
		switch {
		case !f.numeric():
			err = d.plausibleText(f.point, item)
		default:
			err = d.plausibleNumber(f, f.bits(item))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// plausibleNumber checks what is known of one number.
func (d *Driver) plausibleNumber(f field, b uint32) error {
	switch f.point {
	case ups.StatusFlags:
		return plausibleStatus(b)
	case ups.StatusCause:
		if n := f.integer(b); n < 0 || n > lastCause {
			return &ImplausibleError{f.point, fmt.Sprintf("%d is not 0 to %d", n, lastCause)}
		}
	case ups.Charge:
		if b > fullCharge && b != allOnes[1] {
			return &ImplausibleError{f.point, fmt.Sprintf("%d is more than 100 %% (%d)", b, fullCharge)}
		}
	case ups.NominalApparentPower, ups.NominalPower, ups.OutletConfig:
		return d.same(f.point, strconv.Itoa(int(b)))
	}
	if f.outlet() {
		return plausibleOutlet(f.point, b, d.profile.spoken[f.addr])
	}
	return nil
}

// plausibleOutlet: a group is on or off, never both (protocol reference, section 6.3), and one that had a state keeps having
// one: without, it would be absent, and groups do not come and go.
func plausibleOutlet(p ups.Point, b uint32, had bool) error {
	switch {
	case b == allOnes[2]: // no value; a group that 590 names and the firmware does not know
	case b&(ups.OStateOn|ups.OStateOff) == ups.OStateOn|ups.OStateOff:
		return &ImplausibleError{p, fmt.Sprintf("0x%08X is on and off at once", b)}
	case b == 0 && had:
		return &ImplausibleError{p, "it has lost its state"}
	}
	return nil
}

// plausibleStatus: exactly one state, no reserved bit (protocol reference, sections 6.1 and 10; READ-7).
func plausibleStatus(b uint32) error {
	switch {
	case bits.OnesCount32(b&ups.UModes) != 1:
		return &ImplausibleError{ups.StatusFlags, fmt.Sprintf("0x%08X is not exactly one of online, on battery, bypass and off", b)}
	case b&ups.UReserved != 0:
		return &ImplausibleError{ups.StatusFlags, fmt.Sprintf("0x%08X has reserved bits", b)}
	}
	return nil
}

// plausibleText: what identifies the unit must be text. A name that is none is only no name: people give names.
func (d *Driver) plausibleText(p ups.Point, item []uint16) error {
	switch p {
	case ups.Firmware, ups.Model, ups.SKU, ups.Serial, ups.MapID:
	default:
		return nil
	}
	s, ok := text(item)
	if !ok {
		return &ImplausibleError{p, fmt.Sprintf("%04x is not text", item)}
	}
	if p == ups.Firmware { // it changes when the unit is updated
		return nil
	}
	return d.same(p, s)
}

// same compares what cannot change with what was read at connection; while connecting nothing is known yet.
func (d *Driver) same(p ups.Point, is string) error {
	was, known := d.constant[p]
	if known && was != is {
		return &UnitChangedError{Point: p, Was: was, Is: is}
	}
	return nil
}

// uniform tells whether every word is w.
func uniform(words []uint16, w uint16) bool {
	for _, v := range words {
		if v != w {
			return false
		}
	}
	return true
}
