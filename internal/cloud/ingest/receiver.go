package ingest

import (
	"context"
	"database/sql"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// Options are what a Receiver can be told. The zero value works.
type Options struct {
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged
	// Statement makes the signed answer to a session's first state, what is published on its orders, in the transaction that
	// stores the session; nil: none is given.
	Statement func(ctx context.Context, tx *store.Tx, agent string, nonce wire.ID, now time.Time) ([]byte, error)
	Sinks     Sinks
}

// A Receiver takes messages and keeps what they say. Use New. Several of them may work on one database, in one process or many,
// also for the same agents.
type Receiver struct {
	o      Options
	log    *slog.Logger
	db     *store.DB
	number int64        // tells receivers apart; never 0
	agents atomic.Int64 // in the table, but for those that other processes have added since; -1: not counted yet

	mu        sync.Mutex // one batch at a time; guards what follows
	cache     cache
	listening time.Time // since when messages can come; zero: they cannot
}

// New returns a Receiver that keeps what comes in db. It needs no end of its own.
func New(db *store.DB, o Options) *Receiver {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Receiver{o: o, log: o.Log, db: db, number: 1 + rand.Int64N(1<<62)}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.agents.Store(-1)
	r.cache.drop()
	return r
}

// count counts the agents, once: within a transaction that would be in the way of everyone who adds one.
func (r *Receiver) count(ctx context.Context) error {
	if r.agents.Load() >= 0 {
		return nil
	}
	n, err := list(ctx, r.Reader(), `SELECT COUNT(*) FROM agents`, nil, func(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) })
	if err == nil {
		r.agents.Store(n[0])
	}
	return err
}
