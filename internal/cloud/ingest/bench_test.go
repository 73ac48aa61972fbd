package ingest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

// 100,000 records of the usual sizes, in batches as they come from a fast network.
func BenchmarkTake(b *testing.B) {
	const records, batch = 100_000, 500
	agent := newBox(b, "rack7")
	messages := make([]Message, records)
	for i := range messages {
		messages[i] = agent.publish(agent.block(uint64(i+1), int64(i)*10_000, 100))
	}
	b.SetBytes(int64(len(messages[0].Payload)) * records)
	for b.Loop() {
		r := newReceiver(b)
		began := time.Now()
		for part := range slices.Chunk(messages, batch) {
			take(b, r, part...)
		}
		b.ReportMetric(records/time.Since(began).Seconds(), "records/s")
		if l := laneOf(b, r, agent, wire.Samples); l.Through != records {
			b.Fatalf("%+v", l)
		}
		must(b, r.db.Close())
	}
}

// From publish to acknowledgement over a real broker, one alarm at a time, with and without a backlog on its way.
func BenchmarkAcknowledge(b *testing.B) {
	for _, backlog := range []int{0, 64} {
		b.Run(fmt.Sprintf("backlog%d", backlog), func(b *testing.B) {
			broker := testenv.Mosquitto(b, brokerConfig)
			r, agent, other := newReceiver(b), newBox(b, "rack7"), newBox(b, "rack8")
			consume(b, r, broker.Addr)
			p, q := newPeer(b, broker.Addr, agent), newPeer(b, broker.Addr, other)
			var took []time.Duration
			sent, seq := uint64(0), uint64(0)
			for b.Loop() {
				for sent < q.through(wire.Samples)+uint64(backlog) {
					sent++
					q.publish(other.publish(other.block(sent, int64(sent)*10_000, 100)))
				}
				seq++
				m := agent.publish(agent.alarm(seq, "text"))
				began := time.Now()
				p.publish(m)
				for p.through(wire.Events) < seq {
					time.Sleep(50 * time.Microsecond)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "backlog/s")
		})
	}
}
