package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// smallDisk mounts a file system of 12 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// fillDisk takes all the room there is, to the last block, and returns the file that holds it.
func fillDisk(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "filler"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(t, err)
	defer f.Close()
	for range 12 << 20 / pageSize {
		if _, err := f.Write(make([]byte, pageSize)); err != nil {
			return f.Name()
		}
	}
	t.Fatal("the disk does not get full")
	return ""
}

// A real file system without room: what was accepted stays, acknowledgements still make room, and with room it goes on.
func TestAFullDiskLosesNothingAndIsNotForEver(t *testing.T) {
	dir := smallDisk(t)
	filler := filepath.Join(dir, "filler")
	must(t, os.WriteFile(filler, make([]byte, 4<<20), 0o600))

	s := reopen(t, dir, Options{})
	accepted := fillWithSamples(t, s)
	for range 20 {
		if err := s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 20000)}); err == nil {
			t.Fatal("there was room after all")
		}
	}
	if n := uint64(len(all(t, s, wire.Samples))); n != accepted || s.Stats().Samples.Last != accepted {
		t.Errorf("%d records, %+v, accepted %d", n, s.Stats().Samples, accepted)
	}
	for n := range accepted / 2 {
		must(t, s.Ack(t.Context(), wire.Samples, n+1))
	}
	if n := uint64(len(all(t, s, wire.Samples))); n != accepted-accepted/2 {
		t.Errorf("%d records after half of %d were acknowledged on the full disk", n, accepted)
	}
	must(t, os.Remove(filler))
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 20000)}))
	must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{event(101, ups.Raise, 1)}))
	must(t, s.Ack(t.Context(), wire.Samples, accepted))
	must(t, s.Close())
	s = reopen(t, dir, Options{})
	same(t, "samples", seqs(all(t, s, wire.Samples)), []uint64{accepted + 1})
	if s.SetAside() != "" || len(s.Crashed()) > 0 {
		t.Errorf("set aside %q, crashed %v", s.SetAside(), s.Crashed())
	}
}

// fillWithSamples puts samples until the disk is full, and returns how many were accepted.
func fillWithSamples(t *testing.T, s *Store) uint64 {
	t.Helper()
	for n := range uint64(2000) {
		err := s.PutSamples(t.Context(), []Samples{block("rack-a", int(n), 20000)})
		if err == nil {
			continue
		}
		if errors.Is(err, ErrFull) || errors.Is(err, ErrBroken) {
			t.Fatalf("after %d blocks: %v, want the disk to be full", n, err)
		}
		t.Logf("full after %d blocks: %v", n, err)
		return n
	}
	t.Fatal("the disk does not get full")
	return 0
}

// Runs that are killed on a full disk, with others taking each block that the store gives back: the next one begins all the
// same, takes events, refuses samples, and nothing that was accepted is missing.
func TestBeginsAndKeepsEventsOnAFullDisk(t *testing.T) {
	dir := smallDisk(t)
	said := killed(t, dir, 60)
	for range 6 {
		fillDisk(t, dir)
		now := killed(t, dir, 20)
		if now["begun"] == 0 || now["refused"] == 0 || now["event"] <= said["event"] || now["sample"] != 0 {
			t.Fatalf("on the full disk a run said %v, before %v", now, said)
		}
		now["sample"] = said["sample"]
		said = now
	}
	for range 3 { // and a clean end in between
		fillDisk(t, dir)
		s := reopen(t, dir, Options{MaxBytes: 64 << 20})
		checkKilled(t, s, said)
		must(t, s.Begin(t.Context(), "rack-a", at(1)))
		must(t, s.PutEvents(t.Context(), "rack-a", []byte("state"), []Event{event(102, ups.Raise, 1)}))
		if err := s.PutSamples(t.Context(), []Samples{block("rack-b", 1, 10)}); err == nil {
			t.Fatal("samples accepted without a reserve")
		}
		if state, err := s.AlarmState(t.Context(), "rack-a"); err != nil || string(state) != "state" {
			t.Errorf("alarm state %q, %v", state, err)
		}
		must(t, s.End(t.Context(), "rack-a"))
		said["event"]++
		fillDisk(t, dir)
		must(t, s.Close())
	}
	filler := fillDisk(t, dir)
	s := reopen(t, dir, Options{MaxBytes: 64 << 20})
	checkKilled(t, s, said)
	must(t, s.Ack(t.Context(), wire.Samples, s.Stats().Samples.Last))
	must(t, os.Remove(filler))
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 10)}))
	if last := s.Stats().Samples.Last; last != said["sample"]+1 && last != said["sample"]+3 { // one commit may have gone without a word
		t.Errorf("last sample %d, accepted %d", last, said["sample"])
	}
}

// Events may not use up what an acknowledgement needs.
func TestEventsOnAFullDiskLeaveRoomForAcknowledgements(t *testing.T) {
	for _, restart := range []bool{false, true} {
		dir := smallDisk(t)
		s := reopen(t, dir, Options{})
		accepted := fillWithSamples(t, s)
		events := uint64(0)
		for range 3000 {
			fillDisk(t, dir)
			e := event(101, ups.Raise, int(events))
			e.Text = strings.Repeat("long ", 200)
			err := s.PutEvents(t.Context(), "rack-a", nil, []Event{e, e, e, e})
			if err != nil {
				t.Logf("after %d events: %v", events, err)
				break
			}
			events += 4
		}
		if events == 0 || events == 4*3000 {
			t.Fatalf("%d events accepted", events)
		}
		if restart {
			must(t, s.Close())
			fillDisk(t, dir)
			s = reopen(t, dir, Options{})
		}
		same(t, "samples", len(all(t, s, wire.Samples)), int(accepted))
		for n := range accepted {
			fillDisk(t, dir)
			if err := s.Ack(t.Context(), wire.Samples, n+1); err != nil {
				t.Fatalf("restart %v, with %d events and samples from %d: %v", restart, events, n+1, err)
			}
		}
		same(t, "events", uint64(len(all(t, s, wire.Events))), events)
		must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{event(101, ups.Raise, 1)}))
	}
}

func TestADiskWithoutABlockToBeginOnIsOneClearError(t *testing.T) {
	dir := smallDisk(t)
	s := reopen(t, dir, Options{})
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 10)}))
	must(t, s.Close())
	must(t, os.Remove(filepath.Join(dir, reserveName)))
	filler := fillDisk(t, dir)
	for range 2 {
		_, err := Open(t.Context(), dir, Options{})
		if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "the disk is full and the store has no room left to begin") {
			t.Fatalf("opened with %v", err)
		}
		t.Log(err)
	}
	must(t, os.Remove(filler))
	s = reopen(t, dir, Options{})
	same(t, "samples", seqs(all(t, s, wire.Samples)), []uint64{1})
	if s.SetAside() != "" || len(s.Crashed()) > 0 {
		t.Errorf("set aside %q, crashed %v", s.SetAside(), s.Crashed())
	}
}
