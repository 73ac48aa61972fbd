package command_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// move ends the executor and begins another one in another directory, as an enrolment does.
func (s *site) move(dir string, alone bool) {
	s.t.Helper()
	s.end()
	s.from, s.dir, s.alone = append(s.from, s.dir), dir, alone
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

// TestT07LimitsOutliveTheEnrolment: a load that was dropped was dropped, whichever cloud the box has by then, and none twice after a crash.
func TestT07LimitsOutliveTheEnrolment(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, filepath.Join(dir, "a"))
		s.unit("AS1")
		s.alone = true
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		defer s.end()
		s.tryLocal(onSite(1, "reboot.ups", nil), allDone)
		for i, at := range []string{"b", "c", "b", "a", "c"} {
			if i == 2 { // and one that crashed before it took it from the one before
				s.tryLocal(onSite(1, "alarm.mute", nil), allDone)
			}
			s.move(filepath.Join(dir, at), i%2 == 0)
			if l, known := s.x.Limit("AS1"); !known || l.Left != 11 || l.Wait <= 0 {
				t.Errorf("in %s: %+v, %v", at, l, known)
			}
			s.tryLocal(onSite(byte(10+i), "reboot.ups", nil), "received, refused RATE_LIMIT")
		}
		time.Sleep(2 * time.Minute)
		s.tryLocal(onSite(20, "reboot.ups", nil), allDone)
		if l, _ := s.x.Limit("AS1"); l.Left != 10 || l.Wait < time.Minute {
			t.Errorf("%+v", l)
		}
	})
}

// TestT07LimitsOutliveAJournalThatWasDeleted with the enrolment it was of: the executor knows them.
func TestT07LimitsOutliveAJournalThatWasDeleted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, filepath.Join(dir, "a"))
		s.unit("AS1")
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		defer s.end()
		s.tryLocal(onSite(1, "reboot.ups", nil), allDone)
		before := s.x
		s.end()
		if err := os.RemoveAll(s.dir); err != nil {
			t.Fatal(err)
		}
		s.before = before
		s.move(filepath.Join(dir, "b"), false)
		s.tryLocal(onSite(2, "reboot.ups", nil), "received, refused RATE_LIMIT")
	})
}

// TestEDGE9ALocalOrderOutlivesTheEnrolment: it is judged by whoever comes next, and told to nobody else.
func TestEDGE9ALocalOrderOutlivesTheEnrolment(t *testing.T) {
	for _, forget := range []bool{false, true} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, filepath.Join(dir, "a"))
			s.unit("AS1").takes = time.Minute
			if err := s.start(); err != nil {
				t.Fatal(err)
			}
			defer func() { s.end() }()
			s.say(bind("AS1", 4, policy.Advanced, 9))
			ended := make(chan error)
			go func() {
				_, err := s.locally(onSite(1, "reboot.ups", nil))
				ended <- err
			}()
			time.Sleep(5 * time.Second)
			s.end()
			if err := <-ended; !errors.Is(err, command.ErrStopped) {
				t.Errorf("%v", err)
			}
			s.sink = &sink{}
			if forget {
				if err := command.Forget(context.Background(), command.Options{Dir: s.dir, Clock: s.clock}); err != nil {
					t.Fatal(err)
				}
				if err := s.start(); err != nil {
					t.Fatal(err)
				}
			} else {
				s.move(filepath.Join(dir, "b"), false)
			}
			if b, _ := s.x.Binds(); len(b) != 0 {
				t.Errorf("bound: %v", b)
			}
			s.tryLocal(onSite(1, "reboot.ups", nil), "running, done")
			if s.writes() != 1 || len(s.sink.results) != 0 {
				t.Errorf("%d writes, told: %+v", s.writes(), s.sink.results)
			}
			s.tryLocal(onSite(2, "reboot.ups", nil), "received, refused RATE_LIMIT")
		})
	}
}

// TestForgetKeepsNothingOfTheCloudBefore: no bind, no order, no counter, no result.
func TestForgetKeepsNothingOfTheCloudBefore(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.sink.refuses(errCrash) // the results stay in the journal
		s.give(s.command(1, "AS1"))
		s.end()
		s.sink = &sink{}
		if err := command.Forget(context.Background(), command.Options{Dir: s.dir, Clock: s.clock}); err != nil {
			t.Fatal(err)
		}
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		rows, _ := s.x.Fill()
		if b, known := s.x.Binds(); !known || len(b) != 0 || rows != 0 || len(s.sink.results) != 0 {
			t.Errorf("bound %v, %d orders, told %v", b, rows, s.sink.results)
		}
		s.say(bind("AS1", 1, policy.Advanced, 1))
		time.Sleep(3 * time.Minute)
		s.renew()
		c := s.command(2, "AS1")
		c.Epoch, c.Counter, c.GrantVersion = 1, 1, 1
		s.give(c)
		s.want(2, "done")
	})
}

// TestERASE5WhatWasOrderedBeforeThereWasACloudIsNotTheClouds: its results that still wait are dropped.
func TestERASE5WhatWasOrderedBeforeThereWasACloudIsNotTheClouds(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.end()
		s.alone = true
		s.sink.refuses(errCrash)
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		s.tryLocal(onSite(1, "alarm.mute", nil), allDone)
		s.end()
		s.alone = false
		s.sink.refuses(nil)
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		s.say(bind("AS1", 4, policy.Advanced, 9))
		s.tryLocal(onSite(2, "alarm.mute", nil), allDone)
		if len(s.sink.of(wire.ID{1})) != 0 || len(s.sink.of(wire.ID{2})) != 5 {
			t.Errorf("told: %+v", s.sink.results)
		}
	})
}

// TestT07WhatIsLeftOfTheLimits is what the next order finds, also on the last of a day.
func TestT07WhatIsLeftOfTheLimits(t *testing.T) {
	run(t, func(t *testing.T, s *site) {
		s.x.SetPolicy(command.Policy{MinInterval: time.Minute, DailyMax: 3})
		for i := range 3 {
			if l, known := s.x.Limit("AS1"); !known || l != (command.Limit{Left: 3 - i}) {
				t.Errorf("before %d: %+v, %v", i, l, known)
			}
			s.tryLocal(onSite(byte(1+i), "reboot.ups", nil), allDone)
			if l, _ := s.x.Limit("AS1"); i < 2 && (l.Wait <= 0 || l.Wait > time.Minute) || l.Left != 2-i {
				t.Errorf("behind %d: %+v", i, l)
			}
			time.Sleep(time.Hour)
		}
		l, _ := s.x.Limit("AS1")
		if l.Left != 0 || l.Wait < 20*time.Hour || l.Wait > 21*time.Hour {
			t.Fatalf("at the end: %+v", l)
		}
		time.Sleep(l.Wait - time.Minute)
		s.tryLocal(onSite(10, "reboot.ups", nil), "received, refused RATE_LIMIT")
		time.Sleep(2 * time.Minute)
		if l, _ = s.x.Limit("AS1"); l != (command.Limit{Left: 1}) {
			t.Errorf("a day later: %+v", l)
		}
		s.end()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		s.x.SetPolicy(command.Policy{MinInterval: time.Minute, DailyMax: 3})
		if l, known := s.x.Limit("AS1"); !known || l.Left != 1 {
			t.Errorf("behind a restart: %+v, %v", l, known)
		}
		if l, _ := s.x.Limit("AS9"); l != (command.Limit{Left: 3}) {
			t.Errorf("of another one: %+v", l)
		}
	})
}
