package wire

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/ups"
)

var update = flag.Bool("update", false, "write testdata and POINTS.md anew; a shipped version must not change")

// golden compares got with the file, as bytes.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "v1", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-file +got):\n%s", path, d)
	}
}

func mustID(t *testing.T, text string) (id ID) {
	t.Helper()
	if err := id.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return id
}

func goldenStamp(t *testing.T) Stamp {
	return Stamp{
		BootID: mustID(t, "3b0e5c9a7f214d6e8a90b1c2d3e4f506"), Mono: 7302*time.Second + 250133*time.Microsecond,
		Wall: time.Date(2026, 3, 1, 9, 30, 0, 125e6, time.UTC),
	}
}

func goldenRecord(t *testing.T, lane Lane, class Class, payload []byte) Record {
	return Record{
		Stream: mustID(t, "9f86d081884c7d659a2feaa0c55ad015"), Lane: lane, Seq: 1041, Class: class, Boot: 12,
		Stamp: goldenStamp(t), Payload: payload,
	}
}

func goldenEvent() ups.Event {
	return ups.Event{
		ID: 101, Kind: ups.Raise, Severity: ups.Warning, Unit: "rack-a", Device: "AS1234567890", Text: "UPS on battery",
		Detail: "LowInputVoltage, input < 180 V", Raw: []ups.RawValue{{Point: ups.StatusFlags, Raw: 0x44}, {Point: ups.StatusCause, Raw: 2}, {Point: ups.Efficiency, Raw: -4}, {Point: ups.InputVoltage, Raw: ups.Absent}},
		Unconfirmed: true,
	}
}

// goldenClear is the end of an alarm of an outlet group, found when communication came back.
func goldenClear() ups.Event {
	return ups.Event{
		ID: 604, Kind: ups.Clear, Severity: ups.Warning, Unit: "rack-a", Device: "AS1234567890", Text: "Outlet group shutting down",
		Raw: []ups.RawValue{{Point: ups.SOG0Outlet, Raw: 2}}, Group: ups.SOG0, GroupName: "Servers", Inferred: true, RaisedBy: 7,
	}
}

func goldenGaps(t *testing.T) (one, two Gap) {
	from := goldenStamp(t)
	to := Stamp{BootID: mustID(t, "00112233445566778899aabbccddeeff"), Mono: 41250 * time.Millisecond}
	return Gap{Lane: Samples, First: 17, Last: 40, Reason: GapQuota}, Gap{Unit: "rack-a", From: from, To: to, Reason: GapCrash}
}

func TestGoldenEvents(t *testing.T) {
	one, two := goldenGaps(t)
	alarm, err := EncodeEvent(goldenEvent())
	if err != nil {
		t.Fatal(err)
	}
	over, err := EncodeEvent(goldenClear())
	if err != nil {
		t.Fatal(err)
	}
	gapOne, err := EncodeGap(one)
	if err != nil {
		t.Fatal(err)
	}
	gapTwo, err := EncodeGap(two)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		file    string
		class   Class
		body    []byte
		trusted bool
	}{{"event-alarm.json", ClassAlarm, alarm, true}, {"event-group.json", ClassAlarm, over, true}, {"gap-one.json", ClassGap, gapOne, true}, {"gap-two.json", ClassGap, gapTwo, false}} {
		r := goldenRecord(t, Events, row.class, row.body)
		if !row.trusted {
			r.Stamp.Wall = time.Time{}
		}
		msg, err := EventMessage(nil, "box-7", r)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, row.file, append(msg, '\n'))
		p, err := DecodeEventMessage(msg)
		if err != nil {
			t.Fatalf("%s: %v", row.file, err)
		}
		if d := cmp.Diff(r, p.Record); d != "" {
			t.Errorf("%s (-put +decoded):\n%s", row.file, d)
		}
	}
}

func goldenStates(t *testing.T) map[string]*State {
	nonce := mustID(t, "0f1e2d3c4b5a69788796a5b4c3d2e1f0")
	full := &FullState{
		Agent: "box-7", Stream: mustID(t, "9f86d081884c7d659a2feaa0c55ad015"), Boot: 12, Now: goldenStamp(t),
		Units: []UnitState{
			{Unit: "rack-a", Serial: "AS1234567890", Model: "Smart-UPS 1500", Firmware: "UPS 04.1", Condition: ups.OnBattery | ups.LowBattery, Alarms: []ups.AlarmID{101, 201}, Since: goldenStamp(t)},
			{Unit: "rack-b", Condition: ups.Stale, Alarms: []ups.AlarmID{801}, Since: Stamp{BootID: mustID(t, "00112233445566778899aabbccddeeff"), Mono: time.Second}, Epoch: 3, PlanVersion: 7, GrantVersion: 9},
		},
		Allow: []string{"diagnostics"},
	}
	silent := *full
	silent.Units = []UnitState{{
		Unit: "rack-a", Condition: ups.OnBattery | ups.Stale | ups.CriticalUnknown, Alarms: []ups.AlarmID{101, 604, 802},
		Unconfirmed: []ups.AlarmID{101, 604}, Since: goldenStamp(t),
	}}
	cloud := *full
	cloud.Units = slices.Clone(full.Units)
	cloud.Units[1].Drops = &Drops{Wait: 93 * time.Second, Left: 11}
	cloud.Rules = &OrderRules{Hours: "22:00-06:00", Zone: -150 * time.Minute, MinInterval: 2 * time.Minute, DailyMax: 12}
	cloud.Clock, cloud.ClockError, cloud.Alarms = ClockHoldover, 1500*time.Millisecond, []ups.AlarmID{820, 831}
	cloud.Lanes = [2]Waiting{{First: 4, Last: 1041}, {First: 90001, Last: 90000}}
	return map[string]*State{
		"state-cloud.json":  {Session: 43, Online: true, Nonce: nonce, Version: "0.1.0", Full: &cloud},
		"state-silent.json": {Session: 42, Online: true, Nonce: nonce, Version: "0.1.0", Full: &silent},
		"state-first.json":  {Session: 42, Online: true, Nonce: nonce, Version: "0.1.0"},
		"state-full.json":   {Session: 42, Online: true, Nonce: nonce, Version: "0.1.0", Full: full},
		"state-will.json":   {Session: 42},
	}
}

func TestGoldenStates(t *testing.T) {
	for file, s := range goldenStates(t) {
		msg, err := EncodeState(s)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, file, append(msg, '\n'))
		back, err := DecodeState(msg)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if d := cmp.Diff(s, back); d != "" {
			t.Errorf("%s (-encoded +decoded):\n%s", file, d)
		}
	}
}

// TestGoldenBlocks holds the format: these bytes decode to this print. What the encoder makes of the same rows may become
// smaller, so that its bytes are compared only by what they say.
func TestGoldenBlocks(t *testing.T) {
	e, s, tr := NewEncoder(), &Schemas{}, newTrace(1, true)
	for _, name := range []string{"block-inline", "block-hash", "picture"} {
		b := tr.block(2 * time.Second)
		encode := e.Encode
		if name == "picture" {
			encode, s = e.EncodeAlone, &Schemas{}
		}
		body, err := encode(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		r := goldenRecord(t, Samples, ClassSamples, body)
		if name == "picture" {
			r = goldenRecord(t, Events, ClassPicture, PicturePayload(1041, body))
			r.Seq = 1042
		}
		r.Stamp.Mono = time.Duration(b.Sections[0].At[0]) * time.Millisecond
		msg, err := SampleMessage(nil, "box-7", r)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "v1", name+".hex")
		if *update {
			golden(t, name+".hex", []byte(wrap(hex.EncodeToString(msg))))
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		old, err := hex.DecodeString(strings.Join(strings.Fields(string(file)), ""))
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Decode(old)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if d := cmp.Diff(b, p.Block); d != "" {
			t.Errorf("%s (-rows +decoded):\n%s", path, d)
		}
		if p.Record.Lane != r.Lane || p.Record.Class != r.Class || p.Record.Seq != r.Seq || (p.Event == 1041) != (name == "picture") {
			t.Errorf("%s: %v record %d of lane %v, of event %d", path, p.Record.Class, p.Record.Seq, p.Record.Lane, p.Event)
		}
		var text bytes.Buffer
		if err := p.Print(&text); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".txt", text.Bytes())
	}
}

func wrap(s string) string {
	var b strings.Builder
	for len(s) > 96 {
		b.WriteString(s[:96] + "\n")
		s = s[96:]
	}
	return b.String() + s + "\n"
}
