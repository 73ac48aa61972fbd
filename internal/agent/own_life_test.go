package agent

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/store"
	"upsedge/internal/wire"
)

// An ownLife is one way to an id of the catalogue that is about the agent itself, and back: what happens to a whole agent whose
// broker speaks TLS, from before its start on.
type ownLife struct {
	id     int
	how    string
	before func(s *secured) // the agent starts; nil: nothing special
	enter  func(s *secured)
	leave  func(s *secured) // of an alarm
	within time.Duration    // as of a life
	gone   time.Duration
	detail string // a part of it
	ended  string // a part of the detail of the clear
}

var ownLives = []ownLife{
	{id: 810, how: "first start", enter: nothing, detail: "version test, first start"},
	{id: 810, how: "stop, start", enter: restart, detail: "version test, "},
	{id: 811, how: "stop", enter: restart, detail: "it was told to"},
	{id: 812, how: "power cut", enter: powerCut, detail: "the machine ran on"},
	{id: 813, how: "stop, another version", enter: func(s *secured) { s.version = "next"; restart(s) }, detail: "from version test to next"},
	{
		id: 814, how: "a typing error", enter: func(s *secured) { s.reread(strings.Replace(s.text, "tcp:", "tpc:", 1)) },
		leave: func(s *secured) { s.reread(s.text) }, detail: "line 8: units[0].tpc",
	},
	{id: 820, how: "no way to the broker", enter: cut, leave: mend, within: -1, gone: 3 * time.Minute},
	{
		id: 821, how: "the way is open again", enter: func(s *secured) { cut(s); time.Sleep(10 * time.Minute); mend(s) }, within: 3 * time.Minute,
		detail: " waiting",
	},
	{
		id: 822, how: "another name", detail: "for another name",
		enter: func(s *secured) {
			s.present(s.own.issue("elsewhere.example", certified, certified.Add(365*day)))
			s.way.cut(false)
		},
		leave: func(s *secured) { s.present(s.own.issue("cloud.example", certified, certified.Add(365*day))) },
		// It is told by the next session, when it is over.
		within: -1, gone: 3 * time.Minute,
	},
	{
		id: 823, how: "20 days left", before: func(s *secured) { s.ring.put(s.own.issue("rack7", certified, enterTime.Add(20*day))) }, enter: nothing,
		leave: func(s *secured) { s.ring.put(s.own.issue("rack7", certified, enterTime.Add(90*day))) }, gone: 2 * time.Minute, detail: "it ends on 2026-03-21",
	},
	{
		id: 824, how: "not authorised", detail: "does not allow this agent", within: -1, gone: 3 * time.Minute,
		enter: func(s *secured) { s.way.gate.refuse.Store(true); s.way.cut(false) }, leave: func(s *secured) { s.way.gate.refuse.Store(false) },
	},
	{
		id: 824, how: "certificate of a stranger", detail: "rejects our certificate", within: -1, gone: 3 * time.Minute,
		enter: func(s *secured) {
			stranger := newAuthority(s.t, certified, certified.Add(365*day))
			s.change(func(c *tls.Config) { c.ClientCAs = stranger.pool() })
			s.way.cut(false)
		},
		leave: func(s *secured) { s.change(func(c *tls.Config) { c.ClientCAs = s.own.pool() }) },
	},
	{id: 830, how: "four fifths full, no way", before: fill(85), enter: nothing, leave: mend, within: -1, gone: 10 * time.Minute, detail: "% of 2 MiB"},
	{
		id: 831, how: "full, no way", before: fill(100), enter: func(*secured) { time.Sleep(11 * time.Minute) }, leave: mend,
		within: -1, gone: 10 * time.Minute, detail: " so far, from 2026-03-01 1", ended: " in all, from 2026-03-01 1",
	},
	{
		id: 832, how: "the disk refuses", before: func(s *secured) { s.disk = newRefusing() }, detail: "a write or sync failed", within: -1,
		enter: func(s *secured) { s.disk.refuses.Store(true); s.unit.SetMains(false) }, leave: func(s *secured) { s.disk.refuses.Store(false) },
	},
	{
		id: 833, how: "set back an hour", enter: func(s *secured) { s.setClock(time.Now().Add(-time.Hour), false) },
		leave: func(s *secured) { s.setClock(time.Now(), true) }, detail: "it was set back by 1h0m0s",
	},
}

func nothing(*secured) {}

func restart(s *secured) { s.stop(); s.start() }

func cut(s *secured)  { s.way.cut(true) }
func mend(s *secured) { s.way.cut(false) }

// reread is a SIGHUP with another text in the file.
func (b *bubble) reread(text string) {
	cfg, err := config.Parse("agent.yaml", []byte(text))
	done := make(chan struct{})
	b.reload <- Reload{Config: cfg, Err: err, Done: func() { close(done) }}
	<-done
}

// powerCut lets the agent go on with what is on disk now, as if it had not been stopped.
func powerCut(s *secured) {
	s.t.Helper()
	time.Sleep(time.Second)
	synctest.Wait()
	was := filepath.Join(filepath.Dir(s.ring.ca), "disk")
	if err := os.CopyFS(was, os.DirFS(s.stateDir())); err != nil {
		s.t.Fatal(err)
	}
	s.stop()
	s.text = strings.Replace(s.text, s.stateDir(), was, 1)
	s.start()
}

// stateDir is where the configuration says.
func (b *bubble) stateDir() string {
	_, rest, _ := strings.Cut(b.text, "state_dir: ")
	dir, _, _ := strings.Cut(rest, "\n")
	return dir
}

// fill puts samples of nobody into the store until it is so full, in percent, and leaves no way for them to go.
func fill(percent int64) func(s *secured) {
	return func(s *secured) {
		s.t.Helper()
		s.text = strings.Replace(s.text, "flush: 10m", "flush: 10m, max_bytes: 4MiB", 1)
		db, err := store.Open(context.Background(), s.stateDir(), store.Options{BootID: wire.ID{7}, MaxBytes: 4 << 20})
		if err != nil {
			s.t.Fatal(err)
		}
		at := wire.Stamp{BootID: wire.ID{7}, Mono: time.Hour, Wall: enterTime}
		for size := 16 << 10; ; {
			if st := db.Stats(); st.Used*100 >= percent*st.Limit || st.Samples.Dropped[wire.GapQuota] > 0 {
				break
			} else if percent == 100 && st.Limit-st.Used < 32<<10 {
				size = 1 << 10
			}
			noise := make([]byte, size)
			_, _ = rand.Read(noise)
			if err := db.PutSamples(context.Background(), []store.Samples{{Unit: "rack-z", First: at, Last: at, Payload: noise}}); err != nil {
				s.t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			s.t.Fatal(err)
		}
		cut(s)
	}
}

// play lets it happen and returns what came of it. A within of -1 is of what can only be told when it is over: the event is on
// disk and shown here at once, and the receiver has it with its clear.
func (l ownLife) play(t *testing.T) (out lived) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t)
		if l.before != nil {
			l.before(s)
		}
		s.start()
		time.Sleep(20 * time.Second)
		row := catalogueRow(l.id)
		l.enter(s)
		entered := time.Now()
		kind := map[byte]string{'A': "raise", 'E': "event"}[row.kind]
		var raise notice
		ok := true
		if l.within < 0 {
			time.Sleep(time.Minute + 5*time.Second)
			if n := s.lines("alarm raised", fmt.Sprintf("alarm=%d ", l.id), l.detail); n != 1 {
				t.Errorf("%d (%s): %d lines of the log say so", l.id, l.how, n)
			}
		} else if raise, ok = s.await(kind, l.id, orMinute(l.within)); !ok {
			t.Fatalf("%d (%s) did not come: %v", l.id, l.how, s.cloud.of(""))
		}
		took := raise.came.Sub(entered)
		if l.leave != nil {
			l.leave(s)
		}
		left := time.Now()
		var clear notice
		if row.kind == 'A' {
			if clear, ok = s.await("clear", l.id, orMinute(l.gone)); !ok {
				t.Fatalf("%d (%s) was not cleared: %v", l.id, l.how, s.cloud.of(""))
			}
			if raise, ok = s.await(kind, l.id, time.Second); !ok || clear.RaisedBy != raise.Seq || !strings.Contains(clear.Detail, l.ended) {
				t.Errorf("%d (%s): cleared as %+v, raised as %+v", l.id, l.how, clear, raise)
			}
		}
		all := s.cloud.of("")
		i := slices.IndexFunc(all, func(n notice) bool { return n.ID == l.id && n.Kind == kind && strings.Contains(n.Detail, l.detail) })
		if i < 0 || all[i].Unit != "" || all[i].Severity != map[byte]string{'I': "informational", 'W': "warning", 'C': "critical"}[row.severity] || all[i].Text == "" {
			t.Errorf("%d (%s) came as %+v, want %q in its detail", l.id, l.how, all, l.detail)
		}
		out = lived{life: life{id: l.id, enter: l.how}, raised: max(took, 0), cleared: max(clear.came.Sub(left), 0)}
	})
	return out
}

// TestWhatTheLinkWasBlamedForEndsWithTheBroker: one that is taken out of the configuration cannot be lost, distrusted or reject.
func TestWhatTheLinkWasBlamedForEndsWithTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t)
		s.ring.put(s.own.issue("rack7", certified, enterTime.Add(20*day)))
		s.present(s.own.issue("elsewhere.example", certified, certified.Add(365*day)))
		s.start()
		time.Sleep(2 * time.Minute)
		s.stop()
		lines := strings.Split(s.text, "\n")
		with := s.text
		s.text = strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "uplink:") }), "\n")
		s.start()
		time.Sleep(2 * time.Minute)
		for _, id := range []int{820, 822, 823} {
			raised, cleared := s.lines("alarm raised", fmt.Sprintf("alarm=%d ", id)), s.lines("alarm cleared", fmt.Sprintf("alarm=%d ", id))
			if raised != 1 || cleared != 1 {
				t.Errorf("%d was raised %d times and cleared %d times", id, raised, cleared)
			}
		}
		s.stop()
		s.text = with
	})
}
