package smartups

import "upsedge/internal/ups"

// A profile is what must be known of a unit to tell a value from what stands in for one.
type profile struct {
	card   bool   // behind a network management card
	family family // its column in part 990-9840B, 0 if it has none or is not known
	groups uint16 // outlet groups that exist, bits as in OutletConfig

	// spoken notes, by address, the items that held another value than 0 since the unit was connected to: of outlet groups, and
	// behind a card of what only some models have. nil while nobody asks.
	spoken map[uint16]bool
}

// allOnes is the pattern of a numeric item of so many registers that holds no value.
var allOnes = [...]uint32{1: 0xFFFF, 2: 0xFFFFFFFF}

// bits returns the item's bits, the high word first.
func (r *register) bits(words []uint16) uint32 {
	if r.words == 2 {
		return uint32(words[0])<<16 | uint32(words[1])
	}
	return uint32(words[0])
}

// integer returns the number that the item's bits are.
func (r *register) integer(b uint32) int64 {
	switch r.enc {
	case s16, en:
		return int64(int16(b))
	case s32:
		return int64(int32(b))
	}
	return int64(b)
}

// value returns the raw integer of a numeric item, ups.Absent where the unit says that there is none:
//
//   - All ones is never a value (protocol reference, section 3.3, rule 2). It is the mark in every measurement and, as -1, in
//     countdowns ("not active") and efficiency ("not available"), and it is what an undefined register reads directly. The
//     bit fields lose nothing by it: all but two have reserved bits, and those two would show every fault or every test
//     result at once.
//   - A bit field whose row says so is absent when no bit is set. For an outlet, the battery's lifetime and all choices that
//     is not a state. For the bypass input and load shedding it could be one ("nothing", "never"), but State.Flags is 0
//     either way, so no rule sees a difference, and a unit without the item is not shown as having it.
//   - Behind a card a register that the unit's family lacks reads 0 (sections 2.4 and 3.3, rule 4): there 0 counts only in
//     items of its family, and where only some models of the family have the item, once it was something else than 0: a
//     negative battery half, a second input phase, a threshold of load shedding. Items of outlet groups are left alone, as their presence is known from OutletConfig.
//
// Efficiency below zero keeps its number: it is the reason why there is none (section 6.13).
func (r *register) value(words []uint16, p profile) int64 {
	b := r.bits(words)
	switch {
	case b == allOnes[r.words], b == 0 && r.na == zero:
		return ups.Absent
	case b == 0 && p.card && r.fam != 0 && r.fam&p.family == 0 && r.point.Info().Group == ups.NoGroup:
		return ups.Absent
	case p.card && r.some && b == 0 && !p.spoken[r.addr]:
		return ups.Absent
	case p.spoken != nil && (r.some || r.outlet()):
		p.spoken[r.addr] = true
	}
	return r.integer(b)
}

// outlet tells whether the item is the status of an outlet group.
func (r *register) outlet() bool {
	switch r.point {
	case ups.MainOutlet, ups.SOG0Outlet, ups.SOG1Outlet, ups.SOG2Outlet, ups.SOG3Outlet:
		return true
	}
	return false
}

// text returns the characters of a text item, "" if it has none. ok is false when it holds something else than text: then
// the registers are not this item (protocol reference, section 4).
func text(words []uint16) (s string, ok bool) {
	b := make([]byte, 0, 2*len(words))
	for _, w := range words {
		b = append(b, byte(w>>8), byte(w))
	}
	for len(b) > 0 && b[0] == 0x00 {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == 0x00 || b[len(b)-1] == ' ' || b[len(b)-1] == 0xFF) {
		b = b[:len(b)-1]
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return "", false
		}
	}
	return string(b), true
}

// familyOf returns the column of part 990-9840B that a unit of this SKU belongs to.
func familyOf(sku string) family { return family(ups.FamilyOf(sku)) }
