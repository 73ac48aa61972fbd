package store

import (
	"errors"
	"fmt"
	"testing"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

func resultOf(t testing.TB, n uint64) Result {
	t.Helper()
	payload, err := wire.EncodeResult(wire.Result{
		Order: wire.ID{byte(n), byte(n >> 8), 1}, Device: "AS1", Unit: "rack-a", Action: "reboot.ups", State: wire.OrderDone, Actor: "u_1", Role: "owner",
		Detail: fmt.Sprint(n),
	})
	if err != nil {
		t.Fatal(err)
	}
	e := ups.Event{ID: 621, Kind: ups.Moment, Severity: ups.Informational, Text: "Command done", Unit: "rack-a", Device: "AS1"}
	return Result{Number: n, Unit: "rack-a", Epoch: 4, Stamp: wire.Stamp{BootID: wire.ID{9}}, Payload: payload, Events: []ups.Event{e}}
}

// classes counts what the events lane holds.
func classes(t testing.TB, s *Store) (results, alarms int) {
	t.Helper()
	for _, r := range all(t, s, wire.Events) {
		switch r.Class {
		case wire.ClassResult:
			results++
		case wire.ClassAlarm:
			alarms++
		}
	}
	return results, alarms
}

// TestAResultIsTakenOnce: what the journal hands over again after a crash is left out, by its number; another journal begins anew.
func TestAResultIsTakenOnce(t *testing.T) {
	dir := t.TempDir()
	s := reopen(t, dir, Options{})
	journal := wire.ID{1}
	put := func(of wire.ID, want int, numbers ...uint64) {
		t.Helper()
		var rs []Result
		for _, n := range numbers {
			rs = append(rs, resultOf(t, n))
		}
		if err := s.PutResults(t.Context(), of, rs); err != nil {
			t.Fatal(err)
		}
		if results, alarms := classes(t, s); results != want || alarms != want {
			t.Errorf("%v of %v: %d results and %d events, want %d", numbers, of[0], results, alarms, want)
		}
	}
	put(journal, 2, 1, 2)
	put(journal, 2, 1, 2)
	put(journal, 3, 2, 3)
	s.crash()
	s = reopen(t, dir, Options{})
	put(journal, 3, 1, 2, 3)
	if err := s.Ack(t.Context(), wire.Events, 6); err != nil { // delivered, and still known
		t.Fatal(err)
	}
	put(journal, 0, 3)
	put(journal, 1, 3, 7)
	put(wire.ID{2}, 2, 1)
	for _, i := range s.Crashed() {
		if i.Unit == takenName {
			t.Error("the journal counts as a unit that was interrupted")
		}
	}
}

// TestResultsAreNeverDropped: alarms and samples make room for them, and when nothing is left to drop they are refused.
func TestResultsAreNeverDropped(t *testing.T) {
	s := reopen(t, t.TempDir(), Options{MaxBytes: MinBytes})
	n := uint64(0)
	var err error
	for err == nil && n < 20_000 {
		n++
		err = s.PutResults(t.Context(), wire.ID{1}, []Result{resultOf(t, n)})
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("after %d results: %v", n, err)
	}
	if results, _ := classes(t, s); uint64(results) != n-1 {
		t.Errorf("%d of %d results are there", results, n-1)
	}
}
