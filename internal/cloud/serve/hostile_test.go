package serve

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/order"
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

// A victim is a whole control plane in which ada owns the unit AS1 behind the agent g_ada and has ordered something of it, and eve, of another
// organisation, has the agent g_eve with the unit EV1.
type victim struct {
	*Server
	t        testing.TB
	ada, eve *device.Device
	order    *order.Order
	seq      uint64 // of records of g_eve
}

func newVictim(t *testing.T, db store.Config) *victim {
	cfg, err := Parse("cloud.yaml", []byte("data_dir: "+t.TempDir()+"\nname: 127.0.0.1\nhttps: {listen: \"127.0.0.1:0\"}\nmqtt: {listen: \"127.0.0.1:0\"}\nmetrics: {listen: \"\"}\n"))
	must(t, err)
	cfg.Database = db
	_, err = authority.Init(cfg.DataDir, []string{"127.0.0.1"})
	must(t, err)
	s, err := Open(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { _ = s.close() })
	v := &victim{Server: s, t: t}
	v.write(func(ctx context.Context, tx *store.Tx) error {
		for i, name := range []string{"ada", "eve"} {
			if _, err := tx.Exec(ctx, `INSERT INTO enrolled_agents (agent, org, name, public_key, enrolled_at) VALUES ($1, $2, '', $3, 1)`,
				"g_"+name, "o_"+name, []byte{byte(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	v.take(v.state("g_ada", "AS1", nil))
	v.take(v.state("g_eve", "EV1", nil))
	v.ada, v.eve = v.register("ada", "AS1"), v.register("eve", "EV1")
	v.write(func(ctx context.Context, tx *store.Tx) error {
		made, err := v.orders.Create(ctx, tx, actorOf("ada"), order.Request{Device: v.ada.ID, Action: policy.DiagnosticsRun, Params: map[string]string{"test": "self"}})
		if err == nil {
			v.order = made.Order
		}
		return err
	})
	return v
}

func actorOf(name string) cloud.Actor {
	return cloud.Actor{Ref: "u_" + name, Account: "a_" + name, Org: "o_" + name, Request: "r_1"}
}

func (v *victim) write(fn func(ctx context.Context, tx *store.Tx) error) {
	v.t.Helper()
	must(v.t, v.db.Write(v.t.Context(), fn))
}

func (v *victim) register(name, serial string) (d *device.Device) {
	v.t.Helper()
	v.write(func(ctx context.Context, tx *store.Tx) (err error) {
		d, err = v.devices.Register(ctx, tx, actorOf(name), device.Registration{Serial: serial})
		return err
	})
	return d
}

// take has messages stored in one transaction.
func (v *victim) take(messages ...ingest.Message) {
	v.t.Helper()
	if _, err := v.receiver.Take(v.t.Context(), messages); err != nil {
		v.t.Errorf("%.300s: %v", messages[len(messages)-1].Payload, err)
	}
}

// state is a full state of an agent with one unit, as change leaves it.
func (v *victim) state(agent, serial string, change func(u *wire.UnitState)) ingest.Message {
	v.t.Helper()
	u := wire.UnitState{Unit: "rack-a", Serial: serial, Model: "Smart-UPS", Firmware: "09.3", Condition: ups.Online}
	if change != nil {
		change(&u)
	}
	f := &wire.FullState{Agent: agent, Stream: wire.ID{1, agent[2]}, Boot: 1, Units: []wire.UnitState{u}, Now: wire.Stamp{BootID: wire.ID{2}, Mono: time.Second}}
	b, err := wire.EncodeState(&wire.State{Session: 1, Online: true, Nonce: wire.ID{3, agent[2]}, Version: "1", Full: f})
	must(v.t, err)
	return ingest.Message{Topic: wire.Topic(agent, wire.TopicState), Payload: b}
}

// record is the next record of g_eve.
func (v *victim) record(class wire.Class, epoch uint32, body []byte) ingest.Message {
	v.t.Helper()
	v.seq++
	r := wire.Record{
		Stream: wire.ID{1, 'e'}, Lane: wire.Events, Seq: v.seq, Class: class, Epoch: epoch, Boot: 1,
		Stamp: wire.Stamp{BootID: wire.ID{2}, Mono: time.Second, Wall: time.Now()}, Payload: body,
	}
	b, err := wire.EventMessage(nil, "g_eve", r)
	must(v.t, err)
	return ingest.Message{Topic: wire.Topic("g_eve", class.Leaf()), Payload: b}
}

// count asks how many rows a query finds.
func (v *victim) count(query string, args ...any) (n int) {
	v.t.Helper()
	must(v.t, v.db.Read(v.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.QueryRow(ctx, query, args...).Scan(&n)
	}))
	return n
}

// hers is everything the control plane has of ada and her unit, as text.
func (v *victim) hers() string {
	v.t.Helper()
	var out bytes.Buffer
	must(v.t, v.db.Read(v.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		out.Reset()
		for _, query := range []string{
			`SELECT * FROM devices WHERE org = 'o_ada'`, `SELECT * FROM sightings WHERE agent = 'g_ada'`, `SELECT * FROM agent_presence WHERE agent = 'g_ada'`,
			`SELECT * FROM orders WHERE org = 'o_ada'`, `SELECT * FROM order_events WHERE order_id IN (SELECT id FROM orders WHERE org = 'o_ada')`, `SELECT * FROM order_agents WHERE agent = 'g_ada'`,
			`SELECT * FROM order_confirmed WHERE agent = 'g_ada'`, `SELECT * FROM event_log WHERE org = 'o_ada'`, `SELECT * FROM incidents`,
			`SELECT * FROM inventory WHERE device IN (SELECT id FROM devices WHERE org = 'o_ada')`, `SELECT * FROM serials WHERE serial = 'AS1'`,
		} {
			rows, err := tx.Query(ctx, query)
			if err != nil {
				return fmt.Errorf("%s: %w", query, err)
			}
			columns, _ := rows.Columns()
			for rows.Next() {
				row := make([]any, len(columns))
				to := make([]any, len(columns))
				for i := range row {
					to[i] = &row[i]
				}
				if err := rows.Scan(to...); err != nil {
					return err
				}
				fmt.Fprintf(&out, "%s: %v\n", query, row)
			}
			if err := rows.Close(); err != nil {
				return err
			}
		}
		return nil
	}))
	return out.String()
}

// TestT80AnAgentReachesNothingOfAnother: an agent with a certificate of its own reports the serial number of somebody else's unit, tells of
// their orders, and of alarms of their device: nothing of theirs changes, and nothing of it is shown to who owns that agent.
func TestT80AnAgentReachesNothingOfAnother(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, db store.Config) {
		v := newVictim(t, db)
		before := v.hers()
		v.take(v.state("g_eve", "AS1", func(u *wire.UnitState) {
			u.Epoch, u.GrantVersion, u.PlanVersion, u.Condition = 1, 99, 99, ups.OnBattery
		}))
		for _, epoch := range []uint32{0, 1, 2} {
			alarm, err := wire.EncodeEvent(ups.Event{ID: 101, Kind: ups.Raise, Severity: ups.Critical, Unit: "rack-a", Device: "AS1", Text: "forged"})
			must(t, err)
			v.take(v.record(wire.ClassAlarm, epoch, alarm))
			for _, state := range []wire.OrderState{wire.OrderAccepted, wire.OrderDone, wire.OrderRefused} {
				for _, id := range []wire.ID{v.order.ID, {7}} {
					for _, serial := range []string{"AS1", "EV1"} {
						r := wire.Result{Order: id, Device: serial, Unit: "rack-a", Action: "diagnostics.run", State: state, Actor: "u_ada", Role: "owner", Plan: "advanced"}
						if state == wire.OrderRefused {
							r.Reason = "PLAN_BASIC"
						}
						body, err := wire.EncodeResult(r)
						must(t, err)
						v.take(v.record(wire.ClassResult, epoch, body))
					}
				}
			}
		}
		if after := v.hers(); after != before {
			t.Errorf("what is ada's has changed from\n%s\nto\n%s", before, after)
		}
		must(t, v.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			if list, err := device.Unregistered(ctx, tx, "o_eve", "", "", 10); err != nil || len(list) != 0 {
				t.Errorf("eve is shown %+v, %v", list, err)
			}
			return nil
		}))
		if _, err := v.receiver.Take(t.Context(), nil); err != nil {
			t.Error(err)
		}
	})
}

// TestT30NoMessageOfAnAgentFailsInTheDatabase: what cannot be stored is tried again before it is set aside, and everybody waits meanwhile. So
// nothing that an agent can say may fail there.
func TestT30NoMessageOfAnAgentFailsInTheDatabase(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, db store.Config) {
		v := newVictim(t, db)
		for what, change := range map[string]func(u *wire.UnitState){
			"versions beyond 63 bits": func(u *wire.UnitState) { u.GrantVersion, u.PlanVersion = 1<<64-1, 1<<64-1 },
			"the highest epoch":       func(u *wire.UnitState) { u.Epoch = 1<<32 - 1 },
			"the character 0": func(u *wire.UnitState) {
				u.Serial, u.Unit, u.Model, u.Firmware = "a\x00b", "c\x00d", "e\x00f", "g\x00h"
			},
			"0 in a known unit": func(u *wire.UnitState) { u.Unit, u.Model, u.Firmware = "c\x00d", "e\x00f", "g\x00h" },
			"long texts": func(u *wire.UnitState) {
				u.Unit, u.Model, u.Serial = strings.Repeat("ä", 9999), strings.Repeat("ä", 9999), strings.Repeat("ä", 9999)
			},
			"long names of a known unit": func(u *wire.UnitState) { u.Unit, u.Model = strings.Repeat("ä", 9999), strings.Repeat("ä", 9999) },
			"no serial number":           func(u *wire.UnitState) { u.Serial = "" },
		} {
			t.Run(what, func(t *testing.T) {
				v.t = t
				v.take(v.state("g_eve", "EV1", change))
				if n := v.count(`SELECT COUNT(*) FROM inventory WHERE LENGTH(model) > 300 OR LENGTH(unit) > 300`); n != 0 {
					t.Error("the inventory of a device has texts without bounds")
				}
			})
		}
		v.t = t
	})
}

// TestT30NoRecordOfAnAgentFailsInTheDatabase is that for alarms and results, of the agent's own device and order and of none.
func TestT30NoRecordOfAnAgentFailsInTheDatabase(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, db store.Config) {
		v := newVictim(t, db)
		var own *order.Order
		v.write(func(ctx context.Context, tx *store.Tx) error {
			made, err := v.orders.Create(ctx, tx, actorOf("eve"), order.Request{Device: v.eve.ID, Action: policy.DiagnosticsRun, Params: map[string]string{"test": "self"}})
			if err == nil {
				own = made.Order
			}
			return err
		})
		texts := []string{"local", "system", "u_eve", "owner", "basic", "reboot.ups", "eventlog.read", "device.replaced", "local.action", "\u202e", "ä", strings.Repeat("ä", 2000), "a b", "../x", "-1"}
		states := []wire.OrderState{"received", "refused", "accepted", "running", "done", "failed", "cancelled", "expired", "unknown"}
		text := func() string { return texts[rand.IntN(len(texts))] }
		number := func() string {
			return []string{"0", "1", "100", "18446744073709551615", "9223372036854775807", "4294967295"}[rand.IntN(6)]
		}
		for range 200 {
			id := own.ID
			if rand.IntN(2) == 0 {
				id = wire.ID{byte(rand.IntN(200)), 9}
			}
			body := fmt.Sprintf(`{"order":%q,"device":"EV1","action":%q,"state":%q,"actor":%q,"role":%q,"plan":%q,"reason":%q,"detail":%q,"unit":%q,"progress":%d}`,
				id, text(), states[rand.IntN(len(states))], text(), text(), text(), text(), text(), text(), rand.IntN(101))
			class := wire.ClassResult
			if rand.IntN(2) == 0 {
				class = wire.ClassAlarm
				body = fmt.Sprintf(`{"event_id":%d,"kind":%q,"severity":"critical","unit":%q,"device":"EV1","text":%q,"detail":%q,"inferred":true`,
					1+rand.IntN(65000), []string{"raise", "clear", "event"}[rand.IntN(3)], text(), text(), text())
				if strings.Contains(body, `"kind":"clear"`) {
					body += `,"raised_by":` + number()
				}
				body += "}"
			}
			v.seq++
			r := wire.Record{
				Stream: wire.ID{1, 'e'}, Lane: wire.Events, Seq: v.seq, Class: class, Epoch: v.eve.Epoch, Boot: rand.Uint32(), Payload: []byte(body),
				Stamp: wire.Stamp{BootID: wire.ID{byte(rand.IntN(3))}, Mono: time.Duration(rand.Int64()) / time.Microsecond * time.Microsecond},
			}
			if rand.IntN(2) == 0 {
				r.Stamp.Wall = time.UnixMilli(rand.Int64N(9e12))
			}
			b, err := wire.EventMessage(nil, "g_eve", r)
			if err != nil {
				continue // it cannot be said
			}
			v.take(ingest.Message{Topic: wire.Topic("g_eve", class.Leaf()), Payload: b})
		}
		if n := v.count(`SELECT COUNT(*) FROM records WHERE lane IN (SELECT id FROM lanes WHERE agent = 'g_eve')`); n < 100 {
			t.Errorf("only %d records were taken: the test tries little", n)
		}
		if n := v.count(`SELECT COUNT(*) FROM incidents`); n == 0 {
			t.Error("no alarm was read")
		}
		var out bytes.Buffer
		if err := VerifyLog(t.Context(), v.cfg, "", "", &out); err != nil {
			t.Errorf("the event log: %v: %s", err, &out)
		}
	})
}

// TestT30AnAgentFillsNoTable: an agent that reports other units with each state leaves no more behind than one may have.
func TestT30AnAgentFillsNoTable(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, db store.Config) {
		v := newVictim(t, db)
		for i := range 20 {
			v.take(v.state("g_eve", fmt.Sprintf("X%d", i), func(u *wire.UnitState) { u.Epoch, u.GrantVersion = 1, 1 }))
		}
		if n := v.count(`SELECT COUNT(*) FROM order_confirmed WHERE agent = 'g_eve'`); n > 1 {
			t.Errorf("%d serial numbers are kept as confirmed of an agent with one device", n)
		}
	})
}
