package ingest

import (
	"context"
	"time"
)

// Bounds of one commit. It takes what has come while the one before was written, without waiting for more: a lone alarm is
// committed at once, a flood in few commits.
const (
	maxBatch      = 1024
	maxBatchBytes = 8 << 20
)

// A retry after an error of the disk comes after leastRetry, and doubles up to mostRetry.
const (
	leastRetry = 50 * time.Millisecond
	mostRetry  = 5 * time.Second
)

// A delivery is a message on its way into a commit.
type delivery struct {
	Message
	stored func() // called once, after the commit; never when there was none
}

// A group makes batches of deliveries.
type group struct {
	r       *Receiver
	in      chan delivery
	publish func([]Answer) // called before stored: what is acknowledged to the broker was answered before
}

// run commits until ctx ends. While the disk refuses nothing is acknowledged, and the same messages are tried again.
func (g *group) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-g.in:
			g.settle(ctx, g.collect(first))
		}
	}
}

// collect takes what waits.
func (g *group) collect(first delivery) []delivery {
	batch, size := []delivery{first}, len(first.Payload)
	for len(batch) < maxBatch && size < maxBatchBytes {
		select {
		case d := <-g.in:
			batch, size = append(batch, d), size+len(d.Payload)
		default:
			return batch
		}
	}
	return batch
}

func (g *group) settle(ctx context.Context, batch []delivery) {
	messages := make([]Message, len(batch))
	for i, d := range batch {
		messages[i] = d.Message
	}
	pause := leastRetry
	for failed := false; ; failed = true {
		answers, err := g.r.Take(ctx, messages)
		if err == nil {
			if failed {
				g.r.log.Info("the disk takes messages again")
			}
			g.publish(answers)
			for _, d := range batch {
				d.stored()
			}
			return
		}
		if !failed {
			g.r.log.Error("messages not stored, nothing is acknowledged until they are", "messages", len(batch), "err", err)
		}
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, mostRetry)
	}
}

// sleep waits for d and reports whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
