package ingest

import (
	"context"
	"errors"
	"sync"
	"time"

	"upsedge/internal/cloud/store"
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

// maxWaiting is how many messages wait for a commit. What comes beyond waits in the network.
const maxWaiting = 4 * maxBatch

// ErrStopped means that a Group has ended before a message was stored.
var ErrStopped = errors.New("nothing is stored any more")

// A delivery is a message on its way into a commit.
type delivery struct {
	Message
	done func(error)
}

// A Group makes batches of messages that come from anywhere. Use NewGroup.
type Group struct {
	r       *Receiver
	in      chan delivery
	publish func([]Answer)
	stopped chan struct{}
}

// NewGroup returns a Group. publish is given the answers of each batch behind its commit, and before its messages are
// acknowledged. It starts nothing.
func NewGroup(r *Receiver, publish func([]Answer)) *Group {
	return &Group{r: r, in: make(chan delivery, maxWaiting), publish: publish, stopped: make(chan struct{})}
}

// Put gives a message into the next batch. It waits for room only, and until ctx ends. done is called once: with nil behind the
// commit, which means that the message is to be acknowledged, else with an error. It is called by the goroutine of Run, which it must
// not keep waiting, or by Put. Messages of one caller are stored in the order of their calls.
func (g *Group) Put(ctx context.Context, m Message, done func(error)) {
	select {
	case <-g.stopped:
		done(ErrStopped)
		return
	default:
	}
	select {
	case g.in <- delivery{m, done}:
	case <-ctx.Done():
		done(ctx.Err())
		return
	case <-g.stopped:
		done(ErrStopped)
		return
	}
	select {
	case <-g.stopped: // it may have come behind the last look of Run
		g.drain()
	default:
	}
}

// drain gives back what nobody will store.
func (g *Group) drain() {
	for {
		select {
		case d := <-g.in:
			d.done(ErrStopped)
		default:
			return
		}
	}
}

// Run commits until ctx ends, and looks for agents that are silent. It returns nil then, and is called once. While the database
// refuses nothing is acknowledged, and the same messages are tried again.
func (g *Group) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { g.watch(ctx) })
	g.run(ctx)
	close(g.stopped)
	g.drain()
	wg.Wait()
	return nil
}

// watchEvery is how often silent agents are looked for.
const watchEvery = 5 * time.Second

func (g *Group) watch(ctx context.Context) {
	for failed := false; sleep(ctx, watchEvery); {
		err := g.r.Watch(ctx)
		if err != nil && !failed {
			g.r.log.Error("silent agents not looked for", "err", err)
		}
		failed = err != nil
	}
}

func (g *Group) run(ctx context.Context) {
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
func (g *Group) collect(first delivery) []delivery {
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

// blameAfter is how often a message must have failed alone before it is set aside.
const blameAfter = 3

// settle stores a batch. What fails again though the database is well is divided, until the one message that nobody can store
// stands alone: it is set aside, or it would stand before all others for ever.
func (g *Group) settle(ctx context.Context, batch []delivery) {
	messages := make([]Message, len(batch))
	for i, d := range batch {
		messages[i] = d.Message
	}
	pause := leastRetry
	for try := 1; ; try++ {
		answers, err := g.r.Take(ctx, messages)
		if err == nil {
			if try > 1 {
				g.r.log.Info("the database takes messages again")
			}
			g.settled(batch, answers)
			return
		}
		if try == 1 {
			g.r.log.Error("messages not stored, nothing is acknowledged until they are", "messages", len(batch), "err", err)
		}
		switch {
		case store.Temporary(err) || try == 1:
		case len(batch) > 1:
			half := len(batch) / 2
			g.settle(ctx, batch[:half])
			g.settle(ctx, batch[half:])
			return
		case try >= blameAfter && g.r.refuse(ctx, messages[0], err) == nil:
			g.settled(batch, nil)
			return
		}
		if !sleep(ctx, pause) {
			for _, d := range batch {
				d.done(ErrStopped)
			}
			return
		}
		pause = min(2*pause, mostRetry)
	}
}

func (g *Group) settled(batch []delivery, answers []Answer) {
	g.publish(answers)
	for _, d := range batch {
		d.done(nil)
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
