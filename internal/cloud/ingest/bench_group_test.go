package ingest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

// BenchmarkPut stores blocks of the usual size by Group.Put, each agent with at most 64 of them on their way, on databases that wait
// for the disk. A message counts when its done was called.
func BenchmarkPut(b *testing.B) {
	for _, agents := range []int{1, 50} {
		b.Run(fmt.Sprintf("sqlite/agents=%d", agents), func(b *testing.B) { benchPut(b, storetest.SQLite(b), agents) })
		b.Run(fmt.Sprintf("postgres/agents=%d", agents), func(b *testing.B) {
			benchPut(b, storetest.PostgresOn(b, testenv.OwnPostgres(b, "shared_buffers = 256MB\nmax_wal_size = 4GB\n")), agents)
		})
	}
}

func benchPut(b *testing.B, c store.Config, agents int) {
	const inFlight, rows = 64, 100
	boxes := make([]*box, agents)
	for i := range boxes {
		boxes[i] = newBox(b, fmt.Sprintf("rack%d", i))
	}
	messages := make([][]Message, agents)
	for i := range b.N {
		a := i % agents
		n := uint64(i/agents + 1)
		messages[a] = append(messages[a], boxes[a].publish(boxes[a].block(n, int64(n)*10_000, rows)))
	}
	g := NewGroup(opened(b, c, Options{}), func([]Answer) {})
	ctx, stop := context.WithCancel(b.Context())
	var ended sync.WaitGroup
	ended.Go(func() { _ = g.Run(ctx) })
	b.ResetTimer()
	var all sync.WaitGroup
	for _, list := range messages {
		all.Go(func() {
			room := make(chan struct{}, inFlight)
			for _, m := range list {
				room <- struct{}{}
				g.Put(ctx, m, func(err error) {
					must(b, err)
					<-room
				})
			}
			for range inFlight {
				room <- struct{}{}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(len(messages[0][0].Payload)), "bytes/message")
	stop()
	ended.Wait()
	if l := laneOf(b, g.r, boxes[0], wire.Samples); l.Through != uint64(len(messages[0])) {
		b.Fatalf("%+v", l)
	}
}
