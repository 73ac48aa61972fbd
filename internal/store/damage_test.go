package store

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// fill makes a store of 40 sample blocks and 40 events and closes it; it returns the payloads by number.
func fill(t testing.TB, dir string) (want [3]map[uint64]string) {
	t.Helper()
	s := reopen(t, dir, Options{})
	for n := range 40 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n+1, 300+n*100)}))
		must(t, s.PutEvents(t.Context(), "rack-a", []byte("state"), []Event{event(102, ups.Moment, n)}))
	}
	want = payloads(t, s)
	must(t, s.Close())
	return want
}

func payloads(t testing.TB, s *Store) (out [3]map[uint64]string) {
	t.Helper()
	for _, l := range wire.Lanes {
		out[l] = make(map[uint64]string)
		for _, r := range all(t, s, l) {
			out[l][r.Seq] = fmt.Sprint(r.Class, r.Epoch, r.Boot, r.Stamp, r.Payload)
		}
	}
	return out
}

// stored returns a value of the closed database as it stands in the file.
func stored(t testing.TB, dir, query string) (b []byte) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, fileName)+"?mode=ro")
	must(t, err)
	defer db.Close()
	must(t, db.QueryRow(query).Scan(&b))
	return b
}

func flip(t testing.TB, path string, offset int64, mask byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	b[offset] ^= mask
	must(t, os.WriteFile(path, b, 0o600))
}

// TestAFlippedBitInTheNameOfAColumnKeepsNoAgentFromItsStart: the text of the table meta, byte by byte, by which the version is told.
func TestAFlippedBitInTheNameOfAColumnKeepsNoAgentFromItsStart(t *testing.T) {
	dir := fastDir(t)
	fill(t, dir)
	whole, err := os.ReadFile(filepath.Join(dir, fileName))
	must(t, err)
	at := bytes.Index(whole, []byte(schema[0]))
	if at < 0 {
		t.Fatal("the text of the table is not in the file")
	}
	aside := 0
	for n := range len(schema[0]) {
		hurt := fastDir(t)
		b := bytes.Clone(whole)
		b[at+n] ^= 1 << (n % 7)
		must(t, os.WriteFile(filepath.Join(hurt, fileName), b, 0o600))
		s, err := Open(t.Context(), hurt, Options{unchecked: true})
		if err != nil {
			t.Errorf("%q: %v", b[at:at+len(schema[0])], err)
			continue
		}
		if s.SetAside() != "" {
			aside++
		}
		must(t, s.Close())
	}
	if aside < len(schema[0])/2 {
		t.Errorf("set aside %d times of %d", aside, len(schema[0]))
	}
}

func TestAFlippedBitInAPayloadBecomesAGap(t *testing.T) {
	for _, lane := range wire.Lanes {
		t.Run(lane.String(), func(t *testing.T) {
			dir := t.TempDir()
			want := fill(t, dir)
			path := filepath.Join(dir, fileName)
			file, err := os.ReadFile(path)
			must(t, err)
			needle := stored(t, dir, "SELECT payload FROM "+lane.String()+" WHERE seq = 10")
			needle = needle[:min(40, len(needle))] // the rest may lie in another page
			// Copies in the free part of pages, from before a page was divided, may come first: flip in all of them.
			for from := 0; ; {
				i := bytes.Index(file[from:], needle)
				if i < 0 {
					break
				}
				flip(t, path, int64(from+i+3), 4)
				from += i + len(needle)
			}

			s := reopen(t, dir, Options{BootID: bootID})
			if s.SetAside() != "" {
				t.Fatal("set aside for one bit")
			}
			before := s.Stats().Events.Last
			got := payloads(t, s)
			gapAt := before + 1
			if lane == wire.Events {
				gapAt = 10
			}
			for n, p := range want[lane] {
				if n != 10 && got[lane][n] != p {
					t.Errorf("record %d changed", n)
				}
			}
			records, err := s.Next(t.Context(), wire.Events, gapAt-1, 1, 1000)
			must(t, err)
			if len(records) != 1 || records[0].Seq != gapAt || records[0].Class != wire.ClassGap || records[0].Stamp.BootID != bootID {
				t.Fatalf("records %v, want a gap record at %d", records, gapAt)
			}
			g, err := wire.DecodeGap(records[0].Payload)
			must(t, err)
			same(t, "gap", g, wire.Gap{Lane: lane, First: 10, Last: 10, Reason: wire.GapDamage})
			if n := s.Stats().Lane(lane).Dropped[wire.GapDamage]; n != 1 {
				t.Errorf("%d records counted as damaged", n)
			}
			newCloud().drain(t, s)
		})
	}
}

func TestTellsADamagedAlarmState(t *testing.T) {
	dir := t.TempDir()
	s := reopen(t, dir, Options{})
	must(t, s.PutEvents(t.Context(), "rack-a", []byte("a state to recognise"), nil))
	must(t, s.Close())
	path := filepath.Join(dir, fileName)
	file, err := os.ReadFile(path)
	must(t, err)
	flip(t, path, int64(bytes.Index(file, stored(t, dir, "SELECT state FROM units")))+30, 1)
	s = reopen(t, dir, Options{})
	var ce *CorruptError
	if state, err := s.AlarmState(t.Context(), "rack-a"); !errors.As(err, &ce) || state != nil {
		t.Errorf("state %q, %v, want a CorruptError", state, err)
	}
	must(t, s.PutEvents(t.Context(), "rack-a", []byte("new"), nil))
	if state, err := s.AlarmState(t.Context(), "rack-a"); string(state) != "new" || err != nil {
		t.Errorf("state %q, %v after a new one", state, err)
	}
}

// Whatever byte of the file changes, each record is told as it was put, or as a gap, or the file is set aside; none is told
// with other content, and the store works afterwards.
func TestNoFlippedBitIsBelieved(t *testing.T) {
	rounds := 40
	if soak {
		rounds = 20000
	}
	dir := fastDir(t)
	want := fill(t, dir)
	whole, err := os.ReadFile(filepath.Join(dir, fileName))
	must(t, err)
	r := rand.New(rand.NewPCG(7, uint64(rounds)))
	aside, gaps, unharmed := 0, 0, 0
	for round := range rounds {
		dir := fastDir(t)
		offset := r.IntN(len(whole))
		if round%3 == 0 {
			offset = offset / pageSize * pageSize // the head of a page is the interesting part
			offset += r.IntN(60)
		}
		b := bytes.Clone(whole)
		b[offset] ^= 1 << r.IntN(8)
		must(t, os.WriteFile(filepath.Join(dir, fileName), b, 0o600))
		switch survive(t, dir, want, fmt.Sprintf("byte %d", offset)) {
		case "aside":
			aside++
		case "gap":
			gaps++
		default:
			unharmed++
		}
	}
	t.Logf("%d set aside, %d with a gap, %d unharmed", aside, gaps, unharmed)
	if aside == 0 || gaps == 0 {
		t.Error("nothing was damaged")
	}
}

func TestATruncatedOrOverwrittenFileIsSetAside(t *testing.T) {
	dir := t.TempDir()
	want := fill(t, dir)
	whole, err := os.ReadFile(filepath.Join(dir, fileName))
	must(t, err)
	zeroes := make([]byte, pageSize)
	for name, file := range map[string][]byte{
		"half":           whole[:len(whole)/2],
		"one page":       whole[:pageSize],
		"part of header": whole[:50],
		"foreign":        []byte("this is no database, but long enough to have a header of one hundred bytes at the start of its file......"),
		"first page":     append(bytes.Clone(zeroes), whole[pageSize:]...),
		"second page":    append(append(bytes.Clone(whole[:pageSize]), zeroes...), whole[2*pageSize:]...),
		"write version":  append(append(bytes.Clone(whole[:18]), 77), whole[19:]...),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, fileName), file, 0o600))
			if got := survive(t, dir, want, name); got != "aside" {
				t.Errorf("%s, want it set aside", got)
			}
			kept, err := os.ReadFile(filepath.Join(dir, "store.db.broken-1"))
			if err != nil || !bytes.Equal(kept, file) {
				t.Errorf("the file set aside has changed: %v", err)
			}
		})
	}
}

// survive opens a damaged store, reads all, puts, opens again, and reports what became of it.
func survive(t testing.TB, dir string, want [3]map[uint64]string, what string) string {
	t.Helper()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer func() { s.crash() }()
	for attempt := 0; ; attempt++ {
		err = exercise(t, s, want, what)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrBroken) || attempt == 2 {
			t.Fatalf("%s: %v", what, err)
		}
		s.crash() // as the agent does
		if s, err = Open(t.Context(), dir, Options{}); err != nil {
			t.Fatalf("%s: open again: %v", what, err)
		}
	}
	st := s.Stats()
	switch {
	case s.SetAside() != "":
		return "aside"
	case st.Events.Dropped[wire.GapDamage]+st.Samples.Dropped[wire.GapDamage] > 0:
		return "gap"
	}
	return "unharmed"
}

// exercise uses every operation; records must be those of want or gaps, or new.
func exercise(t testing.TB, s *Store, want [3]map[uint64]string, what string) error {
	t.Helper()
	c := newCloud()
	for _, l := range wire.Lanes {
		for after := uint64(0); ; {
			records, err := s.Next(t.Context(), l, after, 10, 1<<20)
			if err != nil {
				return err
			}
			if len(records) == 0 {
				break
			}
			c.take(t, records)
			for _, r := range records {
				after = r.Seq
				p := fmt.Sprint(r.Class, r.Epoch, r.Boot, r.Stamp, r.Payload)
				if r.Boot == 1 && s.SetAside() == "" && r.Class != wire.ClassGap && want[l][r.Seq] != p {
					t.Fatalf("%s: record %d of %v is not what was put", what, r.Seq, l)
				}
			}
		}
	}
	before := [3]uint64{wire.Events: s.Stats().Events.Last, wire.Samples: s.Stats().Samples.Last}
	if s.SetAside() == "" && (before[wire.Events] < 40 || before[wire.Samples] < 40) {
		t.Fatalf("%s: numbers %v would be given again", what, before)
	}
	if _, err := s.AlarmState(t.Context(), "rack-a"); err != nil && !errors.As(err, new(*CorruptError)) {
		return err
	}
	if err := s.PutEvents(t.Context(), "rack-a", []byte("x"), []Event{event(101, ups.Raise, 1), event(101, ups.Clear, 2)}); err != nil {
		return err
	}
	if err := s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 10000)}); err != nil {
		return err
	}
	if s.SetAside() == "" {
		c.drain(t, s)
	}
	for _, l := range wire.Lanes {
		if err := s.Ack(t.Context(), l, before[l]); err != nil {
			return err
		}
	}
	return nil
}

// A log that is damaged in its middle makes SQLite forget commits without a word; the mark does not.
func TestForgottenCommitsBecomeAGapAndNumbersAreNotGivenTwice(t *testing.T) {
	dir := t.TempDir()
	s := reopen(t, dir, Options{})
	for n := range 20 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n+1, 3000)}))
		must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{event(102, ups.Moment, n)}))
	}
	s.crash()
	// The last connection to close has emptied the log; make it anew as a killed process leaves it.
	s = reopen(t, dir, Options{})
	for n := range 10 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n+21, 3000)}))
		must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{event(102, ups.Moment, n)}))
	}
	copyDir := t.TempDir()
	for _, name := range []string{fileName, fileName + "-wal", markName} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if name == fileName+"-wal" {
			b[len(b)/2] ^= 1
		}
		must(t, os.WriteFile(filepath.Join(copyDir, name), b, 0o600))
	}
	s = reopen(t, copyDir, Options{})
	st := s.Stats()
	if st.Samples.Last != 30 || st.Samples.Dropped[wire.GapDamage] == 0 || st.Events.Dropped[wire.GapDamage] == 0 {
		t.Errorf("statistics %+v, want the numbers to go on after 30", st)
	}
	newCloud().drain(t, s)
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 99, 1)}))
	if got := s.Stats().Samples.Last; got != 31 {
		t.Errorf("next number %d, want 31", got)
	}
}

// TestAFileThatWasNeverMoreThanBegunIsBegunAgain: the power went while the first page was written, and left zeros. Where there is
// anything else, a log beside it or one byte, the file is broken.
func TestAFileThatWasNeverMoreThanBegunIsBegunAgain(t *testing.T) {
	for name, c := range map[string]struct {
		file, journal, log []byte
		aside              bool
	}{
		"a page of zeros":             {file: make([]byte, 4096), journal: make([]byte, 512)},
		"the most that can be begun":  {file: make([]byte, mostBlank)},
		"longer":                      {file: make([]byte, mostBlank+1), aside: true},
		"one byte is not zero":        {file: append(make([]byte, 4095), 1), aside: true},
		"a log that holds something":  {file: make([]byte, 4096), log: []byte("frames"), aside: true},
		"a log that was begun, empty": {file: make([]byte, 4096), log: []byte{}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, fileName)
			must(t, os.WriteFile(path, c.file, 0o600))
			for suffix, b := range map[string][]byte{"-journal": c.journal, "-wal": c.log} {
				if b != nil {
					must(t, os.WriteFile(path+suffix, b, 0o600))
				}
			}
			s, err := Open(t.Context(), dir, Options{BootID: bootID})
			must(t, err)
			defer s.crash()
			if (s.SetAside() != "") != c.aside {
				t.Errorf("set aside as %q, want that: %v", s.SetAside(), c.aside)
			}
			must(t, s.PutSamples(t.Context(), []Samples{{Unit: "rack-a", First: at(1), Last: at(2), Payload: stuff(1, 100)}}))
		})
	}
}

func TestKeepsOnlyAFewBrokenFiles(t *testing.T) {
	dir := t.TempDir()
	for range 5 {
		must(t, os.WriteFile(filepath.Join(dir, fileName), bytes.Repeat([]byte{1}, 5000), 0o600))
		must(t, reopen(t, dir, Options{}).Close())
	}
	names, err := filepath.Glob(filepath.Join(dir, "*broken*"))
	must(t, err)
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	same(t, "files set aside", names, []string{"store.db.broken-4", "store.db.broken-4.keys", "store.db.broken-5", "store.db.broken-5.keys"})
	s := reopen(t, dir, Options{})
	if s.SetAside() != "" {
		t.Errorf("%q is told again after a clean end", s.SetAside())
	}
}

// A power cut may come at any step of setting a file aside, also before the new database has noted its name.
func TestAFileSetAsideIsToldThoughThePowerWentMeanwhile(t *testing.T) {
	for name, between := range map[string]func(dir string) error{
		"noted":    func(string) error { return nil },
		"no note":  func(dir string) error { return os.WriteFile(filepath.Join(dir, suspectName), nil, 0o600) },
		"an empty": func(dir string) error { return os.WriteFile(filepath.Join(dir, fileName), nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, fileName), bytes.Repeat([]byte{1}, 5000), 0o600))
			s := &Store{dir: dir, log: slog.New(slog.DiscardHandler)}
			_, err := s.putAside()
			must(t, err)
			must(t, between(dir))
			for range 2 {
				s = reopen(t, dir, Options{})
				if got := s.SetAside(); got != "store.db.broken-1" {
					t.Errorf("set aside %q", got)
				}
				s.crash()
			}
			if names, _ := filepath.Glob(filepath.Join(dir, "*broken*")); len(names) != 1 {
				t.Errorf("set aside %v", names)
			}
			if _, err := os.Stat(filepath.Join(dir, suspectName)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("still suspected: %v", err)
			}
		})
	}
}

// TestANewStreamGoesOnCounting: sessions and records of a stream that takes the place of a lost one come behind those before.
func TestANewStreamGoesOnCounting(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	s := reopen(t, dir, Options{})
	boot, stream := s.Boot(), s.Stream()
	if s.First() || boot < 2 {
		t.Fatalf("opened again: %d times, first %v", boot, s.First())
	}
	must(t, s.Close())
	must(t, os.WriteFile(filepath.Join(dir, fileName), []byte("what is this?"), 0o600))
	s = reopen(t, dir, Options{})
	if s.Stream() == stream || s.Boot() != boot+1 || !s.First() || s.Stats().Samples.Last != 0 {
		t.Errorf("in the new stream: boot %d behind %d, first %v, last %d", s.Boot(), boot, s.First(), s.Stats().Samples.Last)
	}
	must(t, s.Close())
	if s = reopen(t, dir, Options{}); s.Boot() != boot+2 || s.First() {
		t.Errorf("its second run: boot %d, first %v", s.Boot(), s.First())
	}
	must(t, s.Close())
}
