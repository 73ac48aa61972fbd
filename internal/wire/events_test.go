package wire

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"upsedge/internal/ups"
)

func anyEvent(t *rapid.T) ups.Event {
	e := ups.Event{
		ID: ups.AlarmID(rapid.Uint16Min(1).Draw(t, "id")), Kind: ups.EventKind(rapid.IntRange(1, 3).Draw(t, "kind")),
		Severity: ups.Severity(rapid.IntRange(1, 3).Draw(t, "severity")), Unit: rapid.String().Draw(t, "unit"),
		Device: rapid.String().Draw(t, "device"), Text: rapid.String().Draw(t, "text"), Detail: rapid.String().Draw(t, "detail"),
		Unconfirmed: rapid.Bool().Draw(t, "unconfirmed"), Inferred: rapid.Bool().Draw(t, "inferred"),
		Group: ups.Group(rapid.IntRange(0, int(ups.SOG3)).Draw(t, "group")),
	}
	if e.Group != ups.NoGroup {
		e.GroupName = rapid.String().Draw(t, "group name")
	}
	points := rapid.SliceOfNDistinct(rapid.SampledFrom(ups.Points()), 0, 6, rapid.ID).Draw(t, "points")
	for _, p := range points {
		raw := rapid.OneOf(rapid.Int64Range(math.MinInt64+1, math.MaxInt64), rapid.Int64Range(-9, 9), rapid.Just(int64(ups.Absent))).Draw(t, "raw")
		e.Raw = append(e.Raw, ups.RawValue{Point: p, Raw: raw})
	}
	if e.Kind == ups.Clear {
		e.RaisedBy = rapid.Uint64().Draw(t, "raised by")
	}
	return e
}

func anyGap(t *rapid.T) Gap {
	if rapid.Bool().Draw(t, "form one") {
		first := rapid.Uint64Min(1).Draw(t, "first")
		return Gap{
			Lane: rapid.SampledFrom(Lanes[:]).Draw(t, "lane"), First: first, Last: rapid.Uint64Min(first).Draw(t, "last"),
			Reason: rapid.SampledFrom([]GapReason{GapQuota, GapDamage, GapErasure}).Draw(t, "reason"),
		}
	}
	return Gap{Unit: rapid.StringMatching(`[a-z0-9-]{1,20}`).Draw(t, "unit"), From: anyStamp().Draw(t, "from"), To: anyStamp().Draw(t, "to"), Reason: GapCrash}
}

func TestEventsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t)
		body, err := EncodeEvent(e)
		if err != nil {
			t.Fatal(err)
		}
		r := anyRecord(t, Events, ClassAlarm, body)
		p := published(t, r)
		e.At = r.Stamp.Wall
		want := &PublishedEvent{Agent: "box-7", Record: r, ClassName: "alarm", Event: &e}
		if d := cmp.Diff(want, p, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("(-put +decoded):\n%s", d)
		}
		alone, err := DecodeEvent(body)
		if alone.At = e.At; err != nil || !cmp.Equal(alone, e, cmpopts.EquateEmpty()) {
			t.Fatalf("DecodeEvent = %+v, %v", alone, err)
		}
	})
}

func TestGapsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := anyGap(t)
		body, err := EncodeGap(g)
		if err != nil {
			t.Fatal(err)
		}
		r := anyRecord(t, Events, ClassGap, body)
		want := &PublishedEvent{Agent: "box-7", Record: r, ClassName: "gap", Gap: &g}
		if d := cmp.Diff(want, published(t, r)); d != "" {
			t.Fatalf("(-put +decoded):\n%s", d)
		}
		if alone, err := DecodeGap(body); err != nil || alone != g {
			t.Fatalf("DecodeGap = %+v, %v, want %+v", alone, err, g)
		}
	})
}

func published(t *rapid.T, r Record) *PublishedEvent {
	msg, err := EventMessage([]byte("before"), "box-7", r)
	if err != nil {
		t.Fatal(err)
	}
	p, err := DecodeEventMessage(msg[len("before"):])
	if err != nil {
		t.Fatalf("%v in %s", err, msg)
	}
	return p
}

func TestStatesComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &State{Session: rapid.Uint64Min(1).Draw(t, "session"), Online: rapid.Bool().Draw(t, "online")}
		if s.Online {
			s.Nonce, s.Version = anyID().Draw(t, "nonce"), rapid.String().Draw(t, "version")
			if rapid.Bool().Draw(t, "full") {
				s.Full = anyFullState(t)
			}
		}
		msg, err := EncodeState(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeState(msg)
		if err != nil {
			t.Fatalf("%v in %s", err, msg)
		}
		if d := cmp.Diff(s, back, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("(-encoded +decoded):\n%s", d)
		}
	})
}

func anyFullState(t *rapid.T) *FullState {
	s := &FullState{Agent: "box-7", Stream: anyID().Draw(t, "stream"), Boot: rapid.Uint32().Draw(t, "boot"), Now: anyStamp().Draw(t, "now")}
	s.Allow = rapid.SliceOfN(rapid.SampledFrom([]string{"alarms", "outlets"}), 0, 2).Draw(t, "allow")
	for range rapid.IntRange(0, 3).Draw(t, "units") {
		u := UnitState{
			Unit: rapid.String().Draw(t, "unit"), Serial: rapid.String().Draw(t, "serial"), Model: rapid.String().Draw(t, "model"),
			Firmware: rapid.String().Draw(t, "firmware"), Condition: ups.Status(rapid.Uint32Range(0, 1<<len(ups.StatusNames)-1).Draw(t, "condition")),
			Since: anyStamp().Draw(t, "since"), Epoch: rapid.Uint32().Draw(t, "epoch"),
			PlanVersion: rapid.Uint64().Draw(t, "plan"), GrantVersion: rapid.Uint64().Draw(t, "grant"),
		}
		for _, id := range rapid.SliceOfN(rapid.Uint16(), 0, 4).Draw(t, "alarms") {
			u.Alarms = append(u.Alarms, ups.AlarmID(id))
			if id%2 == 1 {
				u.Unconfirmed = append(u.Unconfirmed, ups.AlarmID(id))
			}
		}
		s.Units = append(s.Units, u)
	}
	return s
}

const goodEvent = `{"v":1,"agent":"box-7","stream":"9f86d081884c7d659a2feaa0c55ad015","lane":"events","seq":9,"epoch":0,"boot":1,` +
	`"boot_id":"3b0e5c9a7f214d6e8a90b1c2d3e4f506","mono":7.25,"time_trusted":false,"class":"alarm",` +
	`"event_id":101,"kind":"clear","severity":"warning","text":"x","raw":{"status":"0x44"},"raised_by":3}`

func TestBadEventMessagesAreRefused(t *testing.T) {
	if _, err := DecodeEventMessage([]byte(goodEvent)); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	for _, row := range []struct{ old, new, want string }{
		{`"v":1`, `"v":2`, "version 2"},
		{`"v":1`, `"V":1`, `"v" is missing`},
		{`"v":1,`, ``, `"v" is missing`},
		{`"seq":9`, `"seq":0`, "number 0"},
		{`"seq":9`, `"seq":null`, "null"},
		{`"seq":9`, `"seq":-1`, "seq"},
		{`"seq":9`, `"seq":9.5`, "seq"},
		{`"seq":9`, `"seq":"9"`, "seq"},
		{`"seq":9`, `"seq":18446744073709551616`, "seq"},
		{`"seq":9`, `"SEQ":9`, `"seq" is missing`},
		{`"seq":9`, `"seq":9,"seq":10`, "twice"},
		{`"epoch":0`, `"epoch":4294967296`, "epoch"},
		{`"lane":"events"`, `"lane":"samples"`, "lane"},
		{`"lane":"events"`, `"lane":"other"`, "lane"},
		{`"agent":"box-7"`, `"agent":"box/7"`, "agent id"},
		{`"stream":"9f`, `"stream":"9`, "stream"},
		{`"stream":"9f`, `"stream":"zz`, "stream"},
		{`"mono":7.25`, `"mono":-7.25`, "seconds"},
		{`"mono":7.25`, `"mono":7.1234567`, "seconds"},
		{`"mono":7.25`, `"mono":7e3`, "seconds"},
		{`"mono":7.25`, `"mono":9223372036855`, "seconds"},
		{`"time_trusted":false`, `"time_trusted":true`, "time_trusted"},
		{`"time_trusted":false`, `"time":"2026-03-01T09:30:00.125Z","time_trusted":false`, "time_trusted"},
		{`"time_trusted":false`, `"time":"yesterday","time_trusted":true`, "RFC 3339"},
		{`"time_trusted":false`, `"time":"0001-01-01T00:00:00Z","time_trusted":true`, "years"},
		{`"event_id":101`, `"event_id":0`, "event_id"},
		{`"event_id":101`, `"event_id":70000`, "event_id"},
		{`"kind":"clear"`, `"kind":"raise"`, "raised_by"},
		{`"kind":"clear"`, `"kind":"risen"`, "kind"},
		{`"severity":"warning"`, `"severity":"bad"`, "severity"},
		{`"text":"x"`, `"text":5`, "text"},
		{`"0x44"`, `"44"`, "0x"},
		{`"0x44"`, `"0x8000000000000000"`, "63 bits"},
		{`"0x44"`, `68`, "status"},
		{`{"status":"0x44"}`, `["0x44"]`, "raw"},
		{`"raised_by":3}`, `"raised_by":3}}`, "behind"},
		{`"raised_by":3}`, `"raised_by":3} {}`, "behind"},
		{`"raised_by":3}`, `"raised_by":3`, "EOF"},
		{`"text":"x"`, "\"text\":\"\xff\"", "UTF-8"},
		{`"class":"alarm"`, `"class":"gap"`, `"gap" is missing`},
		{`"class":"alarm"`, `"class":"gap","gap":{"reason":"quota"}`, "gap"},
		{`"class":"alarm"`, `"class":"gap","gap":{"lane":"samples","first":5,"last":4,"reason":"quota"}`, "gap from 5 to 4"},
		{`"class":"alarm"`, `"class":"gap","gap":{"lane":"samples","first":4,"last":5}`, "reason"},
	} {
		msg := strings.Replace(goodEvent, row.old, row.new, 1)
		p, err := DecodeEventMessage([]byte(msg))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s for %s: %+v, %v, want an error with %q", row.new, row.old, p, err, row.want)
		}
		var body *BodyError
		if kept := errors.As(err, &body); kept != (p != nil) || kept && (p.Event != nil || p.Gap != nil || p.Record.Seq != 9 || body.Seq != 9) {
			t.Errorf("%s for %s: %+v and %v", row.new, row.old, p, err)
		}
	}
}

func TestWhatIsNotKnownIsKept(t *testing.T) {
	msg := strings.NewReplacer(`"text":"x"`, `"text":"x","later":{"a":[1]}`, `"status":"0x44"`, `"status":"0x44","new_point":"0x1"`, `101`, `9999`).Replace(goodEvent)
	p, err := DecodeEventMessage([]byte(msg))
	if err != nil {
		t.Fatal(err)
	}
	if p.Event.ID != 9999 || len(p.Event.Raw) != 1 || !strings.Contains(string(p.Record.Payload), `"later":{"a":[1]}`) ||
		!strings.Contains(string(p.Record.Payload), `"new_point":"0x1"`) {
		t.Errorf("event %+v, payload %s", p.Event, p.Record.Payload)
	}
	p, err = DecodeEventMessage([]byte(strings.Replace(goodEvent, `"alarm"`, `"log"`, 1)))
	if err != nil || p.Record.Class != 0 || p.ClassName != "log" || p.Event != nil || p.Gap != nil || p.Record.Seq != 9 {
		t.Errorf("unknown class: %+v, %v, want the record alone", p, err)
	}
}

func TestVersionOfLaterMessagesIsTold(t *testing.T) {
	var v *VersionError
	if _, err := DecodeEventMessage([]byte(`{"v":7}`)); !errors.As(err, &v) || v.Version != 7 {
		t.Errorf("events: %v", err)
	}
	if _, err := DecodeState([]byte(`{"v":7}`)); !errors.As(err, &v) || v.Version != 7 {
		t.Errorf("state: %v", err)
	}
	if _, err := new(Schemas).Decode([]byte("UPS\x07 and whatever comes")); !errors.As(err, &v) || v.Version != 7 {
		t.Errorf("samples: %v", err)
	}
}

func TestWritersRefuseWhatReadersWould(t *testing.T) {
	good := Record{Lane: Events, Seq: 1, Class: ClassAlarm, Payload: []byte(`{"event_id":1}`)}
	for name, change := range map[string]func(*Record){
		"no number":       func(r *Record) { r.Seq = 0 },
		"lane":            func(r *Record) { r.Lane = Samples },
		"class":           func(r *Record) { r.Class = ClassSamples },
		"body":            func(r *Record) { r.Payload = []byte(`{"event_id":1`) },
		"number in body":  func(r *Record) { r.Payload = []byte(`{"seq":1}`) },
		"before the boot": func(r *Record) { r.Stamp.Mono = -time.Second },
		"year":            func(r *Record) { r.Stamp.Wall = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		r := good
		if change(&r); !failsWithoutOutput(EventMessage([]byte("x"), "a", r)) {
			t.Errorf("%s: no error, or output", name)
		}
	}
	if !failsWithoutOutput(EventMessage([]byte("x"), "a/b", good)) {
		t.Error("agent: no error")
	}
	for _, e := range []ups.Event{
		{},
		{ID: 1, Kind: 9, Severity: 1},
		{ID: 1, Kind: ups.Raise, Severity: 9},
		{ID: 1, Kind: ups.Raise, Severity: 1, RaisedBy: 4},
		{ID: 1, Kind: ups.Raise, Severity: 1, Detail: strings.Repeat("x", maxBody)},
		{ID: 1, Kind: ups.Raise, Severity: 1, Raw: []ups.RawValue{{Point: 1}, {Point: 1}}},
	} {
		if b, err := EncodeEvent(e); err == nil {
			t.Errorf("EncodeEvent(%+v) = %s", e, b)
		}
	}
	for _, g := range []Gap{{}, {Lane: Samples, First: 2, Last: 1, Reason: "x"}, {Lane: 7, First: 1, Last: 1, Reason: "x"}, {Unit: "a"}, {Reason: "x"}} {
		if b, err := EncodeGap(g); err == nil {
			t.Errorf("EncodeGap(%+v) = %s", g, b)
		}
	}
}

func failsWithoutOutput(out []byte, err error) bool { return err != nil && string(out) == "x" }

func TestStatesThatAreNotAreRefused(t *testing.T) {
	full, err := EncodeState(goldenStates(t)["state-cloud.json"])
	if err != nil {
		t.Fatal(err)
	}
	for old, change := range map[string]string{
		`"trusted":true`: `"trusted":false`, `"allow":["d`: `"allow":["d",3,"`, `"since":{"boot_id"`: `"since":{"boot"`, `"agent":"box-7"`: `"agent":"+"`,
		`"alarms":[101`: `"alarms":[-1`, `"condition":["on_battery"`: `"condition":[1`, `"clock":{`: `"clock":{"trusted":true,`,
		`"error_ms":1500`: `"error_ms":-1`, `"alarms":[820`: `"alarms":["820"`, `"lanes":{"events"`: `"lanes":{"event"`,
		`"first":4,`: `"first":0,`, `"first":90001`: `"first":90002`, `"last":1041`: `"end":1041`,
	} {
		msg := strings.Replace(string(full), old, change, 1)
		if s, err := DecodeState([]byte(msg)); err == nil || msg == string(full) {
			t.Errorf("%s for %s: %+v", change, old, s)
		}
	}
	// An agent that says less of itself is understood, and a state of the clock from a later version taken for none.
	for _, less := range []string{`,"lanes":{"events":{"first":4,"last":1041},"samples":{"first":90001,"last":90000}}`, `,"alarms":[820,831]`, `"state":"holdover","error_ms":1500,`} {
		if _, err := DecodeState([]byte(strings.Replace(string(full), less, "", 1))); err != nil || !strings.Contains(string(full), less) {
			t.Errorf("without %s: %v", less, err)
		}
	}
	if s, err := DecodeState([]byte(strings.Replace(string(full), "holdover", "divined", 1))); err != nil || s.Full.Clock != ClockUnset {
		t.Errorf("an unknown state of the clock: %+v, %v", s, err)
	}
	for _, msg := range []string{
		``, `null`, `[]`, `{}`, `{"v":1}`, `{"v":1,"session":0,"online":false}`, `{"v":1,"session":4}`, `{"v":1,"session":4,"online":null}`,
		`{"v":1,"session":4,"nonce":"00","version":"x"}`,
		`{"v":1,"session":4,"nonce":"00000000000000000000000000000000","version":"x","units":[]}`,
		`{"v":1,"session":4,"nonce":"00000000000000000000000000000000","version":"x","units":{}}`,
	} {
		if s, err := DecodeState([]byte(msg)); err == nil {
			t.Errorf("%s: %+v", msg, s)
		}
	}
}

func TestAgentIDsAndTopics(t *testing.T) {
	for _, id := range []string{"a", "box-7", "A.b_c-9", strings.Repeat("x", 64)} {
		for _, l := range Leaves {
			agent, leaf, err := SplitTopic(Topic(id, l))
			if agent != id || leaf != l || err != nil {
				t.Errorf("%s %s: %q, %q, %v", id, l, agent, leaf, err)
			}
		}
	}
	for _, id := range []string{"", ".", "..", "a/b", "+", "#", "a b", "ä", "a\x00", strings.Repeat("x", 65)} {
		if CheckAgent(id) == nil {
			t.Errorf("agent id %q is taken", id)
		}
	}
	for _, topic := range []string{"", "upsedge/v1/a", "upsedge/v2/a/state", "upsedge/v1/a/state/x", "upsedge/v1//state", "upsedge/v1/a/other", "x/upsedge/v1/a/state"} {
		if a, l, err := SplitTopic(topic); err == nil {
			t.Errorf("topic %q: %q, %q", topic, a, l)
		}
	}
	if got := Topic("box-7", TopicSamples); got != "upsedge/v1/box-7/samples" {
		t.Errorf("Topic = %q", got)
	}
}
