package upssim

import "time"

// A Held is what a unit's registers held for a while.
type Held struct {
	From, Until time.Time // seen at From, and something else from Until on
	regs        *[mapEnd]uint16
}

// Registers returns count registers from addr on, as they were. They are not to be changed.
func (h Held) Registers(addr, count uint16) []uint16 { return h.regs[addr : addr+count] }

// A churn makes the registers change all the time and remembers what they held.
type churn struct {
	every time.Duration
	keep  int
	base  [mapEnd]uint16
	held  []Held
}

// Churn makes what the unit measures, its delays and its state change every so often from now on, whatever happens to it: the
// measurements walk around what they are now, the state flips between plausible ones. The last keep images of the registers
// that requests can have seen are kept; see HeldBetween. It is for tests that must know a value's age by its number.
func (u *Unit) Churn(every time.Duration, keep int) {
	u.do(func() { u.churn = &churn{every: every, keep: keep, base: u.regs} })
}

// HeldBetween returns, oldest first, the images that the registers showed between two instants, as far as they are kept. What
// nobody asked for in its time is no image.
func (u *Unit) HeldBetween(from, to time.Time) []Held {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.churn == nil {
		return nil
	}
	held := u.churn.held
	for len(held) > 0 && !held[0].Until.After(from) {
		held = held[1:]
	}
	for len(held) > 0 && held[len(held)-1].From.After(to) {
		held = held[:len(held)-1]
	}
	return held
}

// states are the words the state flips between: online, the same at high efficiency, on battery for want of mains, in a test.
var states = [...]uint32{
	stateOnline, stateOnline | highEfficiency, stateOnBattery | statusInputBad | pendingOutputOff, stateOnBattery | statusTest,
}

const (
	lastCause = 30  // section 6.2
	liveEnd   = 172 // behind the last measurement, section 5.2
)

// apply shows what the registers hold at now.
func (c *churn) apply(u *Unit, now time.Time) {
	tick := uint64(now.Sub(u.started) / c.every)
	u.setLong(aStatus, states[noise(u.o.Seed, aStatus, tick)%uint64(len(states))])
	u.regs[aCause] = uint16(noise(u.o.Seed, aCause, tick) % (lastCause + 1))
	for i := range items {
		it := &items[i]
		measured, delay := it.addr >= aRuntime && it.addr < liveEnd, it.addr >= 1024 && it.addr < 1074
		if !u.have[it.addr] || it.kind >= bf16 || !measured && !delay {
			continue
		}
		last := it.addr + it.count - 1 // of a wide item the low word walks
		base, n := uint64(c.base[last]), noise(u.o.Seed, it.addr, tick)
		switch {
		case it.addr == aCharge:
			u.regs[last] = uint16(n % 51201) // 100 %
		case base < 0x6000: // no mark, and positive it stays
			u.regs[last] = uint16(base + n%(base/4+97))
		}
	}
	if n := len(c.held); n > 0 && *c.held[n-1].regs == u.regs && now.Before(c.held[n-1].Until) {
		return
	}
	image := u.regs
	if len(c.held) >= 2*c.keep {
		c.held = append(c.held[:0:0], c.held[c.keep:]...)
	}
	c.held = append(c.held, Held{now, u.started.Add(time.Duration(tick+1) * c.every), &image})
}

// noise is a number that belongs to a register of a unit at a time (splitmix64).
func noise(seed uint64, addr uint16, tick uint64) uint64 {
	z := seed*0x9E3779B97F4A7C15 + uint64(addr)<<40 + tick + 1
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}
