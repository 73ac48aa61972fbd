package wire

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/ups"
)

func goldenResult(t *testing.T) Result {
	return Result{
		Order: mustID(t, "01020300000000000000000000000000"), Device: "AS1234567890", Unit: "rack-a", Action: "reboot.ups", State: OrderRunning, Progress: 40,
		Detail: "output off, waits for its stay-off time", Actor: "u_7Fq", Role: "owner", Plan: "advanced",
		Raw: []ups.RawValue{{Point: ups.StatusFlags, Raw: 0x10}},
	}
}

func TestResultMessage(t *testing.T) {
	r := goldenResult(t)
	body, err := EncodeResult(r)
	if err != nil {
		t.Fatal(err)
	}
	rec := goldenRecord(t, Events, ClassResult, body)
	msg, err := EventMessage(nil, "box-7", rec)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "result.json", append(msg, '\n'))
	p, err := DecodeEventMessage(msg)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&PublishedEvent{Agent: "box-7", Record: rec, ClassName: "result", Result: &r}, p); d != "" {
		t.Errorf("-sent +read:\n%s", d)
	}
	if unit, ok := UnitOf(ClassResult, body); unit != "rack-a" || !ok || rec.Class.Leaf() != TopicResults {
		t.Errorf("of unit %q, %v, on %s", unit, ok, rec.Class.Leaf())
	}
}

func TestResultsThatBreakTheFormatAreRefused(t *testing.T) {
	good := goldenResult(t)
	if _, err := EncodeResult(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Result){
		"no order": func(r *Result) { r.Order = ID{} }, "no device": func(r *Result) { r.Device = "" }, "no action": func(r *Result) { r.Action = "" },
		"no actor": func(r *Result) { r.Actor = "" }, "no role": func(r *Result) { r.Role = "" }, "state": func(r *Result) { r.State = "finished" },
		"refused without a reason": func(r *Result) { r.State = OrderRefused }, "progress": func(r *Result) { r.Progress = 101 },
		"long": func(r *Result) { r.Actor = strings.Repeat("a", 257) },
	} {
		r := good
		spoil(&r)
		if b, err := EncodeResult(r); err == nil {
			t.Errorf("%s: %s", name, b)
		}
	}
	body, err := EncodeResult(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"order", "device", "action", "state", "actor", "role"} {
		if r, err := DecodeResult([]byte(strings.Replace(string(body), `"`+field+`"`, `"x`+field+`"`, 1))); err == nil {
			t.Errorf("without %s: %+v", field, r)
		}
	}
}

func TestFinalStates(t *testing.T) {
	var final []string
	for _, s := range OrderStates {
		if s.Final() {
			final = append(final, string(s))
		}
	}
	if got := strings.Join(final, " "); got != "refused done failed cancelled expired unknown" {
		t.Errorf("final: %s", got)
	}
}
