package notify

import (
	"context"
	"fmt"
	"testing"
	"time"

	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// BenchmarkIngest stores a batch of 200 alarms: without this sink; with it, the device in no policy; in one that does not want them; in
// one that does.
func BenchmarkIngest(b *testing.B) {
	for _, name := range []string{"without", "in no policy", "not wanted", "wanted"} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, storetest.Open(b, storetest.SQLite(b)))
			switch name {
			case "not wanted":
				p := w.policy(w.ada)
				w.do(func(ctx context.Context, tx *store.Tx) error {
					p.Least = ups.Critical
					return w.s.Change(ctx, tx, w.ada, p)
				})
			case "wanted":
				w.policy(w.ada)
			}
			if name == "without" {
				w.receiver = ingest.New(w.db, ingest.Options{Now: w.clock})
			}
			n := 0
			for b.Loop() {
				b.StopTimer()
				batch := make([]ingest.Message, 200)
				for i := range batch {
					batch[i] = w.message(ups.Raise, w.clock().Add(time.Duration(i)*time.Millisecond))
				}
				b.StartTimer()
				_, err := w.receiver.Take(b.Context(), batch)
				w.must(err)
				n += len(batch)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/alarm")
			if kept := w.count(`SELECT COUNT(*) FROM notification_events`); (kept == n) != (name == "wanted") {
				b.Error(fmt.Sprint(kept, " of ", n))
			}
		})
	}
}

// BenchmarkEvent asks what one alarm of a device costs in the transaction that stores it, where the device is in no policy.
func BenchmarkEvent(b *testing.B) {
	w := newWorld(b, storetest.Open(b, storetest.SQLite(b)))
	e := &wire.PublishedEvent{Event: &ups.Event{ID: 101, Kind: ups.Raise, Severity: ups.Warning, Device: serial}}
	at := ingest.Stored{Record: wire.Record{Epoch: 1}, Arrived: w.clock(), Time: ingest.Time{Kind: ingest.Trusted, At: w.clock()}}
	w.do(func(ctx context.Context, tx *store.Tx) error {
		for b.Loop() {
			if err := w.s.Event(ctx, tx, box, at, e); err != nil {
				return err
			}
		}
		return nil
	})
}
