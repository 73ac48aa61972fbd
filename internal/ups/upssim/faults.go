package upssim

import (
	"sync"
	"time"
)

// A Fault is a way an exchange goes wrong.
type Fault uint8

// The faults. More than one may hit the same exchange; Deaf wins.
const (
	Deaf   Fault = iota // no reply
	Late                // the reply comes later than it should, by what LateBy set
	BadCRC              // the reply's checksum is wrong; on TCP, its protocol identifier
	Cut                 // the reply stops half way; on TCP, the connection closes there
	Stale               // the reply to the request before comes again; on TCP, with the transaction number of that time
	faultCount
)

var faultNames = [faultCount]string{"deaf", "late", "bad-crc", "cut", "stale"}

// String returns the word scenarios use.
func (f Fault) String() string { return faultNames[f] }

// Faults holds the ways one unit misbehaves on its line, whichever line that is. It is safe for concurrent use; the zero
// value misbehaves in no way.
type Faults struct {
	mu    sync.Mutex
	now   func() time.Time // nil means time.Now
	rules [faultCount]rule
	late  time.Duration
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

// LateBy says how late a late reply is.
func (f *Faults) LateBy(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.late = d
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
	hit  [faultCount]bool
	late time.Duration
}

// next judges one request.
func (f *Faults) next() (v verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	for i := range f.rules {
		v.hit[i] = f.rules[i].hits(now)
	}
	if v.hit[Late] {
		v.late = f.late
	}
	return v
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
