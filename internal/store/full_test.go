package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A real file system without room: what was accepted stays, acknowledgements still make room, and with room it goes on.
func TestAFullDiskLosesNothingAndIsNotForEver(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	filler := filepath.Join(dir, "filler")
	must(t, os.WriteFile(filler, make([]byte, 4<<20), 0o600))

	s := reopen(t, dir, Options{})
	accepted, err := uint64(0), error(nil)
	for ; err == nil && accepted < 2000; accepted++ {
		err = s.PutSamples(t.Context(), []Samples{block("rack-a", int(accepted), 20000)})
	}
	accepted--
	if err == nil || errors.Is(err, ErrFull) || errors.Is(err, ErrBroken) {
		t.Fatalf("after %d blocks: %v, want the disk to be full", accepted, err)
	}
	t.Logf("full after %d blocks: %v", accepted, err)
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
