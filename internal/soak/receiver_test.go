package soak

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/wire"
)

// A receiverRole is what the receiver's process is told.
type receiverRole struct {
	Broker, Dir  string
	Root, Online []byte   // seeds of the keys that sign; none: the agent is not enrolled
	Owned        []string // serial numbers of the devices that it binds
}

// receive takes what comes from the broker until SIGTERM.
func receive(r receiverRole, ready func()) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	broker, err := url.Parse(r.Broker)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	o := ingest.Options{Log: log}
	if r.Root != nil {
		if o.Statement, err = statements(r); err != nil {
			return err
		}
	}
	db, err := store.Open(ctx, store.Config{DSN: database(r.Dir)})
	if err != nil {
		return err
	}
	c := ingest.NewConsumer(ingest.New(db, o), ingest.ConsumerConfig{Broker: broker, ClientID: "receiver", Log: log, Ready: ready})
	return errors.Join(c.Run(ctx), db.Close())
}

// database is the receiver's file.
func database(dir string) string { return filepath.Join(dir, "cloud.db") }

// openReader opens it for looking, until done is called.
func openReader(t testing.TB, dir string) (r *ingest.Reader, done func()) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{DSN: database(dir)})
	if err != nil {
		t.Fatal(err)
	}
	return ingest.NewReader(db), func() { _ = db.Close() }
}

// statements returns what signs the answer to a session's first state.
func statements(r receiverRole) (func(context.Context, *store.Tx, string, wire.ID, time.Time) ([]byte, error), error) {
	const kid = "online"
	root, online := ed25519.NewKeyFromSeed(r.Root), ed25519.NewKeyFromSeed(r.Online)
	list := trust.Keys{Version: 1, Keys: []trust.Key{{Kid: kid, Key: online.Public().(ed25519.PublicKey), Purposes: []string{trust.ForStatement}}}}
	keys, err := sign.Keys(root, list)
	return func(_ context.Context, _ *store.Tx, agent string, nonce wire.ID, now time.Time) ([]byte, error) {
		said := trust.Statement{Time: now}
		for _, serial := range r.Owned {
			said.Entries = append(said.Entries, trust.Entry{Device: serial, Bind: &trust.Bind{
				Epoch: 1, Plan: "advanced", ValidUntil: now.Add(time.Hour).Truncate(time.Second), GrantVersion: 1,
			}})
		}
		jws, err := sign.Statement(online, kid, keys, agent, nonce, said)
		return []byte(jws), err
	}, err
}

// enrol makes the agent's state directory one of an enrolled agent, and the keys of its cloud.
func (w *world) enrol() {
	w.t.Helper()
	root, online := make([]byte, ed25519.SeedSize), make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(root) // never fails
	_, _ = rand.Read(online)
	w.cloud.Root, w.cloud.Online = root, online
	for i := range w.units {
		w.cloud.Owned = append(w.cloud.Owned, fmt.Sprintf("AS2130%06d", i+1)) // as upssim makes them of its seed
	}
	key := ed25519.NewKeyFromSeed(root).Public().(ed25519.PublicKey)
	// On the disk as an enrolment leaves it: a power cut must not take it, or the units would be nobody's from then on.
	if err := errors.Join(os.MkdirAll(w.state, 0o700), trust.SaveRoot(w.state, key)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) startReceiver() {
	w.t.Helper()
	w.receiver = launch(w.t, role{Receiver: &w.cloud}, w.file("receiver.log"), nil)
}

func (w *world) killReceiver() {
	if w.receiver != nil {
		w.receiver.kill()
		w.receiver = nil
	}
}

func (w *world) stopReceiver() {
	w.t.Helper()
	select {
	case <-w.receiver.ready:
	case <-time.After(2 * time.Second): // it cannot get through; it listens to signals by then
	}
	if code := w.receiver.stop(); code != 0 {
		w.t.Errorf("the receiver ended with exit code %d", code)
	}
	w.receiver = nil
}

// behind counts the lanes of which the receiver has not settled all that was accepted.
func (b *book) behind(t testing.TB, dir string) (n int) {
	t.Helper()
	r, done := openReader(t, dir)
	defer done()
	lanes, err := r.Lanes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	through := map[identity]uint64{}
	for _, l := range lanes {
		through[identity{stream: l.Stream, lane: l.Lane}] = l.Through
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.told {
		if id.seq > through[identity{stream: id.stream, lane: id.lane}] {
			n++
		}
	}
	return n
}

// readHolding reads what the receiver has on disk, and adds what it complains of.
func readHolding(t testing.TB, dir string, c *complaints) *holding {
	t.Helper()
	r, done := openReader(t, dir)
	defer done()
	lanes, err := r.Lanes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := newHolding()
	for _, l := range lanes {
		if l.Frozen > 0 {
			c.add("conflict", "%v of stream %v is frozen from %d on", l.Lane, l.Stream, l.Frozen)
		}
		for _, s := range l.Holes {
			c.add("hole", "%v %d to %d, says the receiver", l.Lane, s.First, s.Last)
		}
		h.read(t, r, l)
	}
	for _, stream := range slices.Compact(streamsOf(lanes)) {
		gaps, err := r.Gaps(t.Context(), agentID, stream)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range gaps {
			h.apply(stream, g.Gap)
		}
	}
	notices, err := r.Notices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range notices {
		if n.What == ingest.CloneSuspected {
			c.add("conflict", "%s %s", n.What, n.Detail)
		}
	}
	return h
}

func streamsOf(lanes []ingest.LaneInfo) (out []wire.ID) {
	for _, l := range lanes {
		out = append(out, l.Stream)
	}
	slices.SortFunc(out, func(a, b wire.ID) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

// read adds the records of a lane in the order of their arrival.
func (h *holding) read(t testing.TB, r *ingest.Reader, l ingest.LaneInfo) {
	t.Helper()
	var all []ingest.Stored
	err := r.Records(t.Context(), l, func(s ingest.Stored) error {
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b ingest.Stored) int { return cmp.Compare(a.Arrival, b.Arrival) })
	for _, s := range all {
		id := idOf(s.Record)
		if _, again := h.records[id]; again {
			t.Errorf("the receiver holds %v twice", fmt.Sprint(id))
		}
		h.records[id] = s.Record
		h.order = append(h.order, id)
	}
}
