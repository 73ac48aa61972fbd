package front

import (
	"context"
	"sync"

	"golang.org/x/time/rate"

	"upsedge/internal/wire"
)

// A state of a thousand units that are others each time takes the one who writes a quarter of a second, and everybody waits meanwhile. So the
// states of an agent, over all its connections, are read no faster than this many bytes a second, behind a beginning at once. Those of an
// agent with a hundred units are 30 KiB.
const (
	statesRate  = 256 << 10
	statesBurst = wire.MaxMessage + 1<<20
)

// states holds back agents that tell their state too often (T-30). What they send waits in the network.
type states struct {
	rate rate.Limit // bytes a second

	mu sync.Mutex
	of map[string]*rate.Limiter // by agent
}

// wait returns when a message of so many bytes may be handed over, or when ctx ends.
func (s *states) wait(ctx context.Context, agent string, leaf wire.Leaf, size int) error {
	if leaf != wire.TopicState {
		return nil
	}
	s.mu.Lock()
	l := s.of[agent]
	if l == nil {
		l = rate.NewLimiter(s.rate, statesBurst)
		s.of[agent] = l
	}
	s.mu.Unlock()
	return l.WaitN(ctx, size)
}
