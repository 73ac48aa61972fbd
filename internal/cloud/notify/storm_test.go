package notify

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

// TestAStormIsADigest: what is beyond the hourly bounds is told once, with how many it was.
func TestAStormIsADigest(t *testing.T) {
	each(t, func(w *world) {
		w.mailing()
		p, _ := w.hook(w.ada)
		w.recipient(w.ada, p, KindOwn, "")
		for range 50 {
			w.alarm(ups.Raise, 0)
		}
		w.spread()
		w.left()
		if got := len(w.sink.Mails()); got != int(perRecipient.Most) {
			t.Errorf("%d mails, want %d", got, perRecipient.Most)
		}
		w.move(digestAfter)
		w.must(w.s.Spread(t.Context()))
		for w.count(`SELECT COUNT(*) FROM notification_deliveries WHERE state = 'waiting' AND channel = 'webhook'`) > 0 { // two at a time for each host
			w.spread()
		}
		w.left()
		mails, hooks := w.sink.Mails(), w.hooks.taken()
		if last := mails[len(mails)-1]; len(mails) != int(perRecipient.Most)+1 || last.Header.Get("Subject") != "30 more events of 1 device (warning)" {
			t.Errorf("%d mails, the last is %q", len(mails), last.Header.Get("Subject"))
		}
		digests := 0
		for _, h := range hooks {
			if strings.Contains(h.body, `"digest":{"events":30,"worst_severity":"warning"`) {
				digests++
			}
		}
		if digests != 1 {
			t.Errorf("%d digests of 30 came to the webhook", digests)
		}
		if n := w.count(`SELECT COUNT(*) FROM notification_held`); n != 0 {
			t.Errorf("%d rows are still held", n)
		}
	})
}

// TestNOTE2ADigestLosesTheDeviceThatWasLost, and tells of the others all the same.
func TestNOTE2ADigestLosesTheDeviceThatWasLost(t *testing.T) {
	each(t, func(w *world) {
		p, _ := w.hook(w.ada)
		w.unit("d_2", "AS2", "rack 4")
		w.do(func(ctx context.Context, tx *store.Tx) error { return w.s.AddDevice(ctx, tx, w.ada, p.ID, "d_2") })
		w.alarm(ups.Raise, 0)
		w.spread()
		w.do(func(ctx context.Context, tx *store.Tx) error {
			to, err := w.s.Recipients(ctx, tx, p)
			if err != nil {
				return err
			}
			for _, d := range []string{dev, "d_2", "d_2"} {
				if err := w.s.hold(ctx, tx, p, &to[0], &event{device: d, severity: ups.Critical, at: w.clock()}); err != nil {
					return err
				}
			}
			return nil
		})
		w.move(digestAfter)
		w.must(w.s.Spread(t.Context())) // a digest of both waits
		w.do(func(ctx context.Context, tx *store.Tx) error { return w.s.RemoveDevice(ctx, tx, w.ada, p.ID, dev) })
		w.move(time.Second)
		w.spread()
		got := w.hooks.taken()
		if last := got[len(got)-1].body; len(got) != 2 || !strings.Contains(last, `"events":2,"worst_severity":"critical"`) || strings.Contains(last, dev+`"`) {
			t.Errorf("%+v", got)
		}
		if states := w.states(p); !slices.Equal(states, []string{"digest sent", "digest withdrawn device", "event sent"}) {
			t.Errorf("%q", states)
		}
	})
}

// TestWhatIsOldIsSaidToBeOld: a site that was away for long tells of what is no news.
func TestWhatIsOldIsSaidToBeOld(t *testing.T) {
	each(t, func(w *world) {
		w.mailing()
		w.policy(w.ada)
		w.move(72 * time.Hour)
		w.alarm(ups.Raise, 2*time.Hour)
		w.spread()
		m, err := w.sink.Wait(t.Context(), "ada@example.com", 1)
		w.must(err)
		if !strings.HasPrefix(m.Header.Get("Subject"), "Late: rack 3") || !strings.Contains(m.Text, "4 March 2026 10:00:01 UTC") || !strings.Contains(m.Text, "this is not news") {
			t.Errorf("%q %s", m.Header.Get("Subject"), m.Text)
		}
		w.alarm(ups.Raise, 30*time.Hour)
		w.spread()
		if n := w.count(`SELECT COUNT(*) FROM notification_held`); n != 1 || len(w.sink.Mails()) != 1 {
			t.Errorf("%d held, %d mails", n, len(w.sink.Mails()))
		}
		w.alarm(ups.Raise, 80*time.Hour) // before the device was in the policy
		w.spread()
		if n := w.count(`SELECT SUM(number) FROM notification_held`); n != 1 {
			t.Errorf("%d are held", n)
		}
	})
}

func TestWhatIsOverIsTakenOut(t *testing.T) {
	each(t, func(w *world) {
		w.hook(w.ada)
		w.alarm(ups.Raise, 0)
		w.spread()
		w.move(listedFor)
		w.must(w.s.Sweep(t.Context()))
		if n := w.count(`SELECT COUNT(*) FROM notification_deliveries`); n != 0 {
			t.Errorf("%d deliveries", n)
		}
	})
}

func TestSelectionsChooseByIDClassAndSeverity(t *testing.T) {
	for _, row := range []struct {
		Selection
		code     string
		severity ups.Severity
		step     Step
		want     bool
	}{
		{Selection{Least: ups.Warning, Raised: true}, "101", ups.Warning, Raised, true},
		{Selection{Least: ups.Warning, Raised: true}, "101", ups.Warning, Cleared, false},
		{Selection{Least: ups.Warning, Cleared: true}, "101", ups.Warning, Raised, false},
		{Selection{Least: ups.Critical, Raised: true}, "101", ups.Warning, Raised, false},
		{Selection{Least: ups.Critical, Raised: true, Events: []string{"101"}}, "101", ups.Warning, Raised, true},
		{Selection{Raised: true, Events: []string{"battery"}}, "219", ups.Informational, Moment, true},
		{Selection{Raised: true, Events: []string{"battery"}}, "101", ups.Critical, Raised, false},
		{Selection{Raised: true, Events: []string{"orders"}}, "841", ups.Critical, Moment, true},
		{Selection{Raised: true, Least: ups.Informational}, Silence, ups.Warning, Raised, false},
		{Selection{Raised: true, Silence: true}, Silence, ups.Warning, Raised, true},
	} {
		if got := row.wants(row.code, row.severity, row.step); got != row.want {
			t.Errorf("%+v: %v", row, got)
		}
	}
	for _, bad := range []Selection{{}, {Silence: true}, {Least: ups.Warning}, {Raised: true, Events: []string{"999"}}, {Raised: true, Events: []string{"0101"}}, {Raised: true, Events: []string{"820"}}, {Raised: true, Events: []string{"x y"}}} {
		if err := bad.check(); reason(err) != policy.Malformed {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestT85WhatAgentsSayBecomesNoLink(t *testing.T) {
	for text, want := range map[string]string{
		"53.2 V, 80 %": "53.2 V, 80 %", "see http://evil.example/x": "see http: / /evil. example/x", "a@b.example": "a @ b. example", "evil。example": "evil. example",
		"mailto:x": "mailto: x", "two\nlines\u202e": "two\ufffdlines\ufffd", "12:30": "12:30", "": "",
	} {
		if got := harmless(text, detailShown); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
