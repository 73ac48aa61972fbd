package upssim

import (
	"fmt"
	"slices"
	"time"
)

// A Write is one write request that reached a unit, taken or not.
type Write struct {
	At        time.Time
	Function  uint8 // 6 or 16
	Addr      uint16
	Values    []uint16
	Exception uint8 // the unit's answer, 0 when it was taken
}

// String writes it as "16 1538 0x0000 0x43D0", with "!4" behind it for exception 4.
func (w Write) String() string {
	s := fmt.Sprintf("%d %d", w.Function, w.Addr)
	for _, v := range w.Values {
		s += fmt.Sprintf(" 0x%04X", v)
	}
	if w.Exception != 0 {
		s += fmt.Sprintf(" !%d", w.Exception)
	}
	return s
}

// mostWrites is how many writes a unit keeps; the oldest go first.
const mostWrites = 10_000

// Writes returns the write requests that reached the unit, oldest first, of the last 10 000: what a command did, and that
// nothing else was written. A frame that was damaged on the line, or was for another address, did not reach it.
func (u *Unit) Writes() []Write {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.writes)
}

// Written counts the write requests that ever reached the unit.
func (u *Unit) Written() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.written
}

func (u *Unit) note(function uint8, addr uint16, raw []uint16, code byte) {
	if len(u.writes) == mostWrites {
		u.writes = slices.Delete(u.writes, 0, mostWrites/10)
	}
	u.writes = append(u.writes, Write{At: u.at, Function: function, Addr: addr, Values: raw, Exception: code})
	u.written++
}
