package history_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/ups"
)

// TestLOG4ASettingChangedAtTheUnitIsLogged with the actor "local", what was read, and the time of the box, once, and no other event is.
func TestLOG4ASettingChangedAtTheUnitIsLogged(t *testing.T) {
	each(t, func(w *world) {
		w.event(ups.Event{ID: 710, Kind: ups.Moment, Detail: "sog0_turn_on_delay was 0 s, is 30 s"}, time.Minute, true)
		w.event(ups.Event{ID: 711, Kind: ups.Moment, Detail: "sog0_turn_on_delay was 30 s, is 45 s"}, 2*time.Minute, true)
		var n int
		var action, actor, decided, params string
		var at int64
		w.read(func(ctx context.Context, tx *store.Tx) error {
			if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM event_log`).Scan(&n); err != nil {
				return err
			}
			return tx.QueryRow(ctx, `SELECT action, actor, decided, params, at FROM event_log`).Scan(&action, &actor, &decided, &params, &at)
		})
		if n != 1 || action != "setting.changed" || actor != "local" || decided != "agent" || !strings.Contains(params, "was 30 s, is 45 s") || at != start.Add(2*time.Minute).UnixMilli() {
			t.Errorf("%d entries: %s by %s, decided by %s, %s, at %d", n, action, actor, decided, params, at)
		}
		if got := w.incidents(false); len(got) != 2 {
			t.Errorf("incidents: %+v", got)
		}
	})
}
