package smartups

import (
	"context"
	"fmt"
	"slices"

	"upsedge/internal/ups"
)

// Found is what a unit says of itself when it is asked who it is and no more.
type Found struct {
	ups.Identity        // without the outlet groups
	Name         string // given by somebody, at its display
	Card         bool   // it answers through a network management card
}

// inventory is a read proven on real units: all texts of the inventory up to the outlet groups, and undefined registers between
// them (protocol reference, section 3.2).
var inventory = span{516, 80}

// undefined are eight registers within it that no unit defines (section 5.3).
const undefined, undefinedEnd = 524, 532

// nameRead is the read of the unit's name. SURTD has none.
var nameRead = span{596, 8}

// Identify asks unit on l who it is: the verification block first, so that anything but a Smart-UPS is asked a single
// question, then the inventory and the name. A first question that meets silence is not repeated. The error is that of
// [Driver.Connect].
func Identify(ctx context.Context, l Line, unit uint8) (*Found, error) {
	d := New(Config{Line: l, UnitID: unit})
	if _, err := d.identify(ctx); err != nil {
		return nil, err
	}
	d.connecting = true // repeats what went wrong on the way
	f := &Found{}
	f.MapID = knownMap
	switch words, err := d.exchange(ctx, inventory); {
	case err == nil:
		f.Card = throughCard(words[undefined-inventory.addr : undefinedEnd-inventory.addr])
		f.take(words)
	case exception(err) != illegalAddress:
		return nil, fmt.Errorf("read %v: %w", inventory, err)
	default: // it refuses reads with undefined registers in them
		if err := f.askOneByOne(ctx, d); err != nil {
			return nil, err
		}
	}
	words, err := d.exchange(ctx, nameRead)
	if err != nil && exception(err) == 0 {
		return nil, fmt.Errorf("read %v: %w", nameRead, err)
	}
	if err == nil {
		f.Name, _ = text(words)
	}
	return f, nil
}

// throughCard tells a network card from the unit's own port by undefined registers: within a block a card answers 0 for them where
// the unit answers 0xFFFF (section 3.3).
func throughCard(hole []uint16) bool {
	return !slices.ContainsFunc(hole, func(w uint16) bool { return w != 0 })
}

// texts says where the identity stands.
func (f *Found) texts() map[ups.Point]*string {
	return map[ups.Point]*string{ups.Firmware: &f.Firmware, ups.Model: &f.Model, ups.SKU: &f.SKU, ups.Serial: &f.Serial}
}

func (f *Found) take(words []uint16) {
	for i := range registers {
		r := &registers[i]
		if to := f.texts()[r.point]; to != nil {
			*to, _ = text(words[r.addr-inventory.addr:][:r.words])
		}
	}
}

func (f *Found) askOneByOne(ctx context.Context, d *Driver) error {
	for i := range registers {
		r := &registers[i]
		to := f.texts()[r.point]
		if to == nil {
			continue
		}
		words, err := d.exchange(ctx, span{r.addr, r.words})
		if exception(err) == illegalAddress {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %v: %w", r.point, err)
		}
		*to, _ = text(words)
	}
	return nil
}
