package command

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

func specimen() *entry {
	return &entry{
		cmd: &trust.Command{
			Device: "AS1", Epoch: 4, ID: wire.ID{1}, Counter: 7, Nonce: wire.ID{2}, MaxAge: time.Minute, Action: "reboot.ups",
			Params: map[string]string{"delay": "none"}, Actor: "u_1", Role: "owner", Plan: "advanced", GrantVersion: 9, MFA: true,
			IssuedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		},
		unit: "rack-a", bound: true, plan: policy.Advanced, before: []byte(`{"v":1}`), state: wire.OrderUnknown, reason: policy.UPSUnreachable,
		detail: "it does not answer", raw: []ups.RawValue{{Point: ups.StatusFlags, Raw: 2}},
	}
}

func TestRowsComeBackAsTheyWereWritten(t *testing.T) {
	e := specimen()
	body, err := e.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeEntry(e.cmd.ID, numberOf(e.state), body)
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("%+v %+v, %v; want %+v %+v", got, got.cmd, err, e, e.cmd)
	}
	o := e.outgoing(wire.Stamp{BootID: wire.ID{3}, Mono: time.Hour, Wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
	o.Number = 5
	if body, err = encodeOutgoing(o); err != nil {
		t.Fatal(err)
	}
	if back, err := decodeOutgoing(5, body); err != nil || !reflect.DeepEqual(back, o) {
		t.Errorf("%+v, %v; want %+v", back, err, o)
	}
}

// FuzzRows: what a row may hold after its checksum was fooled is an error or a row, never a crash, and a row can be written again.
func FuzzRows(f *testing.F) {
	body, err := specimen().encode()
	if err != nil {
		f.Fatal(err)
	}
	out, err := encodeOutgoing(specimen().outgoing(wire.Stamp{}))
	if err != nil {
		f.Fatal(err)
	}
	b := &bind{Bind: Bind{Device: "AS1", Epoch: 4, Plan: "advanced"}, over: map[string]uint64{"u_1": 3}}
	bound, err := b.encode()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{body, out, bound, []byte(`{}`), []byte(`null`), []byte(`{"params":null,"raw":[{}]}`), []byte(`{"ended":{"":0}}`)} {
		f.Add(seed, int64(4))
	}
	f.Fuzz(func(t *testing.T, body []byte, state int64) {
		if e, err := decodeEntry(wire.ID{1}, state, body); err == nil {
			if _, err := e.encode(); err != nil && !strings.Contains(err.Error(), "year") {
				t.Errorf("%q: %v", body, err)
			}
			_ = asked(e.cmd)
			_ = e.result()
		}
		if o, err := decodeOutgoing(1, body); err == nil {
			if _, err := encodeOutgoing(o); err != nil && !strings.Contains(err.Error(), "year") {
				t.Errorf("%q: %v", body, err)
			}
			_, _ = EventOf(o.Result)
		}
		if b, err := decodeBind("AS1", body); err == nil {
			_ = b.stale("u_1", 1)
			b.shorten()
		}
	})
}

// FuzzParams: what an action takes is one of the few that FORMAT.md lists.
func FuzzParams(f *testing.F) {
	f.Add("reboot.ups", "delay", "none", "", "")
	f.Add("reboot.ups", "", "", "", "")
	f.Add("diagnostics.run", "test", "self", "delay", "none")
	f.Add("order.cancel", "order", "0102030405060708090a0b0c0d0e0f10", "", "")
	f.Fuzz(func(t *testing.T, action, k1, v1, k2, v2 string) {
		params := map[string]string{}
		if k1 != "" {
			params[k1] = v1
		}
		if k2 != "" {
			params[k2] = v2
		}
		if asked(&trust.Command{Action: action, Params: params}) != nil {
			return
		}
		ok := len(params) <= 1
		switch action {
		case "reboot.ups":
			d, given := params["delay"]
			ok = ok && (len(params) == 0 || given && (d == "none" || d == "configured"))
		case "diagnostics.run":
			ok = ok && params["test"] == "self"
		case "order.cancel":
			ok = ok && len(params["order"]) == 32
		default:
			ok = policy.Action(action).Command()
		}
		if !ok {
			t.Errorf("%s takes %v", action, params)
		}
	})
}

// TestEveryCommandOfTheMatrixIsAnAction: one that is missing would be UNKNOWN_ACTION though the cloud may order it.
func TestEveryCommandOfTheMatrixIsAnAction(t *testing.T) {
	for _, a := range policy.Actions() {
		if _, known := actions[a]; known != a.Command() {
			t.Errorf("%s: known %v, a command %v", a, known, a.Command())
		}
	}
}

// TestEDGE5ForgottenGrantsEndForEverybody: beyond the bound it gets stricter.
func TestEDGE5ForgottenGrantsEndForEverybody(t *testing.T) {
	b := &bind{over: map[string]uint64{}}
	for i := range maxEnded + 10 {
		b.over[string(rune('a'+i%26))+time.Duration(i).String()] = uint64(i + 1)
	}
	b.shorten()
	if len(b.over) > maxEnded || !b.stale("somebody", 9) || b.stale("somebody", 10) {
		t.Errorf("%d kept, floor %d", len(b.over), b.floor)
	}
}
