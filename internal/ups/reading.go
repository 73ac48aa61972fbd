package ups

import (
	"math"
	"time"
)

// Absent is the raw integer of a value that was not read or that the unit marks as not applicable. No item of the map can
// hold it: the widest is 32 bits.
const Absent = math.MinInt64

// A Tier is a class of reads by how often they are wanted.
type Tier uint8

// The tiers (design, section 4).
const (
	TierWatch    Tier = iota // status word and cause
	TierStatus               // the whole status block
	TierLive                 // measurements and countdowns
	TierSettings             // delays, limits
	TierIdentity             // who the unit is, names; the verification block
	TierCount                // number of tiers
)

var tierNames = [...]string{"watch", "status", "live", "settings", "identity"}

// String returns the tier's name as in the configuration and in metrics.
func (t Tier) String() string { return tierNames[t] }

// A Block is one read of a unit's read plan: what a driver can be asked for in one exchange. It stays valid until the driver
// connects again.
type Block struct {
	Tier  Tier
	Index int           // the driver's own number of the read, from 0
	Name  string        // for people: "0/27"
	Cost  time.Duration // how long the line is expected to be occupied, the gap before the request included
	Again time.Duration // more than Cost where the unit's last read was the same block
}

// A Column says what one raw integer of a Reading means: value = raw / Divisor.
type Column struct {
	Point   Point
	Divisor uint16 // a power of two, 1 to 512
}

// A Layout lists the columns of a Reading. It is made once per block and shared; nobody changes it.
type Layout struct{ Columns []Column }

// A Reading is what one block read said. Who reads makes it once and hands it to Read again and again: Raw and Text are valid
// until the next Read into it.
type Reading struct {
	Unit   string        // name in the configuration
	Tier   Tier          // tier the read was made for
	At     time.Time     // when the reply was complete; carries the monotonic clock
	Took   time.Duration // from request to reply
	Layout *Layout
	Raw    []int64  // by column; Absent where there is no value. Text columns are Absent
	Text   []string // by column; nil where Layout has no Text column, "" where there is no text
}

// Reset makes room for n columns, all Absent, without allocating when the Reading had room before.
func (r *Reading) Reset(l *Layout, text bool) {
	n := len(l.Columns)
	if cap(r.Raw) < n {
		r.Raw = make([]int64, n)
	}
	r.Layout, r.Raw = l, r.Raw[:n]
	for i := range r.Raw {
		r.Raw[i] = Absent
	}
	if !text {
		r.Text = nil
		return
	}
	r.Text = make([]string, n) // rare: identity and settings only
}
