package smartups

import "fmt"

// encode returns the registers that hold the raw integer of a numeric item: the other way round of value. It refuses what
// the item cannot hold.
func (r *register) encode(raw int64) ([]uint16, error) {
	if !r.numeric() {
		return nil, fmt.Errorf("%s is a text", r.point)
	}
	least, most := int64(0), int64(allOnes[r.words])
	switch r.enc {
	case s16, en:
		least, most = -1<<15, 1<<15-1
	case s32:
		least, most = -1<<31, 1<<31-1
	}
	if raw < least || raw > most {
		return nil, fmt.Errorf("%s cannot hold %d: %d to %d", r.point, raw, least, most)
	}
	if r.words == 2 {
		return []uint16{uint16(raw >> 16), uint16(raw)}, nil
	}
	return []uint16{uint16(raw)}, nil
}

// encodeText returns the registers that hold s: left-justified, padded with spaces to the full length, printable characters
// only (protocol reference, section 4).
func (r *register) encodeText(s string) ([]uint16, error) {
	if r.numeric() || len(s) > 2*int(r.words) {
		return nil, fmt.Errorf("%s cannot hold %d characters", r.point, len(s))
	}
	b := []byte(fmt.Sprintf("%-*s", 2*int(r.words), s))
	out := make([]uint16, r.words)
	for i := range out {
		high, low := b[2*i], b[2*i+1]
		if min(high, low) < ' ' || max(high, low) > '~' {
			return nil, fmt.Errorf("%s cannot hold %q: only printable ASCII", r.point, s)
		}
		out[i] = uint16(high)<<8 | uint16(low)
	}
	return out, nil
}
