package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// owned makes a store with records of rack-a in epochs 0, 7 and 9 and of rack-b between them.
func owned(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s := reopen(t, dir, o)
	must(t, s.Begin(t.Context(), "rack-a", at(0)))
	s.crash()
	s = reopen(t, dir, o) // rack-a is interrupted
	for n := range 24 {
		b := block([]string{"rack-a", "rack-b"}[n/4%2], n, 50)
		b.Epoch = []uint32{0, 7, 9}[n/8]
		must(t, s.PutSamples(t.Context(), []Samples{b}))
		e := event(101, ups.Raise, n)
		e.Unit, e.Epoch = b.Unit, b.Epoch
		must(t, s.PutEvents(t.Context(), b.Unit, []byte("state of "+b.Unit), []Event{e}))
	}
	return s
}

// gapsOf lists the gaps of form one.
func gapsOf(t testing.TB, s *Store) (out []string) {
	t.Helper()
	for _, r := range all(t, s, wire.Events) {
		if r.Class == wire.ClassGap {
			g, err := wire.DecodeGap(r.Payload)
			must(t, err)
			out = append(out, fmt.Sprintf("%d: %v %d-%d %s", r.Seq, g.Lane, g.First, g.Last, g.Reason))
		}
	}
	return out
}

var erasedGaps = []string{
	"4: events 1-4 erasure", "12: events 9-12 erasure",
	"25: samples 1-4 erasure", "26: samples 9-12 erasure",
}

func checkErased(t testing.TB, s *Store) {
	t.Helper()
	same(t, "gaps", gapsOf(t, s), erasedGaps)
	same(t, "samples", seqs(all(t, s, wire.Samples)), []uint64{5, 6, 7, 8, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24})
	newCloud().drain(t, s)
	if state, err := s.AlarmState(t.Context(), "rack-a"); state != nil || err != nil {
		t.Errorf("alarm state %q, %v", state, err)
	}
	if state, err := s.AlarmState(t.Context(), "rack-b"); string(state) != "state of rack-b" || err != nil {
		t.Errorf("alarm state of the other unit %q, %v", state, err)
	}
	for unit, want := range map[string]uint64{"rack-a": 0, "rack-b": 24} {
		if seq, err := s.RaisedSeq(t.Context(), unit, 101, ups.NoGroup); seq != want || err != nil {
			t.Errorf("raise of %s: %d, %v, want %d", unit, seq, err, want)
		}
	}
	for _, i := range s.Crashed() {
		if i.Unit == "rack-a" && i.Last == at(0) {
			t.Errorf("interruption %v is still told", i)
		}
	}
	for _, k := range s.ring.of("rack-a", 8) {
		t.Errorf("key %d of epoch %d is still known", k.id, k.epoch)
	}
}

func TestErasesAUnitUpToAnEpoch(t *testing.T) {
	dir := fastDir(t)
	var told []wire.Record
	s := owned(t, dir, Options{BootID: bootID, Accepted: func(r []wire.Record) { told = append(told, r...) }})
	secrets := keySecrets(t, dir, "rack-a", 8)
	told = nil
	done, err := s.Erase(t.Context(), "rack-a", 8)
	must(t, err)
	same(t, "counts", done, Erased{Events: 8, Samples: 8, Keys: 2})
	checkErased(t, s)
	same(t, "told of", len(told), 4)
	if st := s.Stats(); st.Samples.Dropped[wire.GapErasure] != 8 || st.Events.Dropped[wire.GapErasure] != 8 {
		t.Errorf("statistics %+v", st)
	}
	again, err := s.Erase(t.Context(), "rack-a", 8)
	must(t, err)
	same(t, "counts of another time", again, Erased{})
	for _, secret := range secrets {
		must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, secret) {
				t.Errorf("%s holds an erased key", path)
			}
			return err
		}))
	}
	// The unit goes on, in epoch 0 too, with a new key.
	b := block("rack-a", 99, 10)
	b.Epoch = 0
	must(t, s.PutSamples(t.Context(), []Samples{b}))
	must(t, s.PutEvents(t.Context(), "rack-a", []byte("new"), nil))
	s.crash()
	s = reopen(t, dir, Options{BootID: bootID})
	if state, err := s.AlarmState(t.Context(), "rack-a"); string(state) != "new" || err != nil {
		t.Errorf("alarm state %q, %v", state, err)
	}
	same(t, "samples", seqs(all(t, s, wire.Samples))[16:], []uint64{25})
	same(t, "gaps after a restart", gapsOf(t, s), erasedGaps)
	if _, err := s.Erase(t.Context(), "", 8); err == nil {
		t.Error("the agent's own records were erased")
	}
	must(t, s.Close())
}

func keySecrets(t testing.TB, dir, unit string, through uint32) (out [][]byte) {
	t.Helper()
	for _, name := range keyNames(t, dir) {
		k, err := readKeyFile(filepath.Join(dir, keysName, name))
		must(t, err)
		if k.unit == unit && k.epoch <= through {
			out = append(out, bytes.Clone(k.secret[:]))
		}
	}
	return out
}

// The process ends at each call of an erasure in turn; and the disk has forgotten that the key files were removed. The next start
// ends with all of it erased, or nothing; and called again it is all.
func TestAnErasureCutShortIsFinished(t *testing.T) {
	began, whole := 0, 0
	for first := int64(1); ; first++ {
		dir, saved := fastDir(t), fastDir(t)
		s := owned(t, dir, Options{BootID: bootID, driver: "faulty"})
		must(t, os.CopyFS(saved, os.DirFS(filepath.Join(dir, keysName))))
		before := picture(t, s)
		faulty.arm(first, 10000)
		_, err := s.Erase(t.Context(), "rack-a", 8)
		over := faulty.calls.Load() < first
		faulty.arm(0, 0)
		if over {
			must(t, err)
		} else if err == nil || !errors.Is(err, errDisk) {
			t.Fatalf("call %d failing: %v", first, err)
		}
		s.crash()
		for _, name := range fileNames(t, saved) {
			b, err := os.ReadFile(filepath.Join(saved, name))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, keysName, name), b, 0o600))
		}
		s = reopen(t, dir, Options{BootID: bootID})
		if len(gapsOf(t, s)) == 0 {
			// The intent was not noted: nothing is gone.
			if got := picture(t, s); strings.Count(got, "samples") != strings.Count(before, "samples") || s.Stats().Samples.Records != 24 {
				t.Fatalf("call %d failing: without gaps, but not as before", first)
			}
			_, err := s.Erase(t.Context(), "rack-a", 8)
			must(t, err)
			whole++
		} else {
			began++
		}
		checkErased(t, s)
		if files := keyNames(t, dir); slices.Contains(files, "1") || slices.Contains(files, "3") { // of rack-a in the epochs 0 and 7
			t.Fatalf("call %d failing: key files %v are left", first, files)
		}
		if over || t.Failed() {
			break
		}
		if first > 12 && !soak {
			first += 4
		}
	}
	t.Logf("%d times nothing was done yet, %d times it was finished at the start", whole, began)
	if whole < 3 || began < 5 {
		t.Error("too few calls failed")
	}
}

func fileNames(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// While records are read, erased ones are never handed out once Erase has returned, and none is both.
func TestReadersMeetGapsWhereRecordsAreErased(t *testing.T) {
	s := reopen(t, fastDir(t), Options{})
	const each = 2200 // more than one piece
	blocks := make([]Samples, each)
	for i := range blocks {
		blocks[i] = block([]string{"rack-a", "rack-b"}[i%2], i, 10)
	}
	must(t, s.PutSamples(t.Context(), blocks))
	done, err := s.Erase(t.Context(), "rack-a", 7)
	must(t, err)
	same(t, "counts", done, Erased{Samples: each / 2, Keys: 1})
	for _, r := range all(t, s, wire.Samples) {
		if r.Seq%2 == 1 {
			t.Fatalf("record %d was erased", r.Seq)
		}
	}
	if n := len(s.told[wire.Samples]); n != each/2 { // else each is looked up in the table
		t.Errorf("%d holes are kept in mind", n)
	}
	newCloud().drain(t, s)
	same(t, "gaps", len(gapsOf(t, s)), each/2)
}

// What version 1 wrote is erased with the rest, though its rows do not say whose they are.
func TestErasesWhatVersion1Wrote(t *testing.T) {
	dir := oldStore(t)
	must(t, os.WriteFile(filepath.Join(dir, "store.db.broken-1"), []byte("unsealed records of long ago"), 0o600))
	s := reopen(t, dir, Options{BootID: bootID})
	_, err := s.Erase(context.Background(), "rack-b", 7)
	must(t, err)
	for _, l := range wire.Lanes {
		for _, r := range all(t, s, l) {
			if unit, ok := wire.UnitOf(r.Class, r.Payload); ok && unit == "rack-b" {
				t.Errorf("record %d of %v is about the unit", r.Seq, l)
			}
		}
	}
	if names := fileNames(t, dir); slices.Contains(names, "store.db.broken-1") {
		t.Errorf("files %v", names)
	}
	drainRest(t, s)
}

// drainRest drains a store of which event 1 was acknowledged before.
func drainRest(t testing.TB, s *Store) {
	c := newCloud()
	c.have[wire.Events][1] = "acknowledged"
	c.drain(t, s)
}

// A file that was set aside keeps its keys, but for those of an erased unit.
func TestErasesTheKeysOfAFileSetAside(t *testing.T) {
	dir := fastDir(t)
	s := owned(t, dir, Options{})
	s.suspect()
	must(t, s.Close())
	s = reopen(t, dir, Options{})
	aside := filepath.Join(dir, "store.db.broken-1"+keysSuffix)
	before := fileNames(t, aside)
	_, err := s.Erase(t.Context(), "rack-a", 8)
	must(t, err)
	if after := fileNames(t, aside); s.SetAside() != "store.db.broken-1" || len(after) != len(before)-2 {
		t.Errorf("set aside %q, keys %v, before %v", s.SetAside(), after, before)
	}
}
