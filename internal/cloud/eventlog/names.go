package eventlog

import (
	"context"
	"database/sql"
	"errors"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
)

// DeletedUser is the name of an actor whose account has gone (DEL-5). The reference in the entry stays, and says nothing.
const DeletedUser = "deleted user"

// Names are what actors are called now, by reference: a memory for one answer. No entry holds them.
type Names map[string]string

// Of returns what an actor is called.
func (n Names) Of(ctx context.Context, tx *store.Tx, ref string) (string, error) {
	switch ref {
	case cloud.SystemRef:
		return "the service", nil
	case cloud.LocalRef:
		return "somebody on site", nil
	}
	if name, ok := n[ref]; ok {
		return name, nil
	}
	name := DeletedUser
	err := tx.QueryRow(ctx, `SELECT name FROM accounts WHERE actor = $1 AND closed_at IS NULL`, ref).Scan(&name)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", err
	}
	n[ref] = name
	return name, nil
}
