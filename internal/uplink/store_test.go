package uplink

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"upsedge/internal/store"
	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

var _ Spool = (*store.Store)(nil)

// The real store, the real broker: both are killed and come back, and everything arrives in order.
func TestDrainsTheRealStoreOverRestartsOfAgentAndBroker(t *testing.T) {
	const samples, events = 400, 20
	dir, broker := t.TempDir(), testenv.Mosquitto(t, "")
	st, err := store.Open(t.Context(), dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, st, samples, events)

	stop := start(t, quick(testConfig(t, broker.Addr), st))
	await(t, "first acknowledgement", func() bool { return waiting(t, st, wire.Samples) < samples })
	broker.Kill()
	stop()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err = store.Open(t.Context(), dir, store.Options{}); err != nil {
		t.Fatal(err)
	}
	acknowledged := uint64(samples - waiting(t, st, wire.Samples))
	put(t, st, 10, 10)
	broker.Start()
	got := collect(t, broker.Addr)
	stop = start(t, quick(testConfig(t, broker.Addr), st))
	await(t, "empty store", func() bool { return waiting(t, st, wire.Samples)+waiting(t, st, wire.Events) == 0 })
	stop()
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	// What was left begins right behind what was acknowledged.
	await(t, "delivery of the last", func() bool { return last(got.seqs(wire.TopicSamples)) == samples+10 })
	first := got.seqs(wire.TopicSamples)[0]
	if want := acknowledged + 1; first != want {
		t.Errorf("samples go on with %d, want %d", first, want)
	}
	all := append(sequence(first-1), got.seqs(wire.TopicSamples)...)
	checkComplete(t, all, samples+10)
	if e := got.seqs(wire.TopicEvents); last(e) != events+10 || !slices.IsSorted(e) {
		t.Errorf("events %v, want them in order up to %d", e, events+10)
	}
}

func sequence(n uint64) (out []uint64) {
	for i := range n {
		out = append(out, i+1)
	}
	return out
}

func put(t *testing.T, st *store.Store, samples, events int) {
	t.Helper()
	for i := range samples {
		b := store.Samples{Unit: "rack-a", First: stamp(i), Last: stamp(i + 1), Payload: []byte(fmt.Sprintf("block %d", i))}
		if err := st.PutSamples(t.Context(), []store.Samples{b}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range events {
		e := store.Event{Event: ups.Event{ID: 102, Kind: ups.Moment, Severity: ups.Informational, Unit: "rack-a", Text: "test"}, Stamp: stamp(i)}
		if err := st.PutEvents(t.Context(), "rack-a", nil, []store.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
}

func stamp(i int) wire.Stamp {
	return wire.Stamp{BootID: wire.ID{1}, Mono: time.Duration(i+1) * time.Second}
}

// waiting returns how many records the store still has.
func waiting(t *testing.T, st *store.Store, lane wire.Lane) int {
	t.Helper()
	recs, err := st.Next(t.Context(), lane, 0, 10_000, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return len(recs)
}
