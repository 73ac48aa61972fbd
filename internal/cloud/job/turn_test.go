package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

func TestAJobStopsWhenTooManyFail(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 8, noLimits)
		j := w.job(func(r *Request) { r.AtOnce, *r.percent(), *r.after() = two(), 50, 4 })
		w.pass()
		for _, state := range []wire.OrderState{wire.OrderDone, wire.OrderFailed, wire.OrderDone} {
			w.tell(w.open(j.ID)[0], state, "")
			w.pass()
		}
		w.want(j.ID, Running, "at_work 2 done 2 failed 1 waiting 3")
		runs := w.open(j.ID)[0]
		w.tell(runs, wire.OrderRunning, "")
		w.tell(w.open(j.ID)[1], wire.OrderRefused, policy.LocalPolicy)
		w.pass()
		aborted := w.want(j.ID, Aborted, "at_work 1 cancelled 3 done 2 failed 1 refused 1")
		if aborted.Detail != "the job was aborted: 2 of the 4 devices that ended have failed" || !aborted.EndedAt.IsZero() {
			t.Errorf("ended at %v: %s", aborted.EndedAt, aborted.Detail)
		}
		if got := w.state(j.ID, w.ids[7]); got != "cancelled CANCELLED" {
			t.Errorf("what waited is %s", got)
		}
		w.tell(runs, wire.OrderDone, "")
		w.pass()
		if j := w.want(j.ID, Aborted, "cancelled 3 done 3 failed 1 refused 1"); j.EndedAt.IsZero() {
			t.Error("it has no end")
		}
		if got := w.log("o_ada"); !slices.Equal(got, []string{"job.begin accepted ", "job.abort done ", "job.end failed "}) {
			t.Errorf("the log has %q", got)
		}
	})
}

// TestWhatCountsAgainstAJob holds the decision alone: which ends are failures, from when on, and that what was refused at the request is none.
func TestWhatCountsAgainstAJob(t *testing.T) {
	j := &Job{State: Running, AtOnce: 1, Abort: Abort{20, 10}, RequestedAt: noon, StartUntil: noon.Add(time.Hour)}
	for _, row := range []struct {
		ended map[string]int
		want  move
	}{
		{map[string]int{"failed": 9}, orders},
		{map[string]int{"failed": 10}, aborts},
		{map[string]int{"done": 9, "failed": 1}, orders},
		{map[string]int{"done": 8, "failed": 2}, aborts},
		{map[string]int{"done": 8, "refused": 1, "unknown": 1}, aborts},
		{map[string]int{"done": 8, "expired": 2}, aborts},
		{map[string]int{"done": 8, "cancelled": 20}, orders},
		{map[string]int{"done": 41, "failed": 10}, orders},
		{map[string]int{"done": 40, "failed": 10}, aborts},
	} {
		if got := (&stand{job: j, waiting: 1, ready: 1, ended: row.ended}).next(noon); got != row.want {
			t.Errorf("%v: %d, want %d", row.ended, got, row.want)
		}
	}
}

// TestEDGE4NothingOfAJobBeginsBehindItsStartWindow, and nothing when a clock was set back and nobody knows how old it is.
func TestEDGE4NothingOfAJobBeginsBehindItsStartWindow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, step := range []time.Duration{time.Minute, -2 * time.Minute} {
			w := newWorld(t, db, 3, noLimits)
			sixty := 60
			j := w.job(func(r *Request) { r.AtOnce, r.StartWithin = two(), &sixty })
			w.pass()
			w.tell(w.open(j.ID)[0], wire.OrderDone, "")
			w.clock = w.clock.Add(step)
			w.pass()
			w.want(j.ID, Running, "at_work 1 done 1 expired 1")
			if got := w.state(j.ID, w.ids[2]); got != "expired EXPIRED" {
				t.Errorf("what waited is %s", got)
			}
			w.tell(w.open(j.ID)[0], wire.OrderDone, "")
			w.pass()
			w.want(j.ID, Completed, "done 2 expired 1")
			for _, table := range []string{"accounts", "identities", "organisations", "devices", "serials", "jobs", "job_devices", "orders"} {
				w.exec(`DELETE FROM ` + table)
			}
		}
	})
}

// TestWhatIsAwayKeepsItsTurnOrIsRefused: with queue it holds up nobody; with reject it is refused, at the request or at its turn.
func TestWhatIsAwayKeepsItsTurnOrIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 4, noLimits)
		w.online(false, w.ids[0])
		queue := w.job(func(r *Request) { r.AtOnce = two() })
		_, outcomes, err := w.ask(ada, Request{Devices: w.ids, Action: policy.AlarmMute, OnOffline: Reject, AtOnce: two()})
		must(t, err)
		if o := outcomes[0]; o.Refused == nil || o.Refused.Reason != policy.UPSUnreachable || outcomes[1].Refused != nil {
			t.Errorf("%+v", outcomes)
		}
		reject := w.newest()
		w.online(false, w.ids[3])
		w.pass()
		w.want(queue.ID, Running, "at_work 2 waiting 2")
		w.want(reject, Running, "at_work 2 refused 1 waiting 1")
		for _, id := range append(w.open(queue.ID), w.open(reject)...) {
			w.tell(id, wire.OrderDone, "")
		}
		w.pass()
		w.want(queue.ID, Running, "done 2 waiting 2")
		w.want(reject, Completed, "done 2 refused 2")
		w.online(true, w.ids[0])
		w.pass()
		w.want(queue.ID, Running, "at_work 1 done 2 waiting 1")
	})
}

// newest is the job that was asked for last.
func (w *world) newest() (id string) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.QueryRow(ctx, `SELECT j.id FROM jobs j WHERE j.action = 'alarm.mute'`).Scan(&id)
	})
	return id
}

// TestWhatIsToldLateIsCountedBesideTheEnd: history stays as it was decided, and what is known now stands beside it.
func TestWhatIsToldLateIsCountedBesideTheEnd(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 2, noLimits)
		j := w.job(nil)
		w.pass()
		lost, other := w.open(j.ID)[0], w.open(j.ID)[1]
		w.tell(lost, wire.OrderRunning, "")
		w.tell(other, wire.OrderDone, "")
		w.exec(`UPDATE orders SET state = 'unknown', final_at = 5, due_at = 0 WHERE id = $1`, lost)
		w.pass()
		w.want(j.ID, Completed, "done 1 unknown 1")
		w.tell(lost, wire.OrderDone, "")
		ended, items := w.get(j.ID)
		c := Count(items)
		if text(c.Ended) != "done 1 unknown 1" || text(c.Known) != "done 2" || ended.State != Completed {
			t.Errorf("%s as it ended, %s as it is known", text(c.Ended), text(c.Known))
		}
		if l := items[0].Late; l == nil || l.State != wire.OrderDone || items[0].State != "unknown" {
			t.Errorf("%+v", items[0])
		}
	})
}

// TestSHARE5OneRefusedDeviceStopsNoOther, and each refusal is logged where that of a single order is.
func TestSHARE5OneRefusedDeviceStopsNoOther(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 3, noLimits)
		w.plan(w.ids[1], policy.Basic)
		j, outcomes, err := w.ask(ada, Request{Devices: []string{w.ids[0], "d_none", w.ids[1], w.ids[2]}, Action: policy.AlarmMute})
		must(t, err)
		var got []string
		for _, o := range outcomes {
			reason := policy.Reason("taken")
			if o.Refused != nil {
				reason = o.Refused.Reason
			}
			got = append(got, string(reason))
		}
		if strings.Join(got, " ") != "taken NOT_FOUND PLAN_BASIC taken" || j.Devices != 2 {
			t.Errorf("%v, %d devices", got, j.Devices)
		}
		if got := w.log(w.ids[1]); !slices.Equal(got, []string{"alarm.mute refused PLAN_BASIC"}) {
			t.Errorf("the log of what was refused has %q", got)
		}
		w.pass()
		w.want(j.ID, Running, "at_work 2 refused 2")
	})
}

// TestLOG1AJobOfWhichNothingIsLeftIsLogged by each device.
func TestLOG1AJobOfWhichNothingIsLeftIsLogged(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 2, noLimits)
		w.plan(w.ids[0], policy.Basic)
		r := Request{Devices: []string{"d_none", w.ids[0]}, Action: policy.AlarmMute}
		_, _, err := w.ask(ada, r)
		var refused *RefusedError
		if !errors.As(err, &refused) || len(refused.Outcomes) != 2 || refused.First.Reason != policy.NotFound {
			t.Fatalf("%v", err)
		}
		w.write(func(ctx context.Context, tx *store.Tx) error { return w.desk.LogRefused(ctx, tx, ada, r, err) })
		for chain, want := range map[string]string{"o_ada": "NOT_FOUND", w.ids[0]: "PLAN_BASIC"} {
			if n := w.number(`SELECT COUNT(*) FROM event_log WHERE chain = $1 AND action = 'alarm.mute' AND reason = $2`, chain, want); n != 1 {
				t.Errorf("%d entries with %s in %s", n, want, chain)
			}
		}
	})
}

func TestARequestThatIsNoneIsRefusedByItsField(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)), 1, noLimits)
	n := func(n int) *int { return &n }
	many := make([]string, MaxDevices+1)
	for i := range many {
		many[i] = fmt.Sprintf("d_%d", i)
	}
	for field, change := range map[string]func(*Request){
		"devices":                func(r *Request) { r.Devices = nil },
		"devices ":               func(r *Request) { r.Devices = many },
		"devices  ":              func(r *Request) { r.Devices = []string{w.ids[0], w.ids[0]} },
		"action":                 func(r *Request) { r.Action = policy.OrderCancel },
		"on_offline":             func(r *Request) { r.OnOffline = "wait" },
		"at_once":                func(r *Request) { r.AtOnce = n(0) },
		"at_once ":               func(r *Request) { r.AtOnce = n(101) },
		"abort.failures_percent": func(r *Request) { r.Percent = n(101) },
		"abort.after":            func(r *Request) { r.After = n(0) },
		"start_within":           func(r *Request) { r.StartWithin = n(59) },
		"start_within ":          func(r *Request) { r.StartWithin = n(24*3600 + 1) },
	} {
		r := Request{Devices: w.ids, Action: policy.AlarmMute}
		change(&r)
		_, _, err := w.ask(ada, r)
		var refusal *cloud.Error
		if !errors.As(err, &refusal) || refusal.Reason != policy.Malformed || refusal.Field != strings.TrimSpace(field) {
			t.Errorf("%q: %v", field, err)
		}
	}
	for reason, r := range map[policy.Reason]Request{
		policy.UnknownAction: {Devices: w.ids, Action: "reboot.everything"}, policy.Malformed: {Devices: w.ids, Action: policy.DiagnosticsRun},
	} {
		if _, _, err := w.ask(ada, r); reasonOf(t, err) != reason {
			t.Errorf("%v, want %s", err, reason)
		}
	}
}

// TestARemovedAgentHoldsUpNoJob: what it had in hand ends, soon, with what is known.
func TestARemovedAgentHoldsUpNoJob(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 3, noLimits)
		j := w.job(func(r *Request) { r.AtOnce = two() })
		w.pass()
		w.tell(w.open(j.ID)[0], wire.OrderRunning, "")
		w.write(func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(w.book.AgentEnded(ctx, tx, "g_"+w.ids[0]), w.book.AgentEnded(ctx, tx, "g_"+w.ids[1]))
		})
		if got := []string{w.state(j.ID, w.ids[0]), w.state(j.ID, w.ids[1])}; !slices.Equal(got, []string{"unknown NOT_BOUND", "refused NOT_BOUND"}) {
			t.Errorf("%q", got)
		}
		w.pass()
		w.want(j.ID, Running, "at_work 1 refused 1 unknown 1")
	})
}
