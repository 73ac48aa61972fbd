package alarm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/ups"
)

// A selfTest is the alarms of an agent, with the time that passes between what it is told.
type selfTest struct {
	t    *testing.T
	self *Self
	now  time.Time
}

func newSelfTest(t *testing.T, saved []byte) *selfTest {
	t.Helper()
	self, err := NewSelf(saved)
	if err != nil {
		t.Fatal(err)
	}
	return &selfTest{t, self, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

// restart is a new run of the agent on what the one before saved.
func (s *selfTest) restart() {
	s.t.Helper()
	blob, _ := s.self.State()
	self, err := NewSelf(slices.Clone(blob))
	if err != nil {
		s.t.Fatal(err)
	}
	s.self = self
}

// want compares what came with "raise 820", "event 821: 3 records waiting", … A detail is compared where it is given.
func (s *selfTest) want(events []ups.Event, want ...string) {
	s.t.Helper()
	var got []string
	for i, e := range events {
		word := fmt.Sprintf("%s %d", e.Kind, e.ID)
		if i < len(want) && strings.Contains(want[i], ": ") {
			word += ": " + e.Detail
		}
		got = append(got, word)
		if e.Unit != "" || e.Device != "" || e.Text == "" || e.Severity != ups.AlarmByID(e.ID).Severity || e.At.IsZero() {
			s.t.Errorf("%+v", e)
		}
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("%q, want %q", got, want)
	}
}

func (s *selfTest) pass(d time.Duration) time.Time {
	s.now = s.now.Add(d)
	return s.now
}

func TestALinkIsLostAfterAMinuteWithoutASession(t *testing.T) {
	s := newSelfTest(t, nil)
	s.want(s.self.Unlinked(s.now))
	s.want(s.self.Linked(s.pass(59*time.Second), 0))
	s.want(s.self.Unlinked(s.pass(time.Hour)))
	s.want(s.self.Elapsed(s.pass(30 * time.Second)))
	s.want(s.self.Unlinked(s.now)) // told again: the minute goes on
	s.want(s.self.Elapsed(s.pass(29 * time.Second)))
	s.want(s.self.Elapsed(s.pass(time.Second)), "raise 820")
	s.want(s.self.Elapsed(s.pass(time.Hour)))
	s.want(s.self.Linked(s.pass(0), 17), "clear 820", "event 821: without a session for 1h1m0s, 17 records waiting")
	s.want(s.self.Elapsed(s.pass(time.Hour)))
}

// TestWithoutABrokerNoLinkIsLost: nobody tells that there is no session.
func TestWithoutABrokerNoLinkIsLost(t *testing.T) {
	s := newSelfTest(t, nil)
	s.want(s.self.Elapsed(s.pass(time.Hour)))
}

// TestALostLinkIsNotRaisedAgainAfterARestart, and the time without a session is only told where two wall clocks tell it.
func TestALostLinkIsNotRaisedAgainAfterARestart(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		wall := func(t time.Time) time.Time {
			if !trusted {
				return time.Time{}
			}
			return t.Round(0).UTC()
		}
		s := newSelfTest(t, nil)
		s.self.TrustClock(wall)
		s.self.Unlinked(s.now)
		s.want(s.self.Elapsed(s.pass(time.Minute)), "raise 820")
		s.restart()
		s.self.TrustClock(wall)
		s.want(s.self.Unlinked(s.pass(time.Minute)))
		s.want(s.self.Elapsed(s.pass(10 * time.Minute)))
		want := "event 821: 3 records waiting"
		if trusted {
			want = "event 821: without a session for 12m0s, 3 records waiting"
		}
		s.want(s.self.Linked(s.now, 3), "clear 820", want)
	}
}

func TestAStartTellsHowTheRunBeforeEnded(t *testing.T) {
	s := newSelfTest(t, nil)
	s.want(s.self.Started(s.now, "1.0", "boot1", ""), "event 810: version 1.0, first start")
	s.want(s.self.Stopping(s.pass(time.Hour), "it was told to"), "event 811: it was told to")
	s.restart()
	s.want(s.self.Started(s.now, "1.0", "boot1", ""), "event 810: version 1.0, after an orderly stop")
	s.restart()
	s.want(s.self.Started(s.now, "1.0", "boot1", ""), "event 812: the machine ran on", "event 810: version 1.0, after it was stopped without warning")
	s.restart()
	s.want(s.self.Started(s.now, "1.1", "boot2", ""), "event 812: the machine was started anew since", "event 813: from version 1.0 to 1.1",
		"event 810: version 1.1, after it was stopped without warning")
	anew := newSelfTest(t, nil)
	s.want(anew.self.Started(s.now, "1.0", "boot1", "with a new database"), "event 810: version 1.0, with a new database")
}

func TestWhatTheBrokerAndTheFilesSay(t *testing.T) {
	s := newSelfTest(t, nil)
	s.want(s.self.Distrusted(s.now, "for another name"), "raise 822: for another name")
	s.want(s.self.Distrusted(s.now, "for another name"))
	s.want(s.self.Trusted(s.now), "clear 822")
	s.want(s.self.Rejected(s.now, "not allowed"), "raise 824: not allowed")
	s.want(s.self.Trusted(s.now))
	s.want(s.self.Linked(s.now, 0), "clear 824")
	s.want(s.self.Reloaded(s.now, "line 3: units[0].name"), "raise 814: line 3: units[0].name")
	s.want(s.self.Reloaded(s.now, "line 4: units[0].name"))
	s.want(s.self.Reloaded(s.now, ""), "clear 814")
	s.want(s.self.Storage(s.now, "the disk is full"), "raise 832: the disk is full")
	s.want(s.self.Storage(s.now, ""), "clear 832")
}

func TestACertificateIsToldOfAMonthBefore(t *testing.T) {
	s := newSelfTest(t, nil)
	ends := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	s.want(s.self.Certificate(s.now, ends.Add(-30*day), ends))
	s.want(s.self.Certificate(s.now, ends.Add(-30*day+time.Second), ends), "raise 823: it ends on 2026-06-01")
	s.restart()
	s.want(s.self.Certificate(s.now, ends.Add(day), ends))
	s.want(s.self.Certificate(s.now, ends, ends.Add(90*day)), "clear 823")
	s.want(s.self.Certificate(s.now, ends.Add(day), ends), "raise 823: it ended on 2026-06-01")
}

func TestABufferIsFullAtEightyAndHasRoomBelowSeventy(t *testing.T) {
	s := newSelfTest(t, nil)
	fill := func(used int64, dropped uint64) []ups.Event {
		return s.self.Spool(s.now, Fill{Used: used << 20, Room: 100 << 20, Dropped: dropped, From: "noon"})
	}
	s.want(fill(79, 0))
	s.want(fill(80, 0), "raise 830: 80 % of 100 MiB")
	s.want(fill(75, 0))
	s.want(fill(100, 5), "raise 831: 5 records so far, from noon")
	s.want(fill(100, 12))
	s.want(fill(70, 12))
	s.restart()
	s.want(fill(75, 0))
	s.want(fill(75, 3)) // the count begins anew with each run
	s.want(fill(69, 3), "clear 830", "clear 831: 15 records in all, from noon")
	s.want(fill(60, 4), "raise 831: 1 record so far, from noon")
}

func TestAJournalOfOrdersThatFillsUpIsABufferToo(t *testing.T) {
	s := newSelfTest(t, nil)
	fill := func(used, orders int64) []ups.Event {
		return s.self.Spool(s.now, Fill{Used: used << 20, Room: 100 << 20, Orders: orders, MostOrders: 1000})
	}
	s.want(fill(10, 799))
	s.want(fill(10, 800), "raise 830: 80 % of the 1000 orders that are remembered for a week; when it is full, orders are refused")
	s.want(fill(90, 900))
	s.want(fill(10, 700))
	s.want(fill(70, 699))
	s.want(fill(69, 699), "clear 830")
}

func TestAClockThatJumpsIsNotTrusted(t *testing.T) {
	s := newSelfTest(t, nil)
	s.want(s.self.Clock(s.now, 0, true))
	s.want(s.self.Clock(s.now, time.Minute, false))
	s.want(s.self.Clock(s.now, -time.Second/2, false))
	s.want(s.self.Clock(s.now, -time.Hour, false), "raise 833: it was set back by 1h0m0s")
	s.want(s.self.Clock(s.now, 0, false))
	s.want(s.self.Clock(s.now, 0, true), "clear 833")
	s.want(s.self.Clock(s.now, 61*time.Second, true), "raise 833: it was off by 1m1s", "clear 833")
}

// TestWhatTheAgentRepeatsIsHeldBack: TIMING-4 holds for the agent's own, and not for what is critical.
func TestWhatTheAgentRepeatsIsHeldBack(t *testing.T) {
	s := newSelfTest(t, nil)
	told := map[ups.AlarmID]int{}
	for range 20 {
		for _, judge := range []func() []ups.Event{
			func() []ups.Event { return s.self.Reloaded(s.pass(time.Second), "line 1") },
			func() []ups.Event { return s.self.Reloaded(s.pass(time.Second), "") },
			func() []ups.Event { return s.self.Storage(s.now, "full") },
			func() []ups.Event { return s.self.Storage(s.now, "") },
		} {
			for _, e := range judge() {
				if e.Kind == ups.Raise {
					told[e.ID]++
				}
			}
		}
	}
	if told[814] != mostOften || told[832] != 20 || told[834] != 1 {
		t.Errorf("told: %v, want 814 ten times, 832 twenty times, 834 once", told)
	}
	s.want(s.self.Elapsed(s.pass(2*time.Hour)), "event 834: 814 came 10 times in 10m0s", "clear 834")
}

// TestAUnitDoesNotTakeTheAgentsAlarms, nor the other way round.
func TestAUnitDoesNotTakeTheAgentsAlarms(t *testing.T) {
	s := newSelfTest(t, nil)
	s.self.Storage(s.now, "full")
	blob, changed := s.self.State()
	if !changed {
		t.Error("a raise is no change")
	}
	if _, err := New("rack-a", Limits{}, blob); err == nil {
		t.Error("a unit takes the agent's own state")
	}
	for _, bad := range []string{`{"v":2}`, `{"v":2,"agent":{},"active":[{"id":101,"severity":"warning"}]}`, `{"v":2,"agent":{},"active":[{"id":810,"severity":"informational"}]}`, `nonsense`} {
		self, err := NewSelf([]byte(bad))
		if err == nil {
			t.Errorf("%s is taken", bad)
		}
		if got := self.Started(s.now, "1", "b", ""); len(got) != 1 {
			t.Errorf("%s: %v", bad, got)
		}
	}
}
