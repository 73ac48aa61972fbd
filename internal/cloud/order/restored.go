package order

import (
	"context"

	"upsedge/internal/cloud/store"
)

// Restored is told that the database was put back from a copy: agents may have seen counters that it has forgotten, and refuse what is not above
// them (OUT_OF_ORDER). It returns of how many agents it knows.
func Restored(ctx context.Context, tx *store.Tx, ahead int64) (int, error) {
	var n int
	if _, err := tx.Exec(ctx, `UPDATE order_agents SET counter = counter + $1`, ahead); err != nil {
		return 0, err
	}
	// The row of no agent is where the counter of those begins that have no row: one that was enrolled before the copy and heard first behind it.
	if _, err := tx.Exec(ctx, `INSERT INTO order_agents (agent, counter, session, nonce, stated, allow) VALUES ('', $1, 0, '', 0, '') ON CONFLICT (agent) DO NOTHING`, ahead); err != nil {
		return 0, err
	}
	return n, tx.QueryRow(ctx, `SELECT COUNT(*) FROM order_agents WHERE agent <> ''`).Scan(&n)
}
