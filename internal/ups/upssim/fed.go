package upssim

import (
	"context"
	"slices"
	"time"
)

// A Change is an outlet group that got power or lost it.
type Change struct {
	Group string // "main", "sog0" …
	On    bool
	At    time.Time // of the unit's clock
}

// groupNames name the groups as orders do, in the order of the bits of 590.
var groupNames = []string{"main", "sog0", "sog1", "sog2"}

// Outlets names the groups that something can hang on: the main group, where it has no outlets of its own, is the output of the unit.
func (u *Unit) Outlets() (out []string) {
	for _, g := range u.groups {
		out = append(out, groupNames[g.index])
	}
	return out
}

// fed reports whether what hangs on a group has power. The switched groups hang behind the main group.
func (u *Unit) fed(g *group) bool { return g.on && u.groups[0].on }

// A watcher is somebody who wants to know what has power.
type watcher struct {
	was    []bool // by group, as told
	queue  []Change
	filled chan struct{}
}

// glance is how often a watched unit is moved on where nothing asks it: the time by which a change may be told late.
const glance = 20 * time.Millisecond

// WatchOutlets tells of each group whether it has power, then of each change of that, whatever makes it: a command, the panel, a
// load that is shed, an empty battery, an emergency. It returns when ctx ends. tell is called by one goroutine, never under a lock of
// the unit; a group that went off and came on again while it took its time is told of twice.
func (u *Unit) WatchOutlets(ctx context.Context, tell func(Change)) {
	w := &watcher{filled: make(chan struct{}, 1)}
	u.mu.Lock()
	u.advance(u.o.Now())
	for _, g := range u.groups {
		w.was = append(w.was, u.fed(g))
		w.queue = append(w.queue, Change{groupNames[g.index], u.fed(g), u.at})
	}
	u.watchers = append(u.watchers, w)
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.watchers = slices.DeleteFunc(u.watchers, func(x *watcher) bool { return x == w })
	}()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for ctx.Err() == nil {
		u.mu.Lock()
		u.advance(u.o.Now())
		news := w.queue
		w.queue = nil
		u.mu.Unlock()
		for _, c := range news {
			tell(c)
		}
		select {
		case <-tick.C:
		case <-w.filled:
		case <-ctx.Done():
		}
	}
}

// noteOutlets notes for those who watch what has got power or lost it.
func (u *Unit) noteOutlets() {
	for _, w := range u.watchers {
		for i, g := range u.groups {
			if on := u.fed(g); on != w.was[i] {
				w.was[i] = on
				w.queue = append(w.queue, Change{groupNames[g.index], on, u.at})
				select {
				case w.filled <- struct{}{}:
				default:
				}
			}
		}
	}
}
