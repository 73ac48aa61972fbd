package agent

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestARestartRepeatsNothing: alarms that go on and results that were reported are no news to an agent that starts again
// (READ-5), and what ends afterwards names the raise of the run before.
func TestARestartRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, `- {name: rack-a, tcp: {address: "rack-a:502"}}`)
		a := b.actor("rack-a", "", 1)
		b.start()
		a.do("1m self-test 1m battery-bad self-test 1m mains-fail 1m")
		first := b.cloud.events()
		want := map[int]notice{}
		for _, id := range []int{504, 101} {
			n, ok := a.await("raise", id, time.Second)
			if !ok {
				t.Fatalf("no %d: %v", id, b.cloud.words(0))
			}
			want[id] = n
		}
		if _, ok := a.await("event", 503, time.Second); !ok {
			t.Fatalf("no 503: %v", b.cloud.words(0))
		}
		for range 3 {
			b.stop()
			time.Sleep(time.Minute)
			b.start()
			a.do("1m")
			if again := b.cloud.words(len(first)); len(again) > 0 {
				t.Fatalf("after a restart: %v", again)
			}
			if s := b.cloud.states(); !slices.Contains(s[len(s)-1].Units[0].Alarms, 101) || !slices.Contains(s[len(s)-1].Units[0].Alarms, 504) {
				t.Fatalf("after a restart the state says %+v", s[len(s)-1])
			}
		}
		a.do("mains-return 1m battery-good self-test 1m")
		for id, raise := range want {
			clear, ok := a.await("clear", id, time.Second)
			if !ok || clear.RaisedBy != raise.Seq || clear.Stream != raise.Stream {
				t.Errorf("%d was raised as %d and cleared as %+v, %v", id, raise.Seq, clear, ok)
			}
		}
		if n := slices.IndexFunc(b.cloud.events()[len(first):], func(n notice) bool { return n.Kind == "event" && n.ID == 503 }); n < 0 {
			t.Error("the test that passed after the restart is not told")
		}
	})
}

// TestAlarmsOverALoss: they are kept while nobody knows, and those that are gone end with the first good poll (READ-8), those
// that are not go on under their number.
func TestAlarmsOverALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, `- {name: rack-a, tcp: {address: "rack-a:502"}}`)
		a := b.actor("rack-a", "", 1)
		b.start()
		a.do("1m battery-bad self-test 1m mains-fail 1m deaf 1m")
		s := b.cloud.states()
		said := s[len(s)-1].Units[0]
		for _, id := range []int{101, 504, 802} {
			if doubted := slices.Contains(said.Unconfirmed, id); !slices.Contains(said.Alarms, id) || doubted != (id != 802) {
				t.Errorf("lost for a minute the state says that %v are active and %v of them unconfirmed; look at %d", said.Alarms, said.Unconfirmed, id)
			}
		}
		for _, id := range []int{101, 504} {
			if _, cleared := a.await("clear", id, 0); cleared {
				t.Errorf("%d was cleared by silence", id)
			}
		}
		a.do("mains-return 2m talk")
		back := time.Now()
		over, ok := a.await("clear", 101, time.Minute)
		if !ok {
			t.Fatalf("101 goes on: %v", b.cloud.words(0))
		}
		if !over.Inferred {
			t.Error("101 ended while nobody looked, and is not said to be inferred")
		}
		restored, ok := a.await("event", 803, time.Second)
		if !ok || !restored.Time.Equal(over.Time) {
			t.Errorf("communication is back at %v, 101 ended at %v", restored.Time, over.Time)
		}
		if over.Time.Before(back.Truncate(time.Millisecond)) || !over.Time.Before(over.came) {
			t.Errorf("answers again from %v on, 101 ended at %v, which came at %v; want the first poll of two", back, over.Time, over.came)
		}
		a.do("1m")
		if s := b.cloud.states(); len(s[len(s)-1].Units[0].Unconfirmed) > 0 {
			t.Errorf("a minute after it answers again %v are unconfirmed", s[len(s)-1].Units[0].Unconfirmed)
		}
		if _, cleared := a.await("clear", 504, 0); cleared {
			t.Error("504 was cleared, and no test has passed")
		}
		for _, id := range []int{101, 504} {
			n := 0
			for _, e := range a.events() {
				if e.Kind == "raise" && e.ID == id {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d was raised %d times", id, n)
			}
		}
	})
}
