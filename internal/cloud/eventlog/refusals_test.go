package eventlog_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// refused is one refusal of Ada's on a device, at a time after noon.
func refused(device string, after time.Duration, request string) eventlog.Entry {
	e := entry(device)
	e.At, e.Outcome, e.Reason, e.Request = noon.Add(after), eventlog.Refused, policy.PlanBasic, request
	return e
}

// entriesOf lists "request more" of a chain's entries, oldest first.
func entriesOf(t testing.TB, db *store.DB, device string) (out []string) {
	t.Helper()
	must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		list, err := eventlog.List(ctx, tx, eventlog.View{Device: device, Owner: true}, eventlog.Filter{}, nil, 500)
		out = nil
		for _, l := range list {
			out = append(out, l.Request+" "+l.Params["more"])
		}
		slices.Reverse(out)
		return err
	}))
	return out
}

// TestLOG1RefusalsAreBoundedAndNoneIsLost: of one kind, twenty in an hour are entries, and one more says how many there were besides.
func TestLOG1RefusalsAreBoundedAndNoneIsLost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		register(t, db, "d_1", "o_1", "a_ada")
		register(t, db, "d_2", "o_1", "a_ada")
		for n := range 57 {
			add(t, db, refused("d_1", time.Duration(n)*time.Second, fmt.Sprint("r", n)))
		}
		if got := entriesOf(t, db, "d_1"); len(got) != 20 || got[19] != "r19 " {
			t.Fatalf("%d entries of 57: %q", len(got), got)
		}
		// What is another kind, another actor, another device, done, decided on site or bounded by itself, is an entry.
		other := []func(*eventlog.Entry){
			func(e *eventlog.Entry) { e.Reason = policy.RoleReadOnly },
			func(e *eventlog.Entry) { e.Action = string(policy.RebootGroup) },
			func(e *eventlog.Entry) { e.Actor = "u_bob" },
			func(e *eventlog.Entry) { e.Device = "d_2" },
			func(e *eventlog.Entry) { e.Outcome, e.Reason = eventlog.Done, "" },
			func(e *eventlog.Entry) { e.Decided = eventlog.ByAgent },
			func(e *eventlog.Entry) { e.Own = true },
		}
		for _, change := range other {
			e := refused("d_1", 58*time.Second, "other")
			change(&e)
			add(t, db, e)
		}
		if got := entriesOf(t, db, "d_1"); len(got) != 26 {
			t.Errorf("%d entries: %q", len(got), got)
		}
		sum := func(after time.Duration) {
			t.Helper()
			must(t, eventlog.SumRefusals(t.Context(), db, noon.Add(after)))
		}
		sum(59 * time.Minute)
		if got := entriesOf(t, db, "d_1"); len(got) != 26 {
			t.Errorf("summed up before its time: %q", got)
		}
		sum(time.Hour)
		sum(time.Hour)
		if got := entriesOf(t, db, "d_1"); len(got) != 27 || !slices.Contains(got, "r56 37") {
			t.Errorf("behind the hour: %q, want one that tells of 37 more", got)
		}
		add(t, db, refused("d_1", 61*time.Minute, "fresh"))
		if got := entriesOf(t, db, "d_1"); len(got) != 28 {
			t.Errorf("the next hour: %q", got)
		}
		sum(3 * time.Hour)
		if n := rowsOf(t, db, "refusals"); n != 0 {
			t.Errorf("%d counts stay", n)
		}
	})
}

// TestLOG1AnHourThatEndedIsSummedUpByTheNextRefusal, too: the entry that says how many stands before it.
func TestLOG1AnHourThatEndedIsSummedUpByTheNextRefusal(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		register(t, db, "d_1", "o_1", "a_ada")
		for n := range 25 {
			add(t, db, refused("d_1", 0, fmt.Sprint("r", n)))
		}
		add(t, db, refused("d_1", 2*time.Hour, "next"))
		got := entriesOf(t, db, "d_1")
		if len(got) != 22 || got[len(got)-1] != "next " || !slices.Contains(got, "r24 5") {
			t.Errorf("%q", got)
		}
		for n := range 30 { // a clock that was set back far is not summed up for years
			add(t, db, refused("d_1", -1000*time.Hour, fmt.Sprint("back", n)))
		}
		if n := len(entriesOf(t, db, "d_1")); n != 22+20 {
			t.Errorf("%d entries", n)
		}
	})
}

func TestT85NobodyOutsideNamesHowManyThereWere(t *testing.T) {
	if got := eventlog.Allowed(string(policy.RebootUPS), map[string]string{"more": "7", "delay": "none"}); len(got) != 1 {
		t.Errorf("allowed: %v", got)
	}
}

func rowsOf(t testing.TB, db *store.DB, table string) (n int) {
	t.Helper()
	must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM `+table).Scan(&n)
	}))
	return n
}
