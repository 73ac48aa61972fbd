package order

import (
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/wire"
)

func TestAnOrderRunsOnceFromEndToEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		o := w.reboot()
		w.want(o.ID, Pending, "")
		w.pass()
		sent := w.want(o.ID, Sent, "")
		if sent.Counter != 1 || sent.Session != 1 {
			t.Errorf("sent with counter %d in session %d", sent.Counter, sent.Session)
		}
		w.deliver()
		w.want(o.ID, wire.OrderDone, "")
		w.pass()
		if n := len(w.sign.signed); n != 1 || w.site.effects[o.ID] != 1 {
			t.Errorf("%d signed, %d effects", n, w.site.effects[o.ID])
		}
		if c := w.sign.signed[0]; c.MaxAge != time.Minute || c.Params["delay"] != "configured" || c.Plan != "advanced" || c.Role != "owner" || c.GrantVersion != 1 {
			t.Errorf("the command was %+v", c)
		}
		var states []wire.OrderState
		for _, e := range w.events(o.ID) {
			states = append(states, e.State)
		}
		if len(states) != 6 || states[0] != Pending || states[1] != Sent || states[5] != wire.OrderDone {
			t.Errorf("its history is %v", states)
		}
		w.wantLog("reboot.ups accepted  by cloud in d_1", "reboot.ups accepted  by agent in d_1", "reboot.ups done  by agent in d_1")
	})
}
