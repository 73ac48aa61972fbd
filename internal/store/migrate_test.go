package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// testdata/version1 is what a program of version 1 left when it was killed: the file and its log, with records of two runs and three
// units, gaps of both forms, a picture, open raises, interruptions, alarm states, and three damaged records (samples 50 and 51, event
// 9). holds.txt is what the same program then read from it, with the gaps of the damaged ones.
const version1 = "testdata/version1"

func oldStore(t testing.TB) (dir string) {
	t.Helper()
	dir = fastDir(t)
	for _, name := range []string{fileName, fileName + "-wal", markName} {
		b, err := os.ReadFile(filepath.Join(version1, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	return dir
}

// dump is all that a store holds, in the form of holds.txt. Of the gaps made for the damaged records neither time nor
// boot is told: those are of the start that found them.
func dump(t testing.TB, s *Store) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, "stream", s.Stream())
	for _, l := range wire.Lanes {
		for _, r := range all(t, s, l) {
			if r.Class == wire.ClassGap && r.Boot > 2 {
				g, err := wire.DecodeGap(r.Payload)
				must(t, err)
				fmt.Fprintln(&b, l, r.Seq, "gap of", g.Lane, g.First, g.Last, g.Reason)
				continue
			}
			fmt.Fprintf(&b, "%v %d %v epoch %d boot %d %v %d %d %d %x\n", l, r.Seq, r.Class, r.Epoch, r.Boot, r.Stamp.BootID, r.Stamp.Mono, wallNanos(r.Stamp),
				len(r.Payload), sha256.Sum256(r.Payload))
		}
		st := s.Stats().Lane(l)
		fmt.Fprintln(&b, l, "last", st.Last, "records", st.Records, "bytes", st.Bytes)
	}
	for _, i := range s.Crashed() {
		fmt.Fprintf(&b, "interrupted %q %v %v %v %v\n", i.Unit, i.Last.BootID, i.Last.Mono, i.Resumed.BootID, i.Resumed.Mono)
	}
	for _, u := range []string{"", "rack-a", "rack-b", "rack-c"} {
		state, err := s.AlarmState(t.Context(), u)
		fmt.Fprintf(&b, "state %q %q %v\n", u, state, err)
		for _, id := range []ups.AlarmID{101, 603, 801} {
			for _, g := range []ups.Group{ups.NoGroup, ups.MainGroup, ups.SOG2} {
				if seq, err := s.RaisedSeq(t.Context(), u, id, g); seq != 0 || err != nil {
					fmt.Fprintf(&b, "raised %q %d %d: %d %v\n", u, id, g, seq, err)
				}
			}
		}
	}
	return b.String()
}

func held(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(version1, "holds.txt"))
	must(t, err)
	return string(b)
}

func TestTakesAllOfVersion1Along(t *testing.T) {
	dir := oldStore(t)
	s := reopen(t, dir, Options{BootID: bootID})
	all(t, s, wire.Samples) // damaged records become gaps
	same(t, "contents", dump(t, s), held(t))
	if s.SetAside() != "" || s.tidyWork.sealing() {
		t.Errorf("set aside %q, still sealing %v", s.SetAside(), s.tidyWork.sealing())
	}
	if n := s.Stats().Samples.Dropped[wire.GapDamage] + s.Stats().Events.Dropped[wire.GapDamage]; n != 3 {
		t.Errorf("%d records counted as damaged, want 3", n)
	}
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 70, 10)}))
	after := dump(t, s)
	must(t, s.Close())
	noPlainText(t, dir)
	s = reopen(t, dir, Options{BootID: bootID})
	same(t, "contents after another start", dump(t, s), after)
}

// noPlainText fails if a file of the database holds what the tests put, unsealed.
func noPlainText(t testing.TB, dir string) {
	t.Helper()
	for _, name := range []string{fileName, fileName + "-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		must(t, err)
		for _, s := range []string{"event_id", "serial number", "state of", `"gap"`, strings.Repeat("\x05", 40), strings.Repeat("\x14", 100)} {
			if i := bytes.Index(b, []byte(s)); i >= 0 {
				t.Errorf("%s holds %q at %d: %q", name, s, i, b[max(0, i-20):min(len(b), i+60)])
			}
		}
	}
}

// The way to the new version fails at each call in turn, and the process ends there: the next start begins with all of it.
func TestACrashAtAnyPointOfAMigrationLosesNothing(t *testing.T) {
	want := held(t)
	reached := 0
	for first := int64(1); ; first++ {
		dir := oldStore(t)
		faulty.arm(first, 1000)
		s, err := Open(t.Context(), dir, Options{BootID: bootID, driver: "faulty"})
		over := faulty.calls.Load() < first
		faulty.arm(0, 0)
		if err == nil {
			s.crash()
		}
		reached++
		s = reopen(t, dir, Options{BootID: bootID})
		all(t, s, wire.Samples)
		if got := dump(t, s); got != want || s.SetAside() != "" {
			same(t, fmt.Sprintf("contents after call %d failed", first), got, want)
			t.Fatalf("set aside %q", s.SetAside())
		}
		must(t, s.Close())
		noPlainText(t, dir)
		if over || t.Failed() {
			break
		}
		if first > 30 && !soak {
			if first += 12; testenv.Race {
				first += 24
			}
		}
	}
	t.Logf("%d points", reached)
	if reached < 20 {
		t.Error("too few calls failed")
	}
}

// A database of a newer program is refused and not a byte of its directory changes: whether the newer version stands in the file
// or yet in its log.
func TestRefusesTheFileOfANewerProgramWithoutTouchingIt(t *testing.T) {
	for _, clean := range []bool{true, false} {
		dir, copied := fastDir(t), fastDir(t)
		s := reopen(t, dir, Options{})
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 5000)}))
		must(t, s.alone(t.Context(), func(tx *tx) {
			tx.plain(fmt.Sprintf("PRAGMA user_version = %d", userVersion(schemaVersion+1)))
			m, _ := tx.loadMeta()
			m.version = schemaVersion + 1
			tx.exec("UPDATE meta SET version = ?, crc = ?", m.version, m.crc())
			tx.plain("CREATE TABLE more (x)")
		}))
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 2, 5000)}))
		if clean {
			must(t, s.emptyLog())
		}
		must(t, os.CopyFS(copied, os.DirFS(dir))) // as a killed process leaves it
		before := hashes(t, copied)
		for range 2 {
			_, err := Open(context.Background(), copied, Options{})
			if !errors.Is(err, ErrNewer) || errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "it has version 3, this program knows versions up to 2") {
				t.Errorf("Open: %v, want a refusal that names the versions", err)
			}
		}
		same(t, "files", hashes(t, copied), before)
	}
}

// hashes returns the content of every file with its times and mode.
func hashes(t testing.TB, dir string) (out []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		must(t, err)
		fi, err := d.Info()
		must(t, err)
		sum := ""
		if fi.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			must(t, err)
			sum = fmt.Sprintf("%x", sha256.Sum256(b))
		}
		name, err := filepath.Rel(dir, path)
		must(t, err)
		out = append(out, fmt.Sprintln(name, fi.Mode(), fi.ModTime(), sum))
		return nil
	}))
	return out
}

// On a disk without a free block the agent begins with the new version all the same, on the reserve that version 1 left; what is not
// sealed yet stays as it is, and is sealed when there is room.
func TestMigratesOnAFullDisk(t *testing.T) {
	dir := smallDisk(t)
	must(t, os.CopyFS(dir, os.DirFS(version1)))
	must(t, os.Remove(filepath.Join(dir, "holds.txt")))
	must(t, os.WriteFile(filepath.Join(dir, reserveName), make([]byte, 4<<20), 0o600))
	filler := fillDisk(t, dir)
	s := reopen(t, dir, Options{BootID: bootID})
	all(t, s, wire.Samples)
	same(t, "contents on the full disk", dump(t, s), held(t))
	for n := range 20 {
		fillDisk(t, dir)
		must(t, s.PutEvents(t.Context(), "rack-a", []byte("state"), []Event{event(102, ups.Moment, n)}))
		if err := s.PutSamples(t.Context(), []Samples{block("rack-b", 1, 10)}); err == nil {
			t.Fatal("samples accepted on a full disk")
		}
	}
	s.crash()
	s = reopen(t, dir, Options{BootID: bootID})
	if st := s.Stats(); st.Events.Last != 37 || st.Samples.Last != 61 || s.SetAside() != "" {
		t.Errorf("statistics %+v, set aside %q", st, s.SetAside())
	}
	must(t, os.Remove(filler))
	for range 20 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 10)}))
	}
	if s.tidyWork.sealing() {
		t.Error("not sealed with room")
	}
	for _, r := range all(t, s, wire.Samples) {
		if strings.Contains(held(t), fmt.Sprintf("samples %d samples ", r.Seq)) != (r.Seq <= 61) {
			t.Errorf("sample %d", r.Seq)
		}
	}
	must(t, s.Close())
	noPlainText(t, dir)
}
