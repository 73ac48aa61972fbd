package clock

import (
	"testing"
	"time"

	"upsedge/internal/wire"
)

func TestStampsCarryWallTimeOnlyWhenTrusted(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	trusted := false
	c.trusted = func() bool { return trusted }

	now := time.Now()
	early := c.Stamp(now)
	if !early.Wall.IsZero() {
		t.Errorf("an untrusted clock attached %v, want no wall time", early.Wall)
	}
	if early.Mono <= 0 || early.BootID != c.Boot() {
		t.Errorf("stamp %+v, want the monotonic time of this boot", early)
	}

	trusted = true
	late := c.Complete(early)
	if d := late.Wall.Sub(now); d < -time.Second || d > time.Second {
		t.Errorf("corrected backwards to %v, %v away from %v", late.Wall, d, now)
	}
	trusted = false
	if !c.Trusted() {
		t.Error("a clock once set is no longer trusted")
	}
}

func TestStampOfAnotherBootStaysAsItIs(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	c.trusted = func() bool { return true }
	other := wire.Stamp{BootID: wire.ID{1}, Mono: time.Hour}
	if got := c.Complete(other); got != other {
		t.Errorf("Complete(%+v) = %+v: another boot's monotonic clock says nothing about this one's wall clock", other, got)
	}
}

func TestMonotonicTimeRisesWithTheProcessClock(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	a := time.Now()
	if got := c.Mono(a.Add(3*time.Second)) - c.Mono(a); got != 3*time.Second {
		t.Errorf("3 s apart on the process clock, %v apart on the boot clock", got)
	}
}
