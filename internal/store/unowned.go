package store

import (
	"context"
	"slices"

	"upsedge/internal/wire"
)

// rulerName stands in the table units for the cloud that the records of units are for: no unit can be called so.
const rulerName = "#cloud"

// Ruler returns what SetRuler was given last, nil for nothing. A *CorruptError says that it came to harm.
func (s *Store) Ruler(ctx context.Context) ([]byte, error) { return s.AlarmState(ctx, rulerName) }

// SetRuler notes which cloud the records of units are for that are put from now on.
func (s *Store) SetRuler(ctx context.Context, cloud []byte) error {
	return s.write(ctx, "note the cloud", durable, func(t *tx) { t.saveState(rulerName, cloud) })
}

// Held returns the units that have records in the lanes put in the epochs up to and including through, in no particular order.
func (s *Store) Held(ctx context.Context, through uint32) (units []string, err error) {
	err = s.inTurn(ctx, "look for what an epoch holds", func(ctx context.Context) error {
		for s.tidyWork.sealing() { // whose the records of version 1 are is known when they are sealed
			if err := s.sealPiece(ctx); err != nil {
				return err
			}
		}
		return s.commit(ctx, "look for what an epoch holds", eventually, func(t *tx) {
			for _, k := range s.ring.usable() {
				if k.unit != "" && k.epoch <= through && !slices.Contains(units, k.unit) && t.seals(k) {
					units = append(units, k.unit)
				}
			}
		})
	})
	return units, err
}

// seals reports whether a record of the lanes is sealed with k.
func (t *tx) seals(k *sealKey) bool {
	for _, lane := range wire.Lanes {
		var one int64
		if t.get([]any{&one}, "SELECT 1 FROM "+laneTables[lane]+" WHERE seal = ? LIMIT 1", -k.id) {
			return true
		}
	}
	return false
}

// Forgo closes an interruption of Crashed without a gap record: what was lost was nobody's.
func (s *Store) Forgo(ctx context.Context, i Interrupted) error {
	return s.write(ctx, "close an interruption", durable, func(t *tx) { t.closeInterruption(i.Unit, i.Last) })
}
