package notify

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

func reason(err error) policy.Reason {
	if refusal := (*cloud.Error)(nil); errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}

func TestNOTE1APolicyIsItsAccountsAlone(t *testing.T) {
	each(t, func(w *world) {
		p := w.policy(w.ada)
		r := w.recipient(w.ada, p, KindWebhook, "https://hooks.example/x")
		for name, try := range map[string]func(ctx context.Context, tx *store.Tx) error{
			"see":      func(ctx context.Context, tx *store.Tx) error { _, err := w.s.Get(ctx, tx, w.bob, p.ID); return err },
			"delete":   func(ctx context.Context, tx *store.Tx) error { return w.s.Delete(ctx, tx, w.bob, p.ID) },
			"add":      func(ctx context.Context, tx *store.Tx) error { return w.s.AddDevice(ctx, tx, w.bob, p.ID, dev) },
			"take out": func(ctx context.Context, tx *store.Tx) error { return w.s.RemoveDevice(ctx, tx, w.bob, p.ID, dev) },
			"recipient": func(ctx context.Context, tx *store.Tx) error {
				_, err := w.s.AddRecipient(ctx, tx, w.bob, p.ID, KindOwn, "")
				return err
			},
			"off": func(ctx context.Context, tx *store.Tx) error {
				_, err := w.s.Switch(ctx, tx, w.bob, p.ID, r.ID, false)
				return err
			},
			"secret": func(ctx context.Context, tx *store.Tx) error {
				_, err := w.s.Rotate(ctx, tx, w.bob, p.ID, r.ID)
				return err
			},
			"test": func(ctx context.Context, tx *store.Tx) error {
				_, err := w.s.Test(ctx, tx, w.bob, p.ID, r.ID)
				return err
			},
			"change": func(ctx context.Context, tx *store.Tx) error { return w.s.RemoveRecipient(ctx, tx, w.bob, p.ID, r.ID) },
		} {
			if got := w.refused(try); got != policy.NotFound {
				t.Errorf("%s another's policy: %q", name, got)
			}
		}
		// One's own policy does not lend another's recipient.
		own := w.policy(w.bob)
		if got := w.refused(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.s.Rotate(ctx, tx, w.bob, own.ID, r.ID)
			return err
		}); got != policy.NotFound {
			t.Errorf("another's recipient by one's own policy: %q", got)
		}
		var list []Policy
		w.do(func(ctx context.Context, tx *store.Tx) (err error) {
			list, err = w.s.List(ctx, tx, w.bob, "", 10)
			return err
		})
		if len(list) != 1 || list[0].ID != own.ID {
			t.Errorf("listed: %+v", list)
		}
	})
}

func TestNOTE1OwnerAndSharedUserAreToldByMailAndWebhook(t *testing.T) {
	each(t, func(w *world) {
		w.mailing()
		p, _ := w.hook(w.ada)
		w.policy(w.bob)
		w.alarm(ups.Raise, time.Second)
		w.spread()
		m, err := w.sink.Wait(t.Context(), "bob@example.com", 1)
		w.must(err)
		if subject := m.Header.Get("Subject"); subject != "rack 3: UPS on battery (warning)" {
			t.Errorf("subject %q", subject)
		}
		for _, want := range []string{"Device:    \"rack 3\"", "Event:     101", "1 March 2026 12:00:01 UTC", "http: / /evil. example", "nights"} {
			if !strings.Contains(m.Text, want) {
				t.Errorf("no %q in %s", want, m.Text)
			}
		}
		if got := w.hooks.taken(); len(got) != 1 || !strings.Contains(got[0].body, `"code":"101","state":"raised","severity":"warning"`) || strings.Contains(got[0].body, "@") || strings.Contains(got[0].body, serial) {
			t.Errorf("webhooks: %+v", got)
		}
		if got := w.states(p); !slices.Equal(got, []string{"event sent"}) {
			t.Errorf("%q", got)
		}
		w.alarm(ups.Clear, 0)
		w.spread()
		if m, err = w.sink.Wait(t.Context(), "bob@example.com", 2); err != nil || m.Header.Get("Subject") != "rack 3: over: UPS on battery (warning)" {
			t.Errorf("%v, %q", err, m.Header.Get("Subject"))
		}
	})
}

func TestPERM1AStrangerAddsNoDeviceToAPolicy(t *testing.T) {
	each(t, func(w *world) {
		eve := w.account("eve")
		var p *Policy
		w.do(func(ctx context.Context, tx *store.Tx) (err error) {
			p, err = w.s.Create(ctx, tx, eve, Policy{Name: "x", Enabled: true, Selection: Selection{Silence: true, Raised: true}})
			return err
		})
		if got := w.refused(func(ctx context.Context, tx *store.Tx) error { return w.s.AddDevice(ctx, tx, eve, p.ID, dev) }); got != policy.NotFound {
			t.Errorf("%q", got)
		}
	})
}

func TestPERM4OnBasicNobodyIsToldAndNobodyAddsADevice(t *testing.T) {
	each(t, func(w *world) {
		ada, bob := w.policy(w.ada), w.policy(w.bob)
		w.setPlan(policy.Basic, time.Time{})
		for _, who := range []struct {
			cloud.Actor
			*Policy
		}{{w.ada, ada}, {w.bob, bob}} {
			if got := w.refused(func(ctx context.Context, tx *store.Tx) error {
				return w.s.AddDevice(ctx, tx, who.Actor, who.Policy.ID, dev)
			}); got != policy.PlanBasic {
				t.Errorf("%s adds: %q", who.Ref, got)
			}
		}
		w.alarm(ups.Raise, 0)
		if n := w.count(`SELECT COUNT(*) FROM notification_events`); n != 0 {
			t.Errorf("%d events are kept on Basic", n)
		}
		w.do(func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO agent_presence (agent, online, since, state_at) VALUES ($1, 1, 1, 1)`, box); err != nil {
				return err
			}
			return w.s.Presence(ctx, tx, box, false, w.clock())
		})
		if n := w.count(`SELECT COUNT(*) FROM notification_events`); n != 0 {
			t.Errorf("%d silences are kept on Basic", n)
		}
	})
}

func TestPLAN7WhatHappenedOnBasicIsNotToldAfterwards(t *testing.T) {
	each(t, func(w *world) {
		p, _ := w.hook(w.ada)
		upgraded := w.clock().Add(10 * time.Minute)
		w.move(20 * time.Minute)
		w.setPlan(policy.Standard, upgraded)
		w.alarm(ups.Raise, 15*time.Minute) // it happened on Basic, and arrives now
		w.spread()
		if got := w.states(p); got != nil {
			t.Errorf("told: %q", got)
		}
		w.alarm(ups.Raise, time.Minute) // and that behind it, with no act of anybody (PLAN-5)
		w.spread()
		if got := w.states(p); !slices.Equal(got, []string{"event sent"}) {
			t.Errorf("%q", got)
		}
	})
}

// TestPLAN7WhatWaitedWhenThePlanEndedIsNotSentWhenItIsBack: Basic lay between the event and the sending.
func TestPLAN7WhatWaitedWhenThePlanEndedIsNotSentWhenItIsBack(t *testing.T) {
	each(t, func(w *world) {
		p, _ := w.hook(w.ada)
		w.alarm(ups.Raise, 0)
		w.must(w.s.Spread(t.Context()))
		w.move(time.Hour)
		w.setPlan(policy.Standard, w.clock())
		w.spread()
		if got := w.states(p); !slices.Equal(got, []string{"event withdrawn basic"}) || len(w.hooks.taken()) != 0 {
			t.Errorf("%q, %d", got, len(w.hooks.taken()))
		}
	})
}

func TestNOTE2WhoLosesAccessIsToldNothingMore(t *testing.T) {
	each(t, func(w *world) {
		p, _ := w.hook(w.bob)
		w.recipient(w.bob, p, KindOwn, "")
		other := w.policy(w.ada)
		w.alarm(ups.Raise, 0)
		w.must(w.s.Spread(t.Context()))
		if n := w.count(`SELECT COUNT(*) FROM mails`); n != 2 {
			t.Fatalf("%d mails wait", n)
		}
		w.revoke()
		if n := w.count(`SELECT COUNT(*) FROM mails WHERE recipient = 'bob@example.com'`); n != 0 {
			t.Errorf("%d mails to bob still wait", n)
		}
		if n := w.count(`SELECT COUNT(*) FROM notification_members WHERE account = 'a_bob'`); n != 0 {
			t.Errorf("the device is in %d policies of bob", n)
		}
		if n := w.count(`SELECT COUNT(*) FROM event_log WHERE device = $1 AND action = 'notify.remove_device'`, dev); n != 1 {
			t.Errorf("%d entries of it (LOG-3)", n)
		}
		w.mailing()
		w.alarm(ups.Raise, 0)
		w.spread()
		w.left()
		if got := w.states(p); !slices.Equal(got, []string{"event withdrawn right", "event withdrawn right"}) || len(w.hooks.taken()) != 0 {
			t.Errorf("%q, %d webhooks", got, len(w.hooks.taken()))
		}
		if got := w.states(other); !slices.Equal(got, []string{"event sent", "event sent"}) {
			t.Errorf("policies of others stay (SHARE-8): %q", got)
		}
	})
}

// TestPERM10EverythingIsAskedAgainRightBeforeSending: what was right when a message was written, and is not when it would go.
func TestPERM10EverythingIsAskedAgainRightBeforeSending(t *testing.T) {
	for name, row := range map[string]struct{ change, why string }{
		"account closed":    {`UPDATE accounts SET closed_at = 5 WHERE id = 'a_bob'`, whyAccount},
		"grant ended":       {`UPDATE grants SET ended_at = 5 WHERE account = 'a_bob'`, whyRight},
		"plan ended":        {`UPDATE devices SET valid_until = 5`, whyRight},
		"policy off":        {`UPDATE notification_policies SET enabled = 0`, whyPolicy},
		"device taken out":  {`DELETE FROM notification_members`, whyMember},
		"recipient off":     {`UPDATE notification_recipients SET state = 'off'`, whyRecipient},
		"happened on Basic": {`UPDATE devices SET paid_since = 4000000000000`, whyBasic},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(w *world) {
				p, _ := w.hook(w.bob)
				w.recipient(w.bob, p, KindOwn, "")
				w.alarm(ups.Raise, 0)
				w.must(w.s.Spread(t.Context()))
				w.do(func(ctx context.Context, tx *store.Tx) error { _, err := tx.Exec(ctx, row.change); return err })
				w.mailing()
				w.spread()
				w.left()
				if got, want := w.states(p), "event withdrawn "+row.why; !slices.Equal(got, []string{want, want}) || len(w.hooks.taken()) != 0 || len(w.sink.Mails()) != 0 {
					t.Errorf("%q, want %q twice; %d webhooks, %d mails", got, want, len(w.hooks.taken()), len(w.sink.Mails()))
				}
			})
		})
	}
}

// TestPERM10RightsAreAskedWhenAnEventIsSpread: at the arrival they were there.
func TestPERM10RightsAreAskedWhenAnEventIsSpread(t *testing.T) {
	for _, change := range []string{
		`UPDATE accounts SET closed_at = 5 WHERE id = 'a_bob'`, `UPDATE grants SET ended_at = 5 WHERE account = 'a_bob'`, `UPDATE devices SET valid_until = 5`,
		`UPDATE notification_policies SET enabled = 0`, `UPDATE notification_recipients SET state = 'off'`, `UPDATE notification_members SET added_at = 4000000000000`,
	} {
		w := newWorld(t, sqlite(t))
		p := w.policy(w.bob)
		w.alarm(ups.Raise, 0)
		w.do(func(ctx context.Context, tx *store.Tx) error { _, err := tx.Exec(ctx, change); return err })
		w.spread()
		if got := w.states(p); got != nil {
			t.Errorf("%s: %q", change, got)
		}
	}
}

func TestLOG3DevicesPutIntoAndTakenFromPoliciesAreInTheirLog(t *testing.T) {
	each(t, func(w *world) {
		p := w.policy(w.bob)
		for range 2 { // once more changes nothing
			w.do(func(ctx context.Context, tx *store.Tx) error { return w.s.AddDevice(ctx, tx, w.bob, p.ID, dev) })
		}
		w.do(func(ctx context.Context, tx *store.Tx) error { return w.s.RemoveDevice(ctx, tx, w.bob, p.ID, dev) })
		q := w.policy(w.bob)
		w.do(func(ctx context.Context, tx *store.Tx) error { return w.s.Delete(ctx, tx, w.bob, q.ID) })
		for action, want := range map[string]int{"notify.add_device": 2, "notify.remove_device": 2} {
			if n := w.count(`SELECT COUNT(*) FROM event_log WHERE device = $1 AND action = $2 AND actor = 'u_bob' AND role = 'shared'`, dev, action); n != want {
				t.Errorf("%d entries %s, want %d", n, action, want)
			}
		}
	})
}

func TestDEV3ADeviceThatEndsLeavesAllPolicies(t *testing.T) {
	each(t, func(w *world) {
		w.policy(w.ada)
		w.hook(w.bob)
		w.alarm(ups.Raise, 0)
		w.must(w.s.Spread(t.Context()))
		w.alarm(ups.Clear, 0)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			d, err := w.deviceNow(ctx, tx)
			if err != nil {
				return err
			}
			return w.s.DeviceEnded(ctx, tx, d)
		})
		for _, table := range []string{"notification_members", "notification_deliveries", "notification_held", "notification_events", "mails"} {
			if n := w.count(`SELECT COUNT(*) FROM ` + table); n != 0 {
				t.Errorf("%d rows in %s", n, table)
			}
		}
	})
}

func TestTIME4NoCommunicationIsToldOnceItLasts(t *testing.T) {
	each(t, func(w *world) {
		p, _ := w.hook(w.ada)
		tell := func(online bool) {
			w.do(func(ctx context.Context, tx *store.Tx) error {
				if err := w.s.Presence(ctx, tx, box, online, w.clock()); err != nil {
					return err
				}
				return w.devices.Presence(ctx, tx, box, online, w.clock())
			})
		}
		tell(true) // heard for the first time: no news
		tell(false)
		tell(false)
		w.move(30 * time.Second)
		w.spread()
		tell(true) // a restart
		w.move(time.Hour)
		w.spread()
		if got := w.states(p); got != nil {
			t.Fatalf("a restart is told: %q", got)
		}
		tell(false)
		w.move(2 * time.Minute)
		w.spread()
		tell(true)
		w.spread()
		got := w.hooks.taken()
		if len(got) != 2 || !strings.Contains(got[0].body, `"code":"no_communication","state":"raised"`) || !strings.Contains(got[1].body, `"code":"no_communication","state":"cleared"`) {
			t.Errorf("%+v", got)
		}
	})
}
