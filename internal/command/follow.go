package command

import (
	"maps"
	"slices"
	"sort"
	"sync"

	"upsedge/internal/wire"
)

// follow tells who is on site what becomes of orders, as their results go to disk. Nobody waits for who listens.
type follow struct {
	over chan struct{} // closed when nothing more is told
	end  func()

	mu       sync.Mutex
	watchers map[wire.ID][]chan wire.Result
	hand     map[wire.ID]wire.Result // what was told last of orders that have not ended
}

// room is how many results wait for one who listens. Of those behind that all but the final one are left out.
const room = 16

func newFollow() *follow {
	f := &follow{over: make(chan struct{}), watchers: map[wire.ID][]chan wire.Result{}, hand: map[wire.ID]wire.Result{}}
	f.end = sync.OnceFunc(func() { close(f.over) })
	return f
}

// watch returns what is told of an order from now on, until leave is called.
func (f *follow) watch(id wire.ID) (news <-chan wire.Result, leave func()) {
	c := make(chan wire.Result, room)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers[id] = append(f.watchers[id], c)
	return c, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.watchers[id] = slices.DeleteFunc(f.watchers[id], func(o chan wire.Result) bool { return o == c })
		if len(f.watchers[id]) == 0 {
			delete(f.watchers, id)
		}
	}
}

// tell passes results on.
func (f *follow) tell(results ...wire.Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range results {
		if r.State.Final() {
			delete(f.hand, r.Order)
		} else {
			f.hand[r.Order] = r
		}
		for _, c := range f.watchers[r.Order] {
			if len(c) < room-1 || r.State.Final() && len(c) < room {
				c <- r // nobody else sends
			}
		}
	}
}

// Unended returns what was told last of each order that has not ended. It never waits.
func (x *Executor) Unended() []wire.Result {
	x.follow.mu.Lock()
	defer x.follow.mu.Unlock()
	all := slices.Collect(maps.Values(x.follow.hand))
	sort.Slice(all, func(i, j int) bool { return slices.Compare(all[i].Order[:], all[j].Order[:]) < 0 }) // ADR 20
	return all
}
