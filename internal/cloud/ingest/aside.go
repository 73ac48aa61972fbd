package ingest

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// conflict is two records with one identity that do not say the same: a state directory restored, or two boxes that run the same
// one (T-28). The first stays; the other is set aside, and from its number on nothing is acknowledged, so that the agent that
// has it keeps it.
func (b *batch) conflict(l *lane, kept, r *record) {
	if l.frozen == 0 && b.known(l, r) {
		return // somebody has looked at it
	}
	if l.frozen == 0 || r.Seq < l.frozen {
		l.frozen, l.changed = r.Seq, true
	}
	b.setAside(l, kept, r, true)
	b.notice(l.agent, CloneSuspected, subjectOf(l), fmt.Sprintf(
		"record %d came with another content than before; nothing from there on is acknowledged", r.Seq))
}

func subjectOf(l *lane) string { return l.stream.String() + " " + l.lane.String() }

// maxAsides of one lane are kept whole. The agent keeps what is not acknowledged, and has at most 64 on their way.
const maxAsides = 128

func (b *batch) known(l *lane, r *record) bool {
	var n int
	hash := r.hash()
	return b.one(`SELECT 1 FROM asides WHERE lane = $1 AND seq = $2 AND hash = $3`, []any{l.id, int64(r.Seq), hash[:]}, &n)
}

// setAside keeps a record beside the one that has its number.
func (b *batch) setAside(l *lane, kept, r *record, conflict bool) {
	hash, other := r.hash(), kept.hash()
	if b.exec(`UPDATE asides SET copies = copies + 1 WHERE lane = $1 AND seq = $2 AND hash = $3`, l.id, int64(r.Seq), hash[:]) > 0 {
		return
	}
	var have int
	if b.one(`SELECT COUNT(*) FROM asides WHERE lane = $1`, []any{l.id}, &have); have >= maxAsides {
		return
	}
	b.exec(`INSERT INTO asides (lane, seq, hash, kept, conflict, copies, arrived, class, epoch, boot, boot_id, mono, wall, payload)
		VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8, $9, $10, $11, $12, $13)`, l.id, int64(r.Seq), hash[:], other[:], store.Flag(conflict), millis(b.now),
		r.class, int64(r.Epoch), int64(r.Boot), r.Stamp.BootID[:], r.Stamp.Mono.Microseconds(), wallOf(r.Stamp), r.Payload)
}

// Resolve lets the marks of a lane go on past its conflicts, after a person has looked at them. What was set aside stays there,
// and does not count as a conflict again.
func (r *Receiver) Resolve(ctx context.Context, agent string, stream wire.ID, which wire.Lane) error {
	_, err := r.commit(ctx, []string{agent}, func(b *batch) {
		l := b.lane(agent, stream, which)
		if l == nil {
			return
		}
		l.frozen, l.changed = 0, true
		b.touch(l)
		b.endNotice(agent, CloneSuspected, subjectOf(l))
		b.saveLanes()
	})
	return err
}

// An Aside is a record whose number another one has.
type Aside struct {
	Agent        string
	Record       wire.Record
	Class        string
	Conflict     bool   // false: it was lost on its way, and a gap has taken its number
	Hash, Stored []byte // SHA-256 of its content and of that of the record that has the number
	Copies       int64
	Arrived      time.Time
}

// Asides lists what was set aside, by lane and number.
func (r *Reader) Asides(ctx context.Context) ([]Aside, error) {
	const query = `SELECT l.agent, l.stream, l.lane, a.seq, a.hash, a.kept, a.conflict, a.copies, a.arrived, a.class, a.epoch, a.boot, a.boot_id,
		a.mono, a.wall, a.payload FROM asides a JOIN lanes l ON l.id = a.lane ORDER BY a.lane, a.seq, a.arrived`
	return list(ctx, r, query, nil, func(rows *sql.Rows) (a Aside, err error) {
		var stream, bootID []byte
		var conflict int
		var arrived, mono int64
		var wall *int64
		err = rows.Scan(&a.Agent, &stream, &a.Record.Lane, &a.Record.Seq, &a.Hash, &a.Stored, &conflict, &a.Copies, &arrived, &a.Class,
			&a.Record.Epoch, &a.Record.Boot, &bootID, &mono, &wall, &a.Record.Payload)
		a.Record.Stream, a.Record.Class, a.Record.Stamp = id(stream), classOf(a.Class), stampOf(bootID, mono, wall)
		a.Conflict, a.Arrived = conflict != 0, fromMillis(arrived)
		return a, err
	})
}
