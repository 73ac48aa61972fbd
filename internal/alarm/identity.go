package alarm

import (
	"crypto/sha256"
	"encoding/hex"

	"upsedge/internal/ups"
)

// fingerprint stands for a serial number in the saved state, which holds no name of anything.
func fingerprint(serial string) string {
	sum := sha256.Sum256([]byte(serial))
	return hex.EncodeToString(sum[:8])
}

// identify compares the unit that answers with the one that is registered (714): the first one ever seen under this name, until
// Release. The driver reads a serial number only after the verification block and compares it before it believes anything of a
// new connection, so one reading of it is two independent reads, for the raise and for the clear.
//
// Of another unit, or the registered one back, nothing of what was going on is known: alarms stay, in doubt, until it says
// otherwise (READ-8), and results, modes and references begin anew.
func (e *Engine) identify(x *look) {
	serial := x.st.Text(ups.Serial)
	if !x.read.has(ups.Serial) || serial == "" {
		return
	}
	is := fingerprint(serial)
	if e.registered == "" {
		e.registered, e.dirty = is, true
	}
	if was := e.answering; was != is {
		e.answering, e.dirty = is, true
		if was != "" {
			e.forgetUnit(x)
		}
	}
	another := key{id: 714}
	e.active.confirm(another)
	switch foreign := is != e.registered; {
	case foreign && e.active.find(another) == nil:
		e.raise(another, "", nil)
	case !foreign && e.active.find(another) != nil:
		e.clear(another, x.at, "", nil)
	}
}

func (e *Engine) forgetUnit(x *look) {
	e.active.doubt()
	e.forgetPolls()
	e.back = x.at
	clear(e.words)
	clear(e.edges)
	e.mem, e.calibrating = memory{}, false
	e.boot, e.settings, e.configured = bootState{}, nil, mark{}
}

// Release forgets which unit is registered: the next one that answers is. It is for a unit that is taken out of the
// configuration; added again it is registered anew.
func (e *Engine) Release() {
	if e.registered != "" {
		e.registered, e.answering, e.dirty = "", "", true
	}
}
