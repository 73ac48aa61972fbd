package eventlog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// register makes a row of the devices, of epoch 1, with an advanced plan until a day after noon.
func register(t testing.TB, db *store.DB, id, org, owner string) {
	t.Helper()
	must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
			VALUES ($1, $2, 1, 'agent-1', $3, $4, $5, 'advanced', $6, 1, $7)`, id, "S-"+id, owner, org, "name", noon.Add(24*time.Hour).UnixMilli(), noon.UnixMilli())
		return err
	}))
}

func add(t testing.TB, db *store.DB, entries ...eventlog.Entry) {
	t.Helper()
	must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for _, e := range entries {
			if err := eventlog.Append(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	}))
}

// entry is a good one about a device.
func entry(device string) eventlog.Entry {
	return eventlog.Entry{
		Device: device, At: noon, Actor: "u_ada", Role: policy.Owner, Action: string(policy.RebootUPS),
		Params: map[string]string{"delay": "none"}, Outcome: eventlog.Done, Request: "r1",
	}
}

func TestLOG10WhatIsNotDeclaredIsNotLogged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		register(t, db, "d_1", "o_1", "a_ada")
		for name, spoil := range map[string]func(e *eventlog.Entry){
			"action":          func(e *eventlog.Entry) { e.Action = "reboot.everything" },
			"parameter code":  func(e *eventlog.Entry) { e.Params = map[string]string{"code": "4711"} },
			"actor":           func(e *eventlog.Entry) { e.Actor = "ada@example.com" },
			"outcome":         func(e *eventlog.Entry) { e.Outcome = "perhaps" },
			"decided":         func(e *eventlog.Entry) { e.Decided = "broker" },
			"device":          func(e *eventlog.Entry) { e.Device = "d_2" },
			"parameter Delay": func(e *eventlog.Entry) { e.Params = map[string]string{"Delay": "none"} },
		} {
			e := entry("d_1")
			spoil(&e)
			err := db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error { return eventlog.Append(ctx, tx, e) })
			var field *eventlog.FieldError
			if !errors.As(err, &field) || field.Field != name {
				t.Errorf("%s: Append = %v", name, err)
			}
		}
	})
}

func TestActorsOfTheCloudAreReferences(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, ref := range []string{cloud.NewID("u_"), cloud.SystemRef, cloud.LocalRef} {
			add(t, db, eventlog.Entry{Actor: ref, Action: string(policy.AgentEnroll), Org: "o_1", Outcome: eventlog.Done})
		}
	})
}
