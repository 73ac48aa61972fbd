package device_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A world is a database with a clock that stands still, agents g_1 and g_2 of two organisations, and an account of each.
type world struct {
	*testing.T
	db       *store.DB
	now      time.Time
	r        *device.Registry
	telling  sync.Mutex // changed, while several change something at once
	changed  []string
	ada, bob cloud.Actor
}

func each(t *testing.T, fn func(w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { fn(newWorld(t, db)) })
}

func newWorld(t *testing.T, db *store.DB) *world {
	w := &world{T: t, db: db, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	w.ada = cloud.Actor{Ref: "u_ada", Account: "a_ada", Org: "o_1", Request: "r1"}
	w.bob = cloud.Actor{Ref: "u_bob", Account: "a_bob", Org: "o_2", Request: "r2"}
	w.r = device.New(device.Config{Now: func() time.Time { return w.now }})
	w.r.AfterChange(func(agent string) {
		w.telling.Lock()
		defer w.telling.Unlock()
		w.changed = append(w.changed, agent)
	})
	w.enrol("g_1", "o_1")
	w.enrol("g_2", "o_2")
	return w
}

func (w *world) write(fn func(ctx context.Context, tx *store.Tx) error) error {
	return w.db.Write(w.Context(), fn)
}

func (w *world) do(fn func(ctx context.Context, tx *store.Tx) error) {
	w.Helper()
	must(w, w.write(fn))
}

func (w *world) enrol(agent, org string) {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO enrolled_agents (agent, org, name, public_key, enrolled_at) VALUES ($1, $2, 'site', $3, $4)`,
			agent, org, []byte(agent), w.now.UnixMilli())
		return err
	})
}

// unit is one line of a full state.
func unit(name, serial string) wire.UnitState {
	return wire.UnitState{Unit: name, Serial: serial, Model: "Smart-UPS 1500", Firmware: "UPS 09.3", Condition: ups.Online}
}

// report has an agent tell of its units, now.
func (w *world) report(agent string, units ...wire.UnitState) {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		return w.r.State(ctx, tx, agent, &wire.FullState{Agent: agent, Units: units}, w.now)
	})
}

// register is what the HTTP interface does: the change, or the entry of its refusal.
func (w *world) register(actor cloud.Actor, serial string) (d *device.Device, err error) {
	w.Helper()
	err = w.write(func(ctx context.Context, tx *store.Tx) error {
		var err error
		d, err = w.r.Register(ctx, tx, actor, device.Registration{Serial: serial})
		return err
	})
	var refusal *cloud.Error
	if errors.As(err, &refusal) {
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return device.RefusedRegistration(ctx, tx, actor, serial, refusal)
		})
	}
	return d, err
}

func (w *world) mustRegister(actor cloud.Actor, serial string) *device.Device {
	w.Helper()
	d, err := w.register(actor, serial)
	must(w, err)
	return d
}

// end deletes a device as far as this package is concerned.
func (w *world) end(d *device.Device) {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE devices SET ended_at = $1 WHERE id = $2`, w.now.UnixMilli(), d.ID)
		return err
	})
}

func (w *world) status(d *device.Device) (st *device.Status) {
	w.Helper()
	must(w, w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		st, err = device.StatusOf(ctx, tx, d)
		return err
	}))
	return st
}

// actions lists what a chain of the Event Log tells, in order: action and outcome.
func (w *world) actions(chain string) (out []string) {
	w.Helper()
	must(w, w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) error {
		out = nil
		rows, err := tx.Query(ctx, `SELECT action, outcome, reason FROM event_log WHERE chain = $1 ORDER BY n`, chain)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var action, outcome, reason string
			if err := rows.Scan(&action, &outcome, &reason); err != nil {
				return err
			}
			if reason != "" {
				reason = " " + reason
			}
			out = append(out, action+" "+outcome+reason)
		}
		return rows.Err()
	}))
	return out
}

func (w *world) wantActions(chain string, want ...string) {
	w.Helper()
	if got := w.actions(chain); !slices.Equal(got, want) {
		w.Errorf("the log of %s tells %q, want %q", chain, got, want)
	}
}

func reason(err error) policy.Reason {
	var e *cloud.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func TestDEV1OnlyWhatTheOwnAgentReportsNowCanBeRegistered(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"), unit("rack-b", ""))
		w.report("g_2", unit("rack-a", "AS2"))
		var answers []string
		for _, serial := range []string{"AS2", "AS9", "", "AS1 ", "as1"} {
			_, err := w.register(w.ada, serial)
			if reason(err) != policy.NotFound {
				t.Errorf("serial %q, which is another organisation's agent's, or nobody's: %v", serial, err)
			}
			answers = append(answers, err.Error())
		}
		if len(slices.Compact(answers)) != 1 {
			t.Errorf("the answers differ: %q", answers)
		}
		d := w.mustRegister(w.ada, "AS1")
		if d.Owner != "a_ada" || d.Epoch != 1 || d.GrantVersion != 1 || d.Name != "rack-a" || d.Agent != "g_1" || !slices.Equal(w.changed, []string{"g_1"}) {
			t.Errorf("registered %+v, told %q", d, w.changed)
		}
		w.wantActions(d.ID, "device.register done")
		if got := w.actions("o_1"); len(got) != 5 || got[0] != "device.register refused NOT_FOUND" {
			t.Errorf("refusals in the log: %q", got)
		}
	})
}

func TestDEV1AReportThatIsOldProvesNothing(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"))
		w.now = w.now.Add(5*time.Minute + time.Second)
		if _, err := w.register(w.ada, "AS1"); reason(err) != policy.NotFound {
			t.Errorf("long not heard: %v", err)
		}
		w.report("g_1", unit("rack-a", "AS3"))
		if _, err := w.register(w.ada, "AS1"); reason(err) != policy.NotFound {
			t.Errorf("not in the last full state: %v", err)
		}
		w.report("g_1", unit("rack-a", "AS1"))
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE enrolled_agents SET revoked_at = 1 WHERE agent = 'g_1'`)
			return err
		})
		if _, err := w.register(w.ada, "AS1"); reason(err) != policy.NotFound {
			t.Errorf("of an agent that was removed: %v", err)
		}
	})
}

func TestDEV2AnOwnedUnitIsNotRegisteredAgainAndTheOwnerIsTold(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"))
		d := w.mustRegister(w.ada, "AS1")
		if _, err := w.register(w.bob, "AS1"); reason(err) != policy.NotFound {
			t.Errorf("who cannot prove possession learns that the unit is owned: %v", err)
		}
		w.wantActions(d.ID, "device.register done")
		w.report("g_2", unit("rack-z", "AS1"))
		_, err := w.register(w.bob, "AS1")
		if reason(err) != policy.AlreadyRegistered {
			t.Fatalf("registered by another organisation: %v", err)
		}
		if _, err := w.register(w.ada, "AS1"); reason(err) != policy.AlreadyRegistered {
			t.Errorf("registered twice by the owner: %v", err)
		}
		w.wantActions(d.ID, "device.register done", "device.claim refused ALREADY_REGISTERED")
		w.wantActions("o_2", "device.register refused NOT_FOUND", "device.register refused ALREADY_REGISTERED")
	})
}

func TestT89AClaimOfAnOwnedDeviceFailsAndNotifiesTheOwner(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"))
		d := w.mustRegister(w.ada, "AS1")
		w.report("g_2", unit("rack-z", "AS1"))
		if _, err := w.register(w.bob, "AS1"); err == nil {
			t.Fatal("claimed")
		}
		must(t, w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			var actor, params, request string
			err := tx.QueryRow(ctx, `SELECT actor, params, request FROM event_log WHERE chain = $1 AND action = 'device.claim'`, d.ID).Scan(&actor, &params, &request)
			if actor != cloud.SystemRef || params != "{}" || request != "r2" {
				t.Errorf("the owner reads actor %q, parameters %s, request %q", actor, params, request)
			}
			return err
		}))
	})
}

func TestDEV2OfTwoWhoRegisterAtOnceOneBecomesTheOwner(t *testing.T) {
	each(t, func(w *world) {
		for i := range 10 {
			serial := "AS" + string(rune('A'+i))
			w.report("g_1", unit("rack-a", serial))
			w.report("g_2", unit("rack-a", serial))
			errs := make(chan error, 4)
			for j := range cap(errs) {
				actor := []cloud.Actor{w.ada, w.bob}[j%2]
				go func() {
					errs <- w.write(func(ctx context.Context, tx *store.Tx) error {
						_, err := w.r.Register(ctx, tx, actor, device.Registration{Serial: serial})
						return err
					})
				}()
			}
			won := 0
			for range cap(errs) {
				switch err := <-errs; {
				case err == nil:
					won++
				case reason(err) != policy.AlreadyRegistered:
					t.Errorf("%s: %v", serial, err)
				}
			}
			if won != 1 {
				t.Errorf("%s has %d owners", serial, won)
			}
		}
	})
}

func TestDEV4ARegistrationAfterADeletionRaisesTheEpoch(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"))
		first := w.mustRegister(w.ada, "AS1")
		w.end(first)
		second := w.mustRegister(w.ada, "AS1")
		if second.ID == first.ID || second.Epoch <= first.Epoch {
			t.Errorf("first %+v, second %+v", first, second)
		}
		must(t, w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			if _, err := device.Get(ctx, tx, first.ID); reason(err) != policy.NotFound {
				t.Errorf("the first one: %v", err)
			}
			for _, row := range []struct {
				epoch uint32
				keep  bool
			}{{first.Epoch, false}, {second.Epoch, true}, {second.Epoch + 1, false}, {0, true}} {
				keep, err := w.r.Keep(ctx, tx, "g_1", "AS1", row.epoch)
				if err != nil || keep != row.keep {
					t.Errorf("records of epoch %d kept: %v, %v", row.epoch, keep, err)
				}
			}
			old, err := device.BySerial(ctx, tx, "g_1", "AS1", first.Epoch)
			if err != nil || old.ID != first.ID || old.EndedAt.IsZero() {
				t.Errorf("by serial: %+v, %v", old, err)
			}
			return nil
		}))
	})
}

// TestDEV4AUnitThatTheCopyHasNeverSeenBeginsBehindWhatSitesRemember: it may have been registered, and have changed hands, in what was lost
// when the database was put back from the copy.
func TestDEV4AUnitThatTheCopyHasNeverSeenBeginsBehindWhatSitesRemember(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"))
		before := w.mustRegister(w.ada, "AS1")
		for range 2 {
			w.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := w.r.Restored(ctx, tx, 1000)
				return err
			})
		}
		w.report("g_2", unit("rack-b", "AS2"))
		if d := w.mustRegister(w.bob, "AS2"); d.Epoch != 2001 {
			t.Errorf("never seen: epoch %d, want 2001", d.Epoch)
		}
		w.end(before)
		w.report("g_1", unit("rack-a", "AS1"))
		if d := w.mustRegister(w.ada, "AS1"); d.Epoch <= before.Epoch+2000 {
			t.Errorf("known: epoch %d after %d", d.Epoch, before.Epoch)
		}
	})
}

func TestDEV6AnAgentServesOneOrganisation(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"), unit("rack-b", "AS2"))
		w.mustRegister(w.ada, "AS1")
		if _, err := w.register(w.bob, "AS2"); reason(err) != policy.NotFound {
			t.Errorf("a unit behind another organisation's agent: %v", err)
		}
		carl := cloud.Actor{Ref: "u_carl", Account: "a_carl", Org: "o_1"}
		if d := w.mustRegister(carl, "AS2"); d.Org != "o_1" || d.Owner != "a_carl" {
			t.Errorf("a colleague's: %+v", d)
		}
	})
}

func TestPLAN13OneFreePeriodAYear(t *testing.T) {
	each(t, func(w *world) {
		start := w.now
		again := func() *device.Device {
			w.report("g_1", unit("rack-a", "AS1"))
			d := w.mustRegister(w.ada, "AS1")
			w.end(d)
			return d
		}
		first := again()
		end := start.Add(90 * 24 * time.Hour)
		if first.Plan != policy.Advanced || !first.ValidUntil.Equal(end) {
			t.Errorf("the first: %s until %v", first.Plan, first.ValidUntil)
		}
		if p, q := first.PlanAt(end.Add(-time.Millisecond)), first.PlanAt(end); p != policy.Advanced || q != policy.Basic {
			t.Errorf("PLAN-9: %s before its end, %s at it", p, q)
		}
		w.now = start.Add(365*24*time.Hour - time.Millisecond)
		if d := again(); d.Plan != policy.Basic {
			t.Errorf("within a year: %s", d.Plan)
		}
		w.now = start.Add(365 * 24 * time.Hour)
		if d := again(); d.Plan != policy.Advanced {
			t.Errorf("a year later: %s", d.Plan)
		}
		none := device.New(device.Config{Trial: -1, Now: func() time.Time { return w.now }})
		w.report("g_1", unit("rack-a", "AS5"))
		w.do(func(ctx context.Context, tx *store.Tx) error {
			d, err := none.Register(ctx, tx, w.ada, device.Registration{Serial: "AS5"})
			if err == nil && d.Plan != policy.Basic {
				t.Errorf("with no free period: %s", d.Plan)
			}
			return err
		})
	})
}

func TestPLAN9APlanThatEndsIsToldToTheAgent(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"))
		d := w.mustRegister(w.ada, "AS1")
		must(t, w.r.EndPlans(t.Context(), w.db))
		if len(w.changed) != 1 {
			t.Fatalf("told %q while the plan runs", w.changed)
		}
		w.now = d.ValidUntil
		must(t, w.r.EndPlans(t.Context(), w.db))
		must(t, w.r.EndPlans(t.Context(), w.db))
		must(t, w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			got, err := device.Get(ctx, tx, d.ID)
			if err != nil || got.Plan != policy.Basic || got.GrantVersion != d.GrantVersion+1 || len(w.changed) != 2 {
				t.Errorf("%+v, %v; told %q", got, err, w.changed)
			}
			return err
		}))
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return w.r.SetPlan(ctx, tx, w.ada, policy.Owner, d, policy.Standard, device.Forever)
		})
		w.wantActions(d.ID, "device.register done", "plan.change done", "plan.change done")
	})
}

func refusal(err error) *cloud.Error {
	var e *cloud.Error
	_ = errors.As(err, &e)
	return e
}

// TestAReplacedBoxTakesTheDevicesOfTheOneBefore with their history, once the old agent was removed, and for their owner alone.
func TestAReplacedBoxTakesTheDevicesOfTheOneBefore(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"))
		d := w.mustRegister(w.ada, "AS1")
		w.enrol("g_9", "o_1")
		w.report("g_9", unit("rack-a", "AS1"))
		if _, err := w.register(w.ada, "AS1"); reason(err) != policy.AlreadyRegistered || len(w.unregistered("o_1")) != 0 {
			t.Errorf("while the old agent is one: %v", err)
		}
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE enrolled_agents SET revoked_at = 1 WHERE agent = 'g_1'`)
			return err
		})
		if seen := w.unregistered("o_1"); len(seen) != 1 || seen[0].Agent != "g_9" {
			t.Errorf("reported: %+v", seen)
		}
		got, err := w.register(w.ada, "AS1")
		must(t, err)
		if got.ID != d.ID || got.Agent != "g_9" || got.Epoch != d.Epoch || got.GrantVersion != d.GrantVersion+1 {
			t.Errorf("moved: %+v, was %+v", got, d)
		}
		w.do(func(ctx context.Context, tx *store.Tx) error {
			for agent, want := range map[string]bool{"g_9": true, "g_1": false} {
				keep, err := w.r.Keep(ctx, tx, agent, "AS1", d.Epoch)
				must(t, err)
				if keep != want {
					t.Errorf("records of %s are kept: %v", agent, keep)
				}
			}
			return nil
		})
		w.wantActions(d.ID, "device.register done", "device.move done")
	})
}
