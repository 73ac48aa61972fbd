package command

import "upsedge/internal/wire"

// Through makes an Executor's journal use another SQLite driver.
func (o Options) Through(driver string) Options {
	o.driver = driver
	return o
}

// AtMost makes an Executor's journal full with that many orders.
func (o Options) AtMost(n int64) Options {
	o.most = n
	return o
}

// InHand returns the order of a device that is in hand, zero for none.
func (x *Executor) InHand(device string) (id wire.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if h := x.hands[device]; h != nil {
		id = h.e.cmd.ID
	}
	return id
}

// Stall keeps orders from being judged, as a disk that stands still does; the function returned lets them go on.
func (x *Executor) Stall() (end func()) {
	x.mu.Lock()
	return x.mu.Unlock
}
