package agent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/config"
	"upsedge/internal/store"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/wire"
)

// TestADatabaseThatBreaksInUseBeginsANewStream: the agent goes on by itself, polls on, and the new stream says first that what
// the old one held may never come.
func TestADatabaseThatBreaksInUseBeginsANewStream(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	cfg, err := config.Parse("agent.yaml", fmt.Appendf(nil, `
state_dir: %s
spool: {flush: 100ms}
units: [{name: rack-a, tcp: {address: "%s"}}]
metrics: {listen: ""}
local: {listen: "", socket: ""}
`, dir, serve(t, upssim.New(upssim.Options{Seed: 1}))))
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{Config: cfg, Version: "test", Ready: func() { close(ready) }, Log: slog.New(slog.DiscardHandler)})
	}()
	defer stop()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("Run = %v before it was ready", err)
	}
	// As a bad disk does it, in place and not only once: what is cached, or written over again by the commit under way, nobody misses.
	spoil := opened(t, dir, "store.db", "store.db-wal", "store.db-shm")
	aside := filepath.Join(dir, "store.db.broken-1")
	for late := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		spoil()
		if _, err := os.Stat(aside); err == nil {
			break
		}
		if time.Now().After(late) {
			t.Fatal("the broken database was not set aside within a minute")
		}
	}
	await(t, func() bool { return stored(dir) > 0 })
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}

	c, err := clock.New()
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), dir, store.Options{BootID: c.Boot()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	records, err := s.Next(t.Context(), wire.Events, 0, 10, 1<<20)
	if err != nil || len(records) == 0 {
		t.Fatalf("%d events, %v; want the gap of the lost stream", len(records), err)
	}
	gap, err := wire.DecodeGap(records[0].Payload)
	if err != nil || gap.Unit != "rack-a" || gap.Reason != wire.GapDamage || gap.From != (wire.Stamp{}) {
		t.Errorf("the first event is %+v, %v; want a damage gap of rack-a from nobody knows when", gap, err)
	}
}

// stored is the highest number of a sample in the database of dir, as its mark says.
func stored(dir string) uint64 {
	b, err := os.ReadFile(filepath.Join(dir, "mark"))
	if err != nil || len(b) < 32 {
		return 0
	}
	return binary.LittleEndian.Uint64(b[24:])
}

// opened returns what fills the files of dir with noise. They are the ones that are there now: a file of the same name that comes
// later stays whole.
func opened(t *testing.T, dir string, names ...string) (spoil func()) {
	t.Helper()
	var files []*os.File
	for _, name := range names {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	return func() {
		for _, f := range files {
			st, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			noise := make([]byte, st.Size())
			_, _ = rand.Read(noise) // never fails
			if _, err := f.WriteAt(noise, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}
