package upssim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// powered runs a unit for a while and returns what its outlets told, each with the seconds since the start.
func powered(o Options, d time.Duration, happens func(*Unit)) (out []string) {
	u, start := New(o), time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() {
		u.WatchOutlets(ctx, func(c Change) {
			out = append(out, fmt.Sprintf("%.0f %s %v", c.At.Sub(start).Seconds(), c.Group, c.On))
		})
	})
	time.Sleep(time.Second)
	happens(u)
	watching.Wait()
	return out
}

// TestOutletsTellWhenTheirPowerChanges: by a command, by an empty battery, for good; nobody else asks the unit anything.
func TestOutletsTellWhenTheirPowerChanges(t *testing.T) {
	begin := []string{"0 main true", "0 sog0 true"}
	for name, c := range map[string]struct {
		o       Options
		happens func(*Unit)
		want    []string
	}{
		"a group reboots":       {Options{}, func(u *Unit) { u.Handle(writePDU(1538, 0, 0x4210)) }, []string{"1 sog0 false", "9 sog0 true"}},
		"everything reboots":    {Options{}, func(u *Unit) { u.Handle(writePDU(1538, 0, 0x4310)) }, []string{"1 main false", "1 sog0 false", "9 main true", "9 sog0 true"}},
		"a group is turned off": {Options{}, func(u *Unit) { u.Handle(writePDU(1538, 0, 0x4204)) }, []string{"1 sog0 false"}},
		"the power button":      {Options{}, func(u *Unit) { u.do(func() { u.button(false) }) }, []string{"1 main false", "1 sog0 false"}},
		"the battery ends": {Options{}, func(u *Unit) { u.SetMains(false); u.SetRuntime(0); time.Sleep(60 * time.Second); u.SetMains(true) }, []string{
			"1 main false", "1 sog0 false", "66 main true", "66 sog0 true",
		}},
		"an emergency": {Options{}, func(u *Unit) { verbDo(t, u, "epo") }, []string{"1 main false", "1 sog0 false"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			if got := powered(c.o, 10*time.Minute, c.happens); !slices.Equal(got, append(begin[:2:2], c.want...)) {
				t.Errorf("%s: %q, want %q", name, got[min(2, len(got)):], c.want)
			}
		})
	}
}

func verbDo(t *testing.T, u *Unit, word string) {
	t.Helper()
	a, err := ParseAction(word)
	if err != nil {
		t.Fatal(err)
	}
	a.Do(u)
}
