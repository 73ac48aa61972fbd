package agent

import (
	"crypto/rand"
	"os"
	"testing"
	"time"

	"upsedge/internal/store"
	"upsedge/internal/ups"
)

// TestSoakAlarmWhileABacklogIsStored prints how long an alarm takes to be stored while all that memory can hold is put after a long refusal.
func TestSoakAlarmWhileABacklogIsStored(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("long; make soak runs it")
	}
	w := newFlushing(t)
	var held int
	for i := 0; held < mostPending-4096; i++ {
		body := make([]byte, 400)
		_, _ = rand.Read(body) // never fails
		s := store.Samples{Unit: "rack-a", First: w.clock.Stamp(time.Now()), Last: w.clock.Stamp(time.Now()), Payload: body}
		w.f.pending, w.f.samples = append(w.f.pending, s), append(w.f.samples, 1)
		held += len(body) + besides
	}
	n, done, began := len(w.f.pending), make(chan struct{}), time.Now()
	go func() { w.f.flush(t.Context(), nil); close(done) }()
	var longest time.Duration
	for alarms := 0; ; alarms++ {
		at := time.Now()
		e := []store.Event{{Event: ups.Event{ID: 101, Kind: ups.Moment, Severity: ups.Warning, Unit: "rack-a", Text: "a test", At: at}, Stamp: w.clock.Stamp(at)}}
		if err := w.store.PutEvents(t.Context(), "rack-a", nil, e); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(at))
		select {
		case <-done:
			t.Logf("%d blocks, %d bytes in %v; the longest of %d alarms took %v", n, held, time.Since(began), alarms+1, longest)
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}
