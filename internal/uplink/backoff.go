package uplink

import (
	"context"
	"math/rand/v2"
	"time"
)

// A backoff spaces attempts to connect: each pause is drawn evenly from nothing to a bound that doubles from least to most
// (full jitter), so that the agents of a broker that was away do not return together (T-29).
type backoff struct {
	least, most time.Duration
	next        time.Duration
}

// healthy is how long a session must have lived for the spacing to begin anew. Shorter ones count as failures: two agents with
// the same name would otherwise take the broker from each other once a second.
const healthy = 30 * time.Second

func (b *backoff) reset() { b.next = 0 }

// pause returns how long to wait before the next attempt.
func (b *backoff) pause() time.Duration {
	b.next = min(max(b.next, b.least), b.most)
	d := rand.N(b.next + 1)
	b.next *= 2
	return d
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
