package command_test

import (
	"context"
	"testing"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

// leave takes the line of a unit away, for a while: whoever follows something over it is left.
func (u *unit) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.left)
	u.left = make(chan struct{})
}

// over waits for d, or until the line is taken away.
func (u *unit) over(ctx context.Context, d time.Duration) (ups.Outcome, bool) {
	u.mu.Lock()
	left := u.left
	u.mu.Unlock()
	select {
	case <-left:
		return ups.Outcome{State: ups.Left}, false
	case <-time.After(d):
		return ups.Outcome{}, true
	case <-ctx.Done():
		return ups.Outcome{State: ups.Unknown}, false
	}
}

// TestALineThatIsTakenAwayEndsNoOrder: the unit is asked when it is found again, as after a crash; however often, and however late the first time
// was. What takes it back reaches the unit that is there now, and not while there is none.
func TestALineThatIsTakenAwayEndsNoOrder(t *testing.T) {
	for name, row := range map[string]struct {
		do   func(s *site, u *unit)
		want string
	}{
		"once":  {func(_ *site, u *unit) { u.leave() }, "done"},
		"often": {func(*site, *unit) {}, "done"},
		"away for a minute": {func(_ *site, u *unit) {
			u.away.Store(true)
			u.leave()
			time.Sleep(time.Minute)
			u.away.Store(false)
		}, "done"},
		"for good": {func(_ *site, u *unit) {
			u.away.Store(true)
			u.leave()
		}, "unknown UPS_UNREACHABLE"},
		"cancelled before": {func(s *site, u *unit) {
			s.give(s.cancelOf(1, 2))
			u.leave()
			s.want(2, "done")
		}, "cancelled CANCELLED"},
		"cancelled while it is away": {func(s *site, u *unit) {
			u.away.Store(true)
			u.leave()
			time.Sleep(2 * time.Second)
			s.renew()
			s.give(s.cancelOf(1, 2))
			s.want(2, "refused UPS_UNREACHABLE")
			u.away.Store(false)
		}, "done"},
		"the plan falls while it is away": {func(s *site, u *unit) {
			u.away.Store(true)
			u.leave()
			time.Sleep(2 * time.Second)
			s.renew()
			s.say(bind("AS1", 4, policy.Basic, 10))
			time.Sleep(2 * time.Minute)
			u.away.Store(false)
		}, "cancelled PLAN_BASIC"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, s *site) {
				u := s.unit("AS1")
				u.takes, u.stays, u.left = 20*time.Minute, true, make(chan struct{})
				s.give(s.command(1, "AS1"))
				time.Sleep(time.Minute)
				row.do(s, u)
				for i := range 30 {
					time.Sleep(time.Minute)
					if name == "often" && i < 15 {
						u.leave()
					}
				}
				s.want(1, row.want)
				told, want := u.recalled(), map[bool]int{true: 1}[row.want[0] == 'c']
				if u.written() != 1 || told != want || u.recall != want*fresh(name) {
					t.Errorf("%d writes, told %d times to take it back, and so Judge %d times", u.written(), told, u.recall)
				}
			})
		})
	}
}

// fresh is how often the one who judges has to know that the unit was told to take it back.
func fresh(name string) int {
	if name == "cancelled before" {
		return 1
	}
	return 0
}
