package doors

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// Turns bound how many answers that are costly to keep are in hand at a time, from the first byte that is made to the last that is
// taken. Of one address there are only so many: who reads slowly takes a turn of nobody else (T-64).
type Turns struct {
	wait time.Duration
	each int
	all  chan struct{} // holds one for each that is in hand

	mu sync.Mutex
	of map[string]*turns
}

// turns are those of one address.
type turns struct {
	hold  chan struct{}
	users int // that hold one or wait for it; guarded by the Turns' mu
}

// NewTurns lets `most` be in hand at a time, `each` of one address. Who comes when there is no turn waits for one at most that long.
func NewTurns(most, each int, wait time.Duration) *Turns {
	return &Turns{wait: wait, each: each, all: make(chan struct{}, most), of: map[string]*turns{}}
}

// Take waits for a turn of who sent r. Where none came it returns nil; else what gives it back, to be called once.
func (t *Turns) Take(r *http.Request) (done func()) {
	from := address(r.RemoteAddr)
	own := t.enter(from)
	ctx, cancel := context.WithTimeout(r.Context(), t.wait)
	defer cancel()
	if !take(ctx, own.hold) {
		t.leave(from, own)
		return nil
	}
	if !take(ctx, t.all) {
		<-own.hold
		t.leave(from, own)
		return nil
	}
	return func() {
		<-t.all
		<-own.hold
		t.leave(from, own)
	}
}

// Taken is how many turns are in hand.
func (t *Turns) Taken() int { return len(t.all) }

// take puts one in where there is room, at once or until ctx ends.
func take(ctx context.Context, into chan struct{}) bool {
	select {
	case into <- struct{}{}:
		return true
	default:
	}
	select {
	case into <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *Turns) enter(from string) *turns {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.of[from]
	if own == nil {
		own = &turns{hold: make(chan struct{}, t.each)}
		t.of[from] = own
	}
	own.users++
	return own
}

func (t *Turns) leave(from string, own *turns) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(t.of, from)
	}
}

// address is where somebody is, whatever the port. Those on a socket are all in one place.
func address(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}
