package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// A batch is one commit in the making. The first error of the database sticks: later statements do nothing, and nothing is
// committed. What a message has wrong is no such error.
type batch struct {
	r     *Receiver
	ctx   context.Context // of the transaction
	tx    *store.Tx
	now   time.Time
	err   error
	cache *cache

	fresh   []any            // records that are not in the table yet: recordFields of each
	keeps   map[epochOf]bool // what Sinks.Keep has said in this transaction
	touched []*lane          // whose marks are to be told, in the order of their first message
	answers []Answer
}

// Take keeps what the messages say, all of it or nothing, and returns what is to be published then. After an error none of them
// is kept: the same messages can be taken again. A message that cannot be understood is set aside and is no error.
func (r *Receiver) Take(ctx context.Context, messages []Message) ([]Answer, error) {
	return r.commit(ctx, agentsOf(messages), func(b *batch) {
		for _, m := range messages {
			b.take(m)
		}
		b.flush()
		b.saveLanes()
		b.tellMarks()
	})
}

// commit runs do in one transaction that has the named agents for itself.
func (r *Receiver) commit(ctx context.Context, agents []string, do func(*batch)) ([]Answer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.count(ctx); err != nil {
		return nil, err
	}
	var b *batch
	// Never half way: with ctx the connection would be given up, and the database has bounds of its own.
	err := r.db.Write(context.WithoutCancel(ctx), func(ctx context.Context, tx *store.Tx) error {
		if b != nil {
			r.cache.drop() // the attempt before has put there what the tables have not
		}
		b = &batch{r: r, ctx: ctx, tx: tx, now: r.o.Now(), cache: &r.cache}
		b.hold(agents)
		do(b)
		return b.err
	})
	if err != nil {
		r.cache.drop() // it has what the tables have not
		return nil, fmt.Errorf("keep a batch: %w", err)
	}
	r.cache.trim()
	return b.answers, nil
}

// take applies one message.
func (b *batch) take(m Message) {
	if b.err != nil {
		return
	}
	it, err := read(m, b.schemas)
	if b.err != nil {
		return
	}
	if err != nil {
		b.quarantine(m, err)
		return
	}
	a := b.agent(it.agent)
	if b.err != nil {
		return
	}
	if a == nil {
		b.quarantine(m, errTooManyAgents)
		return
	}
	switch {
	case it.record != nil:
		if err := b.record(it.agent, it.record); err != nil {
			b.quarantine(m, err)
		}
	case it.state != nil:
		b.state(a, it)
	default:
		b.exec(`UPDATE agents SET host = $1 WHERE name = $2`, it.host, it.agent)
	}
}

// tellMarks answers with the mark of every lane that was touched: also where it did not move, since what comes again was not
// seen to be acknowledged.
func (b *batch) tellMarks() {
	for _, l := range b.touched {
		b.tellMark(l)
	}
}

func (b *batch) tellMark(l *lane) {
	msg, err := wire.EncodeAck(wire.Ack{Stream: l.stream, Lane: l.lane, Through: l.through()})
	if err != nil {
		panic(err) // a lane that read has let pass
	}
	b.answer(l.agent, wire.TopicAcks, msg)
}

func (b *batch) answer(agent string, leaf wire.Leaf, payload []byte) {
	b.answers = append(b.answers, Answer{wire.Topic(agent, leaf), payload})
}

func (b *batch) fail(err error) {
	if b.err == nil && err != nil {
		b.err = err
	}
}

func (b *batch) exec(query string, args ...any) (changed int64) {
	if b.err != nil {
		return 0
	}
	changed, err := b.tx.Exec(b.ctx, query, args...)
	b.fail(err)
	return changed
}

// one reads the first row of an answer, and reports whether there was one.
func (b *batch) one(query string, args []any, dst ...any) bool {
	if b.err != nil {
		return false
	}
	err := b.tx.QueryRow(b.ctx, query, args...).Scan(dst...)
	if errors.Is(err, sql.ErrNoRows) {
		return false
	}
	b.fail(err)
	return err == nil
}

// each calls fn for each row of an answer; fn scans it, and asks nothing.
func (b *batch) each(query string, args []any, fn func(*sql.Rows) error) {
	if b.err == nil {
		b.fail(each(b.ctx, b.tx, query, args, fn))
	}
}

func each(ctx context.Context, tx *store.Tx, query string, args []any, fn func(*sql.Rows) error) error {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	for rows.Next() && err == nil {
		err = fn(rows)
	}
	return errors.Join(err, rows.Err(), rows.Close())
}

// millis is how the tables keep an instant.
func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
