package command_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// fillTo gives orders that are refused and remembered until the journal knows n.
func (s *site) fillTo(n int64) {
	s.t.Helper()
	for {
		if known, _ := s.x.Fill(); known >= n {
			return
		}
		c := s.command(0, "AS1")
		c.ID, c.Action = wire.ID{200, byte(s.counter), byte(s.counter >> 8)}, "no.such.action"
		s.give(c)
	}
}

func (s *site) repeated(id wire.ID) (n int) {
	for _, r := range s.sink.of(id) {
		if r.Repeated {
			n++
		}
	}
	return n
}

// TestAFullJournalRefusesAndForgetsNothing: R9. What is refused for it is told; what runs ends, and can be taken back (R10); what is
// known is answered; and after a week that the agent has run there is room again.
func TestAFullJournalRefusesAndForgetsNothing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir)
		s.most = 100 // and four to tell of refusals, and four for what takes back
		u := s.unit("AS1")
		u.takes, u.stays = 3*time.Hour, true
		s.unit("AS2").takes = time.Hour
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		defer s.end()
		s.bindBoth()
		runs := s.command(1, "AS1")
		s.give(runs)
		s.give(s.command(2, "AS2"))
		s.fillTo(100)
		late := s.command(3, "AS3")
		s.say(bind("AS3", 4, "advanced", 9))
		s.unit("AS3")
		s.give(late)
		s.want(3, "refused RATE_LIMIT")
		if detail := s.detail(3); !strings.Contains(detail, "journal of orders is full") {
			t.Errorf("it says %q", detail)
		}
		s.fillTo(104)
		s.give(s.command(4, "AS3")) // nothing can be written down any more
		s.want(4, "")
		if told := s.told(); len(told) == 0 || told[len(told)-1].ID != 622 || !strings.HasPrefix(told[len(told)-1].Detail, "RATE_LIMIT") {
			t.Errorf("events %+v", told)
		}
		s.give(s.cancelOf(1, 5))
		s.want(5, "done")
		s.give(runs)
		if s.repeated(runs.ID) != 1 {
			t.Error("what is known is not answered")
		}
		time.Sleep(4 * time.Hour)
		s.want(1, "cancelled CANCELLED")
		s.want(2, "done")
		if n := s.writes(); n != 2 || u.recalled() != 1 {
			t.Errorf("%d writes, taken back %d times", n, u.recalled())
		}
		s.again()
		if known, room := s.x.Fill(); known != 105 || room != 100 {
			t.Errorf("%d orders of %d", known, room)
		}
		time.Sleep(7*24*time.Hour - 2*time.Hour)
		s.renew()
		s.give(runs)
		if s.repeated(runs.ID) != 2 {
			t.Error("what ended within a week is not answered")
		}
		s.bindBoth()
		s.unit("AS2").takes = 0
		s.give(s.command(6, "AS2")) // those that were refused are a week old
		s.want(6, "done")
		if known, _ := s.x.Fill(); known > 10 {
			t.Errorf("%d orders: nothing is forgotten", known)
		}
	})
}

func (s *site) bindBoth() { s.say(bind("AS1", 4, "advanced", 9), bind("AS2", 4, "advanced", 9)) }

// TestWhatWaitsForTheStoreIsBounded: R9. While the store refuses for a week, answers to what is known are left out sooner or later; the end of
// every order comes.
func TestWhatWaitsForTheStoreIsBounded(t *testing.T) {
	dir := inMemory(t)
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir)
		s.most = 600 // and so 50 results
		s.unit("AS1")
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		defer s.end()
		s.say(bind("AS1", 4, "advanced", 9))
		c := s.command(1, "AS1")
		s.give(c)
		s.sink.refuses(errors.New("the disk is full"))
		ends := map[byte]bool{}
		for i := range 100 {
			time.Sleep(5 * time.Second)
			s.give(c)
			if i%10 == 0 {
				id := byte(10 + i/10)
				s.renew()
				d := s.command(id, "AS1")
				d.Action, d.Params = "alarm.mute", nil
				s.give(d)
				ends[id] = true
			}
		}
		s.sink.refuses(nil)
		time.Sleep(time.Minute)
		for id := range ends {
			s.want(id, "done")
		}
		if n := s.repeated(c.ID); n < 20 || n > 50 {
			t.Errorf("%d answers waited", n)
		}
		s.give(c)
		if n := len(s.eventsOf(627)); n == 0 {
			t.Error("nothing says that answers were left out")
		}
	})
}

// TestEDGE6CancellationsHaveTheirCodes: of an order of another user, that waits, that runs, twice, and after its end.
func TestEDGE6CancellationsHaveTheirCodes(t *testing.T) {
	test := func(c *trust.Command) { c.Action, c.Params = "diagnostics.run", map[string]string{"test": "self"} }
	type step struct {
		actor string
		want  string
	}
	for name, row := range map[string]struct {
		order func(c *trust.Command)
		slow  time.Duration
		stays bool
		steps []step
		end   string
	}{
		"a test that runs":      {test, 0, true, []step{{"u_1", "done"}, {"u_1", "refused BUSY"}}, "cancelled CANCELLED"},
		"a test that cannot be": {test, 0, false, []step{{"u_1", "refused BUSY"}, {"u_1", "refused BUSY"}}, "done"},
		"a reboot that waits":   {func(*trust.Command) {}, 0, true, []step{{"u_2", "refused OWNER_ONLY"}, {"u_1", "done"}, {"u_2", "refused OWNER_ONLY"}}, "cancelled CANCELLED"},
		"before it begins":      {test, 10 * time.Second, true, []step{{"u_2", "refused OWNER_ONLY"}, {"u_1", "done"}, {"u_1", "done"}}, "cancelled CANCELLED"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, s *site) {
				u := s.unit("AS1")
				u.takes, u.slow, u.stays = 10*time.Minute, row.slow, row.stays
				c := s.command(1, "AS1")
				row.order(&c)
				s.give(c)
				cancel := func(id byte, actor, want string) {
					t.Helper()
					x := s.cancelOf(1, id)
					if x.Actor = actor; actor != "u_1" {
						x.Role = "shared"
					}
					s.give(x)
					s.want(id, want)
					s.give(x)
					if s.repeated(x.ID) != 1 {
						t.Errorf("%d: a cancellation that is known is not answered", id)
					}
				}
				for i, st := range row.steps {
					cancel(byte(10+i), st.actor, st.want)
				}
				time.Sleep(15 * time.Minute)
				s.renew()
				s.want(1, row.end)
				cancel(20, "u_1", "refused NOT_FOUND")
				if told := map[bool]int{true: 1}[row.stays && row.slow == 0]; u.recalled() != told {
					t.Errorf("the unit was told %d times", u.recalled())
				}
			})
		})
	}
}

// TestWhatWaitsForItsTurnCanBeCancelled: 64 units are looked into at a time; the order of the next one waits, and is nobody's to ask the unit
// about.
func TestWhatWaitsForItsTurnCanBeCancelled(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		for i := range 66 {
			d := fmt.Sprint("BS", i)
			s.unit(d).slow = 10 * time.Second
			s.say(bind(d, 4, "advanced", 9))
		}
		for i := range 66 {
			s.give(s.command(byte(i+1), fmt.Sprint("BS", i)))
		}
		c := s.command(100, "BS65")
		c.Action, c.Params = "order.cancel", map[string]string{"order": wire.ID{66}.String()}
		s.give(c)
		s.want(100, "done")
		time.Sleep(time.Minute)
		s.want(65, "done")
		s.want(66, "cancelled CANCELLED")
		if n := s.unit("BS65").written(); n != 0 {
			t.Errorf("%d writes", n)
		}
	})
}

// TestWhatIsFollowedForHoursKeepsNoOtherWaiting: more units than are looked into at a time are at something that lasts, and one more is
// ordered about at once.
func TestWhatIsFollowedForHoursKeepsNoOtherWaiting(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		var binds []trust.Entry
		for n := range 70 {
			device := fmt.Sprint("LONG", n)
			s.unit(device).takes = 5 * time.Hour
			binds = append(binds, bind(device, 4, policy.Advanced, 9))
		}
		s.unit("NEXT")
		s.say(append(binds, bind("NEXT", 4, policy.Advanced, 9))...)
		for n := range 70 {
			c := s.command(0, fmt.Sprint("LONG", n))
			c.ID = wire.ID{5, byte(n)}
			s.give(c)
		}
		next := s.command(6, "NEXT")
		s.give(next)
		time.Sleep(time.Minute)
		if all := s.sink.of(next.ID); len(all) == 0 || all[len(all)-1].State != wire.OrderDone {
			t.Errorf("the next order: %+v", all)
		}
	})
}
