package upssim

import (
	"fmt"
	"strconv"
	"time"
)

// faultVerbs are the ways the line goes wrong.
var faultVerbs = []verb{
	{"deaf", "[DURATION]", "does not answer, until talk or for that long", fault(Deaf)},
	{"bad-crc", "[N]", "every N-th reply is damaged; without N all; 0 ends it", fault(BadCRC)},
	{"cut", "[N]", "every N-th reply stops half way", fault(Cut)},
	{"stale", "[N]", "every N-th reply is the one before", fault(Stale)},
	{"late", "DURATION", "every reply is late by that much; 0s ends it", late},
	{"talk", "", "ends deaf, bad-crc, cut, stale and late", plain(func(u *Unit) { u.faults.Clear() })},
}

// fault parses nothing (every request), a count (every n-th), or a duration (for that long).
func fault(which Fault) func(string) (func(*Unit), error) {
	return func(s string) (func(*Unit), error) {
		if s == "" {
			return func(u *Unit) { u.faults.Set(which, true) }, nil
		}
		if n, err := strconv.Atoi(s); err == nil && n >= 0 {
			return func(u *Unit) { u.faults.Set(which, false); u.faults.Every(which, n) }, nil
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("%q is neither a count nor a duration", s)
		}
		return func(u *Unit) { u.faults.For(which, d) }, nil
	}
}

func late(s string) (func(*Unit), error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return nil, fmt.Errorf("%q is not a duration", s)
	}
	return func(u *Unit) { u.faults.LateBy(d); u.faults.Set(Late, d > 0) }, nil
}
