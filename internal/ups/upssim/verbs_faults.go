package upssim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// faultVerbs are the ways the line goes wrong.
var faultVerbs = []verb{
	{"deaf", often, "does not answer; on TCP accepts and never answers", fault(Deaf)},
	{"late", "DURATION" + andOften, "the reply is late by that much; 0s ends it", timed(Late, (*Faults).LateBy)},
	{"bad-crc", often, "the reply is damaged", fault(BadCRC)},
	{"cut", often, "the reply stops half way", fault(Cut)},
	{"stale", often, "the reply is the one before", fault(Stale)},
	{"garbage", often, "noise comes before the reply", fault(Garbage)},
	{"refuse", often, "exception 4 instead of the reply, in two pieces", fault(Refusal)},
	{"other-unit", often, "the reply is one of another unit", fault(OtherUnit)},
	{"other-block", often, "the reply holds other registers", fault(OtherBlock)},
	{"shift", often, "every reply answers the request before; on TCP with its old number", fault(Shift)},
	{"renumber", often, "the same, on TCP with the present number", fault(Renumbered)},
	{"echo", often, "the request comes back before the reply", fault(Echo)},
	{"echo-only", often, "the request comes back instead of a reply", fault(EchoOnly)},
	{"no-single", often, "function 6 is refused", fault(NoSingle)},
	{"resetting", often, "damaged replies and false exceptions 2, as while the controller restarts", fault(Resetting)},
	{"quick-reset", often, "two writes within 200 ms restart the controller", fault(QuickReset)},
	{"drip", "DURATION" + andOften, "the bytes come that far apart; 0s ends it", timed(Drip, (*Faults).DripBy)},
	{"pull", often, "the cable is pulled and comes back under another name; on TCP reset and refused", fault(Pull)},
	{"master", often, "another master is on the line; on TCP takes the connection over", fault(Master)},
	{"one-request", often, "TCP closes after the reply and refuses for 2 s", fault(OneRequest)},
	{"talk", "", "ends every fault", plain(func(u *Unit) { u.faults.Clear() })},
}

// What stands after the "=" of a fault: which exchanges it hits, see fault.
const (
	often    = "[WHEN]"
	andOften = "[,WHEN]"
)

// fault parses when: nothing (every request), a count (every n-th; 0 ends the fault), "next:" and a count (so many), or a
// duration (for that long).
func fault(which Fault) func(string) (func(*Unit), error) {
	return func(s string) (func(*Unit), error) {
		if s == "" {
			return func(u *Unit) { u.faults.Set(which, true) }, nil
		}
		if n, err := strconv.Atoi(s); err == nil && n >= 0 {
			return func(u *Unit) { u.faults.Set(which, false); u.faults.Every(which, n) }, nil
		}
		if count, ok := strings.CutPrefix(s, "next:"); ok {
			if n, err := strconv.Atoi(count); err == nil && n >= 0 {
				return func(u *Unit) { u.faults.Next(which, n) }, nil
			}
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("%q is neither a count (N or next:N) nor a duration", s)
		}
		return func(u *Unit) { u.faults.For(which, d) }, nil
	}
}

// timed parses how long something takes, and when.
func timed(which Fault, by func(*Faults, time.Duration)) func(string) (func(*Unit), error) {
	return func(s string) (func(*Unit), error) {
		long, when, _ := strings.Cut(s, ",")
		d, err := time.ParseDuration(long)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("%q is not a duration", long)
		}
		begin, err := fault(which)(when)
		if err != nil {
			return nil, err
		}
		return func(u *Unit) {
			if d == 0 {
				u.faults.Set(which, false)
				return
			}
			by(&u.faults, d)
			begin(u)
		}, nil
	}
}
