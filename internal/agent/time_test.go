package agent

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/wire"
)

var wrongClocks = map[string]time.Time{
	"1970": time.Unix(0, 0), "2038": time.Date(2038, 1, 19, 3, 14, 7, 0, time.UTC), "right, but nobody says so": {},
}

// A ledger is what a receiver keeps of records and states, read by wire's decoders.
type ledger struct {
	t       *testing.T
	schemas wire.Schemas
	records []wire.Record
	states  []*wire.State
	events  map[uint64]int // event ids by number
	blocks  [][]byte       // not read yet: the decoder of package wire is shared and cannot be used inside a bubble
}

func (l *ledger) hear(topic string, payload []byte) {
	switch topic[strings.LastIndexByte(topic, '/')+1:] {
	case "events":
		p, err := wire.DecodeEventMessage(payload)
		if err != nil {
			l.t.Errorf("event: %v", err)
			return
		}
		l.records = append(l.records, p.Record)
		if e, err := wire.DecodeEvent(p.Record.Payload); err == nil && p.Record.Class == wire.ClassAlarm {
			l.events[p.Record.Seq] = int(e.ID)
		}
	case "samples":
		l.blocks = append(l.blocks, payload)
	case "state":
		s, err := wire.DecodeState(payload)
		if err != nil {
			l.t.Errorf("state: %v", err)
			return
		}
		l.states = append(l.states, s)
	}
}

// readBlocks is called outside of the bubble.
func (l *ledger) readBlocks() {
	for _, b := range l.blocks {
		p, err := l.schemas.Decode(b)
		if err != nil {
			l.t.Errorf("block: %v", err)
			continue
		}
		l.records = append(l.records, p.Record)
	}
}

// TestOrderAndTimesWithoutABattery is T-27 for the whole agent: the wall clock starts anywhere, is set after ten minutes, and is
// set back by an hour by the time service itself. What a receiver has in the end.
func TestOrderAndTimesWithoutABattery(t *testing.T) {
	for name, start := range wrongClocks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{t: t, events: map[uint64]int{}}
			var began time.Time
			var set, back time.Duration
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, "- {name: rack-a, "+onTCP+"}")
				began, l.t = b.began, t
				b.text = strings.Replace(b.text, "flush: 10m", "flush: 10s", 1)
				if start.IsZero() {
					start = time.Now()
				}
				b.setClock(start, false)
				b.cloud.tap = l.hear
				a := b.actor("rack-a", "", 1)
				b.start()
				a.do("mains-fail 1m mains-return 9m")
				set = time.Since(b.began)
				b.setClock(time.Now(), true)
				a.do("10s mains-fail 1m mains-return 4m")
				back = time.Since(b.began)
				b.setClock(time.Now().Add(-time.Hour), true)
				a.do("10s mains-fail 1m mains-return 4m")
				b.stop()
			})
			l.t = t
			l.readBlocks()
			l.check(began, set, back)
		})
	}
}

// check compares with the truth: the boot was at began, the clock was set so long after it, and then set back.
func (l *ledger) check(began time.Time, set, back time.Duration) {
	t := l.t
	seen, last := map[wire.Lane]uint64{}, map[wire.Class]time.Duration{}
	var flagged, trusted, wrong int
	anchor := l.anchor(set, back)
	slices.SortFunc(l.records, func(a, b wire.Record) int { // the lanes come on two topics
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Seq, b.Seq))
	})
	for _, r := range l.records {
		if r.Seq != seen[r.Lane]+1 {
			t.Errorf("record %d of %v comes after %d", r.Seq, r.Lane, seen[r.Lane])
		}
		seen[r.Lane] = r.Seq
		if r.Stamp.Mono < last[r.Class] && r.Class != wire.ClassPicture { // a picture begins before its event
			t.Errorf("%v record %d is of %v, the one before it of %v", r.Class, r.Seq, r.Stamp.Mono, last[r.Class])
		}
		last[r.Class] = r.Stamp.Mono
		truth := began.Add(r.Stamp.Mono)
		placed := r.Stamp.Wall
		switch {
		case placed.IsZero():
			flagged++
			placed = anchor.Wall.Add(r.Stamp.Mono - anchor.Mono) // FORMAT.md, section 3
		case r.Stamp.Mono > back+time.Second, r.Stamp.Mono >= back && placed.Before(truth.Add(-time.Minute)):
			wrong++
			truth = truth.Add(-time.Hour) // what the time service stands for; within a second it is noticed
		default:
			trusted++
		}
		if off := placed.Sub(truth).Abs(); off > time.Second {
			t.Errorf("%v record %d at %v: time %v, %v off", r.Class, r.Seq, r.Stamp.Mono, placed, off)
		}
		if put := r.Stamp.Mono; put < set-31*time.Second && !r.Stamp.Wall.IsZero() {
			t.Errorf("%v record %d at %v has a time, %v before the clock was set", r.Class, r.Seq, put, set-put)
		}
	}
	if flagged < 50 || trusted < 25 || wrong < 25 {
		t.Errorf("%d records without a time, %d with, %d after the step: the test tries nothing", flagged, trusted, wrong)
	}
	stepped := 0
	for _, id := range l.events {
		if id == 833 {
			stepped++
		}
	}
	if stepped == 0 {
		t.Error("the clock was set back by an hour, and there is no 833")
	}
}

// anchor is the stamp of the first full state that has a time; on the way the states of the clock are checked.
func (l *ledger) anchor(set, back time.Duration) (anchor wire.Stamp) {
	for _, s := range l.states {
		if s.Full == nil {
			continue
		}
		now := s.Full.Now
		if want := now.Mono >= set; (s.Full.Clock == wire.ClockSynced) != want && (now.Mono-set).Abs() > 2*time.Second {
			l.t.Errorf("the state at %v says %v, the clock was set at %v", now.Mono, s.Full.Clock, set)
		}
		if !now.Wall.IsZero() && anchor.Wall.IsZero() && now.Mono < back {
			anchor = now
			if s.Full.ClockError != 10*time.Millisecond {
				l.t.Errorf("bound of the error %v, want that of the time service, 10ms", s.Full.ClockError)
			}
		}
	}
	if anchor.Wall.IsZero() {
		l.t.Fatal("no full state tells the time")
	}
	return anchor
}

// TestTheCloudSetsTheClockOfASession is T-06 for statements: whatever the machine's clock says, and while it jumps, the statement
// of this session is accepted and gives the time, and one of another session is not.
func TestTheCloudSetsTheClockOfASession(t *testing.T) {
	rootKey, root, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	onlineKey, online, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := sign.Keys(root, trust.Keys{Version: 1, Keys: []trust.Key{{Kid: "online-1", Key: onlineKey, Purposes: []string{trust.ForStatement}}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, start := range wrongClocks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, "- {name: rack-a, "+onTCP+"}")
				cfg, err := config.Parse("agent.yaml", []byte(b.text))
				if err = errors.Join(err, os.MkdirAll(cfg.StateDir, 0o700), trust.SaveRoot(cfg.StateDir, rootKey)); err != nil {
					t.Fatal(err)
				}
				if start.IsZero() {
					start = time.Now()
				}
				b.setClock(start, false)
				l := &ledger{t: t, events: map[uint64]int{}}
				b.cloud.tap = l.hear
				b.actor("rack-a", "", 1)
				b.start()
				time.Sleep(500 * time.Millisecond)
				say := func(nonce wire.ID) {
					t.Helper()
					msg, err := sign.Statement(online, "online-1", keys, "rack7", nonce, trust.Statement{Time: time.Now()})
					if err != nil {
						t.Fatal(err)
					}
					b.cloud.client.Publish("upsedge/v1/rack7/orders", 1, false, msg).Wait()
					time.Sleep(500 * time.Millisecond)
				}
				nonce := b.cloud.latest(l).Nonce
				say(wire.ID{1, 2, 3})
				if s := b.cloud.latest(l); s.Full != nil {
					t.Fatal("a statement of another session opened the full state")
				}
				b.setClock(start.Add(-24*time.Hour), false) // in mid-session
				say(nonce)
				s := b.cloud.latest(l)
				if s.Full == nil || s.Full.Clock != wire.ClockSynced || s.Full.ClockError <= 0 || s.Full.ClockError > time.Second {
					t.Fatalf("after the statement: %+v, want a full state whose clock is synced within a second", s)
				}
				if off := s.Full.Now.Wall.Sub(b.began.Add(s.Full.Now.Mono)).Abs(); off > s.Full.ClockError {
					t.Errorf("time off by %v, the bound is %v", off, s.Full.ClockError)
				}
				b.setClock(start.Add(24*time.Hour), false)
				time.Sleep(2 * time.Minute)
				if s := b.cloud.latest(l); s.Full == nil || s.Full.Now.Wall.Sub(b.began.Add(s.Full.Now.Mono)).Abs() > s.Full.ClockError {
					t.Errorf("two minutes and a jump later: %+v", s.Full)
				}
				b.stop()
			})
		})
	}
}

// latest returns the newest state that is not a will.
func (r *receiver) latest(l *ledger) *wire.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(l.states) - 1; i >= 0; i-- {
		if l.states[i].Online {
			return l.states[i]
		}
	}
	l.t.Fatal("no state has come")
	return nil
}

// TestT06ALateStatementGivesNoRecordItsTime: the first statement was eight seconds on the way back, over a link that is cut and comes
// again. No record has a time that rests on it; a new nonce is announced five seconds later, and what comes for that places them all.
func TestT06ALateStatementGivesNoRecordItsTime(t *testing.T) {
	l := &ledger{t: t, events: map[uint64]int{}}
	var began time.Time
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "- {name: rack-a, "+onTCP+"}")
		began, l.t = b.began, t
		b.text = strings.Replace(b.text, "flush: 10m", "flush: 1s", 1)
		b.setClock(time.Unix(0, 0), false)
		unit := b.actor("rack-a", "", 1)
		a := b.enrol()
		a.bind(bound(serialA, 3, 11))
		a.ledger.t = t
		a.hush(true)
		b.start()
		time.Sleep(time.Second)
		first, signed := a.latest(), time.Now()
		time.Sleep(7 * time.Second)
		a.hush(false)
		a.sayAt(signed)
		unit.do("4s")
		if s := a.full(); s.Clock != wire.ClockUnset || !s.Now.Wall.IsZero() || s.Units[0].Epoch != 3 {
			t.Errorf("behind the late statement: %+v, want all of it but the time", s)
		}
		if a.latest() != first {
			t.Error("a new nonce at once")
		}
		unit.do("3s")
		if s := a.full(); s.Clock != wire.ClockSynced || s.ClockError > time.Second || a.latest() == first {
			t.Errorf("behind the statement for a new nonce: %+v", s)
		}
		unit.do("10s")
		b.stop()
		l.records, l.blocks = a.ledger.records, a.ledger.blocks
	})
	l.t = t
	l.readBlocks()
	with := 0
	for _, r := range l.records {
		if !r.Stamp.Wall.IsZero() {
			with++
			if off := r.Stamp.Wall.Sub(began.Add(r.Stamp.Mono)).Abs(); off > time.Second {
				t.Errorf("%v record %d says %v, %v off", r.Class, r.Seq, r.Stamp.Wall, off)
			}
		}
	}
	if with == 0 || with == len(l.records) {
		t.Errorf("%d of %d records have a time: the test tries nothing", with, len(l.records))
	}
}

// latest is the nonce of the last state.
func (a *government) latest() wire.ID {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nonce
}
