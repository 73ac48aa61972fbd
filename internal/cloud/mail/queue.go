package mail

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
)

// A Queue takes mails in transactions and sends them behind. Use New.
type Queue struct {
	db     *store.DB
	server *server
	log    *slog.Logger
	now    func() time.Time
	wake   chan struct{}

	authors map[string]Author // by kind

	sent, retried, givenUp, withdrawn atomic.Int64
}

// An Author knows whether mails with a key may still go: what was right when one was written need not be when it leaves (rules, PERM-10).
type Author interface {
	// Wanted is asked right before each attempt. It changes nothing.
	Wanted(ctx context.Context, tx *store.Tx, key string) (bool, error)
	// Ended is told, once, in the transaction in which the mail goes from the queue. Of those that Withdraw took out it is not told.
	Ended(ctx context.Context, tx *store.Tx, key string, fate Fate) error
}

// A Fate is what became of a mail.
type Fate string

// The fates.
const (
	Sent      Fate = "sent"
	GivenUp   Fate = "failed"
	Withdrawn Fate = "withdrawn"
)

// By makes a the Author of all mails of a kind that have a key. Call it before Run.
func (q *Queue) By(kind string, a Author) { q.authors[kind] = a }

// Options of a Queue. The zero value will do.
type Options struct {
	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now
}

// New returns a queue on the tables of db that sends as c says. The error names the key of c that is wrong.
func New(db *store.DB, c Config, o Options) (*Queue, error) {
	s, err := c.check()
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Queue{db: db, server: s, log: o.Log, now: o.Now, wake: make(chan struct{}, 1), authors: map[string]Author{}}, nil
}

// patience is how long a mail is worth trying for.
const patience = 24 * time.Hour

// Put writes a mail in the transaction tx. It is sent soon after the commit, or by the next Run on this database.
func (q *Queue) Put(ctx context.Context, tx *store.Tx, m Message) error {
	if err := m.check(); err != nil {
		return err
	}
	now := q.now()
	until := now.Add(patience)
	if !m.Until.IsZero() && m.Until.Before(until) {
		until = m.Until
	}
	_, err := tx.Exec(ctx, `INSERT INTO mails (id, kind, recipient, subject, body, written_at, until_at, due_at, key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		cloud.NewID("m_"), m.Kind, m.To, m.Subject, m.Text, now.UnixMilli(), until.UnixMilli(), now.UnixMilli(), m.Key)
	tx.After(q.nudge)
	return err
}

// Withdraw takes mails of a key out of the queue and returns how many those were. One that is on its way to the server at this moment
// arrives; it is asked for right before it is handed over.
func (q *Queue) Withdraw(ctx context.Context, tx *store.Tx, key string) (n int64, err error) {
	if key == "" {
		return 0, nil
	}
	n, err = tx.Exec(ctx, `DELETE FROM mails WHERE key = $1 AND key <> ''`, key)
	tx.After(func() { q.withdrawn.Add(n) })
	return n, err
}

func (q *Queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default: // it is awake already
	}
}

// Counts is what became of mails since the start of this process.
type Counts struct{ Sent, Retried, GivenUp, Withdrawn int64 }

// Counts may be called at any time.
func (q *Queue) Counts() Counts {
	return Counts{Sent: q.sent.Load(), Retried: q.retried.Load(), GivenUp: q.givenUp.Load(), Withdrawn: q.withdrawn.Load()}
}

// lookEvery is how often Run looks for mails that nobody told it of: of another process that ended, or whose pause is over.
const lookEvery = 10 * time.Second

// Run sends mails until ctx ends. It returns nil: a server that cannot be reached and a database that fails are states, told by the log.
func (q *Queue) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	if q.server == nil {
		q.log.Warn("no mail server is configured: mails wait, and nobody gets a code")
	}
	for {
		for {
			n, err := q.round(ctx)
			if err != nil && ctx.Err() == nil {
				q.log.Error("mails not read from the database", "err", err)
			}
			if n < batch || err != nil || ctx.Err() != nil {
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-q.wake:
		case <-tick.C:
		}
	}
}
