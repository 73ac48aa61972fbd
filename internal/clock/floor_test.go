package clock

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheFloorOutlivesRestarts(t *testing.T) {
	dir := t.TempDir()
	built := truth.Add(-30 * 24 * time.Hour)
	boot := func(t *testing.T) (*box, *Clock) {
		b := newBox()
		b.set(time.Unix(0, 0), Service{})
		c := b.clock()
		if err := c.Remember(dir, built); err != nil {
			t.Fatal(err)
		}
		return b, c
	}
	synctest.Test(t, func(t *testing.T) {
		_, c := boot(t)
		if at, sure := c.Certificates(); sure || !at.Equal(built) {
			t.Errorf("first start: %v %v, want the build", at, sure)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b, c := boot(t)
		watch(t, c)
		b.sync()
		time.Sleep(25 * time.Hour)
		if at, sure := c.Certificates(); !sure || time.Until(at).Abs() > time.Second {
			t.Errorf("synced: %v %v, want now", at, sure)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		_, c := boot(t)
		at, sure := c.Certificates()
		if want := truth.Add(24 * time.Hour); sure || at.Sub(want).Abs() > time.Minute {
			t.Errorf("after a restart: %v %v, want %v, a day before the end at most", at, sure, want)
		}
		watch(t, c)
		c.Told(truth.Add(100*24*time.Hour), time.Now(), time.Now())
		time.Sleep(2 * time.Second)
	})
	synctest.Test(t, func(t *testing.T) {
		b, c := boot(t)
		if at, sure := c.Certificates(); sure || at.Sub(truth.Add(100*24*time.Hour)).Abs() > time.Minute {
			t.Errorf("after a signed time: %v %v", at, sure)
		}
		news := watch(t, c)
		b.set(time.Unix(0, 0), synced)
		time.Sleep(3 * time.Second)
		if c.Trusted() || len(news()) != 1 || news()[0].Off == 0 {
			t.Errorf("a time service that says 1970 is believed, news %+v", news())
		}
	})
}

func TestADayIn2038IsOverWhenTheClockIsSetRight(t *testing.T) {
	dir := t.TempDir()
	for i, ahead := range []time.Duration{12 * 365 * 24 * time.Hour, 0, 0} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox()
			c := b.clock()
			if err := c.Remember(dir, truth); err != nil {
				t.Fatal(err)
			}
			if at, _ := c.Certificates(); i == 2 && at.Sub(truth) > time.Hour {
				t.Errorf("the floor is still at %v", at)
			}
			watch(t, c)
			b.set(b.now().Add(ahead), synced)
			time.Sleep(2 * time.Minute)
		})
	}
}

func TestTheFloorIsWrittenOnceADay(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBox()
		b.sync()
		c := b.clock()
		if err := c.Remember(dir, truth); err != nil {
			t.Fatal(err)
		}
		watch(t, c)
		writes, last := 0, ""
		for range 4 * 24 {
			time.Sleep(time.Hour)
			if text, err := os.ReadFile(filepath.Join(dir, floorFile)); err == nil && string(text) != last {
				writes, last = writes+1, string(text)
			}
		}
		if writes < 3 || writes > 4 {
			t.Errorf("%d writes in four days, want one a day", writes)
		}
	})
}

func TestADamagedFloorIsNoFloor(t *testing.T) {
	path := filepath.Join(t.TempDir(), floorFile)
	if err := writeTimes(path, times{sync: truth, sign: truth}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readTimes(path); err != nil || !got.sync.Equal(truth) || !got.sign.Equal(truth) {
		t.Fatalf("%+v, %v", got, err)
	}
	for bit := range len(whole) * 8 {
		b := []byte(strings.Clone(string(whole)))
		b[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readTimes(path); err == nil || got != (times{}) {
			t.Errorf("bit %d: %+v, %v", bit, got, err)
		}
	}
}
