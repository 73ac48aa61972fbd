package store_test

import (
	"context"
	"fmt"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
)

const forever = 7226582400000 // the year 2199

// TestPLAN1DevicesOfBeforeKeepTheirPlans: a database that a program without 00071 and what follows has made, with devices in it, goes on.
func TestPLAN1DevicesOfBeforeKeepTheirPlans(t *testing.T) {
	empty(t, func(t *testing.T, c store.Config) {
		now := store.Before("00070")
		defer now()
		db, err := store.Open(t.Context(), c)
		must(t, err)
		must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			for _, d := range []struct {
				id, plan   string
				validUntil int64
				ended      any
			}{
				{"d_trial", "advanced", 9000, nil},
				{"d_standard", "standard", forever, nil},
				{"d_old", "standard", 0, nil},
				{"d_over", "basic", 5000, nil},
				{"d_basic", "basic", forever, nil},
				{"d_gone", "advanced", 9000, int64(6000)},
			} {
				_, err := tx.Exec(ctx, `INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at, ended_at)
					VALUES ($1, $1, 1, 'g_1', 'a_1', 'o_1', 'rack', $2, $3, 4, 1000, $4)`, d.id, d.plan, d.validUntil, d.ended)
				if err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, `INSERT INTO event_log (chain, n, epoch, org, device, at, arrived, actor, role, action, params, outcome, reason, request, plan, decided, previous, hash)
				VALUES ('d_standard', 1, 1, 'o_1', 'd_standard', 3000, 3000, 'system', '', 'plan.change', '{}', 'done', '', '', 'standard', 'cloud', $1, $1)`, []byte("x"))
			return err
		}))
		must(t, db.Close())
		now()
		db = storetest.Open(t, c)
		got := map[string]string{}
		must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			rows, err := tx.Query(ctx, `SELECT id, plan, valid_until, standard_until, paid_since, plan_set, warn_at, grant_version FROM devices`)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var id, plan string
				var until, standard, paid, set, warn, version int64
				if err := rows.Scan(&id, &plan, &until, &standard, &paid, &set, &warn, &version); err != nil {
					return err
				}
				got[id] = fmt.Sprintln(plan, until, standard, paid, set, warn, version)
			}
			return rows.Err()
		}))
		for id, want := range map[string]string{
			"d_trial":    fmt.Sprintln("advanced", 9000, 0, 1000, 1000, 1, 4),
			"d_standard": fmt.Sprintln("standard", forever, 0, 3000, 3000, 1, 4),
			"d_old":      fmt.Sprintln("standard", forever, 0, 1000, 1000, 1, 4),
			"d_over":     fmt.Sprintln("basic", forever, 0, 0, 1000, 0, 4),
			"d_basic":    fmt.Sprintln("basic", forever, 0, 0, 1000, 0, 4),
			"d_gone":     fmt.Sprintln("advanced", 9000, 0, 1000, 1000, 0, 4),
		} {
			if got[id] != want {
				t.Errorf("%s: %swant %s", id, got[id], want)
			}
		}
	})
}
