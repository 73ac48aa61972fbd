package eventlog_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// Actions of these tests alone.
var (
	ownersOnly = eventlog.Declare("test.owner", eventlog.ByOwner)
	actorsOnly = eventlog.Declare("test.actor", eventlog.ByActor)
)

// seen lists the requests of the entries of a view, newest first.
func seen(t testing.TB, db *store.DB, v eventlog.View, f eventlog.Filter) (out []string) {
	t.Helper()
	must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		list, err := eventlog.List(ctx, tx, v, f, nil, 100)
		out = nil
		for _, l := range list {
			out = append(out, l.Request)
		}
		return err
	}))
	return out
}

func TestLOG7WhoSeesWhat(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		register(t, db, "d_1", "o_1", "a_ada")
		register(t, db, "d_2", "o_1", "a_carl")
		at := func(e eventlog.Entry, minutes int, request string) eventlog.Entry {
			e.At, e.Request, e.Outcome = noon.Add(time.Duration(minutes)*time.Minute), request, eventlog.Done
			if e.Action != string(policy.RebootUPS) {
				e.Params = nil
			}
			return e
		}
		owner, enrol := entry("d_1"), eventlog.Entry{Org: "o_1", Actor: "u_ada", Action: string(policy.AgentEnroll)}
		owner.Action = ownersOnly
		own := eventlog.Entry{Org: "o_1", Actor: "u_ada", Action: actorsOnly}
		late := at(entry("d_1"), 1, "late")
		late.Arrived = noon.Add(9 * time.Minute)
		add(
			t, db, at(entry("d_1"), 1, "first"), at(owner, 2, "owner"), at(entry("d_1"), 5, "second"), late,
			at(entry("d_2"), 3, "carl's"), at(enrol, 4, "enrol"), at(own, 6, "own"), at(eventlog.Entry{Actor: "system", Action: string(policy.AgentEnroll)}, 7, "cloud"),
		)
		for name, row := range map[string]struct {
			view eventlog.View
			f    eventlog.Filter
			want string
		}{
			"the owner":                    {eventlog.View{Device: "d_1", Owner: true}, eventlog.Filter{}, "second owner late first"},
			"a shared user":                {eventlog.View{Device: "d_1"}, eventlog.Filter{}, "second late first"},
			"a shared user, from noon + 5": {eventlog.View{Device: "d_1", Since: noon.Add(5 * time.Minute)}, eventlog.Filter{}, "second"},
			"a member who owns it":         {eventlog.View{Org: "o_1", Account: "a_ada", Actor: "u_ada"}, eventlog.Filter{}, "own second enrol owner late first"},
			"a colleague":                  {eventlog.View{Org: "o_1", Account: "a_carl", Actor: "u_carl"}, eventlog.Filter{}, "enrol carl's"},
			"a member without devices":     {eventlog.View{Org: "o_1", Account: "a_eve", Actor: "u_eve"}, eventlog.Filter{}, "enrol"},
			"somebody else":                {eventlog.View{Org: "o_2", Account: "a_bob", Actor: "u_bob"}, eventlog.Filter{}, ""},
			"nobody":                       {eventlog.View{}, eventlog.Filter{}, ""},
			"from and to":                  {eventlog.View{Device: "d_1", Owner: true}, eventlog.Filter{From: noon.Add(2 * time.Minute), To: noon.Add(5 * time.Minute)}, "owner"},
			"of another device":            {eventlog.View{Org: "o_1", Account: "a_ada", Actor: "u_ada"}, eventlog.Filter{Device: "d_2"}, ""},
			"by action":                    {eventlog.View{Device: "d_1", Owner: true}, eventlog.Filter{Action: ownersOnly, Outcome: eventlog.Done, Actor: "u_ada"}, "owner"},
		} {
			if got := strings.Join(seen(t, db, row.view, row.f), " "); got != row.want {
				t.Errorf("%s sees %q, want %q", name, got, row.want)
			}
		}
	})
}

func TestLOG6WhatArrivesLateHasItsPlaceByItsOwnTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		register(t, db, "d_1", "o_1", "a_ada")
		for i, minute := range []int{10, 3, 7, 3} {
			e := entry("d_1")
			e.At, e.Arrived, e.Decided = noon.Add(time.Duration(minute)*time.Minute), noon.Add(20*time.Minute), eventlog.ByAgent
			e.Request = fmt.Sprintf("%d:%d", minute, i)
			add(t, db, e)
		}
		if got := strings.Join(seen(t, db, eventlog.View{Device: "d_1"}, eventlog.Filter{}), " "); got != "10:0 7:2 3:3 3:1" {
			t.Errorf("%q", got)
		}
	})
}

func TestLOG2AnEntryHasAllThatIsAsked(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		register(t, db, "d_1", "o_1", "a_ada")
		e := entry("d_1")
		e.Arrived, e.Reason, e.Outcome, e.Decided = noon.Add(time.Second), policy.Busy, eventlog.Refused, eventlog.ByAgent
		add(t, db, e)
		after := entry("d_1")
		after.At = noon.Add(25 * time.Hour)
		add(t, db, after)
		must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			list, err := eventlog.List(ctx, tx, eventlog.View{Device: "d_1"}, eventlog.Filter{}, nil, 10)
			must(t, err)
			l := list[1].Line("Ada")
			l.Hash, l.Previous = "", ""
			want := eventlog.Line{
				Time: "2026-03-01T12:00:00.000Z", Arrived: "2026-03-01T12:00:01.000Z", Device: "d_1", Org: "o_1", Epoch: 1, Number: 1, Actor: "u_ada", Name: "Ada", Role: "owner",
				Action: "reboot.ups", Params: map[string]string{"delay": "none"}, Outcome: "refused", Reason: "BUSY", Plan: "advanced", Decided: "agent", Request: "r1",
			}
			if a, b := fmt.Sprint(l), fmt.Sprint(want); a != b {
				t.Errorf("%s\nwant %s", a, b)
			}
			if list[0].Plan != policy.Basic {
				t.Errorf("the plan after its end: %s", list[0].Plan)
			}
			return nil
		}))
	})
}

func TestDEL5ANameGoesAndTheChainHolds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		register(t, db, "d_1", "o_1", "a_ada")
		add(t, db, entry("d_1"))
		exec(
			t, db, `INSERT INTO organisations (id, name, created_at) VALUES ('o_1', 'Org', 1)`,
			`INSERT INTO accounts (id, identity, actor, org, name, created_at) VALUES ('a_ada', 's_1', 'u_ada', 'o_1', 'Ada', 1)`,
		)
		name := func() string {
			t.Helper()
			var out string
			must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				list, err := eventlog.List(ctx, tx, eventlog.View{Device: "d_1"}, eventlog.Filter{}, nil, 1)
				must(t, err)
				lines, err := eventlog.Lines(ctx, tx, list)
				out = lines[0].Name
				return err
			}))
			return out
		}
		if got := name(); got != "Ada" {
			t.Errorf("called %q", got)
		}
		exec(t, db, `DELETE FROM accounts WHERE id = 'a_ada'`)
		if got := name(); got != eventlog.DeletedUser {
			t.Errorf("after the account has gone: called %q", got)
		}
		if r := verify(t, db, eventlog.Options{}); !r.OK() {
			t.Errorf("%+v", r.Findings)
		}
		for _, ref := range []string{cloud.SystemRef, cloud.LocalRef} {
			must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				if got, err := (eventlog.Names{}).Of(ctx, tx, ref); err != nil || got == eventlog.DeletedUser {
					t.Errorf("%s is called %q, %v", ref, got, err)
				}
				return nil
			}))
		}
	})
}

func TestT54NoTextOfAnExportIsAFormula(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		register(t, db, "d_1", "o_1", "a_ada")
		bad := []string{"=1+1", "+1", "-1", "@x", "|x", "\t=1", "  =1", "a\r\n=1", "\"a\",=b", "<script>", "\x00", "\xff", "\u202ex", "＝1", strings.Repeat("ü", 200)}
		for _, text := range bad {
			e := eventlog.Entry{Device: "d_1", At: noon, Actor: "u_ada", Action: string(policy.ConfigureLabel), Outcome: eventlog.Done, Request: text, Params: map[string]string{"new": text, "old": text}}
			add(t, db, e)
		}
		var out bytes.Buffer
		must(t, eventlog.Export(t.Context(), db, &out, eventlog.CSV, eventlog.View{Device: "d_1"}, eventlog.Filter{}, ""))
		rows, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(rows) != len(bad)+1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		for _, row := range rows[1:] {
			for _, field := range row {
				if trimmed := strings.TrimLeft(field, " "); strings.ContainsAny(field, "\r\n\t\x00\u202e") || trimmed != "" && strings.ContainsRune("=+-@|＝", []rune(trimmed)[0]) {
					t.Errorf("the field %q", field)
				}
			}
		}
		out.Reset()
		must(t, eventlog.Export(t.Context(), db, &out, eventlog.JSON, eventlog.View{Device: "d_1"}, eventlog.Filter{}, "head"))
		if !json.Valid(out.Bytes()) || bytes.Contains(out.Bytes(), []byte("<script>")) {
			t.Errorf("as JSON: %s", out.Bytes())
		}
	})
}

func TestLOG8AnExportHasEveryEntryOnceInOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		register(t, db, "d_1", "o_1", "a_ada")
		const n = 1203 // three pages, the last one short
		var entries []eventlog.Entry
		for i := range n {
			e := entry("d_1")
			e.At = noon.Add(time.Duration(i/7) * time.Second)
			entries = append(entries, e)
		}
		add(t, db, entries...)
		var out bytes.Buffer
		must(t, eventlog.Export(t.Context(), db, &out, eventlog.JSON, eventlog.View{Device: "d_1"}, eventlog.Filter{}, "head"))
		var got struct {
			Head     string
			Complete bool
			Entries  []eventlog.Line
		}
		must(t, json.Unmarshal(out.Bytes(), &got))
		if len(got.Entries) != n || !got.Complete || got.Head != "head" {
			t.Fatalf("%d entries, complete %v", len(got.Entries), got.Complete)
		}
		for i, l := range got.Entries {
			if l.Number != int64(i+1) {
				t.Fatalf("entry %d has number %d", i, l.Number)
			}
		}
	})
}

// sumOf makes the hash of an entry from what an export says of it, by DESIGN.md alone.
func sumOf(l *eventlog.Line) string {
	var b []byte
	text := func(s string) { b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...) }
	ms := func(s string) {
		at, _ := time.Parse(time.RFC3339, s)
		b = binary.BigEndian.AppendUint64(b, uint64(at.UnixMilli()))
	}
	b = append(b, "upsedge event log entry 1"...)
	b = append(b, 0)
	previous, _ := hex.DecodeString(l.Previous)
	b = append(b, previous...)
	chain, arrived := "cloud", l.Time
	if l.Org != "" {
		chain = l.Org
	}
	if l.Device != "" {
		chain = l.Device
	}
	if l.Arrived != "" {
		arrived = l.Arrived
	}
	text(chain)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Number))
	b = binary.BigEndian.AppendUint32(b, l.Epoch)
	text(l.Org)
	text(l.Device)
	ms(l.Time)
	ms(arrived)
	for _, s := range []string{l.Actor, l.Role, l.Action, l.Outcome, l.Reason, l.Request, l.Plan, l.Decided} {
		text(s)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Params)))
	for _, name := range slices.Sorted(maps.Keys(l.Params)) {
		text(name)
		text(l.Params[name])
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestTheHashIsWhatTheDocumentSays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		history(t, db, 3)
		e := entry("d_1")
		e.Action, e.Params = string(policy.ConfigureLabel), map[string]string{"field": "name", "old": "", "new": "Ü & \"<x>\""}
		add(t, db, e)
		var lines []eventlog.Line
		must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			list, err := eventlog.List(ctx, tx, eventlog.View{Org: "o_1", Account: "a_ada", Actor: "u_ada"}, eventlog.Filter{}, nil, 100)
			must(t, err)
			lines, err = eventlog.Lines(ctx, tx, list)
			return err
		}))
		if len(lines) != 6 {
			t.Fatalf("%d lines", len(lines))
		}
		for i := range lines {
			if got := sumOf(&lines[i]); got != lines[i].Hash {
				t.Errorf("%+v: by the document %s", lines[i], got)
			}
		}
	})
}

func TestCleanKeepsOneLineOfPrintableCharacters(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"rack ä 漢":               "rack ä 漢",
		"a\x00b\nc\xff\u202ed":   "a\ufffdb\ufffdc\ufffd\ufffdd",
		strings.Repeat("x", 256): strings.Repeat("x", 256),
		strings.Repeat("x", 257): strings.Repeat("x", 253) + "…",
		strings.Repeat("ü", 200): strings.Repeat("ü", 126) + "…",
	} {
		if got := eventlog.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}
