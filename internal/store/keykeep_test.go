package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"upsedge/internal/wire"
)

// What is done to the key files of a running agent costs nothing: they are written again before it ends.
func TestKeyFilesOfARunningAgentAreKept(t *testing.T) {
	for what, do := range map[string]func(keys string) error{
		"removed": os.RemoveAll,
		"emptied": func(keys string) error {
			for _, name := range keyNames(t, filepath.Dir(keys)) {
				if err := os.Truncate(filepath.Join(keys, name), 0); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := fastDir(t)
			s := reopen(t, dir, Options{BootID: bootID})
			put := func(n int) {
				must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 10), block("rack-b", n, 10)}))
			}
			put(1)
			_, err := s.Erase(t.Context(), "rack-b", 7)
			must(t, err)
			must(t, do(filepath.Join(dir, keysName)))
			put(2) // a minute has not passed
			s.keysKept = s.keysKept.Add(-keepEvery)
			must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 3, 10)}))
			s.crash()

			s = reopen(t, dir, Options{BootID: bootID})
			got := all(t, s, wire.Samples)
			same(t, "samples", seqs(got), []uint64{1, 3, 4, 5})
			for _, k := range s.ring.gone() {
				if k.gone != wire.GapErasure {
					t.Errorf("key %d of %q was lost", k.id, k.unit)
				}
			}
			if len(s.ring.gone()) > 1 {
				t.Errorf("%d keys are gone", len(s.ring.gone()))
			}
		})
	}
}

// A disk that does not take the file is asked again a minute later.
func TestAKeyFileIsWrittenAgainWhenItCanBe(t *testing.T) {
	dir := fastDir(t)
	s := reopen(t, dir, Options{BootID: bootID})
	put := func(n int) { must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 10)})) }
	put(1)
	keys := filepath.Join(dir, keysName)
	must(t, os.RemoveAll(keys))
	must(t, os.WriteFile(keys, nil, 0o600))
	s.keysKept = time.Time{}
	put(2)
	must(t, os.Remove(keys))
	put(3)
	if _, err := os.Stat(keys); err == nil {
		t.Error("looked at more than once a minute")
	}
	s.keysKept = s.keysKept.Add(-keepEvery)
	put(4)
	s.crash()
	same(t, "samples", len(all(t, reopen(t, dir, Options{BootID: bootID}), wire.Samples)), 4)
}
