package command_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

func (s *site) journal() string { return filepath.Join(s.dir, "orders.db") }

// again ends the process in order and starts the next one, in a new session with a statement.
func (s *site) again() {
	s.t.Helper()
	s.end()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
	s.say(bind("AS1", 4, policy.Advanced, 9))
}

// sql changes the journal while nobody has it open.
func (s *site) sql(statements ...string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.journal())
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	for _, q := range statements {
		if _, err := db.Exec(q); err != nil {
			s.t.Fatalf("%s: %v", q, err)
		}
	}
}

// TestEDGE6ABrokenJournalIsSetAsideAndNothingRunsTwice: what was used up stays so, by its nonce; the load of no device is dropped in the first
// interval; what is bound comes with the next statement.
func TestEDGE6ABrokenJournalIsSetAsideAndNothingRunsTwice(t *testing.T) {
	for name, spoil := range map[string]func(s *site){
		"no database": func(s *site) {
			_ = os.Remove(s.journal() + "-wal")
			if err := os.WriteFile(s.journal(), []byte(strings.Repeat("x", 8192)), 0o600); err != nil {
				s.t.Fatal(err)
			}
		},
		"a flipped state":   func(s *site) { s.sql("UPDATE orders SET state = 2") },
		"a flipped counter": func(s *site) { s.sql("UPDATE meta SET counter = 0") },
		"a flipped plan":    func(s *site) { s.sql("UPDATE binds SET body = replace(body, 'standard', 'advanced')") },
		"a flipped drop":    func(s *site) { s.sql("UPDATE drops SET age = age + 1") },
		"a table less":      func(s *site) { s.sql("DROP TABLE outbox") },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, s *site) {
				s.say(bind("AS1", 4, policy.Standard, 10))
				c := s.command(1, "AS1")
				s.give(c)
				s.end()
				spoil(s)
				if err := s.start(); err != nil {
					t.Fatal(err)
				}
				s.say(bind("AS1", 4, policy.Standard, 10))
				s.give(c)
				time.Sleep(10 * time.Second) // a row that came to harm is noticed when it is read
				s.say(bind("AS1", 4, policy.Standard, 10))
				s.renew()
				d := s.command(2, "AS1")
				s.give(d)
				if n := s.writes(); n != 1 {
					t.Errorf("%d writes", n)
				}
				if got := s.final(2); got != "refused RATE_LIMIT" {
					t.Errorf("right after: %q", got)
				}
				time.Sleep(3 * time.Minute)
				s.renew()
				s.give(s.command(3, "AS1"))
				s.want(3, "done")
				if _, err := os.Stat(s.journal() + ".broken"); err != nil {
					t.Errorf("nothing was set aside: %v", err)
				}
			})
		})
	}
}

// TestEDGE6AJournalThatIsDeletedWhileItIsUsedIsBegunAnew: what was announced before that counts for nothing, since nobody knows what it was used for.
func TestEDGE6AJournalThatIsDeletedWhileItIsUsedIsBegunAnew(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		c := s.command(1, "AS1")
		s.give(c)
		time.Sleep(time.Second)
		for _, end := range []string{"", "-wal"} {
			if err := os.Remove(s.journal() + end); err != nil {
				t.Fatal(err)
			}
		}
		late := s.command(2, "AS1")
		s.give(late) // found out
		time.Sleep(10 * time.Second)
		if binds, known := s.x.Binds(); !known || binds["AS1"].Epoch != 4 {
			t.Errorf("what is bound is forgotten: %v, %v", binds, known)
		}
		c.ID = wire.ID{3}
		c.Counter = 99
		s.give(c)
		s.want(3, "refused EXPIRED")
		s.renew()
		s.counter = 200
		s.give(s.command(5, "AS1"))
		s.want(5, "refused RATE_LIMIT")
		time.Sleep(3 * time.Minute)
		s.renew()
		s.give(s.command(4, "AS1"))
		s.want(4, "done")
		if n := s.writes(); n != 2 {
			t.Errorf("%d writes", n)
		}
	})
}

func TestAJournalOfANewerProgramIsNotTouched(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.end()
		s.sql("PRAGMA user_version = 2")
		before, err := os.ReadFile(s.journal())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.start(); !errors.Is(err, command.ErrNewer) {
			t.Errorf("opened: %v", err)
		}
		after, err := os.ReadFile(s.journal())
		if err != nil || string(before) != string(after) {
			t.Errorf("the file was changed, %v", err)
		}
	})
}

// TestEDGE6AnIdIsKnownForAWeekThatTheAgentHasRun: whatever the wall clock says, and not a day less for the time it was off.
func TestEDGE6AnIdIsKnownForAWeekThatTheAgentHasRun(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		c := s.command(1, "AS1")
		s.give(c)
		known := func() bool {
			n := len(s.sink.of(c.ID))
			c = s.command(1, "AS1")
			c.Action, c.Params = "firmware.upgrade", nil // should it not be known, nothing happens
			s.give(c)
			all := s.sink.of(c.ID)
			return len(all) > n && all[len(all)-1].Repeated
		}
		s.wall = time.Date(2038, 1, 19, 0, 0, 0, 0, time.UTC)
		time.Sleep(6*24*time.Hour + 23*time.Hour)
		s.renew()
		s.give(s.command(50, "AS1")) // makes it forget what it may
		if !known() {
			t.Error("not known on the seventh day")
		}
		s.again()
		if !known() {
			t.Error("not known after a restart")
		}
		time.Sleep(2 * time.Hour)
		s.again()
		s.give(s.command(51, "AS1"))
		s.give(s.command(52, "AS1"))
		if known() {
			t.Error("known for ever")
		}
	})
}

// TestADiskThatRefusesEndsOrdersAndNotTheAgent: while the journal cannot be written every order is refused; results wait; and what comes after
// is as before.
func TestADiskThatRefusesEndsOrdersAndNotTheAgent(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir)
		s.driver = "mortal"
		mortal.crash.arm(0, false)
		s.unit("AS1").takes = 10 * time.Second
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		defer s.end()
		s.say(bind("AS1", 4, policy.Advanced, 9))
		s.give(s.command(1, "AS1")) // runs
		mortal.crash.arm(1, false)  // from here on the disk fails
		time.Sleep(20 * time.Second)
		s.give(s.command(2, "AS1"))
		if binds, known := s.x.Binds(); !known || binds["AS1"].Epoch != 4 {
			t.Errorf("what is bound is forgotten: %v, %v", binds, known)
		}
		s.want(1, "")
		s.want(2, "")
		mortal.crash.arm(0, false)
		time.Sleep(time.Minute)
		s.want(1, "done")
		s.want(2, "")
		if s.writes() != 1 || len(s.told()) == 0 {
			t.Errorf("%d writes, events %v", s.writes(), s.told())
		}
		time.Sleep(3 * time.Minute)
		s.give(s.command(3, "AS1"))
		s.renew()
		s.give(s.command(4, "AS1"))
		time.Sleep(20 * time.Second)
		s.want(4, "done")
	})
}

// TestResultsWaitForTheStore: offline results are the store's; when that refuses they are the journal's, over a restart, and come once.
func TestResultsWaitForTheStore(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.sink.refuses(errors.New("the disk is full"))
		s.give(s.command(1, "AS1"))
		time.Sleep(time.Minute)
		s.want(1, "")
		s.end()
		s.sink.refuses(nil)
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.want(1, "done")
	})
}

// TestAUnitThatDoesNotComeBackIsUnknown: after a restart it is asked for five minutes.
func TestAUnitThatDoesNotComeBackIsUnknown(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.unit("AS1").takes = time.Hour
		s.give(s.command(1, "AS1"))
		s.end()
		s.unit("AS1").away.Store(true)
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Minute)
		s.want(1, "")
		time.Sleep(2 * time.Minute)
		s.want(1, "unknown UPS_UNREACHABLE")
		if s.writes() != 1 {
			t.Errorf("%d writes", s.writes())
		}
	})
}

// TestT15AFloodOfOrdersIsBounded: of what nobody signed a few events come, with the number of the others; of what is known a few answers.
func TestT15AFloodOfOrdersIsBounded(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		c := s.command(1, "AS1")
		s.give(c)
		for range 10_000 {
			s.x.Rejected(&trust.Refusal{Code: "BAD_SIGNATURE", Detail: "the signature does not fit"})
			s.post(c)
		}
		time.Sleep(2 * time.Minute)
		repeated := 0
		for _, r := range s.sink.of(c.ID) {
			if r.Repeated {
				repeated++
			}
		}
		if repeated == 0 || repeated > 50 {
			t.Errorf("%d answers", repeated)
		}
		var told string
		n := 0
		for _, e := range s.told() {
			if e.ID == 622 {
				n, told = n+1, e.Detail
			}
		}
		if n > 8 || !strings.Contains(told, "and 99") {
			t.Errorf("%d events, the last: %q", n, told)
		}
		s.renew()
		s.give(s.command(2, "AS1")) // goes on
		s.want(2, "done")
	})
}

func TestEDGE3AndPERM3StatementsAreMonotone(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		steps := []struct {
			what  string
			entry trust.Entry
			epoch uint32
			news  bool
		}{
			{"the same", bind("AS1", 4, policy.Basic, 9), 4, false},
			{"lower", bind("AS1", 4, policy.Basic, 8), 4, false},
			{"an epoch before", bind("AS1", 3, policy.Advanced, 99), 4, false},
			{"higher", bind("AS1", 4, policy.Standard, 10), 4, true},
			{"erased by one who may not", trust.Entry{Device: "AS1", Erase: &trust.Erase{Epoch: 4, Role: "shared"}}, 4, false},
			{"erased", trust.Entry{Device: "AS1", Erase: &trust.Erase{Epoch: 4, Role: "owner"}}, 0, true},
			{"bound as it was", bind("AS1", 4, policy.Advanced, 11), 0, false},
			{"the next owner", bind("AS1", 5, policy.Advanced, 1), 5, true},
		}
		for _, step := range steps {
			changes := s.say(step.entry)
			binds, known := s.x.Binds()
			if (len(changes) == 1) != step.news || binds["AS1"].Epoch != step.epoch || !known {
				t.Errorf("%s: %+v, bound %+v", step.what, changes, binds)
			}
		}
		s.again()
		if binds, _ := s.x.Binds(); binds["AS1"].Epoch != 5 {
			t.Errorf("after a restart: %+v", binds)
		}
	})
}

func TestEveryStateHasItsEvent(t *testing.T) {
	for want, r := range map[int]wire.Result{
		620: {State: wire.OrderAccepted}, 621: {State: wire.OrderDone}, 622: {State: wire.OrderRefused, Reason: "BUSY"},
		623: {State: wire.OrderRefused, Reason: "SAFETY_LOCK"}, 624: {State: wire.OrderFailed, Reason: "UPS_REFUSED"}, 625: {State: wire.OrderUnknown},
		626: {State: wire.OrderExpired}, 627: {State: wire.OrderDone, Repeated: true},
	} {
		e, ok := command.EventOf(r)
		if !ok || int(e.ID) != want || e.Text == "" || e.Severity == 0 || e.Kind != ups.Moment {
			t.Errorf("%+v: %+v, want %d", r, e, want)
		}
	}
	for _, r := range []wire.Result{{State: wire.OrderReceived}, {State: wire.OrderRunning}, {State: wire.OrderCancelled}} {
		if e, ok := command.EventOf(r); ok {
			t.Errorf("%+v: %+v", r, e)
		}
	}
}

func TestHours(t *testing.T) {
	for _, text := range []string{"8-18", "08:00", "08:00-18:0", "x"} {
		if _, err := policy.ParseHours(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
