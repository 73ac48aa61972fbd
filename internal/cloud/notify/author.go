package notify

import (
	"context"

	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
)

// Wanted is for mail.Author: everything is asked again right before a mail leaves (PERM-10).
func (s *Service) Wanted(ctx context.Context, tx *store.Tx, key string) (bool, error) {
	d, err := byID(ctx, tx, key)
	if err != nil || d == nil {
		return false, err
	}
	why, err := s.judge(ctx, tx, d)
	return why == "" && err == nil, err
}

// Ended is for mail.Author: it writes down what became of a mail.
func (s *Service) Ended(ctx context.Context, tx *store.Tx, key string, fate mail.Fate) error {
	d, err := byID(ctx, tx, key)
	if err != nil || d == nil {
		return err
	}
	why := ""
	if fate == mail.Withdrawn {
		if why, err = s.judge(ctx, tx, d); err != nil {
			return err
		}
	}
	return s.finish(ctx, tx, d, string(fate), why)
}

// finish ends a delivery. What a digest has told is forgotten; what a withdrawn one would have is told by the next, as far as it may be.
func (s *Service) finish(ctx context.Context, tx *store.Tx, d *delivery, state, why string) error {
	if _, err := s.end(ctx, tx, d.id, state, why); err != nil || d.kind != kindDigest {
		return err
	}
	if state == withdrawn {
		return giveBack(ctx, tx, d.id)
	}
	_, err := tx.Exec(ctx, `DELETE FROM notification_held WHERE delivery = $1`, d.id)
	return err
}
