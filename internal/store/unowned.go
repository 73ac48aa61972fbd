package store

import (
	"context"
	"slices"

	"upsedge/internal/wire"
)

// Held returns the units that have records in the lanes put in the epoch, in no particular order.
func (s *Store) Held(ctx context.Context, epoch uint32) (units []string, err error) {
	err = s.inTurn(ctx, "look for what an epoch holds", func(ctx context.Context) error {
		for s.tidyWork.sealing() { // whose the records of version 1 are is known when they are sealed
			if err := s.sealPiece(ctx); err != nil {
				return err
			}
		}
		return s.commit(ctx, "look for what an epoch holds", eventually, func(t *tx) {
			for _, k := range s.ring.usable() {
				if k.unit != "" && k.epoch == epoch && !slices.Contains(units, k.unit) && t.seals(k) {
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
