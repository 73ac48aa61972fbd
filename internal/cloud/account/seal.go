package account

import (
	"context"
	"errors"

	"upsedge/internal/cloud/secret"
	"upsedge/internal/cloud/store"
)

// SealFactors seals secrets of second factors that an earlier version kept as they were, or that another key than the present one sealed.
// It is called at the start, before anybody signs in.
func (s *Service) SealFactors(ctx context.Context) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		stale, err := s.staleFactors(ctx, tx)
		if err != nil {
			return err
		}
		for _, f := range stale {
			set, err := s.resealed(factorOf(f.identity), f.set)
			if err != nil {
				return err
			}
			pending, err := s.resealed(pendingOf(f.identity), f.pending)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE identities SET totp_secret = $1, totp_pending = $2 WHERE id = $3`, set, pending, f.identity); err != nil {
				return err
			}
		}
		return nil
	})
}

type factorRow struct{ identity, set, pending string }

func (s *Service) staleFactors(ctx context.Context, tx *store.Tx) (list []factorRow, err error) {
	rows, err := tx.Query(ctx, `SELECT id, totp_secret, totp_pending FROM identities WHERE totp_secret <> '' OR totp_pending <> ''`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var f factorRow
		if err := rows.Scan(&f.identity, &f.set, &f.pending); err != nil {
			return nil, err
		}
		if s.secrets.Stale(f.set) || s.secrets.Stale(f.pending) {
			list = append(list, f)
		}
	}
	return list, errors.Join(rows.Err(), rows.Close())
}

func (s *Service) resealed(of, text string) (string, error) {
	if secret.Sealed(text) {
		var err error
		if text, err = s.secrets.Open(of, text); err != nil {
			return "", err
		}
	}
	return s.secrets.Seal(of, text), nil
}
