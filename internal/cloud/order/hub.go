package order

import "sync"

// A hub wakes who waits for changes of a device's orders in this process. A wake-up may be one too many and is never lost: it stays
// in the channel until it is read.
type hub struct {
	mu      sync.Mutex
	waiting map[string]map[chan struct{}]bool // by device
}

// listen returns a channel that gets a value behind every change, until stop is called.
func (h *hub) listen(device string) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting == nil {
		h.waiting = map[string]map[chan struct{}]bool{}
	}
	if h.waiting[device] == nil {
		h.waiting[device] = map[chan struct{}]bool{}
	}
	h.waiting[device][c] = true
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.waiting[device], c)
		if len(h.waiting[device]) == 0 {
			delete(h.waiting, device)
		}
	}
}

func (h *hub) wake(device string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.waiting[device] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
