package order

import (
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

func TestEDGE4WhatCouldNotBeDeliveredInTimeExpires(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		o := w.reboot()
		test, err := w.create(owner, Request{Device: deviceID, Action: policy.DiagnosticsRun, Params: map[string]string{"test": "self"}})
		must(t, err)
		w.clock = noon.Add(time.Minute - time.Millisecond)
		w.pass()
		w.want(o.ID, Pending, "")
		w.clock = noon.Add(time.Minute)
		w.pass()
		w.want(o.ID, wire.OrderExpired, policy.Expired)
		w.want(test.ID, Pending, "")
		w.connect()
		w.pass()
		w.deliver()
		w.want(test.ID, wire.OrderDone, "")
		if w.site.effects[o.ID] != 0 {
			t.Error("it was carried out")
		}
		w.wantLog("reboot.ups accepted  by cloud in d_1", "diagnostics.run accepted  by cloud in d_1", "reboot.ups expired EXPIRED by cloud in d_1",
			"diagnostics.run accepted  by agent in d_1", "diagnostics.run done  by agent in d_1")
	})
}

// The age of the nonce and the rest of the life; and neither more than a life, whatever clocks were set meanwhile.
func TestEDGE4MaxAge(t *testing.T) {
	for _, row := range []struct{ nonce, rest, want time.Duration }{
		{0, time.Minute, time.Minute},
		{90 * time.Second, 30 * time.Second, 2 * time.Minute},
		{1500 * time.Millisecond, 1400 * time.Millisecond, 2 * time.Second},
		{time.Minute, 999 * time.Millisecond, 0},
		{time.Minute, -time.Second, 0},
		{-time.Second, time.Minute, 0},
		{2 * time.Hour, 24 * time.Hour, 25 * time.Hour},
	} {
		if got := maxAge(row.nonce, row.rest); got != row.want {
			t.Errorf("nonce %v old, %v left: %v, want %v", row.nonce, row.rest, got, row.want)
		}
	}
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	w.connect()
	o := w.reboot()
	w.clock = w.clock.Add(20 * time.Second)
	w.exec(`UPDATE orders SET expires_at = expires_at + 3600000`) // asked for through a process whose clock is an hour ahead
	w.pass()
	if c := w.sign.signed[0]; c.ID != o.ID || c.MaxAge != 80*time.Second {
		t.Errorf("max_age %v, want the nonce's 20 s and a life", c.MaxAge)
	}
}

// What waits when the clock is set back would begin long behind the end of its life.
func TestEDGE4AClockSetBackMakesNoOrderLastLonger(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		o := w.reboot()
		w.clock = noon.Add(30*time.Second - 24*time.Hour)
		w.connect()
		w.pass()
		w.deliver()
		w.want(o.ID, wire.OrderExpired, policy.Expired)
		if w.site.effects[o.ID] != 0 {
			t.Error("it was carried out")
		}
		sent := w.reboot()
		w.pass()
		w.want(sent.ID, Sent, "")
		w.disconnect() // it got lost
		w.clock = w.clock.Add(-24 * time.Hour)
		w.connect()
		w.pass()
		w.deliver()
		if w.site.effects[sent.ID] != 0 {
			t.Error("what was sent once was sent again, nobody knows how late")
		}
	})
}

func TestEDGE5NothingIsSentBeforeTheFullState(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		o := w.reboot()
		w.link.up = true
		w.announce()
		w.pass()
		w.want(o.ID, Pending, "")
		w.deliver() // statement and full state
		w.pass()
		w.want(o.ID, Sent, "")
	})
}

func TestEDGE5AStatementGoesBeforeTheCommandThatNeedsIt(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.setPlan(policy.Basic)
		w.connect()
		w.setPlan(policy.Advanced) // bought, and ordered at once
		o := w.reboot()
		_, err := w.book.pass(t.Context(), w.link) // no renewal before it
		must(t, err)
		w.deliver()
		w.want(o.ID, wire.OrderDone, "")
		if told := w.told(); told != nil {
			t.Errorf("told %q", told)
		}
	})
}

func TestADeviceIsSentOneOrderAtATime(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		first := w.reboot()
		w.clock = w.clock.Add(time.Second)
		second := w.reboot()
		w.pass()
		w.want(first.ID, Sent, "")
		w.want(second.ID, Pending, "")
		w.deliver()
		w.pass()
		w.want(second.ID, Sent, "")
		if w.sign.signed[1].Counter <= w.sign.signed[0].Counter {
			t.Errorf("counters %d, %d", w.sign.signed[0].Counter, w.sign.signed[1].Counter)
		}
	})
}

func TestAnOrderThatWasNotAnsweredGoesOutAgainUnderItsId(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		o := w.reboot()
		w.pass()
		w.disconnect() // with the command on the way
		w.clock = w.clock.Add(5 * time.Second)
		w.connect()
		w.pass()
		again := w.sign.signed[1]
		if again.ID != o.ID || again.Counter != 2 || again.Nonce == w.sign.signed[0].Nonce || again.MaxAge != 55*time.Second {
			t.Errorf("sent again as %+v", again)
		}
		w.deliver()
		w.want(o.ID, wire.OrderDone, "")

		// The answer is lost instead: the journal answers.
		w.clock = w.clock.Add(5 * time.Second)
		p := w.reboot()
		w.pass()
		w.site.receive(w.link.out[0])
		w.site.results = nil
		w.disconnect()
		w.connect()
		w.pass()
		w.deliver()
		w.want(p.ID, wire.OrderDone, "")
		if w.site.effects[p.ID] != 1 {
			t.Errorf("%d effects", w.site.effects[p.ID])
		}
	})
}

func TestACrashBetweenCommitAndSendEndsOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		o := w.reboot()
		w.pass()
		w.want(o.ID, Sent, "")
		w.disconnect() // the process dies, and its connections with it
		w.start()
		w.link.up = true
		w.pass()
		if len(w.link.out) != 0 {
			t.Fatal("sent on a session that this process has not heard")
		}
		w.connect()
		w.pass()
		w.deliver()
		w.want(o.ID, wire.OrderDone, "")
		if w.site.effects[o.ID] != 1 {
			t.Errorf("%d effects", w.site.effects[o.ID])
		}
	})
}

func TestOfTwoProcessesOneSends(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		old := w.book
		w.start() // the other process
		w.connect()
		o := w.reboot()
		for range 2 {
			_, err := old.pass(t.Context(), &link{up: true}) // it has not noticed that its connection is gone
			must(t, err)
		}
		if len(w.sign.signed) != 0 {
			t.Fatal("the process that lost the agent signed")
		}
		w.pass()
		w.deliver()
		w.want(o.ID, wire.OrderDone, "")
	})
}

func TestOnASessionThatGoesOnItIsSentAgainAfterAWhile(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	w.connect()
	w.reboot()
	w.pass()
	for _, row := range []struct {
		at   time.Duration
		want int
	}{{9 * time.Second, 1}, {10 * time.Second, 2}, {29 * time.Second, 2}, {30 * time.Second, 3}, {time.Minute, 3}, {time.Hour, 3}} {
		w.clock = noon.Add(row.at)
		w.pass()
		if n := len(w.sign.signed); n != row.want {
			t.Errorf("%v after the first: sent %d times, want %d", row.at, n, row.want)
		}
	}
}

func TestEDGE9WhatIsNeverAnsweredEndsAsUnknownAndALateAnswerIsShown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		o := w.reboot()
		w.pass()
		w.site.receive(w.link.out[0])
		w.disconnect()
		w.clock = o.ExpiresAt.Add(AnswerTime - time.Millisecond)
		w.pass()
		w.want(o.ID, Sent, "")
		w.clock = o.ExpiresAt.Add(AnswerTime)
		w.pass()
		w.want(o.ID, wire.OrderUnknown, "")
		w.connect() // with what it has to tell
		got := w.want(o.ID, wire.OrderUnknown, "")
		if got.Late == nil || got.Late.State != wire.OrderDone {
			t.Errorf("late is %+v", got.Late)
		}
		w.wantLog("reboot.ups accepted  by cloud in d_1", "reboot.ups unknown  by cloud in d_1", "reboot.ups done  by agent in d_1")
	})
}

func TestAnOrderThatBeganIsWaitedForForADay(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	w.site.manual = true
	w.connect()
	o := w.reboot()
	w.pass()
	w.deliver()
	w.want(o.ID, wire.OrderAccepted, "")
	w.clock = w.clock.Add(OutcomeTime - time.Millisecond)
	w.pass()
	w.want(o.ID, wire.OrderAccepted, "")
	w.clock = w.clock.Add(time.Millisecond)
	w.pass()
	w.want(o.ID, wire.OrderUnknown, "")
}

func TestReportsThatComeOutOfTurnMoveNothingBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		o := w.reboot()
		w.pass()
		r := wire.Result{Order: o.ID, Device: serial, Action: "reboot.ups", Actor: "u_ada", Role: "owner"}
		for _, row := range []struct {
			state    wire.OrderState
			progress int
			repeated bool
			want     wire.OrderState
			wantP    int
			kind     string
		}{
			{wire.OrderRunning, 40, false, wire.OrderRunning, 40, ""},
			{wire.OrderReceived, 0, false, wire.OrderRunning, 40, Stale},
			{wire.OrderRunning, 20, false, wire.OrderRunning, 40, Stale},
			{wire.OrderRunning, 60, false, wire.OrderRunning, 60, ""},
			{wire.OrderDone, 0, false, wire.OrderDone, 0, ""},
			{wire.OrderDone, 0, true, wire.OrderDone, 0, Repeated},
			{wire.OrderRunning, 80, false, wire.OrderDone, 0, Stale},
			{wire.OrderFailed, 0, false, wire.OrderDone, 0, Stale},
		} {
			r.State, r.Progress, r.Repeated = row.state, row.progress, row.repeated
			w.site.bring(r)
			got, events := w.order(o.ID), w.events(o.ID)
			if got.State != row.want || got.Progress != row.wantP || events[len(events)-1].Kind != row.kind {
				t.Errorf("%s %d: the order is %s %d, the event %q", row.state, row.progress, got.State, got.Progress, events[len(events)-1].Kind)
			}
		}
		if got := w.order(o.ID); got.Late == nil || got.Late.State != wire.OrderFailed {
			t.Errorf("late is %+v", got.Late)
		}
	})
}
