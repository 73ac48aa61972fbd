package store

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A specimen is a state directory as it lies on the disk, and what must come out of it.
type specimen struct {
	files   map[string][]byte // by path below the directory
	agent   string
	stream  wire.ID
	want    [3]map[uint64]saidRecord
	floor   [3]uint64 // acknowledged up to here
	last    [3]uint64
	told    map[string][]version // of what is kept beside the lanes, by unit, oldest first
	crashed []Interrupted
}

// A version is what a put left beside the lanes of its unit.
type version struct {
	n      int       // of the put: the alarm state is stuff(n), the samples end at(n)
	number [3]uint64 // that its event and its samples got, by lane
	raise  uint64    // number of the raise that has no clear
}

var flipUnits = []string{"rack-a", "rack-b", "rack-c"}

// newSpecimen makes a database of about size bytes in which everything occurs: records of all lengths in both lanes, gap
// records, alarm states, raises, free pages, an unfinished run and, of one unit, an earlier one that is not told yet. With log it is taken as a crash leaves it, the last commits in
// the write-ahead log.
func newSpecimen(t testing.TB, size int64, log bool) *specimen {
	t.Helper()
	dir := fastDir(t)
	sp := &specimen{files: make(map[string][]byte), told: make(map[string][]version)}
	w := specimenWriter{t: t, sp: sp, r: rand.New(rand.NewPCG(1, 1))}
	w.s = reopen(t, dir, Options{BootID: bootID})
	for sizeOf(filepath.Join(dir, fileName)) < size/4 {
		w.put()
	}
	w.s.crash()
	w.s = reopen(t, dir, Options{BootID: bootID})
	for _, i := range w.s.Crashed() {
		if i.Unit == flipUnits[2] {
			continue
		}
		must(t, w.s.PutGap(t.Context(), wire.Gap{Unit: i.Unit, From: i.Last, To: at(w.n), Reason: wire.GapCrash}, at(w.n)))
	}
	for sizeOf(filepath.Join(dir, fileName)) < size {
		w.put()
	}
	for _, l := range wire.Lanes {
		sp.floor[l] = w.s.Stats().Lane(l).Last / 5
		must(t, w.s.Ack(t.Context(), l, sp.floor[l]))
	}
	agent, err := w.s.AgentID(t.Context())
	must(t, err)
	sp.agent = agent
	if log {
		must(t, w.s.emptyLog())
		for range 40 {
			w.put()
		}
		sp.take(t, dir)
	}
	w.s.crash()
	if !log {
		sp.take(t, dir)
	}
	sp.expect(t)
	return sp
}

// specimenWriter fills a store.
type specimenWriter struct {
	t  testing.TB
	sp *specimen
	s  *Store
	r  *rand.Rand
	n  int
}

func (w *specimenWriter) put() {
	w.n++
	unit := flipUnits[w.r.IntN(3)]
	size := []int{8, 60, 300, 300, 300, 3000, 20000}[w.r.IntN(7)]
	b := Samples{Unit: unit, Epoch: 1, First: at(w.n), Last: at(w.n), Payload: stuff(uint64(w.n), size)}
	must(w.t, w.s.PutSamples(w.t.Context(), []Samples{b}))
	e := event(101, []ups.EventKind{ups.Raise, ups.Clear, ups.Moment}[w.r.IntN(3)], w.n)
	e.Unit, e.Detail = unit, strings.Repeat("x", w.r.IntN(300))
	if w.r.IntN(5) == 0 {
		e.Picture = &Samples{Unit: unit, First: at(w.n), Payload: stuff(uint64(w.n), 5000)}
	}
	must(w.t, w.s.PutEvents(w.t.Context(), unit, stuff(uint64(w.n), 8+w.r.IntN(6000)), []Event{e}))
	v := version{n: w.n, number: [3]uint64{wire.Events: w.s.Stats().Events.Last, wire.Samples: w.s.Stats().Samples.Last}}
	if e.Picture != nil {
		v.number[wire.Events]--
	}
	switch before := w.sp.told[unit]; {
	case e.Kind == ups.Raise:
		v.raise = v.number[wire.Events]
	case e.Kind == ups.Moment && len(before) > 0:
		v.raise = before[len(before)-1].raise
	}
	w.sp.told[unit] = append(w.sp.told[unit], v)
}

// take reads the files of dir. The index of the log is not on the disk after a crash of the system.
func (sp *specimen) take(t testing.TB, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || d.IsDir() || name == fileName+"-shm" || name == reserveName {
			return err
		}
		sp.files[name], err = os.ReadFile(path)
		return err
	}))
}

// lay writes the files into dir, one of them changed.
func (sp *specimen) lay(dir, changed string, change func([]byte) []byte) error {
	for name, b := range sp.files {
		if name == changed {
			b = change(b)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// expect reads what the unharmed specimen holds.
func (sp *specimen) expect(t testing.TB) {
	t.Helper()
	dir := fastDir(t)
	must(t, sp.lay(dir, "", nil))
	s := reopen(t, dir, Options{BootID: bootID})
	defer s.crash()
	sp.stream = s.Stream()
	for _, l := range wire.Lanes {
		sp.want[l] = make(map[uint64]saidRecord)
		sp.last[l] = s.Stats().Lane(l).Last
		for _, r := range all(t, s, l) {
			sp.want[l][r.Seq] = said(r)
		}
	}
	for _, unit := range flipUnits {
		seq, err := s.RaisedSeq(t.Context(), unit, 101, ups.NoGroup)
		must(t, err)
		if v := sp.told[unit][len(sp.told[unit])-1]; v.raise != seq {
			t.Fatalf("raise of %q is %d, want %d", unit, seq, v.raise)
		}
	}
	sp.crashed = s.Crashed()
	if len(sp.want[wire.Samples]) < 50 || len(sp.want[wire.Events]) < 50 || len(sp.crashed) != len(flipUnits)+1 {
		t.Fatalf("a poor specimen: %d samples, %d events, crashed %v", len(sp.want[wire.Samples]), len(sp.want[wire.Events]), sp.crashed)
	}
}
