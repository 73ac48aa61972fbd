package notify

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// TestT07OwnerAndSharedUserAreToldOfAnOrder that can drop their load: whoever ordered it is told, too, and only the owner by whom. A letter
// leaves for a commit alone.
func TestT07OwnerAndSharedUserAreToldOfAnOrder(t *testing.T) {
	each(t, func(w *world) {
		w.s.URL = "https://cloud.example"
		o := Ordered{
			Devices: []string{dev}, Actor: w.bob, Action: policy.RebootGroup, Params: map[string]string{"group": "sog0", "delay": "none"},
			At: w.clock(), Expires: w.clock().Add(time.Minute),
		}
		w.do(func(ctx context.Context, tx *store.Tx) error { return w.s.Ordered(ctx, tx, o) })
		w.background(w.mails.Run)
		for to, by := range map[string]string{"ada@example.com": "bob has ordered", "bob@example.com": "Your account has ordered"} {
			m, err := w.sink.Wait(w.Context(), to, 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{by, "switch outlet group sog0 off and on again", "rack 3", "1 March 2026 12:00 UTC", "1 March 2026 12:01 UTC", "https://cloud.example"} {
				if !strings.Contains(m.Text, want) {
					t.Errorf("%s is not told %q:\n%s", to, want, m.Text)
				}
			}
		}
		o.Actor, o.Action, o.Params = w.ada, policy.RebootUPS, nil
		w.do(func(ctx context.Context, tx *store.Tx) error { return w.s.Ordered(ctx, tx, o) })
		m, err := w.sink.Wait(w.Context(), "bob@example.com", 2)
		if err != nil || !strings.Contains(m.Text, "The owner has ordered") || strings.Contains(m.Text, "ada") {
			t.Errorf("%v, and bob is told\n%s", err, m.Text)
		}
	})
}

// TestT07AJobIsOneLetter for each who has anything to do with its devices, and names twenty of them.
func TestT07AJobIsOneLetter(t *testing.T) {
	each(t, func(w *world) {
		o := Ordered{Devices: []string{dev}, Actor: w.ada, Action: policy.RebootUPS, At: w.clock(), Expires: w.clock().Add(time.Hour)}
		for n := range 24 {
			id := fmt.Sprintf("d_x%d", n)
			w.unit(id, fmt.Sprintf("XX%d", 1000+n), fmt.Sprintf("shelf %d", n))
			o.Devices = append(o.Devices, id)
		}
		w.do(func(ctx context.Context, tx *store.Tx) error { return w.s.Ordered(ctx, tx, o) })
		w.background(w.mails.Run)
		for to, want := range map[string][2]string{
			"ada@example.com": {"An order to 25 devices that can switch off what they feed", "and 5 more"},
			"bob@example.com": {"An order to rack 3 that can switch off what it feeds", "The owner has ordered"},
		} {
			m, err := w.sink.Wait(w.Context(), to, 1)
			if err != nil || m.Header.Get("Subject") != want[0] || !strings.Contains(m.Text, want[1]) || strings.Count(m.Text, "serial number ending in") > mostNamed {
				t.Errorf("%s: %v, %q\n%s", to, err, m.Header.Get("Subject"), m.Text)
			}
		}
		if n := len(w.sink.Mails()); n != 2 {
			t.Errorf("%d letters", n)
		}
	})
}
