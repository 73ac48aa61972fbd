package clock

import "time"

const (
	// notch is how far an offset may move before the history gets a new entry: slewing moves it all the time.
	notch = 100 * time.Millisecond
	// longest history: at the greatest drift a notch is 200 s, and what is still to be stamped after three hours is rare.
	longest = 64
)

// A history of relations, oldest first.
type history struct {
	relations []relation
	offset    int64 // of the last one now
}

// A relation is wall − mono in nanoseconds since 1970, from an instant on.
type relation struct {
	from   time.Duration
	offset int64
}

// follow takes over what the offset is at an instant.
func (h *history) follow(mono time.Duration, offset int64) {
	h.offset = offset
	if n := len(h.relations); n > 0 && time.Duration(offset-h.relations[n-1].offset).Abs() < notch {
		return
	}
	if len(h.relations) == longest {
		h.relations = append(h.relations[:0], h.relations[1:]...)
	}
	h.relations = append(h.relations, relation{mono, offset})
}

// at returns the offset that holds for an instant, false while there is none. What lies before the first relation has that one.
func (h *history) at(mono time.Duration) (int64, bool) {
	n := len(h.relations)
	if n == 0 {
		return 0, false
	}
	if mono >= h.relations[n-1].from {
		return h.offset, true
	}
	for i := n - 2; i > 0; i-- {
		if mono >= h.relations[i].from {
			return h.relations[i].offset, true
		}
	}
	return h.relations[0].offset, true
}
