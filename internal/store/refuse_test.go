package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// Events that waited in memory when the run ended, however it ended, leave a gap under the numbers that they would have had.
func TestEventsThatWereNeverStoredLeaveAGap(t *testing.T) {
	dir := fastDir(t)
	s := reopen(t, dir, Options{BootID: bootID})
	put := func() { must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{event(101, ups.Moment, 1)})) }
	put()
	s.Expect(2) // refused
	s.Expect(3)
	put() // but now it works again, and the second of three is lost with the run
	s.crash()
	s = reopen(t, dir, Options{BootID: bootID})
	events := all(t, s, wire.Events)
	same(t, "events", seqs(events), []uint64{1, 2, 4})
	g, err := wire.DecodeGap(events[2].Payload)
	must(t, err)
	same(t, "gap", g, wire.Gap{Lane: wire.Events, First: 3, Last: 4, Reason: wire.GapStorage})
	put()
	must(t, s.Close())
	s = reopen(t, dir, Options{BootID: bootID})
	same(t, "events after another start", seqs(all(t, s, wire.Events)), []uint64{1, 2, 4, 5})
	if n := s.Stats().Events.Dropped[wire.GapStorage]; n != 0 {
		t.Errorf("%d counted as lost once more", n)
	}
}

// Events given up while the disk refused are numbered in their place.
func TestEventsGivenUpHaveNumbers(t *testing.T) {
	s := reopen(t, fastDir(t), Options{BootID: bootID})
	must(t, s.PutLost(t.Context(), 0, at(1)))
	must(t, s.PutLost(t.Context(), 5, at(1)))
	must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{event(101, ups.Moment, 1)}))
	events := all(t, s, wire.Events)
	same(t, "events", seqs(events), []uint64{5, 6})
	g, err := wire.DecodeGap(events[0].Payload)
	must(t, err)
	same(t, "gap", g, wire.Gap{Lane: wire.Events, First: 1, Last: 5, Reason: wire.GapStorage})
}

// A directory that is deleted or moved while the store is open is found out by the next write, and what comes in its place is
// opened as it is.
func TestADirectoryThatIsTakenAwayIsNoticed(t *testing.T) {
	for name, take := range map[string]func(dir string) error{
		"deleted": os.RemoveAll,
		"moved":   func(dir string) error { return os.Rename(dir, dir+".old") },
		"replaced": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.CopyFS(dir, os.DirFS(dir+".old")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(fastDir(t), "state")
			s := reopen(t, dir, Options{BootID: bootID})
			put := func() error { return s.PutEvents(t.Context(), "rack-a", nil, []Event{event(101, ups.Moment, 1)}) }
			must(t, put())
			stream := s.Stream()
			must(t, take(dir))
			for range 2 {
				if err := put(); !errors.Is(err, ErrBroken) {
					t.Fatalf("put into a database that is not there: %v", err)
				}
			}
			_ = s.Close()
			s = reopen(t, dir, Options{BootID: bootID})
			must(t, put())
			if s.SetAside() != "" || (s.Stream() == stream) != (name == "replaced") {
				t.Errorf("set aside %q, stream %v, before %v", s.SetAside(), s.Stream(), stream)
			}
		})
	}
}
