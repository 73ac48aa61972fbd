package ingest

import (
	"context"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// Sinks are told of what messages mean to other parts of the cloud. They are called in the transaction that stores a batch, in
// the order of its messages; an error undoes the whole batch, which is tried again. Sinks that are nil are left out.
//
// The transaction has the agent for itself. What a sink is given may come again when the transaction is repeated.
type Sinks struct {
	// Keep reports whether a record of this device and epoch is wanted. What is not is acknowledged all the same (DEL-11). It is
	// asked for records that name a device: blocks, pictures, alarms of units, results.
	Keep func(ctx context.Context, tx *store.Tx, agent, device string, epoch uint32) (bool, error)
	// Event is given each newly stored alarm and result that can be read, once.
	Event func(ctx context.Context, tx *store.Tx, agent string, s Stored, e *wire.PublishedEvent) error
	// State is given each full state of the current session.
	State func(ctx context.Context, tx *store.Tx, agent string, full *wire.FullState, at time.Time) error
	// Session is told that a session began, or that its nonce was renewed.
	Session func(ctx context.Context, tx *store.Tx, agent string, session uint64, nonce wire.ID, at time.Time) error
	// Presence is told when an agent is there and when it is not: its current session began or ended by its will; it was silent for
	// three heartbeats, or is heard again (TIME-4).
	Presence func(ctx context.Context, tx *store.Tx, agent string, online bool, at time.Time) error
}

// epochOf is what Sinks.Keep is asked about.
type epochOf struct {
	agent, device string
	epoch         uint32
}

// wanted asks whether a record is to be kept, once in a transaction for all records of a device and epoch.
func (b *batch) wanted(agent string, r *record) bool {
	if b.r.o.Sinks.Keep == nil || r.device == "" || b.err != nil {
		return true
	}
	of := epochOf{agent, r.device, r.Epoch}
	if keep, asked := b.keeps[of]; asked {
		return keep
	}
	keep, err := b.r.o.Sinks.Keep(b.ctx, b.tx, agent, r.device, r.Epoch)
	b.fail(err)
	if b.keeps == nil {
		b.keeps = map[epochOf]bool{}
	}
	b.keeps[of] = keep
	return keep
}

// tellEvent hands a newly stored record on.
func (b *batch) tellEvent(l *lane, r *record, late bool) {
	if b.r.o.Sinks.Event == nil || r.event == nil || b.err != nil {
		return
	}
	b.flush() // what is told of is there
	s := Stored{
		Agent: l.agent, LaneID: l.id, Record: r.Record, Class: r.class, Arrival: l.arrivals, Arrived: fromMillis(millis(b.now)), Late: late,
		Time: b.placed(l.agent, r.Stamp),
	}
	b.fail(b.r.o.Sinks.Event(b.ctx, b.tx, l.agent, s, r.event))
}

// placed is the time of a record as far as it is known now.
func (b *batch) placed(agent string, s wire.Stamp) Time {
	if !s.Wall.IsZero() {
		return Time{Kind: Trusted, At: s.Wall}
	}
	var mono, wall int64
	if b.one(nearestAnchor, []any{agent, s.BootID[:], s.Mono.Microseconds()}, &mono, &wall) {
		near := stampOf(s.BootID[:], mono, &wall)
		return Time{Kind: Placed, At: near.Wall.Add(s.Mono - near.Mono).Truncate(time.Millisecond)}
	}
	return Time{Kind: Bounded, NotAfter: fromMillis(millis(b.now))}
}

func (b *batch) tellState(agent string, full *wire.FullState) {
	if b.r.o.Sinks.State != nil && b.err == nil {
		b.fail(b.r.o.Sinks.State(b.ctx, b.tx, agent, full, b.now))
	}
}

func (b *batch) tellSession(a *agent) {
	if b.r.o.Sinks.Session != nil && b.err == nil {
		b.fail(b.r.o.Sinks.Session(b.ctx, b.tx, a.name, a.session, a.nonce, b.now))
	}
}

func (b *batch) tellPresence(agent string, online bool) {
	if b.r.o.Sinks.Presence != nil && b.err == nil {
		b.fail(b.r.o.Sinks.Presence(b.ctx, b.tx, agent, online, b.now))
	}
}
