package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
)

// A place is the kind of line a unit is on.
type place struct {
	name    string
	framing modbus.Framing
	alone   bool // no other unit is on the line
	pty     bool // a real one, in real time
}

var places = []place{
	{name: "serial", framing: modbus.RTU, alone: true},
	{name: "serial-two", framing: modbus.RTU},
	{name: "tcp", framing: modbus.TCP, alone: true},
	{name: "tcp-two", framing: modbus.TCP},
}

// A family is a model and the ways its firmware or card has.
type family struct {
	sku      string
	variants []string
}

// families are all models, and the first one in every way there is.
func families() (out []family) {
	for _, sku := range upssim.SKUs() {
		out = append(out, family{sku: sku})
	}
	for _, v := range upssim.VariantNames() {
		out = append(out, family{upssim.SKUs()[0], []string{v}})
	}
	return out
}

// reaches tells whether a unit of the family can be at the place.
func (f family) reaches(p place) bool {
	return p.framing != modbus.TCP || upssim.New(upssim.Options{SKU: f.sku, Variants: f.variants}).HasTCP()
}

// A trial is one fault against one family at one place.
type trial struct {
	family
	fault  upssim.Fault
	any    bool // any fault at all, each time another
	place  place
	cycles int
	seed   uint64
}

func (c trial) String() string {
	fault := c.fault.String()
	if c.any {
		fault = fmt.Sprintf("any-%d", c.seed)
	}
	return strings.Join(append([]string{fault, c.place.name, c.sku}, c.variants...), "/")
}

// An outcomeOf is what came out of a trial.
type outcomeOf struct {
	trial
	readings, missed int
	recovery         []time.Duration
	results          map[modbus.Result]int
	said             map[string]int
	wrong            []string
	never            int // cycles after which a unit was not read again within 100 s
}

// try lets a fault appear, go, and be recovered from, so many times.
func (c trial) try(t *testing.T) (out outcomeOf) {
	inTime := synctest.Test
	if c.place.pty {
		inTime = func(t *testing.T, f func(*testing.T)) { f(t) }
	}
	inTime(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s := newFaultSite(t, ctx, c)
		out.trial = c
		rng := rand.New(rand.NewPCG(c.seed, uint64(c.fault)))
		s.run(func() {
			defer cancel() // the units end first
			if s.recovered(time.Now()) < 0 {
				t.Error("not even connected")
				return
			}
			for range c.cycles {
				fault := c.fault
				if c.any {
					fault = upssim.Fault(rng.IntN(len(upssim.AllFaults())))
				}
				s.strike(fault, rng)
				took := s.recovered(time.Now())
				if took < 0 {
					out.never++
					return
				}
				out.recovery = append(out.recovery, took)
				time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
			}
		})
		for _, n := range s.good {
			out.readings += n
		}
		out.missed, out.results, out.said, out.wrong = s.missed, s.results, s.said, s.wrong
	})
	return out
}

// strike makes a fault happen for a while, in one of its ways, and returns when it is over.
func (s *faultSite) strike(fault upssim.Fault, rng *rand.Rand) {
	f := s.units[1].Faults()
	f.LateBy(time.Duration(50+rng.IntN(900)) * time.Millisecond)
	f.DripBy(time.Duration(2+rng.IntN(80)) * time.Millisecond)
	switch rng.IntN(4) {
	case 0:
		f.Next(fault, 1)
	case 1:
		f.Next(fault, 1+rng.IntN(4))
	case 2:
		f.Every(fault, 2+rng.IntN(3))
	case 3:
		f.Set(fault, true)
	}
	time.Sleep(time.Duration(200+rng.IntN(1500)) * time.Millisecond)
	f.Clear()
}

// row is a line of the table.
func (o outcomeOf) row() string {
	slices.Sort(o.recovery)
	p50, most := time.Duration(0), time.Duration(0)
	if n := len(o.recovery); n > 0 {
		p50, most = o.recovery[n/2], o.recovery[n-1]
	}
	said := make([]string, 0, len(o.said))
	for m, n := range o.said {
		said = append(said, fmt.Sprintf("%s %d", m, n))
	}
	slices.Sort(said)
	r := o.results
	return fmt.Sprintf("%-40s %6d %8d %6d %6d %7.0f %7.0f  %d/%d/%d/%d/%d  %s", o.trial, len(o.recovery), o.readings, len(o.wrong), o.missed,
		p50.Seconds()*1000, most.Seconds()*1000, r[modbus.ResultOK], r[modbus.ResultTimeout], r[modbus.ResultFrame],
		r[modbus.ResultException], r[modbus.ResultLink], strings.Join(said, ", "))
}

const tableHead = "fault                                    cycles readings  wrong missed p50 ms  max ms  ok/timeout/frame/exception/link  log"

// a table collects what came out.
type faultTable struct {
	mu   sync.Mutex
	rows []string
	sum  int
}

// run makes a trial in a subtest of its own.
func (f *faultTable) run(t *testing.T, c trial) {
	t.Run(c.String(), func(t *testing.T) {
		t.Parallel()
		f.take(t, c.try(t))
	})
}

// take judges what came out of a trial and keeps it for the table.
func (f *faultTable) take(t *testing.T, out outcomeOf) {
	for i, w := range out.wrong {
		if i < 5 {
			t.Errorf("%s: wrong: %s", out.trial, w)
		}
	}
	if out.never > 0 {
		t.Errorf("%s: a unit was not read again within 100 s of the end of a fault", out.trial)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows = append(f.rows, out.row())
	f.sum += len(out.recovery)
}

func (f *faultTable) String() string {
	slices.Sort(f.rows)
	return fmt.Sprintf("%s\n%s\n%d cycles", tableHead, strings.Join(f.rows, "\n"), f.sum)
}

// Cycles of each trial in plain tests: as many as fit into some ten seconds. The soak test makes a thousand of each. With the
// race detector each fault and family meet at one place only, all four in turn.
const (
	cyclesUsually  = 10
	cyclesWithRace = 6
	cyclesInSoak   = 1000
)

// TestNoFaultEverPublishesAWrongValue: every fault against every family on every kind of line. Nothing is published that the
// unit did not hold between the request and the reply, and the unit is read again when the fault is over.
func TestNoFaultEverPublishesAWrongValue(t *testing.T) {
	cycles := cyclesUsually
	if testenv.Race {
		cycles = cyclesWithRace
	}
	var table faultTable
	t.Run("each", func(t *testing.T) { table.everything(t, cycles) })
	t.Logf("\n%s", &table)
}

func (f *faultTable) everything(t *testing.T, cycles int) {
	for i, family := range families() {
		for j, place := range places {
			if !family.reaches(place) {
				continue
			}
			for _, fault := range upssim.AllFaults() {
				if testenv.Race && (i+j+int(fault))%len(places) != 0 {
					continue
				}
				f.run(t, trial{family: family, fault: fault, place: place, cycles: cycles, seed: 7})
			}
		}
	}
}

// The oracle would notice: an old value under a new time, a value of another unit, values of two instants in one reading.
func TestTheOracleNoticesWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s := newFaultSite(t, ctx, trial{family: families()[0], place: places[1], seed: 7})
		kept := map[string][]ups.Reading{}
		s.keep = func(r *ups.Reading) {
			if r.Tier == ups.TierStatus {
				c := *r
				c.Raw = slices.Clone(r.Raw)
				kept[r.Unit] = append(kept[r.Unit], c)
			}
		}
		s.run(func() { time.Sleep(time.Minute); cancel() })
		a, b := kept["rack-a"], kept["rack-b"]
		if len(a) < 5 || len(b) < 5 || len(s.wrong) > 0 {
			t.Fatalf("%d and %d readings, %q", len(a), len(b), s.wrong)
		}
		old, other, mixed := a[2], a[3], a[4]
		old.Raw, other.Raw = a[1].Raw, b[3].Raw
		mixed.Raw = slices.Concat(a[3].Raw[:2], a[4].Raw[2:])
		for _, r := range []ups.Reading{old, other, mixed} {
			if s.compare(&r) == "" {
				t.Errorf("nothing is wrong with %v at %v", r.Raw, r.At)
			}
		}
		if why := s.compare(&a[4]); why != "" {
			t.Error("of a reading as it was:", why)
		}
	})
}

// A line that spoils every second or third exchange is slow; it is not lost, and what it delivers keeps coming. What is spoilt is
// counted each time.
func TestALineWithManyBadRepliesIsStillRead(t *testing.T) {
	for _, c := range []struct {
		fault upssim.Fault
		every int
		least int // status words of the unit in a minute, with two units on the line
	}{
		{upssim.BadCRC, 2, 40},
		{upssim.BadCRC, 3, 40},
		{upssim.Cut, 2, 20},
		{upssim.Garbage, 2, 40},
		{upssim.OtherUnit, 2, 40},
		{upssim.Stale, 2, 40},
		{upssim.Stale, 3, 40},
		{upssim.OtherBlock, 3, 40},
		{upssim.Deaf, 2, 3},
		{upssim.Deaf, 3, 6},
		{upssim.Master, 2, 40},
		{upssim.Echo, 1, 120},
		{upssim.Echo, 2, 120},
	} {
		t.Run(fmt.Sprintf("%s=%d", c.fault, c.every), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				s := newFaultSite(t, ctx, trial{family: families()[0], place: places[1], seed: 7})
				words := map[string]int{}
				s.run(func() {
					defer cancel()
					if s.recovered(time.Now()) < 0 {
						t.Fatal("not even connected")
					}
					before := []int{s.seen("rack-a"), s.seen("rack-b")}
					s.units[1].Faults().Every(c.fault, c.every)
					time.Sleep(time.Minute)
					words["rack-a"], words["rack-b"] = s.seen("rack-a")-before[0], s.seen("rack-b")-before[1]
				})
				bad := s.results[modbus.ResultFrame] + s.results[modbus.ResultTimeout]
				if words["rack-a"] < c.least || words["rack-b"] < c.least || s.said["unit lost"] > 0 || len(s.wrong) > 0 {
					t.Errorf("%d and %d words, want %d; log %v, wrong %q", words["rack-a"], words["rack-b"], c.least, s.said, s.wrong)
				}
				if c.fault != upssim.Echo && bad < 30 {
					t.Errorf("only %d bad exchanges were counted", bad)
				}
				t.Log(words, bad, s.said)
			})
		})
	}
}

// A line or a unit that is away for a minute comes back by itself, in no more than the longest pauses: 5 s of the link, 10 s of
// the unit. While a unit of a serial line is away the other one is read all the time.
func TestAMinuteAwayIsOverSoon(t *testing.T) {
	for _, fault := range []upssim.Fault{upssim.Pull, upssim.Deaf, upssim.EchoOnly, upssim.Shift, upssim.BadCRC, upssim.Resetting} {
		for _, place := range places {
			c := trial{family: families()[0], fault: fault, place: place, seed: 7}
			t.Run(c.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					s := newFaultSite(t, ctx, c)
					s.run(func() {
						defer cancel()
						if s.recovered(time.Now()) < 0 {
							t.Fatal("not even connected")
						}
						before := s.seen("rack-b")
						s.units[1].Faults().Set(fault, true)
						time.Sleep(time.Minute)
						s.units[1].Faults().Clear()
						words := s.seen("rack-b") - before
						if place.framing == modbus.RTU && !place.alone && fault != upssim.Pull && words < 60 {
							t.Errorf("the other unit's state was read %d times in that minute", words)
						}
						took := s.recovered(time.Now())
						t.Logf("read again after %v; %v", took, s.said)
						if took < 0 || took > 17*time.Second {
							t.Errorf("read again after %v", took)
						}
					})
					if len(s.wrong) > 0 {
						t.Error(s.wrong)
					}
				})
			})
		}
	}
}

// soaking skips a test that belongs to make soak.
func soaking(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("a matter of make soak")
	}
}

// TestSoakFaults makes a thousand cycles of each fault, family and kind of line, and prints the table.
func TestSoakFaults(t *testing.T) {
	soaking(t)
	var table faultTable
	t.Run("each", func(t *testing.T) { table.everything(t, cyclesInSoak) })
	fmt.Println(&table)
}

// TestSoakRandomFaults makes a hundred thousand faults at random, each time with another seed.
func TestSoakRandomFaults(t *testing.T) {
	soaking(t)
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	var table faultTable
	t.Run("each", func(t *testing.T) {
		families := families()
		for i := range uint64(100) {
			family, place := families[(seed+i)%uint64(len(families))], places[i%uint64(len(places))]
			if !family.reaches(place) {
				place = places[0]
			}
			table.run(t, trial{family: family, any: true, place: place, cycles: cyclesInSoak, seed: seed + i})
		}
	})
	fmt.Println(&table)
}

// TestSoakFaultsOnPTYs makes ten cycles of each fault and family on real pseudo terminals, many at once: most of the time they wait.
func TestSoakFaultsOnPTYs(t *testing.T) {
	soaking(t)
	var table faultTable
	var all sync.WaitGroup
	atOnce := make(chan struct{}, 64)
	for i, family := range families() {
		for j, fault := range upssim.AllFaults() {
			place := place{name: "pty", framing: modbus.RTU, alone: (i+j)%2 == 0, pty: true}
			atOnce <- struct{}{}
			all.Go(func() {
				defer func() { <-atOnce }()
				table.take(t, trial{family: family, fault: fault, place: place, cycles: 10, seed: 7}.try(t))
			})
		}
	}
	all.Wait()
	fmt.Println(&table)
}
