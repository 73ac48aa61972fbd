package store

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A badLife is a store on a bad disk, with what it has accepted.
type badLife struct {
	t       testing.TB
	s       *Store
	refused int
	events  int
	samples [][]byte
	acked   bool
	after   func() // every operation
}

func (b *badLife) try(do func() error) {
	b.t.Helper()
	var err error
	for range 2 * maxHealing {
		if err = do(); err == nil {
			return
		}
		b.refused++
		if errors.Is(err, ErrBroken) {
			break
		}
	}
	b.t.Fatalf("refused again and again: %v", err)
}

// live puts and acknowledges enough for the log to be written back twice.
func (b *badLife) live() {
	b.t.Helper()
	ctx := b.t.Context()
	for n := range 12 {
		payload := bytes.Repeat([]byte{byte(n + 1)}, 9000)
		b.try(func() error {
			return b.s.PutSamples(ctx, []Samples{{Unit: "rack-a", First: at(n), Last: at(n + 1), Payload: payload}})
		})
		b.samples = append(b.samples, payload)
		b.after()
		b.try(func() error {
			return b.s.PutEvents(ctx, "rack-a", fmt.Append(nil, n), []Event{event(101, ups.Moment, n)})
		})
		b.events++
		b.after()
		if n == 5 {
			b.try(func() error { return b.s.Ack(ctx, wire.Samples, 2) })
			b.acked = true
			b.after()
		}
	}
}

// check compares what a store holds with what was accepted; an acknowledgement may be undone by a power cut.
func (b *badLife) check(what string, s *Store, acked bool) {
	b.t.Helper()
	samples := all(b.t, s, wire.Samples)
	first := 1
	if b.acked && (acked || len(samples) < len(b.samples)) {
		first = 3
	}
	if len(samples) != len(b.samples)-first+1 {
		b.t.Fatalf("%s: samples %v, accepted %d", what, seqs(samples), len(b.samples))
	}
	for i, r := range samples {
		if r.Seq != uint64(first+i) || !bytes.Equal(r.Payload, b.samples[first+i-1]) {
			b.t.Fatalf("%s: sample %d where %d belongs, or another one", what, r.Seq, first+i)
		}
	}
	events := all(b.t, s, wire.Events)
	if len(events) != b.events {
		b.t.Fatalf("%s: events %v, accepted %d", what, seqs(events), b.events)
	}
	for i, r := range events {
		e, err := wire.DecodeEvent(r.Payload)
		if err != nil || r.Seq != uint64(i+1) || e.Text != fmt.Sprint("number ", i) {
			b.t.Fatalf("%s: event %d is %+v, %v", what, r.Seq, e, err)
		}
	}
	if state, err := s.AlarmState(b.t.Context(), "rack-a"); err != nil || b.events > 0 && string(state) != fmt.Sprint(b.events-1) {
		b.t.Fatalf("%s: alarm state %q, %v", what, state, err)
	}
}

// Whatever call of SQLite to its files fails, once or a few times in a row: what was refused is put again, everything accepted is
// there once, and is there after a power cut though the kernel takes pages for clean whose sync failed (T-22).
func TestNoCallOfTheDiskThatFailsIsAFalsePromise(t *testing.T) {
	d := theBadDisk()
	for _, kind := range []string{"write", "sync", "truncate", "open", "delete"} {
		for _, times := range []int{1, 3} {
			t.Run(fmt.Sprint(kind, " ", times), func(t *testing.T) {
				step, least, refused := 1, 10, 0
				switch {
				case soak:
				case kind == "write" && testenv.Race:
					step, least = 41, 4
				case kind == "write":
					step = 23
				case testenv.Race:
					step, least = 2, 4
				}
				n := 1
				for ; n < 2000; n += step {
					b := badOnce(t, d, kind, n, times)
					if b == nil {
						break
					}
					refused += b.refused
				}
				t.Logf("%d calls, refused %d times", n-1, refused)
				if (kind == "write" || kind == "sync") && refused < least {
					t.Errorf("refused %d times", refused)
				}
			})
		}
	}
}

// badOnce lives once with calls of a kind failing from the n-th on, nil if there are not so many.
func badOnce(t *testing.T, d *badDisk, kind string, n, times int) *badLife {
	dir := fastDir(t)
	s, err := Open(t.Context(), dir, Options{MaxBytes: MinBytes, BootID: bootID})
	must(t, err)
	must(t, s.Close())
	d.watch(t, dir)
	s, err = Open(t.Context(), dir, Options{MaxBytes: MinBytes, BootID: bootID})
	must(t, err)
	defer s.crash()
	what := fmt.Sprintf("%s %d failing %d times", kind, n, times)
	b, cuts := &badLife{t: t, s: s}, 0
	b.after = func() {
		if !d.reached() || cuts == 2 { // behind it, and once more
			return
		}
		cuts++
		cut, err := Open(t.Context(), d.cut(t), Options{MaxBytes: MinBytes, BootID: bootID})
		must(t, err)
		defer cut.crash()
		b.check(what+", then a power cut", cut, false)
		if cut.SetAside() != "" {
			t.Fatalf("%s: set aside", what)
		}
	}
	d.arm(kind, n, times)
	b.live()
	reached := d.reached()
	d.arm("", 0, 0)
	if !reached {
		return nil
	}
	b.check(what, s, true)
	return b
}
