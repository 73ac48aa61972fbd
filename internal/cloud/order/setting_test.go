package order

import (
	"context"
	"strings"
	"testing"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// TestLOG3ASettingIsLoggedAsReadBack: what a setting was and is stands in the log behind the end of its order, of the cloud's or given on
// site; of an end that says nothing of it, or of another action, nothing does.
func TestLOG3ASettingIsLoggedAsReadBack(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		c, err := w.create(owner, Request{Device: "d_1", Action: policy.ConfigureDevice, Params: map[string]string{"setting": "sog0_turn_on_delay", "value": "30"}})
		must(t, err)
		w.pass()
		told := "sog0_turn_on_delay was 0 s, is 30 s; written: 1035 = 30"
		for n, r := range []wire.Result{
			{Order: c.Order.ID, Action: "configure.device", Actor: owner.Ref, Role: "owner", Detail: told},
			{Order: wire.ID{9}, Action: "configure.device", Actor: cloud.LocalRef, Role: "local", Detail: told},
			{Order: wire.ID{8}, Action: "configure.device", Actor: cloud.LocalRef, Role: "local", Detail: "already so, nothing was written: sog0_turn_on_delay is 30 s"},
			{Order: wire.ID{7}, Action: "reboot.ups", Actor: cloud.LocalRef, Role: "local", Detail: told},
		} {
			r.Device, r.State = serial, wire.OrderDone
			w.site.bring(r)
			var params string
			must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				return tx.QueryRow(ctx, `SELECT params FROM event_log ORDER BY n DESC LIMIT 1`).Scan(&params)
			}))
			if got := strings.Contains(params, `"old":"0 s"`) && strings.Contains(params, `"new":"30 s"`) && strings.Contains(params, `"setting":"sog0_turn_on_delay"`); got != (n < 2) {
				t.Errorf("result %d: %s", n, params)
			}
		}
	})
}
