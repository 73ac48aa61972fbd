package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A harm is one change to one file of the specimen.
type harm struct {
	unchecked bool // Options.unchecked
	file      string
	change    func(whole []byte) []byte
	what      string
}

// bitFlip is the harm of one bit.
func bitFlip(file string, offset int, bit uint) harm {
	return harm{file: file, change: func(whole []byte) []byte {
		b := bytes.Clone(whole)
		b[offset] ^= 1 << bit
		return b
	}, what: fmt.Sprintf("%s, page %d, byte %d, bit %d", file, offset/pageSize+1, offset%pageSize, bit)}
}

// An aftermath is what came of a harm.
type aftermath struct {
	aside   bool
	lost    int // records told as gaps
	over    int // told as gaps more than once, or though they came: a receiver keeps what it has
	untold  []string
	altered []string
	side    []string // wrong beside the lanes: an alarm state, a raise, an interruption
}

func (a *aftermath) String() string {
	switch {
	case len(a.altered) > 0:
		return "ALTERED"
	case len(a.untold) > 0:
		return "UNTOLD"
	case a.aside:
		return "whole file set aside"
	case a.over > 0:
		return "too much told"
	case a.lost > 1:
		return "several records lost, told"
	case a.lost == 1:
		return "one record lost, told"
	case len(a.side) > 0:
		return "no record lost, something beside"
	}
	return "harmless"
}

// A sufferer takes what a store delivers after a harm, as the uplink and the receiver do.
type sufferer struct {
	sp     *specimen
	ctx    context.Context
	dir    string
	o      Options
	s      *Store
	stream wire.ID
	got    [3]map[uint64]saidRecord
	gaps   []wire.Gap
	saw    map[string]*besides // by unit, before anything was put
	aftermath
}

// suffer lays out the harmed specimen, delivers everything, puts more, closes, opens again and delivers the rest.
func suffer(ctx context.Context, sp *specimen, h harm) (*aftermath, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("/dev/shm", "flip") // in memory where the system has such a place
	if err != nil {
		if dir, err = os.MkdirTemp("", "flip"); err != nil {
			return nil, err
		}
	}
	defer os.RemoveAll(dir)
	if err := sp.lay(dir, h.file, h.change); err != nil {
		return nil, err
	}
	f := &sufferer{sp: sp, ctx: ctx, dir: dir, stream: sp.stream, o: Options{BootID: bootID, unchecked: h.unchecked}}
	f.forget()
	for life := range 2 {
		if err := f.live(life); err != nil {
			return nil, fmt.Errorf("%s, life %d: %w", h.what, life, err)
		}
	}
	if !f.aside {
		f.account()
		f.accountBeside()
	}
	return &f.aftermath, nil
}

func (f *sufferer) forget() {
	f.got = [3]map[uint64]saidRecord{wire.Events: {}, wire.Samples: {}}
	f.gaps = nil
}

// live is a run of the agent. Where the file turns out to be broken it opens again, as the agent does.
func (f *sufferer) live(life int) (err error) {
	for attempt := 0; ; attempt++ {
		if f.s, err = Open(f.ctx, f.dir, f.o); err != nil {
			return err
		}
		if f.s.Stream() != f.stream {
			f.aside, f.stream = true, f.s.Stream()
			f.forget()
			if f.s.SetAside() == "" {
				f.untold = append(f.untold, "a new stream, and nothing set aside")
			}
		}
		err = f.work(life)
		if err == nil {
			return f.s.Close()
		}
		f.s.crash()
		if !errors.Is(err, ErrBroken) || attempt == 2 {
			return err
		}
	}
}

func (f *sufferer) work(life int) error {
	if life == 0 && !f.aside {
		if err := f.beside(); err != nil {
			return err
		}
	}
	if err := f.deliver(); err != nil {
		return err
	}
	unit := flipUnits[life]
	for n := range 3 {
		b := Samples{Unit: unit, First: at(n), Last: at(n), Payload: stuff(uint64(n), 3000)}
		if err := f.s.PutSamples(f.ctx, []Samples{b}); err != nil {
			return err
		}
		if err := f.s.PutEvents(f.ctx, unit, stuff(uint64(n), 3000), []Event{event(101, ups.Raise, n), event(101, ups.Clear, n)}); err != nil {
			return err
		}
	}
	return f.deliver()
}

// deliver takes and acknowledges all there is, events first.
func (f *sufferer) deliver() error {
	for _, l := range wire.Lanes {
		for after := uint64(0); ; {
			records, err := f.s.Next(f.ctx, l, after, 64, 1<<20)
			if err != nil {
				return err
			}
			if len(records) == 0 {
				break
			}
			for _, r := range records {
				if r.Seq <= after {
					return fmt.Errorf("record %d of %v after %d", r.Seq, l, after)
				}
				after = r.Seq
				f.take(said(r))
			}
			if err := f.s.Ack(f.ctx, l, after); err != nil {
				return err
			}
		}
	}
	// A damaged sample leaves its gap in the lane that was read before.
	if f.s.Stats().Events.Records > 0 {
		return f.deliver()
	}
	return nil
}

func (f *sufferer) take(r saidRecord) {
	if was, twice := f.got[r.Lane][r.Seq]; twice && was.Sum != r.Sum && r.Gap == nil {
		f.altered = append(f.altered, fmt.Sprintf("%d of %v came twice, with different content", r.Seq, r.Lane))
	}
	f.got[r.Lane][r.Seq] = r
	if r.Gap != nil && r.Gap.Lane != 0 {
		f.gaps = append(f.gaps, *r.Gap)
	}
}

// account holds what came against what the specimen held.
func (f *sufferer) account() {
	for _, l := range wire.Lanes {
		for n := f.sp.floor[l] + 1; n <= f.sp.last[l]; n++ {
			want, is := f.sp.want[l][n], f.got[l][n]
			covered := 0
			for _, g := range f.gaps {
				if covers(g, l, n) {
					covered++
				}
			}
			switch {
			case is.Seq != 0 && is.Sum == want.Sum:
				if covered > 0 && want.Gap == nil {
					f.over++
				}
			case is.Seq != 0 && (is.Gap == nil || covered == 0):
				f.altered = append(f.altered, fmt.Sprintf("%d of %v", n, l))
			case covered == 0:
				f.untold = append(f.untold, fmt.Sprintf("%d of %v", n, l))
			case covered > 1:
				f.over++
				fallthrough
			default:
				f.lost++
			}
		}
	}
}

// sufferAll does every harm to a specimen of its own, as many at once as there are processors, and prints what came of them.
func sufferAll(t *testing.T, sp *specimen, harms []harm) {
	t.Helper()
	var mu sync.Mutex
	counts := make(map[string]int)
	beside := make(map[string]int)
	var wg sync.WaitGroup
	queue := make(chan harm)
	begun := time.Now()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for h := range queue {
				a, err := suffer(t.Context(), sp, h)
				mu.Lock()
				if err != nil {
					t.Errorf("%s: %v", h.what, err)
					counts["FAILED"]++
				} else {
					counts[a.String()]++
					if len(a.altered)+len(a.untold) > 0 {
						t.Errorf("%s: altered %v, untold %v", h.what, head(a.altered), head(a.untold))
					}
					for _, s := range a.side {
						beside[strings.Fields(s)[0]]++
					}
				}
				mu.Unlock()
			}
		})
	}
	for _, h := range harms {
		queue <- h
	}
	close(queue)
	wg.Wait()
	t.Logf("%d changes in %v: %v; beside the lanes: %v", len(harms), time.Since(begun).Round(time.Millisecond), counts, beside)
}

func head(list []string) []string { return list[:min(len(list), 4)] }

// One bit in every page of the database, one page after the other, in its payload, its free parts or its structure (T-24). The
// short form takes every 32nd page from a random one on, under the race detector every 128th.
func TestNoPageMayLie(t *testing.T) {
	flipPages(t, 32, false, anywhere)
}

// One bit in what holds each page together: its header, where its cells lie, their lengths and keys. That is what no seal
// covers, and where a record could vanish.
func TestNoPageMayLieAboutItsCells(t *testing.T) {
	flipPages(t, 32, false, inStructure)
}

func inStructure(page []byte, n int, r *rand.Rand) int {
	places := structure(page, n == 0)
	return places[r.IntN(len(places))]
}

func anywhere(_ []byte, _ int, r *rand.Rand) int { return r.IntN(pageSize) }

// The same in a file that is too large to be checked as a whole at the opening: what is wrong shows when it is read.
func TestNoPageMayLieAboutItsCellsUnchecked(t *testing.T) {
	flipPages(t, 32, true, inStructure)
}

// The long form of all three: every page.
func TestSoakFlippedBits(t *testing.T) {
	if !soak {
		t.Skip("long: runs under make soak")
	}
	t.Run("anywhere", func(t *testing.T) { flipPages(t, 1, false, anywhere) })
	t.Run("structure", func(t *testing.T) { flipPages(t, 1, false, inStructure) })
	t.Run("unchecked", func(t *testing.T) { flipPages(t, 1, true, inStructure) })
}

// flipPages flips one bit in each stride-th page of a file of 4 MiB, where place says.
func flipPages(t *testing.T, stride int, unchecked bool, place func(page []byte, n int, r *rand.Rand) int) {
	t.Helper()
	if testenv.Race && stride > 1 {
		stride *= 4
	}
	sp := newSpecimen(t, 4<<20, false)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	file := sp.files[fileName]
	var harms []harm
	for n := r.IntN(stride); n < len(file)/pageSize; n += stride {
		page := file[n*pageSize : (n+1)*pageSize]
		h := bitFlip(fileName, n*pageSize+place(page, n, r), uint(r.IntN(8)))
		h.unchecked = unchecked
		harms = append(harms, h)
	}
	sufferAll(t, sp, harms)
}

// structure returns the offsets in a page that are not payload. Source: sqlite.org/fileformat2.html, section 1.6.
func structure(page []byte, first bool) (places []int) {
	add := func(from, n int) {
		for i := from; i < from+n && i < len(page); i++ {
			places = append(places, i)
		}
	}
	head, header := 0, 8
	if first {
		add(0, 100)
		head = 100
	}
	switch page[head] {
	case 2, 5: // interior pages have a rightmost child
		header = 12
	case 10, 13:
	default: // freelist, overflow and pointer map begin with page numbers
		add(0, 40)
		return places
	}
	cells := int(binary.BigEndian.Uint16(page[head+3:]))
	add(head, header+2*cells)
	for i := range min(cells, 400) {
		add(int(binary.BigEndian.Uint16(page[head+header+2*i:])), 12)
	}
	return places
}
