package soak

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"upsedge/internal/cloud/ingest"
)

// T-28. A copy of the state directory is put back: the agent gives numbers again that the receiver has with other content.
func TestARestoredStateDirectoryIsNoticedAndOverwritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, seeded(t), debian, newTally())
	w.mend()
	w.until("something at the receiver", func() bool { return len(w.holds().records) > 4 })
	w.stopAgent()
	w.copyState("state", "old")
	w.mend()
	had := len(w.holds().records)
	w.until("more at the receiver", func() bool { return len(w.holds().records) > had+10 })
	w.stopAgent()
	w.until("everything at the receiver", func() bool { return w.book.behind(t, w.cloud.Dir) <= 1 }) // the last says that the agent stopped
	first := w.holds()

	w.copyState("old", "state")
	w.book = newBook() // the restored agent's own
	w.mend()
	w.until("the conflict", func() bool { return w.conflict() != "" })
	w.killAgent()
	after := w.holds()
	for id, r := range first.records {
		if have, ok := after.records[id]; !ok || !same(r, have) {
			t.Errorf("%s became %s", describe(r), describe(have))
		}
	}
	t.Logf("%d records stayed as they were; %s", len(first.records), w.conflict())
}

// T-28. Two boxes run one state directory each, both the same: they take the broker from each other, and give the same numbers to
// different things.
func TestTwoCopiesOfAStateDirectoryAreNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, seeded(t), debian, newTally())
	w.mend()
	w.until("something at the receiver", func() bool { return len(w.holds().records) > 4 })
	w.stopAgent()
	w.copyState("state", "copy")
	had := w.holds()
	w.mend()
	config, err := os.ReadFile(w.file("agent.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config = bytes.Replace(config, []byte(w.state), []byte(w.file("copy")), 1)
	if err := os.WriteFile(w.file("copy.yaml"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	twin := launch(t, role{Config: w.file("copy.yaml")}, w.file("copy.log"), nil)
	t.Cleanup(twin.kill)
	w.until("the conflict", func() bool { return w.conflict() != "" })
	after := w.holds()
	for id, r := range had.records {
		if have, ok := after.records[id]; !ok || !same(r, have) {
			t.Errorf("%s became %s", describe(r), describe(have))
		}
	}
	t.Log(w.conflict())
}

// copyState copies a directory beside the state directory, or that itself, in place of what was there.
func (w *world) copyState(from, to string) {
	w.t.Helper()
	if err := errors.Join(os.RemoveAll(w.file(to)), os.CopyFS(w.file(to), os.DirFS(w.file(from)))); err != nil {
		w.t.Fatal(err)
	}
}

// conflict returns the notice of a clone, "" without one.
func (w *world) conflict() string {
	w.t.Helper()
	r, done := openReader(w.t, w.cloud.Dir)
	defer done()
	notices, err := r.Notices(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, n := range notices {
		if n.What == ingest.CloneSuspected {
			return fmt.Sprint(n.What, ": ", n.Detail)
		}
	}
	return ""
}
