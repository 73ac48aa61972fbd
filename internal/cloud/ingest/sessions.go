package ingest

import (
	"fmt"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// maxSessions is how many nonces of an agent are remembered, to tell an old message that comes once more from a second agent. There
// is a new one every quarter of an hour and with each connection.
const maxSessions = 512

// state applies a message of the topic state.
//
// A session is its number, which rises; nonces are renewed within it. So a higher number begins a session, and a known pair of
// number and nonce is a repetition, whatever its number. A session whose will has come is over: a new nonce of it is a second agent
// with this name. A lower number that was never seen is one as well, unless it comes with a new stream: then the agent has lost its
// database, and with it the count.
func (b *batch) state(a *agent, it *item) {
	s := it.state
	if !s.Online {
		if s.Session == a.session && a.online {
			a.online = false
			b.exec(`UPDATE agents SET online = 0 WHERE name = $1`, a.name)
			b.tellPresence(a.name, false)
		}
		return
	}
	began := false
	if s.Session != a.session || s.Nonce != a.nonce {
		var current bool
		if began, current = b.beginSession(a, s, it.retained); !current {
			return
		}
	}
	if s.Full != nil {
		b.fullState(a, it)
		return
	}
	b.tellLastStream(a)
	b.giveStatement(a, began)
}

// beginSession deals with a state that is not of the current session. It reports whether it began one, and whether it is the
// current one now.
func (b *batch) beginSession(a *agent, s *wire.State, retained bool) (began, current bool) {
	var seen int
	if b.one(`SELECT 1 FROM agent_sessions WHERE agent = $1 AND session = $2 AND nonce = $3`, []any{a.name, s.Session, s.Nonce[:]}, &seen); seen != 0 {
		return false, false // an old message, once more
	}
	switch {
	case s.Session == a.session && !a.online:
		b.notice(a.name, SecondSession, "", fmt.Sprintf("session %d goes on behind its end", s.Session))
	case s.Session < a.session && retained:
		return false, false // what a broker kept that has forgotten newer ones
	}
	came := !a.online
	a.fell = s.Session < a.session
	a.session, a.nonce, a.online = s.Session, s.Nonce, true
	b.exec(`UPDATE agents SET session = $1, nonce = $2, began = $3, fell = $4, online = 1, version = $5 WHERE name = $6`,
		s.Session, s.Nonce[:], millis(b.now), store.Flag(a.fell), clean(s.Version, 64), a.name)
	var ordinal int64
	b.one(`SELECT COALESCE(MAX(ordinal), 0) + 1 FROM agent_sessions WHERE agent = $1`, []any{a.name}, &ordinal)
	b.exec(`INSERT INTO agent_sessions (agent, session, nonce, ordinal, began, stated) VALUES ($1, $2, $3, $4, $5, 0)`,
		a.name, s.Session, s.Nonce[:], ordinal, millis(b.now))
	b.exec(`DELETE FROM agent_sessions WHERE agent = $1 AND ordinal <= $2`, a.name, ordinal-maxSessions)
	b.tellSession(a)
	if came {
		b.tellPresence(a.name, true)
	}
	return true, true
}

// fullState takes what the agent says of itself.
func (b *batch) fullState(a *agent, it *item) {
	full := it.state.Full
	first := b.exec(`UPDATE agent_sessions SET stated = 1 WHERE agent = $1 AND session = $2 AND nonce = $3 AND stated = 0`,
		a.name, a.session, a.nonce[:]) > 0
	b.anchor(a.name, full.Now)
	lanes := b.lanesOf(a.name, full.Stream)
	if lanes == nil {
		return
	}
	if a.fell && lanes[0].highest+lanes[1].highest > 0 {
		b.notice(a.name, CloneSuspected, "", fmt.Sprintf("session %d has a lower number than the one before, in the same stream", a.session))
	}
	for i, l := range lanes {
		if w := full.Lanes[i]; w != (wire.Waiting{}) {
			b.waiting(l, w, full, first && !it.retained)
		}
		if first {
			b.touch(l)
		}
	}
	a.fell, a.stream = false, full.Stream
	b.exec(`UPDATE agents SET stream = $1, state = $2, fell = 0 WHERE name = $3`, full.Stream[:], it.text, a.name)
	b.tellState(a.name, full)
}

// waiting compares what the agent holds of a lane with what is here.
func (b *batch) waiting(l *lane, w wire.Waiting, full *wire.FullState, fresh bool) {
	if fresh && w.Last < l.highest && !b.overtaken(l, full) {
		// It has given fewer numbers than have come: its state is older than it was.
		b.notice(l.agent, CloneSuspected, subjectOf(l), fmt.Sprintf("its last number is %d, and %d is here", w.Last, l.highest))
	}
	b.begins(l, w.First)
}

// overtaking is how much younger than a record that came before it a state can seem: samples are stamped with their first row.
const overtaking = time.Minute

// overtaken reports whether a state was made before the highest number of a lane was given, in the same run of the agent. A broker
// that lost its connection to us keeps no order between topics.
func (b *batch) overtaken(l *lane, full *wire.FullState) bool {
	r := b.kept(l, l.highest)
	return r != nil && r.Boot == full.Boot && r.Stamp.BootID == full.Now.BootID && full.Now.Mono-r.Stamp.Mono < overtaking
}

func (b *batch) lanesOf(agent string, stream wire.ID) []*lane {
	var out []*lane
	for _, which := range wire.Lanes {
		l := b.lane(agent, stream, which)
		if l == nil {
			return nil
		}
		out = append(out, l)
	}
	return out
}

// tellLastStream answers the first message of a session, which does not name its stream, with the marks of the last one known.
func (b *batch) tellLastStream(a *agent) {
	if a.stream == (wire.ID{}) {
		return
	}
	for _, l := range b.lanesOf(a.name, a.stream) {
		b.touch(l)
	}
}

// giveStatement answers the first message of the current session with a signed statement. One that comes once more gets another
// one: the one before may not have arrived.
func (b *batch) giveStatement(a *agent, began bool) {
	if b.r.o.Statement == nil || b.err != nil {
		return
	}
	msg, err := b.r.o.Statement(b.ctx, b.tx, a.name, a.nonce, b.now)
	if err != nil {
		if began {
			b.r.log.Error("no statement for a session", "agent", a.name, "session", a.session, "err", err)
		}
		return
	}
	if len(msg) > 0 {
		b.answer(a.name, wire.TopicOrders, msg)
	}
}
