package clock

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/wire"
)

// A box is a machine on synctest's clock, with a wall clock that says what it is set to and a time service that comes and goes.
type box struct {
	began time.Time // of this boot

	mu     sync.Mutex
	slept  time.Duration // while Go's clock stood still
	ahead  time.Duration // of the wall clock against synctest's, which is taken for the truth
	served Service
}

var truth = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)

// newBox enters the year in which the tests play.
func newBox() *box {
	time.Sleep(time.Until(truth))
	return &box{began: time.Now().Add(-time.Minute)}
}

func (b *box) clock() *Clock {
	return Of(Machine{
		Boot: wire.ID{7},
		Mono: func() time.Duration { return b.now().Sub(b.began.Round(0)) },
		Wall: func() time.Time {
			now := b.now()
			b.mu.Lock()
			defer b.mu.Unlock()
			return now.Add(b.ahead)
		},
		Service: func() Service {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.served
		},
	})
}

// now is the true time.
func (b *box) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Round(0).Add(b.slept)
}

// set sets the wall clock, and says what the time service makes of it.
func (b *box) set(to time.Time, served Service) {
	ahead := to.Sub(b.now())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ahead, b.served = ahead, served
}

// synced is what a time service says that is sure.
var synced = Service{Set: true, Error: 20 * time.Millisecond}

func (b *box) sync() { b.set(b.now(), synced) }

func (b *box) sleep(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slept += d
}

// watch tells changes to the list until the test ends.
func watch(t *testing.T, c *Clock) func() []Change {
	var mu sync.Mutex
	var list []Change
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Watch(ctx, func(n Change) {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, n)
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	return func() []Change {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
}

func TestNoWallTimeBeforeTheClockIsSet(t *testing.T) {
	for _, start := range []time.Time{time.Unix(0, 0), time.Date(2038, 1, 19, 3, 14, 7, 0, time.UTC), truth.Add(time.Hour)} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox()
			b.set(start, Service{})
			c := b.clock()
			news := watch(t, c)
			type mark struct {
				stamp wire.Stamp
				truth time.Time
			}
			var marks []mark
			for range 600 { // ten minutes that nobody can place
				marks = append(marks, mark{c.Stamp(time.Now()), time.Now()})
				if s := marks[len(marks)-1].stamp; !s.Wall.IsZero() || c.Trusted() {
					t.Fatalf("an unset clock attached %v", s.Wall)
				}
				time.Sleep(time.Second)
			}
			b.sync()
			time.Sleep(2 * time.Second)
			for i, m := range marks {
				s := c.Complete(m.stamp)
				if off := s.Wall.Sub(m.truth).Abs(); off > time.Second || s.Mono != m.stamp.Mono {
					t.Fatalf("placed at %v, %v away", s.Wall, off)
				}
				if i > 0 && m.stamp.Mono <= marks[i-1].stamp.Mono {
					t.Fatalf("stamp %d does not come after the one before", i)
				}
			}
			if st := c.Status(); st.State != wire.ClockSynced || st.Error != 20*time.Millisecond {
				t.Errorf("%+v, want synced within 20ms", st)
			}
			if len(news()) != 1 || news()[0].State != wire.ClockSynced || news()[0].Step != 0 {
				t.Errorf("news %+v, want that it is synced and nothing else: nobody had trusted it", news())
			}
		})
	}
}

func TestAnInstantNeverGetsTwoTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox()
		b.sync()
		c := b.clock()
		news := watch(t, c)
		before := time.Now()
		told := c.Stamp(before)
		time.Sleep(time.Minute)
		b.set(b.now().Add(-time.Hour), synced) // by the service itself, which says that it is right
		time.Sleep(time.Minute)
		if again := c.Stamp(before); again != told {
			t.Errorf("%v and then %v for one instant", told, again)
		}
		after := c.Stamp(time.Now())
		if d := after.Wall.Sub(told.Wall); d != 2*time.Minute-time.Hour || after.Mono <= told.Mono {
			t.Errorf("two minutes later is %v later on the wall, %v on the monotonic clock", d, after.Mono-told.Mono)
		}
		if len(news()) != 2 || news()[1].Step != -time.Hour || news()[1].State != wire.ClockSynced {
			t.Errorf("news %+v, want a step of an hour back", news())
		}
	})
}

func TestAClockSetByHandMovesNoStamp(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, 24 * time.Hour, -30 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox()
			b.sync()
			c := b.clock()
			news := watch(t, c)
			time.Sleep(time.Minute)
			b.set(b.now().Add(step), Service{}) // the kernel takes the mark away when someone sets the clock
			time.Sleep(100 * time.Second)
			if s := c.Stamp(time.Now()); time.Until(s.Wall).Abs() > time.Second {
				t.Errorf("%v, want %v whatever the machine's clock says", s.Wall, time.Now())
			}
			st := c.Status()
			if want := 20*time.Millisecond + 100*time.Second/2000; st.State != wire.ClockHoldover || (st.Error-want).Abs() > time.Millisecond {
				t.Errorf("%+v, want holdover and %v", st, want)
			}
			stepped := false
			for _, n := range news() {
				stepped = stepped || n.Step == step && n.State == wire.ClockHoldover
			}
			if !stepped {
				t.Errorf("news %+v, want a step of %v", news(), step)
			}
		})
	}
}

func TestTheCloudTellsTheTimeWhereNobodyElseDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox()
		b.set(time.Unix(0, 0), Service{})
		c := b.clock()
		news := watch(t, c)
		early := c.Stamp(time.Now())
		at := time.Now()
		announced := time.Now()
		time.Sleep(300 * time.Millisecond)
		signed := time.Now()
		time.Sleep(1500 * time.Millisecond)
		c.Told(signed, announced, time.Now())
		if s := c.Complete(early); s.Wall.Sub(at).Abs() > time.Second {
			t.Errorf("placed %v, %v away", s.Wall, s.Wall.Sub(at))
		}
		if st := c.Status(); st.State != wire.ClockSynced || st.Error < 900*time.Millisecond || st.Error > 902*time.Millisecond {
			t.Errorf("%+v, want synced within half of 1.8 s", st)
		}
		time.Sleep(10 * time.Hour)
		if st := c.Status(); st.State != wire.ClockHoldover || st.Error < 17*time.Second {
			t.Errorf("%+v ten hours later, want holdover and 500 ppm more", st)
		}
		b.sync()
		time.Sleep(2 * time.Second)
		if st := c.Status(); st.State != wire.ClockSynced || st.Error != 20*time.Millisecond {
			t.Errorf("%+v with a time service, want its word", st)
		}
		for _, n := range news() {
			if n.Off != 0 {
				t.Errorf("news %+v: nobody had trusted the machine's clock", n)
			}
		}
	})
}

func TestCloudAndTimeServiceThatDisagreeAreNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox()
		b.set(b.now().Add(5*time.Minute), synced)
		c := b.clock()
		news := watch(t, c)
		for range 3 {
			c.Told(time.Now(), time.Now(), time.Now())
			time.Sleep(2 * time.Second)
		}
		if !c.floor.kept.sign.IsZero() {
			t.Error("a disputed time became the floor")
		}
		off := 0
		for _, n := range news() {
			if n.Off > 0 {
				off++
				if (n.Off - 5*time.Minute).Abs() > time.Second {
					t.Errorf("off by %v, want 5m", n.Off)
				}
			}
		}
		if st := c.Status(); off != 1 || st.Error < 4*time.Minute {
			t.Errorf("told %d times, %+v; want once, and a bound that says so", off, st)
		}
	})
}

func TestTheCloudCannotTellATimeBeforeTheBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBox().clock()
		if err := c.Remember(t.TempDir(), truth); err != nil {
			t.Fatal(err)
		}
		c.Told(truth.Add(-48*time.Hour), time.Now(), time.Now())
		if at, sure := c.Certificates(); sure || c.Trusted() || !at.Equal(truth) {
			t.Errorf("believed: %v %v", at, sure)
		}
	})
}

func TestMonotonicTimeGoesOnWhileTheMachineSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox()
		b.sync()
		c := b.clock()
		before := time.Now()
		first := c.Stamp(before)
		time.Sleep(time.Second)
		b.sleep(time.Hour)
		after := c.Stamp(time.Now())
		if d := after.Mono - first.Mono; d != time.Hour+time.Second {
			t.Errorf("an hour asleep and a second awake are %v", d)
		}
		if d := after.Wall.Sub(first.Wall); d != time.Hour+time.Second {
			t.Errorf("an hour asleep and a second awake are %v on the wall clock", d)
		}
		if again := c.Stamp(before); again != first {
			t.Errorf("%+v and then %+v for one instant before the sleep", first, again)
		}
	})
}

// TestOrderAndTimesHoldWhateverTheClockDoes lets the wall clock jump at random and asks of every stamp: mono rises, the same
// instant has the same stamp for ever, and while only a right time service sets the clock, the time is right.
func TestOrderAndTimesHoldWhateverTheClockDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox()
		c := b.clock()
		random := rand.New(rand.NewPCG(27, 6))
		type mark struct {
			truth time.Time
			stamp wire.Stamp
		}
		var marks []mark
		for n := range 2000 {
			switch random.IntN(6) {
			case 0:
				b.sync()
			case 1:
				b.set(b.now().Add(time.Duration(random.Int64N(int64(24*365*time.Hour)))-12*365*time.Hour), Service{})
			case 2:
				b.set([]time.Time{time.Unix(0, 0), time.Date(2038, 1, 19, 3, 14, 7, 0, time.UTC)}[random.IntN(2)], Service{})
			case 3:
				b.sleep(time.Duration(random.Int64N(int64(time.Hour))))
			}
			now := time.Now()
			m := mark{b.now(), c.Stamp(now)}
			if n > 0 && m.stamp.Mono <= marks[n-1].stamp.Mono {
				t.Fatalf("stamp %d: %v after %v", n, m.stamp.Mono, marks[n-1].stamp.Mono)
			}
			marks = append(marks, m)
			time.Sleep(time.Second + time.Duration(random.Int64N(int64(time.Minute))))
		}
		b.sync()
		time.Sleep(time.Second)
		placed := 0
		for i, m := range marks {
			s := c.Complete(m.stamp)
			if !m.stamp.Wall.IsZero() && s != m.stamp {
				t.Fatalf("stamp %d changed from %v to %v", i, m.stamp, s)
			}
			if off := s.Wall.Sub(m.truth).Abs(); off > time.Second {
				t.Fatalf("stamp %d: %v, %v away from the truth", i, s.Wall, off)
			}
			if m.stamp.Wall.IsZero() {
				placed++
			}
		}
		if placed == 0 || placed == len(marks) {
			t.Errorf("%d of %d stamps were placed afterwards: the test tries nothing", placed, len(marks))
		}
	})
}

func TestStampOfAnotherBootStaysAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox()
		b.sync()
		other := wire.Stamp{BootID: wire.ID{1}, Mono: time.Hour}
		if got := b.clock().Complete(other); got != other {
			t.Errorf("Complete(%+v) = %+v: another boot's monotonic clock says nothing about this one's wall clock", other, got)
		}
	})
}

func TestThisMachineHasAClock(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	a := time.Now()
	s := c.Stamp(a)
	if s.Mono <= 0 || s.BootID == (wire.ID{}) || s.BootID != c.Boot() {
		t.Errorf("stamp %+v, want the monotonic time of this boot", s)
	}
	if got := c.Mono(a.Add(3*time.Second)) - c.Mono(a); got != 3*time.Second {
		t.Errorf("3 s apart on the process clock, %v apart on the boot clock", got)
	}
	t.Logf("%+v, published %+v", c.Status(), c.m.Service())
}
