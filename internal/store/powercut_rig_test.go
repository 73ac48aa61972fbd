package store

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"upsedge/internal/testenv"
)

// A rig cuts the power of one disk, again and again, while a child works on it.
type rig struct {
	t      *testing.T
	disk   *testenv.Disk
	r      *rand.Rand
	driver string
	hasty  bool
	tally  map[string]*tally // by phase
	opens  time.Duration     // how long the child's first openings took: what a cut during one aims at
}

// A tally is a row of the table.
type tally struct {
	cuts, accepted int
	faults         map[string]int
	first          []fault // some of the faults
	took           time.Duration
}

// A life is one state directory with what is known of it.
type life struct {
	dir      string
	quota    int64
	wasAside bool // a file of this directory was broken on purpose
	acked    [3]uint64
	ledger
}

func newRig(t *testing.T, fs, driver string, seed uint64) *rig {
	return &rig{
		t: t, disk: testenv.NewDisk(t, fs), r: rand.New(rand.NewPCG(seed, 2)), driver: driver,
		tally: make(map[string]*tally), opens: 30 * time.Millisecond,
	}
}

func (g *rig) newLife() *life {
	dir, err := os.MkdirTemp(g.disk.Dir, "life")
	must(g.t, err)
	must(g.t, syncDir(g.disk.Dir))
	quota := []int64{MinBytes, 2 << 20, 64 << 20}[g.r.IntN(3)]
	return &life{dir: filepath.Join(dir, "state"), quota: quota, ledger: *newLedger()}
}

// end removes the directory.
func (l *life) end() { _ = os.RemoveAll(filepath.Dir(l.dir)) }

// A phase is when the power goes.
type phase struct {
	trigger string                   // the word of the child behind which it goes
	nth     int                      // how many of those words are let pass, at most
	within  func(*rig) time.Duration // how long behind the word, at most
	closes  int                      // cutJob.Closes
	erases  int                      // cutJob.Erases
	before  func(*testing.T, *life)  // done to the directory first
}

func duringOpen(g *rig) time.Duration { return g.opens * 3 / 2 }

func fixed(d time.Duration) func(*rig) time.Duration { return func(*rig) time.Duration { return d } }

var phases = map[string]phase{
	"first start": {trigger: "opening", within: duringOpen},
	"start":       {trigger: "opening", within: duringOpen},
	"work":        {trigger: "open", within: fixed(60 * time.Millisecond)},
	"long work":   {trigger: "open", within: fixed(500 * time.Millisecond)},
	"set aside":   {trigger: "opening", within: duringOpen, before: breakFile},
	"migration":   {trigger: "opening", within: duringOpen, before: layVersion1},
	"erase":       {trigger: "erasing", nth: 3, within: fixed(15 * time.Millisecond), erases: 15},
	"close":       {trigger: "closing", nth: 3, within: fixed(15 * time.Millisecond), closes: 30},
}

// cut lets a child work in the directory, cuts the power, and compares. It reports whether the life can go on.
func (g *rig) cut(l *life, name string) bool {
	g.t.Helper()
	p := phases[name]
	row := g.tally[name]
	if row == nil {
		row = &tally{faults: make(map[string]int)}
		g.tally[name] = row
	}
	begun := time.Now()
	if p.before != nil {
		p.before(g.t, l)
	}
	l.accepted, l.faults = 0, nil
	words, inTime := g.run(l, p)
	for i, w := range words {
		l.hear(w, i < inTime)
		if w.What == "acking" {
			l.acked[w.Lane] = max(l.acked[w.Lane], w.Number)
		}
	}
	g.verify(l)
	row.cuts++
	row.accepted += l.accepted
	for _, f := range l.faults {
		row.faults[f.kind]++
		if len(row.first) < 5 {
			row.first = append(row.first, f)
		}
	}
	row.took += time.Since(begun)
	return len(l.faults) == 0
}

// run starts a child, cuts the power at a random instant of the phase and returns what the child said, and how much of it was
// here before the power went. The order is what counts: first the count is taken, then the disk is shut down.
func (g *rig) run(l *life, p phase) (words []word, inTime int) {
	g.t.Helper()
	job, err := json.Marshal(cutJob{Dir: l.dir, Seed: g.r.Uint64(), Driver: g.driver, Hasty: g.hasty, MaxBytes: l.quota, Closes: p.closes, Erases: p.erases})
	must(g.t, err)
	exe, err := os.Executable()
	must(g.t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), cutEnv+"="+string(job))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(g.t, err)
	must(g.t, cmd.Start())

	var mu sync.Mutex
	triggered, ended := make(chan struct{}), make(chan struct{})
	left := 1
	if p.nth > 0 {
		left += g.r.IntN(p.nth)
	}
	go func() {
		defer close(ended)
		opening := time.Now()
		for dec := json.NewDecoder(bufio.NewReader(out)); ; {
			var w word
			if dec.Decode(&w) != nil {
				return
			}
			mu.Lock()
			words = append(words, w)
			switch w.What {
			case "opening":
				opening = time.Now()
			case "open":
				g.opens = (3*g.opens + time.Since(opening)) / 4
			}
			mu.Unlock()
			if w.What == p.trigger {
				if left--; left == 0 {
					close(triggered)
				}
			}
		}
	}()
	select {
	case <-triggered:
	case <-ended:
	case <-time.After(time.Minute):
		g.t.Errorf("the child did not say %q", p.trigger)
	}
	mu.Lock()
	longest := p.within(g)
	mu.Unlock()
	time.Sleep(time.Duration(g.r.Int64N(int64(longest)))) // the instant of the cut is the input of the test

	mu.Lock()
	inTime = len(words)
	mu.Unlock()
	how := testenv.CutHard
	if g.r.IntN(4) == 0 {
		how = testenv.CutLogged
	}
	g.disk.Cut(how)
	_ = cmd.Process.Kill()
	<-ended
	_ = cmd.Wait()
	g.disk.PowerUp()
	return words, inTime
}

// verify opens the directory, or a copy of it so that the next child meets it as the cut left it, and compares.
func (g *rig) verify(l *life) {
	dir, copied := l.dir, g.r.IntN(2) == 0
	if copied {
		dir = g.copy(l.dir)
		defer os.RemoveAll(dir)
	}
	s, err := Open(g.t.Context(), dir, Options{BootID: bootID, MaxBytes: l.quota})
	if err != nil {
		l.fault(faultOpen, "%v", err)
		return
	}
	defer s.crash()
	if l.aside != (s.SetAside() != "") && l.aside {
		l.fault(faultLost, "nobody knows that a broken file was set aside")
	} else if s.SetAside() != "" && !l.wasAside {
		l.fault(faultOpen, "set aside as %s", s.SetAside())
		return
	}
	agent, err := s.AgentID(g.t.Context())
	if err == nil {
		l.opened(word{Stream: s.Stream(), Boot: s.Boot(), Agent: agent}, !copied)
		err = l.compare(g.t.Context(), s, l.acked, copied)
	}
	if err != nil {
		l.fault(faultOpen, "%v", err)
	}
	if g.r.IntN(2) == 0 {
		must(g.t, s.Close())
		l.aside = l.aside && copied
	}
}

// copy returns a copy of dir, empty if dir is not there.
func (g *rig) copy(dir string) string {
	to := fastDir(g.t)
	if _, err := os.Stat(dir); err == nil {
		must(g.t, os.CopyFS(to, os.DirFS(dir)))
	}
	return to
}
