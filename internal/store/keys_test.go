package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

func keyNames(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, keysName))
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Nothing of a payload or an alarm state is in the files as it was put: not in the log, not in free parts of pages after deleting.
func TestFilesHoldSealedContentOnly(t *testing.T) {
	dir := fastDir(t)
	s := reopen(t, dir, Options{MaxBytes: MinBytes})
	for n := range 60 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 20, 3000+n*200)})) // the quota drops some
		e, p := event(101, ups.Raise, n), block("rack-a", 5, 700)
		e.Picture = &p
		must(t, s.PutEvents(t.Context(), "rack-a", []byte("state of rack-a"), []Event{e}))
		noPlainText(t, dir)
	}
	if s.Stats().Samples.Dropped[wire.GapQuota] == 0 {
		t.Error("nothing was dropped")
	}
	must(t, s.Ack(t.Context(), wire.Events, 50))
	must(t, s.Close())
	noPlainText(t, dir)
	if fi, err := os.Stat(filepath.Join(dir, keysName)); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("mode of the directory of keys: %v, %v", fi.Mode(), err)
	}
	if names := keyNames(t, dir); !slices.Equal(names, []string{"1", "2", "3"}) { // rack-a in epoch 7, the agent, the state
		t.Errorf("keys %v", names)
	}
	for _, name := range keyNames(t, dir) {
		fi, err := os.Stat(filepath.Join(dir, keysName, name))
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("mode of key %s: %v, %v", name, fi.Mode(), err)
		}
	}
}

// A number that is used again, with the same key and other content, gets another nonce: nothing of one can be had from the other.
func TestSealingTheSameRecordTwiceDiffersWhole(t *testing.T) {
	k := newKeyFile(wire.ID{1}, 1, owner{"rack-a", 7}).key()
	r := wire.Record{Lane: wire.Samples, Seq: 5, Class: wire.ClassSamples, Payload: make([]byte, 64)}
	a, b := k.sealRecord(nil, &r), k.sealRecord(nil, &r)
	for i := 0; i+8 <= len(a); i++ {
		if bytes.Contains(b, a[i:i+8]) {
			t.Fatalf("8 bytes from %d on are the same in both", i)
		}
	}
	opens := func(r wire.Record) ([]byte, bool) {
		r.Payload = bytes.Clone(a)
		return k.openRecord(&r)
	}
	for _, change := range []func(*wire.Record){
		func(r *wire.Record) { r.Lane = wire.Events }, func(r *wire.Record) { r.Seq++ }, func(r *wire.Record) { r.Class++ },
		func(r *wire.Record) { r.Epoch++ }, func(r *wire.Record) { r.Boot++ }, func(r *wire.Record) { r.Stamp.BootID[15]++ },
		func(r *wire.Record) { r.Stamp.Mono++ }, func(r *wire.Record) { r.Stamp.Wall = at(0).Wall.AddDate(2025, 0, 0) },
		func(r *wire.Record) { r.Stream[3]++ },
	} {
		other := r
		if change(&other); true {
			if _, ok := opens(other); ok {
				t.Errorf("opened as %+v, which was not sealed", other)
			}
		}
	}
	if p, ok := opens(r); !ok || len(p) != 64 {
		t.Error("does not open")
	}
}

// Any bit of a key file may turn: it stands there twice.
func TestAFlippedBitInAKeyFileCostsNothing(t *testing.T) {
	dir := fastDir(t)
	want := fill(t, dir)
	path := keyPath(filepath.Join(dir, keysName), 1)
	whole, err := os.ReadFile(path)
	must(t, err)
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		k, err := decodeKeyFile(b)
		must(t, err)
		if k.id != 1 || k.unit != "rack-a" || k.epoch != 7 {
			t.Fatalf("bit in byte %d: key %d of %q, %d", i, k.id, k.unit, k.epoch)
		}
	}
	flip(t, path, 60, 4)
	same(t, "records", payloads(t, reopen(t, dir, Options{})), want)
}

func FuzzKeyFile(f *testing.F) {
	f.Add(newKeyFile(wire.ID{1}, 1, owner{"rack-a", 7}).encode())
	f.Add([]byte(keyMagic + keyMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decodeKeyFile(b)
		if err != nil {
			return
		}
		if again, err := decodeKeyFile(k.encode()); err != nil || *again != *k {
			t.Errorf("%+v is read as %+v, %v", k, again, err)
		}
	})
}

// Records of a lost key become gaps by ranges, those of other units stay, the store goes on with a new key, and the next
// start has nothing to tell any more.
func TestALostKeyBecomesGapsAndANewKey(t *testing.T) {
	for _, how := range []string{"missing", "damaged", "of another", "all missing"} {
		t.Run(how, func(t *testing.T) {
			dir := fastDir(t)
			s := reopen(t, dir, Options{})
			for n := range 30 {
				b := block("rack-b", n, 200)
				if n >= 10 && n < 20 {
					must(t, s.PutSamples(t.Context(), []Samples{b}))
					continue
				}
				must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 100)})) // numbers 1 to 10 and 21 to 30
			}
			must(t, s.PutEvents(t.Context(), "rack-a", []byte("state"), []Event{event(101, ups.Raise, 1), event(102, ups.Moment, 2)}))
			must(t, s.PutEvents(t.Context(), "rack-b", []byte("state b"), []Event{event(102, ups.Moment, 3)}))
			must(t, s.write(t.Context(), "drop", durable, func(tx *tx) { tx.dropSamples(2, 1, at(50)) })) // a gap record, of the agent's key
			first := seqs(all(t, s, wire.Samples))[0]
			must(t, s.Close())
			keys := filepath.Join(dir, keysName)
			switch how {
			case "missing":
				must(t, os.Remove(keyPath(keys, 1)))
			case "damaged":
				must(t, os.WriteFile(keyPath(keys, 1), make([]byte, 200), 0o600))
			case "of another":
				must(t, os.Rename(keyPath(keys, 2), keyPath(keys, 1)))
			case "all missing":
				must(t, os.RemoveAll(keys))
			}
			s = reopen(t, dir, Options{BootID: bootID})
			newCloud().drain(t, s)
			var got []string
			for _, r := range all(t, s, wire.Events) {
				if r.Class == wire.ClassGap {
					g, err := wire.DecodeGap(r.Payload)
					must(t, err)
					got = append(got, fmt.Sprintf("%v%d-%d%s", g.Lane, g.First, g.Last, g.Reason))
				}
			}
			quota := fmt.Sprint("samples", 1, "-", first-1, "quota")
			lost := []string{"events1-2damage", quota, fmt.Sprint("samples", first, "-", 10, "damage"), "samples21-30damage"}
			if how == "of another" || how == "all missing" {
				lost = []string{"events1-3damage", quota, fmt.Sprint("samples", first, "-", 30, "damage")}
			}
			same(t, "gaps", got, lost)
			if _, err := s.AlarmState(t.Context(), "rack-b"); (err != nil) != (how == "all missing") {
				t.Errorf("state of rack-b: %v", err)
			}
			must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 90, 10)}))
			last := s.Stats().Samples.Last
			s.crash()
			if slices.Contains(keyNames(t, dir), "1") {
				t.Error("the file of the lost key is still there, or its number was given again")
			}
			s = reopen(t, dir, Options{BootID: bootID})
			if r, err := s.Next(t.Context(), wire.Samples, last-1, 1, 1000); err != nil || len(r) != 1 || len(r[0].Payload) != 10 {
				t.Errorf("with the new key: %v, %v", r, err)
			}
			if st := s.Stats(); len(st.Samples.Dropped)+len(st.Events.Dropped) > 0 || len(s.ring.gone()) > 0 {
				t.Errorf("told again: %+v", st)
			}
		})
	}
}

// A lost key of very many records costs a commit for thousands of them, and one gap.
func TestALostKeyOfManyRecordsIsOneGap(t *testing.T) {
	dir := fastDir(t)
	s := reopen(t, dir, Options{})
	blocks := make([]Samples, 1000)
	for i := range blocks {
		blocks[i] = block("rack-a", i, 20)
	}
	for range 5 {
		must(t, s.PutSamples(t.Context(), blocks))
	}
	s.crash()
	must(t, os.Remove(keyPath(filepath.Join(dir, keysName), 1)))
	s = reopen(t, dir, Options{})
	same(t, "samples", len(all(t, s, wire.Samples)), 0)
	events := all(t, s, wire.Events)
	if len(events) != 1 {
		t.Fatalf("%d records of events, want one gap", len(events))
	}
	g, err := wire.DecodeGap(events[0].Payload)
	must(t, err)
	same(t, "gap", g, wire.Gap{Lane: wire.Samples, First: 1, Last: 5000, Reason: wire.GapDamage})
}

// A key file without its commit is removed, what is half a file, too; numbers are not given again, whatever is removed.
func TestFilesOfKeysThatNobodyNeedsAreRemoved(t *testing.T) {
	dir := fastDir(t)
	s := reopen(t, dir, Options{})
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 10)}))
	stream := s.Stream()
	s.crash()
	keys := filepath.Join(dir, keysName)
	must(t, os.WriteFile(keyPath(keys, 9), newKeyFile(stream, 9, owner{"rack-b", 0}).encode(), 0o600))
	must(t, os.WriteFile(keyPath(keys, 10)+newSuffix, []byte("half"), 0o600))
	must(t, os.WriteFile(filepath.Join(keys, "note"), []byte("of a person"), 0o600))
	s = reopen(t, dir, Options{})
	same(t, "files", keyNames(t, dir), []string{"1", "note"})
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-b", 1, 10)}))
	same(t, "files", keyNames(t, dir), []string{"1", "10", "note"})
	same(t, "samples", len(all(t, s, wire.Samples)), 2)
}

// The table of keys may be damaged: the files say the same.
func TestADamagedTableOfKeysCostsNothing(t *testing.T) {
	for _, sql := range []string{
		"UPDATE keys SET unit = 'rack-x' WHERE id = 1", "UPDATE keys SET id = 77 WHERE id = 1", "UPDATE keys SET gone = 'erasure'",
		"UPDATE keys SET epoch = epoch + 1", "UPDATE keyring SET next = 1", "DELETE FROM keyring", "UPDATE keys SET crc = 'x'",
	} {
		t.Run(sql, func(t *testing.T) {
			dir := fastDir(t)
			want := fill(t, dir)
			s := reopen(t, dir, Options{})
			must(t, s.write(t.Context(), "damage", durable, func(tx *tx) { tx.plain(sql) }))
			s.crash()
			s = reopen(t, dir, Options{})
			same(t, "records", payloads(t, s), want)
			must(t, s.PutSamples(t.Context(), []Samples{block("rack-c", 1, 10)}))
			if names := strings.Join(keyNames(t, dir), " "); names != "1 2 3" {
				t.Errorf("keys %s", names)
			}
			s.crash()
			s = reopen(t, dir, Options{})
			same(t, "samples", len(all(t, s, wire.Samples)), len(want[wire.Samples])+1)
		})
	}
}

// Where a key cannot be written nothing is put, and it works when it can.
func TestNothingIsPutWithoutItsKey(t *testing.T) {
	dir := fastDir(t)
	s := reopen(t, dir, Options{})
	keys := filepath.Join(dir, keysName)
	must(t, os.RemoveAll(keys))
	must(t, os.WriteFile(keys, nil, 0o600))
	before := s.Stats().Samples
	if err := s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 10)}); err == nil {
		t.Fatal("put without a key")
	}
	same(t, "statistics", s.Stats().Samples, before)
	must(t, os.Remove(keys))
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 10)}))
	s.crash()
	s = reopen(t, dir, Options{})
	same(t, "samples", seqs(all(t, s, wire.Samples)), []uint64{1})
}

// A process that has no more files for a moment loses no key over it.
func TestAKeyThatCannotBeReadNowIsNotLost(t *testing.T) {
	dir := fastDir(t)
	want := fill(t, dir)
	key := keyPath(filepath.Join(dir, keysName), 1)
	s := reopen(t, dir, Options{})
	var was unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &was))
	k := *s.ring.get(1)
	f, err := os.Open(os.DevNull) // the next descriptor
	must(t, err)
	next := uint64(f.Fd())
	must(t, f.Close())
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: next, Max: was.Max}))
	err = s.fit(&k)
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &was))
	if !errors.Is(asDisk(err), ErrDisk) {
		t.Errorf("%v, want an error of the disk", err)
	}
	if _, err := readKeyFile(key); err != nil {
		t.Error(err)
	}
	same(t, "records", payloads(t, s), want)
}
