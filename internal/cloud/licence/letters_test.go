package licence_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/licence"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

func storetestSQLite(t *testing.T) *store.DB { return storetest.Open(t, storetest.SQLite(t)) }

// TestPLAN12OwnerAndSharedUsersAreWarnedAndToldOfTheEnd, each of each once, by letter, and the log tells it once.
func TestPLAN12OwnerAndSharedUsersAreWarnedAndToldOfTheEnd(t *testing.T) {
	each(t, func(w *world) {
		d := w.device("AS1")
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return w.devices.SetPlan(ctx, tx, w.ada, policy.Owner, d, policy.Standard, noon.Add(100*day)) // 9 June
		})
		// Another process on the same database, whose letters are of its own queue.
		q, err := mail.New(w.db, mail.Config{}, mail.Options{Now: w.clock})
		must(t, err)
		twin := device.New(device.Config{Now: w.clock})
		_, err = licence.New(licence.Config{Devices: twin, Mail: q, URL: "https://cloud.example", Now: w.clock})
		must(t, err)
		for ; w.now.Before(noon.Add(103 * day)); w.now = w.now.Add(12 * time.Hour) {
			for _, r := range []*device.Registry{w.devices, twin} {
				must(t, r.EndPlans(t.Context(), w.db))
				must(t, r.WarnOfEnds(t.Context(), w.db))
			}
		}
		const name = "Hall https evil. example"
		var want []string
		for _, subject := range []string{"ends on 9 June 2026", "ends on 9 June 2026", "ends on 9 June 2026", "ends on 9 June 2026", "has ended"} {
			for _, who := range []string{"ada", "bob"} {
				want = append(want, who+"@example.com: The plan Standard of "+name+" "+subject)
			}
		}
		if got := w.letters(); !slices.Equal(got, want) {
			t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		log := w.log(d)
		var told []string
		for _, line := range log {
			if action, rest, _ := strings.Cut(line, " "); action == "plan.warning" || action == "plan.change" {
				told = append(told, action+" "+rest[strings.Index(rest, "{"):])
			}
		}
		entry := func(days string) string {
			return `plan.warning {"days":"` + days + `","next":"basic","plan":"standard","valid_until":"2026-06-09T12:00:00Z"}`
		}
		if want := []string{
			`plan.change {"new":"standard","next":"basic","next_until":"","old":"basic","valid_until":"2026-06-09T12:00:00Z"}`,
			entry("90"), entry("30"), entry("7"), entry("0"), `plan.change {"new":"basic","old":"standard","valid_until":""}`,
		}; !slices.Equal(told, want) {
			t.Errorf("%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
		}
		last := w.rows(`SELECT body FROM mails ORDER BY written_at DESC LIMIT 1`)[0]
		if !strings.Contains(last, "It is on Basic from then on") || strings.Contains(last, "evil.example") {
			t.Error(last)
		}
	})
}

// TestPLAN12AFailedLetterLeavesTheWarningDue: warning, letters and entry are one transaction.
func TestPLAN12AFailedLetterLeavesTheWarningDue(t *testing.T) {
	w := newWorld(t, storetestSQLite(t))
	d := w.device("AS1")
	w.do(func(ctx context.Context, tx *store.Tx) error {
		return w.devices.SetPlan(ctx, tx, w.ada, policy.Owner, d, policy.Standard, noon.Add(40*day))
	})
	w.exec(`UPDATE identities SET email = 'no address' WHERE id = 's_bob'`)
	w.now = noon.Add(10 * day)
	if err := w.devices.WarnOfEnds(t.Context(), w.db); err == nil {
		t.Error("a letter without an address was put")
	}
	if got := w.letters(); len(got) != 0 {
		t.Errorf("half of it: %q", got)
	}
	w.exec(`UPDATE identities SET email = 'bob@example.com' WHERE id = 's_bob'`)
	must(t, w.devices.WarnOfEnds(t.Context(), w.db))
	if got := w.letters(); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// TestPLAN12ALetterSaysWhatFollows: of Advanced with Standard behind it, no Basic.
func TestPLAN12ALetterSaysWhatFollows(t *testing.T) {
	w := newWorld(t, storetestSQLite(t))
	d := w.device("AS1")
	_, standard := w.issue(licence.Issue{Plan: policy.Standard, Days: 365, Uses: 1})
	_, advanced := w.issue(licence.Issue{Plan: policy.Advanced, Days: 20, Uses: 1})
	w.want(w.ada, d, standard, "")
	w.want(w.ada, d, advanced, "")
	w.now = noon.Add(13 * day)
	must(t, w.devices.WarnOfEnds(t.Context(), w.db))
	body := w.rows(`SELECT body FROM mails LIMIT 1`)[0]
	if !strings.Contains(body, "plan Advanced until 21 March 2026 12:00 UTC") || !strings.Contains(body, "It is on Standard until 21 March 2027 12:00 UTC from then on") || strings.Contains(body, "Basic") {
		t.Error(body)
	}
}
