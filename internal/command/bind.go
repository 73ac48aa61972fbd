package command

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/trust"
)

// A Bind is what the cloud has said last of a device. It is on disk.
type Bind struct {
	Device       string // serial number
	Epoch        uint32 // 0: bound to nobody
	Plan         policy.Plan
	ValidUntil   time.Time // of the plan
	GrantVersion uint64
}

// A Change is what a statement changed of a device.
type Change struct {
	Before, After Bind // Epoch 0: it was, or is, bound to nobody
}

// maxEnded is how many actors whose grant ended are kept of a device. Of more, the grants below the version of the one forgotten
// count as ended for everybody: stricter, never laxer.
const maxEnded = 1024

// A bind is a Bind with what only the judgement of orders needs.
type bind struct {
	Bind
	over  map[string]uint64 // by actor, the grant version at which the grant ended
	floor uint64            // grants below this version have ended, whose ever
	gone  uint32            // up to this epoch the device is to be erased: no order of it counts any more
}

// stale reports whether the grant of an actor ended at a version above the one given (EDGE-5).
func (b *bind) stale(actor string, version uint64) bool {
	return version < b.over[actor] || version < b.floor
}

// plan is the plan in force: the stored one until its end, then Basic (PLAN-9). passed are what is known of the time now, zero for
// what is not; any of them can end the plan.
func (b *bind) plan(passed ...time.Time) policy.Plan {
	if b.Bind.ended(passed...) {
		return policy.Lesser(b.Plan, policy.Basic)
	}
	return b.Plan
}

// ended reports whether the plan has ended by itself.
func (b Bind) ended(passed ...time.Time) bool {
	return slices.ContainsFunc(passed, func(now time.Time) bool { return !now.IsZero() && !now.Before(b.ValidUntil) })
}

// join returns the bind that an entry of a statement leads to, and whether it says anything new: entries are monotone by epoch and
// grant version, so that whatever arrives late or again changes nothing.
func (b *bind) join(e trust.Entry) (*bind, bool) {
	switch {
	case e.Erase != nil:
		return b.erased(e.Erase)
	case e.Bind.Epoch <= b.gone, e.Bind.Epoch < b.Epoch, e.Bind.Epoch == b.Epoch && e.Bind.GrantVersion <= b.GrantVersion:
		return b, false // an owner changes with a higher epoch alone (SHARE-14)
	}
	next := &bind{Bind: Bind{e.Device, e.Bind.Epoch, policy.Plan(e.Bind.Plan), e.Bind.ValidUntil, e.Bind.GrantVersion}, over: map[string]uint64{}, gone: b.gone}
	if next.Epoch == b.Epoch {
		next.floor = b.floor
		maps.Copy(next.over, b.over)
	}
	for _, a := range e.Bind.Ended {
		next.over[a.Actor] = max(next.over[a.Actor], a.GrantVersion)
	}
	if len(e.Bind.Ended) == trust.MaxEnded { // the list may have been cut: what ended before its oldest counts as ended for everybody
		oldest := slices.MinFunc(e.Bind.Ended, func(x, y trust.Ended) int { return cmp.Compare(x.GrantVersion, y.GrantVersion) })
		next.floor = max(next.floor, oldest.GrantVersion)
	}
	next.shorten()
	return next, true
}

// erased ends a bind whose epoch is to be erased. Only the owner, or the cloud when it deletes an account, may have asked (PERM-3).
func (b *bind) erased(e *trust.Erase) (*bind, bool) {
	if e.Epoch <= b.gone || !mayErase(e.Role) {
		return b, false
	}
	if e.Epoch < b.Epoch {
		next := *b
		next.gone = e.Epoch
		return &next, true
	}
	return &bind{Bind: Bind{Device: b.Device}, gone: e.Epoch}, true
}

// system is the role of an erasure that the cloud orders itself, when it deletes an account.
const system = "system"

// mayErase reports whether an erasure may be of somebody with a role (PERM-3, SHARE-9).
func mayErase(role string) bool {
	return role == system || policy.Decide(policy.DeviceDelete, policy.Role(role), policy.Basic, true).Allowed
}

// shorten forgets the oldest ended grants beyond maxEnded, and ends everybody's grants of that time for it.
func (b *bind) shorten() {
	if len(b.over) <= maxEnded {
		return
	}
	versions := slices.Sorted(maps.Values(b.over))
	b.floor = max(b.floor, versions[len(versions)-maxEnded-1])
	maps.DeleteFunc(b.over, func(_ string, v uint64) bool { return v <= b.floor })
}

// bindJSON is how a bind is kept.
type bindJSON struct {
	Epoch        uint32            `json:"epoch"`
	Plan         policy.Plan       `json:"plan"`
	ValidUntil   time.Time         `json:"valid_until"`
	GrantVersion uint64            `json:"grant_version"`
	Ended        map[string]uint64 `json:"ended,omitempty"`
	Floor        uint64            `json:"floor,omitempty"`
	Gone         uint32            `json:"gone,omitempty"`
}

func (b *bind) encode() ([]byte, error) {
	return json.Marshal(bindJSON{b.Epoch, b.Plan, b.ValidUntil, b.GrantVersion, b.over, b.floor, b.gone})
}

func decodeBind(device string, body []byte) (*bind, error) {
	var v bindJSON
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("bind of a device: %w", err)
	}
	return &bind{Bind: Bind{device, v.Epoch, v.Plan, v.ValidUntil, v.GrantVersion}, over: v.Ended, floor: v.Floor, gone: v.Gone}, nil
}
