package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// What Accepted was told is what a reader finds, whatever was put, dropped, damaged and repeated: the last word on each number.
func TestAcceptedIsToldWhatAReaderFinds(t *testing.T) {
	dir := fastDir(t)
	told := [3]map[uint64]wire.Record{wire.Events: {}, wire.Samples: {}}
	gone := [3]map[uint64]bool{wire.Events: {}, wire.Samples: {}}
	calls := 0
	o := Options{BootID: bootID, MaxBytes: MinBytes, Accepted: func(records []wire.Record) {
		calls++
		for _, r := range records {
			told[r.Lane][r.Seq] = r
			if r.Class == wire.ClassGap {
				g, err := wire.DecodeGap(r.Payload)
				must(t, err)
				for n := g.First; g.Lane != 0 && n <= g.Last; n++ {
					gone[g.Lane][n] = true
				}
			}
		}
	}}
	s := reopen(t, dir, o)
	compare := func() {
		t.Helper()
		for _, l := range wire.Lanes {
			found := make(map[uint64]bool)
			for _, r := range all(t, s, l) {
				found[r.Seq] = true
				if !reflect.DeepEqual(told[l][r.Seq], r) {
					t.Fatalf("told of %+v, found %+v", told[l][r.Seq], r)
				}
			}
			for n := range told[l] {
				if !found[n] && !gone[l][n] {
					t.Fatalf("number %d of %v was told and is neither there nor in a gap", n, l)
				}
			}
		}
	}
	for n := range 150 {
		before := calls
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 9000), block("rack-b", n, 0)}))
		e, p := event(101, ups.Raise, n), block("rack-a", n, 100)
		e.Detail, e.Picture = strings.Repeat("x", 20*n), &p
		must(t, s.PutEvents(t.Context(), "rack-a", []byte("state"), []Event{e, event(101, ups.Clear, n)}))
		if calls != before+2 {
			t.Fatalf("%d calls of two puts", calls-before)
		}
	}
	if len(gone[wire.Samples]) == 0 {
		t.Fatal("the quota dropped nothing")
	}
	compare()
	s.crash()
	s = reopen(t, dir, o)
	must(t, s.PutGap(t.Context(), wire.Gap{Unit: "rack-a", From: at(1), To: at(2), Reason: wire.GapCrash}, at(3)))
	compare()
	must(t, s.Close())

	last := s.Stats().Samples.Last - 1
	needle := stored(t, dir, fmt.Sprint("SELECT payload FROM samples WHERE seq = ", last))
	file, err := os.ReadFile(filepath.Join(dir, fileName))
	must(t, err)
	file[bytes.Index(file, needle[:40])+20] ^= 1
	must(t, os.WriteFile(filepath.Join(dir, fileName), file, 0o600))
	s = reopen(t, dir, o)
	all(t, s, wire.Samples) // the damaged one becomes a gap
	if !gone[wire.Samples][last] {
		t.Error("the gap of a damaged record was not told")
	}
	compare()
}
