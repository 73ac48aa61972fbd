package order

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/wire"
)

// TestAnAgentThatTheCopyHasNeverHeardBeginsBehindWhatItRemembers: it may have had orders in what was lost when the database was put back.
func TestAnAgentThatTheCopyHasNeverHeardBeginsBehindWhatItRemembers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		known := 0
		for range 2 {
			w.write(func(ctx context.Context, tx *store.Tx) (err error) {
				known, err = Restored(ctx, tx, 1000)
				return err
			})
		}
		var counter int64
		w.write(func(ctx context.Context, tx *store.Tx) error {
			if err := w.book.Session(ctx, tx, "g_new", 7, wire.ID{7}, noon); err != nil {
				return err
			}
			return tx.QueryRow(ctx, `SELECT counter FROM order_agents WHERE agent = 'g_new'`).Scan(&counter)
		})
		if counter != 2000 {
			t.Errorf("its counter begins behind %d, want 2000", counter)
		}
		var rows int
		w.write(func(ctx context.Context, tx *store.Tx) error {
			return tx.QueryRow(ctx, `SELECT COUNT(*) FROM order_agents WHERE agent NOT IN ('', 'g_new')`).Scan(&rows)
		})
		if known != rows {
			t.Errorf("%d agents are told of, and %d are there", known, rows)
		}
	})
}

// TestADatabaseThatIsBehindWhatASiteRemembersIsSaidToBe: whoever put it back from a copy and forgot to say so reads it in the log, once.
func TestADatabaseThatIsBehindWhatASiteRemembersIsSaidToBe(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var said bytes.Buffer
		w.book.log = slog.New(slog.NewTextHandler(&said, nil))
		full := wire.FullState{Agent: agentName, Units: []wire.UnitState{{Unit: "rack-a", Serial: serial, Epoch: 1, PlanVersion: 1, GrantVersion: 1}}}
		w.reports(full)
		if said.Len() != 0 {
			t.Errorf("of what is as it should be: %s", said.String())
		}
		full.Units[0].GrantVersion = 9
		w.reports(full)
		w.reports(full)
		if n := strings.Count(said.String(), "upscloud restored"); n != 1 {
			t.Errorf("said %d times:\n%s", n, said.String())
		}
	})
}
