package trust

import (
	"encoding/json"
	"time"

	"upsedge/internal/wire"
)

// A Statement is the cloud's word to one session of an agent: the time, the keys in force, and what concerns single units. A
// session carries out nothing before it has one.
type Statement struct {
	Time    time.Time     // when it was signed: after the nonce was announced and before the statement arrived
	Age     time.Duration // of the nonce when it arrived: Time is at most that long ago
	Keys    *Keys
	Entries []Entry
}

// An Entry concerns one unit. One of Bind and Erase is there.
type Entry struct {
	Device string // serial number
	Bind   *Bind
	Erase  *Erase
}

// Bind says who owns a unit, in the terms an agent knows: an epoch, a plan and grants.
type Bind struct {
	Epoch        uint32    // from 1
	Plan         string    // one that the agent does not know gives no rights
	ValidUntil   time.Time // of the plan
	GrantVersion uint64
	Ended        []Ended
}

// Ended says that the grants of an actor below a version are over.
type Ended struct {
	Actor        string // opaque
	GrantVersion uint64
}

// Erase orders that everything of a unit's epoch be erased.
type Erase struct {
	Order wire.ID
	Epoch uint32
	Role  string // of who asked for it
}

// body reads the payload of a statement. The signature decides whether it is one.
func (s *Statement) body(payload []byte) (agent string, nonce wire.ID, err error) {
	o := outer(payload)
	o.is("v", "1")
	o.is("purpose", `"`+ForStatement+`"`)
	agent = o.text("agent", 64, opaqueChar)
	nonce = o.id("nonce")
	s.Time = o.time("time")
	type subject struct {
		device string
		erase  bool
	}
	seen := map[subject]bool{}
	for _, raw := range o.list("entries", MaxEntries) {
		e := o.entry(raw)
		if of := (subject{e.Device, e.Erase != nil}); seen[of] {
			o.fail("has two entries of one kind for a device")
		} else {
			seen[of] = true
		}
		if o.err != nil {
			break
		}
		s.Entries = append(s.Entries, e)
	}
	return agent, nonce, o.err
}

func outer(payload []byte) *object {
	return parse("the statement", payload, "v", "purpose", "agent", "nonce", "time", "keys", "entries")
}

// entry reads an object of which one field says what others there are.
func (o *object) entry(raw json.RawMessage) (e Entry) {
	var head struct{ Entry string }
	_ = json.Unmarshal(raw, &head) // a guess; what follows is exact
	switch head.Entry {
	case "bind":
		in := parse("an entry", raw, "entry", "device", "epoch", "plan", "valid_until", "grant_version", "ended")
		in.is("entry", `"bind"`)
		e.Device = in.text("device", 64, serialChar)
		e.Bind = &Bind{
			Epoch: uint32(in.number("epoch", 1, 1<<32-1)), Plan: in.text("plan", 32, nameChar), ValidUntil: in.time("valid_until"),
			GrantVersion: in.number("grant_version", 0, maxVersion),
		}
		for _, raw := range in.list("ended", MaxEnded) {
			actor := parse("an ended grant", raw, "actor", "grant_version")
			e.Bind.Ended = append(e.Bind.Ended, Ended{actor.text("actor", 64, opaqueChar), actor.number("grant_version", 0, maxVersion)})
			in.adopt(actor)
		}
		o.adopt(in)
	case "erase":
		in := parse("an entry", raw, "entry", "device", "order", "epoch", "role")
		in.is("entry", `"erase"`)
		e.Device = in.text("device", 64, serialChar)
		e.Erase = &Erase{Order: in.id("order"), Epoch: uint32(in.number("epoch", 1, 1<<32-1)), Role: in.text("role", 32, nameChar)}
		o.adopt(in)
	default:
		o.fail("has an entry that is neither bind nor erase")
	}
	return e
}
