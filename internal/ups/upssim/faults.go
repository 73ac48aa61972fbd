package upssim

import (
	"math/rand/v2"
	"sync"
	"time"
)

// A Fault is a way an exchange goes wrong.
type Fault uint8

// The faults. More than one may hit the same exchange. What an exchange is: one request to the unit and what comes back.
const (
	Deaf       Fault = iota // no reply; on TCP a port that accepts and never answers
	Late                    // the reply comes later than it should, by what LateBy set
	BadCRC                  // the reply's checksum is wrong; on TCP, its protocol identifier
	Cut                     // the reply stops half way; on TCP, the connection closes there
	Stale                   // the reply to the request before comes again; on TCP, with the transaction number of that time
	Garbage                 // noise comes before the reply
	Refusal                 // exception 4 instead of the reply, in two pieces with a pause between
	OtherUnit               // the reply is one of another unit, with its address
	OtherBlock              // the reply to the last request for other registers, with what they hold now
	Shift                   // silence at first, and from then on the reply to the request before; on TCP, with its old number
	Renumbered              // the same, but on TCP every reply has the number of the present request
	Echo                    // the request comes back, and then the reply
	EchoOnly                // the request comes back and nothing else
	NoSingle                // function 6 is refused with exception 1; other requests are answered
	Resetting               // the controller restarts: damaged replies and false exceptions 2 (section 3.6)
	QuickReset              // two writes less than 200 ms apart begin 1.5 s of Resetting
	Drip                    // the bytes come one by one, apart by what DripBy set
	Pull                    // the cable is pulled; on TCP the connection is reset and others are refused
	Master                  // another master's request and its reply come first; on TCP the other one takes the connection over
	OneRequest              // TCP: the connection closes after the reply and others are refused for a while
	faultCount
)

var faultNames = [faultCount]string{
	"deaf", "late", "bad-crc", "cut", "stale", "garbage", "refuse", "other-unit", "other-block", "shift", "renumber", "echo",
	"echo-only", "no-single", "resetting", "quick-reset", "drip", "pull", "master", "one-request",
}

// String returns the word scenarios use.
func (f Fault) String() string { return faultNames[f] }

// AllFaults returns every fault there is, in order.
func AllFaults() []Fault {
	out := make([]Fault, faultCount)
	for i := range out {
		out[i] = Fault(i)
	}
	return out
}

const (
	// betweenWrites: writes closer together reset the controller of two units (section 3.6).
	betweenWrites = 200 * time.Millisecond
	// resetLasts is in the middle of the 1 to 2 s that were seen (section 3.6).
	resetLasts = 1500 * time.Millisecond
	// dripUsually is what DripBy is without being set: too slow for 15 ms inside a frame, and 11 bytes in less than half a second.
	dripUsually = 40 * time.Millisecond
	lateUsually = 400 * time.Millisecond
)

// Faults holds the ways one unit misbehaves on its line, whichever line that is. It is safe for concurrent use; the zero
// value misbehaves in no way.
type Faults struct {
	mu    sync.Mutex
	now   func() time.Time // nil means time.Now
	rules [faultCount]rule
	late  time.Duration // 0 means lateUsually
	drip  time.Duration // 0 means dripUsually
	wrote time.Time     // the last write, for QuickReset
	noise *rand.Rand    // of Garbage and Resetting; nil means a fixed seed
}

// A rule says which requests a fault hits.
type rule struct {
	next  int       // that many more
	every int       // every n-th
	seen  int       // requests since every was set
	until time.Time // all before this
	on    bool      // all
}

// Next makes the fault hit the next n requests.
func (f *Faults) Next(which Fault, n int) { f.change(which, func(r *rule) { r.next = n }) }

// Every makes the fault hit every n-th request; 0 ends that.
func (f *Faults) Every(which Fault, n int) {
	f.change(which, func(r *rule) { r.every, r.seen = n, 0 })
}

// For makes the fault hit every request for d.
func (f *Faults) For(which Fault, d time.Duration) {
	f.change(which, func(r *rule) { r.until = f.clock().Add(d) })
}

// Set makes the fault hit every request from now on, or none any more.
func (f *Faults) Set(which Fault, on bool) {
	f.change(which, func(r *rule) { *r = rule{on: on} })
}

// LateBy says how late a late reply is; 0 means 400 ms.
func (f *Faults) LateBy(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.late = d
}

// DripBy says how far apart the bytes of a dripping reply are; 0 means 40 ms.
func (f *Faults) DripBy(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drip = d
}

// Clear ends every fault.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = [faultCount]rule{}
}

func (f *Faults) change(which Fault, to func(*rule)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	to(&f.rules[which])
}

func (f *Faults) clock() time.Time {
	if f.now == nil {
		return time.Now()
	}
	return f.now()
}

// A verdict is what happens to one exchange.
type verdict struct {
	hit   [faultCount]bool
	late  time.Duration
	drip  time.Duration
	noise uint64 // random bits
}

// next judges one request with this function code.
func (f *Faults) next(function byte) (v verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	for i := range f.rules {
		if Fault(i) != QuickReset && (Fault(i) != NoSingle || function == writeSingle) {
			v.hit[i] = f.rules[i].hits(now)
		}
	}
	if function == writeSingle || function == writeMultiple {
		if !f.wrote.IsZero() && now.Sub(f.wrote) < betweenWrites && f.rules[QuickReset].hits(now) {
			f.rules[Resetting].until = now.Add(resetLasts)
			v.hit[Resetting] = true
		}
		f.wrote = now
	}
	if v.hit[Late] {
		v.late = orUsual(f.late, lateUsually)
	}
	if v.hit[Drip] {
		v.drip = orUsual(f.drip, dripUsually)
	}
	if v.hit[Garbage] || v.hit[Resetting] || v.hit[Master] {
		if f.noise == nil {
			f.noise = rand.New(rand.NewPCG(1, 2))
		}
		v.noise = f.noise.Uint64()
	}
	return v
}

func orUsual(d, usually time.Duration) time.Duration {
	if d == 0 {
		return usually
	}
	return d
}

// Lasts reports whether the fault is there by itself, without a request: it was switched on, or on for a time.
func (f *Faults) Lasts(which Fault) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rules[which].on || f.clock().Before(f.rules[which].until)
}

func (r *rule) hits(now time.Time) bool {
	hit := r.on || now.Before(r.until)
	if r.every > 0 {
		r.seen++
		hit = hit || r.seen%r.every == 0
	}
	if !hit && r.next > 0 {
		r.next--
		hit = true
	}
	return hit
}
