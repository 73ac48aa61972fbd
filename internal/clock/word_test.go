package clock

import (
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/wire"
)

// say gives the clock a true statement that came back so long after its nonce was announced, nearly all of it on the way there: the time in
// it is late by nearly half.
func say(c *Clock, roundTrip time.Duration) {
	announced := time.Now()
	time.Sleep(roundTrip)
	c.Told(time.Now(), announced, time.Now())
}

// off is how far the clock's time is from the truth, which a bubble's is.
func off(c *Clock) time.Duration { return time.Until(c.Time(time.Now())).Abs() }

func cloudBox() (*box, *Clock) {
	b := newBox()
	b.set(time.Unix(0, 0), Service{})
	return b, b.clock()
}

// TestT06AStatementThatWasLongOnTheWayWaitsForABetterOne: what it says is up to 4 s off. Nothing is stamped with it; a better one is wanted,
// and is taken at once, back to the boot.
func TestT06AStatementThatWasLongOnTheWayWaitsForABetterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := cloudBox()
		if !c.Wanting() {
			t.Error("nobody has told the time, and no statement is wanted")
		}
		early, at := c.Stamp(time.Now()), time.Now()
		for _, d := range []time.Duration{8 * time.Second, 3 * time.Second, 5 * time.Second} {
			say(c, d)
			if st := c.Status(); st.State != wire.ClockUnset || !c.Stamp(time.Now()).Wall.IsZero() || !c.Wanting() {
				t.Errorf("%+v after one that took %v, wanting %v", st, d, c.Wanting())
			}
		}
		if at, sure := c.Certificates(); sure || at.Before(truth) {
			t.Errorf("certificates are judged at %v, sure %v: what was signed is the earliest that it can be", at, sure)
		}
		say(c, 400*time.Millisecond)
		if st := c.Status(); st.State != wire.ClockSynced || st.Error > 202*time.Millisecond || off(c) > st.Error || c.Wanting() {
			t.Errorf("%+v, off by %v, wanting %v after one that took 400ms", st, off(c), c.Wanting())
		}
		if s := c.Complete(early); s.Wall.Sub(at).Abs() > time.Second {
			t.Errorf("placed %v away", s.Wall.Sub(at))
		}
		time.Sleep(patience)
		if st := c.Status(); st.Error > 400*time.Millisecond {
			t.Errorf("%+v five minutes later: one that waited was taken", st)
		}
	})
}

// TestT06TheBestOfFiveMinutesIsTaken where no good one comes, with its bound; from then on a worse one changes nothing.
func TestT06TheBestOfFiveMinutesIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := cloudBox()
		news := watch(t, c)
		for _, d := range []time.Duration{8 * time.Second, 3 * time.Second, 5 * time.Second} {
			say(c, d)
		}
		time.Sleep(patience - 9*time.Second)
		if c.Trusted() {
			t.Error("taken too early")
		}
		time.Sleep(3 * time.Second)
		taken := c.Status()
		if taken.State != wire.ClockSynced || taken.Error < 1500*time.Millisecond || taken.Error > 1700*time.Millisecond || off(c) > taken.Error || c.Wanting() {
			t.Errorf("%+v, off by %v, wanting %v; want the one that took 3s", taken, off(c), c.Wanting())
		}
		was := off(c)
		say(c, 10*time.Second)
		if off(c) != was || c.Wanting() || c.Status().State != wire.ClockSynced {
			t.Errorf("a worse one made it %v off, which was %v; wanting %v", off(c), was, c.Wanting())
		}
		say(c, 2200*time.Millisecond) // above fine, and better than what is known
		if st := c.Status(); st.Error > 1102*time.Millisecond || off(c) > st.Error {
			t.Errorf("%+v, off by %v after a better one", st, off(c))
		}
		for _, n := range news() {
			if n.Off != 0 || n.Step != 0 {
				t.Errorf("news %+v", n)
			}
		}
	})
}

// TestALooseStatementThatContradictsWaits: it says that what is known is wrong, and is believed when no better one comes.
func TestALooseStatementThatContradictsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox()
		b.set(b.now().Add(time.Hour), synced) // a time service that is lied to
		c := b.clock()
		news := watch(t, c)
		time.Sleep(time.Minute)
		b.set(b.now().Add(time.Hour), Service{})
		time.Sleep(2 * time.Second)
		say(c, 8*time.Second)
		if off(c) < 59*time.Minute || !c.Wanting() {
			t.Errorf("off by %v at once, wanting %v", off(c), c.Wanting())
		}
		time.Sleep(patience + time.Second)
		if off(c) > 5*time.Second || c.Wanting() {
			t.Errorf("off by %v five minutes later, wanting %v", off(c), c.Wanting())
		}
		told := 0
		for _, n := range news() {
			if n.Off > 0 {
				told++
			}
		}
		if told != 1 {
			t.Errorf("told %d times that the time was wrong, want once", told)
		}
	})
}

// TestATimeServiceEndsTheWaitForAStatement: what it says counts, and what waited is forgotten.
func TestATimeServiceEndsTheWaitForAStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := cloudBox()
		say(c, 8*time.Second)
		b.sync()
		time.Sleep(time.Second)
		if st := c.Status(); st.Error != synced.Error || c.Wanting() {
			t.Errorf("%+v, wanting %v", st, c.Wanting())
		}
		b.set(b.now(), Service{})
		time.Sleep(patience)
		if st := c.Status(); st.State != wire.ClockHoldover || st.Error > time.Second || off(c) > st.Error {
			t.Errorf("%+v, off by %v when the service is gone", st, off(c))
		}
	})
}
