package clock

import (
	"time"

	"upsedge/internal/wire"
)

// A word is what a statement of the cloud says of the time.
type word struct {
	at     time.Duration // when it came, on the monotonic clock
	offset int64         // wall − mono
	bound  time.Duration // of the error
	since  time.Duration // of the best one: when the first came for which a better one is waited for
}

// Wanting reports whether a statement of the cloud should be asked for soon: nobody has told the time yet, or who did was so long on the
// way that a better word is waited for.
func (c *Clock) Wanting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookIfOld()
	return c.source == nobody || c.best.since != 0
}

// hear judges a word: it is taken, it waits for a better one, or what is known is better. The caller holds mu.
func (c *Clock) hear(w word) {
	ours, apart, known := c.against(w)
	fits := known && ours > 0 && apart <= ours+w.bound
	switch {
	case fits && ours <= w.bound:
		return // what we have is better, and fits
	case w.bound <= fine || fits: // it tells more than we know
		c.take(w)
		return
	}
	best := c.best
	if w.since = best.since; best.since == 0 {
		w.since = w.at
	} else if best.bound+(w.at-best.at)/1e6*drift <= w.bound {
		return
	}
	c.best = w
}

// take makes a word what is known from now on. The caller holds mu, and has looked.
func (c *Clock) take(w word) {
	if _, apart, known := c.against(w); known && apart > wrong {
		c.change(Change{Off: apart})
	}
	c.source, c.bound, c.boundAt, c.dispute, c.best = cloud, w.bound, w.at, 0, word{}
	c.known.follow(max(w.at, c.looked), w.offset)
	c.enter(wire.ClockSynced)
}

// against compares a word with what is known: the bound of that, 0 where none is known, and how far the two are apart.
func (c *Clock) against(w word) (ours, apart time.Duration, known bool) {
	now, known := c.known.at(w.at)
	return c.errorAt(w.at), time.Duration(now - w.offset).Abs(), known
}
