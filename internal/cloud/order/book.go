package order

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// A Signer has the keys. It is asked inside the transaction that judged the rights, so that nothing is signed that was not judged.
type Signer interface {
	Command(ctx context.Context, tx *store.Tx, c trust.Command) (string, error)
	// Statement signs for one session of an agent, and puts the list of keys in.
	Statement(ctx context.Context, tx *store.Tx, agent string, nonce wire.ID, s trust.Statement) (string, error)
	// KeyVersion is that of the list of keys that Statement puts in. Commands are signed by its key: an agent that was told another list refuses them.
	KeyVersion() (uint64, error)
}

// A Sender reaches the agents that are connected to this process.
type Sender interface {
	Connected(agent string) bool
	// Publish hands a message to the agent's connection; an error says that there is none. It does not wait for the agent.
	Publish(agent string, leaf wire.Leaf, payload []byte) error
}

// What the operator is told of, in ingest's notices: it happened, and somebody should ask why.
const (
	PolicyDiffers = "841"              // of the event catalogue: cloud and agent decided otherwise from the same matrix (PERM-11)
	NeverSent     = "order.never_sent" // an agent carries out an order that was never sent to it
	Foreign       = "order.foreign"    // an agent tells of an order of another agent or device
)

// Config is what a Book needs. DB and Signer are required.
type Config struct {
	DB     *store.DB
	Signer Signer
	Log    *slog.Logger     // nil discards
	Now    func() time.Time // nil: time.Now
	// Poll is how often changes made by other processes are looked for: other servers on PostgreSQL, commands of the operator on either. 0: 2 s.
	Poll   time.Duration
	Limits Limits
	// DropsLoad is told, in its transaction, of an order that can drop the load (T-07). nil: nobody is.
	DropsLoad func(ctx context.Context, tx *store.Tx, o *Order) error
}

// A Book keeps the orders. Use New.
type Book struct {
	db     *store.DB
	signer Signer
	log    *slog.Logger
	now    func() time.Time
	poll   time.Duration
	limits Limits
	drops  func(ctx context.Context, tx *store.Tx, o *Order) error

	work     chan struct{} // holds one: there may be something to deliver
	changed  chan struct{} // holds one: there may be something to tell agents
	hub      hub
	feeds    feeds
	feedLook time.Duration

	mu      sync.Mutex
	live    map[string]live     // by agent: the sessions this process has heard
	renewal map[string]*renewal // by agent: statements said to a session that is at work
	told    map[string]told     // by agent: the list of keys in the statement that was said last

	onChange func() // nil: nobody asks
}

// live is the session of an agent whose nonce this process has heard, and so has the connection of.
type live struct {
	session uint64
	nonce   wire.ID
	heard   time.Time // with the monotonic clock: a step of the wall clock makes no order last longer
}

// told is which list of keys an agent was told, on which nonce.
type told struct {
	nonce   wire.ID
	version uint64
}

// New returns a Book. Nothing is delivered before Run.
func New(c Config) (*Book, error) {
	if c.DB == nil || c.Signer == nil {
		return nil, errors.New("order: no database, or nobody who signs")
	}
	b := &Book{
		db: c.DB, signer: c.Signer, log: c.Log, now: c.Now, poll: c.Poll, limits: c.Limits.orDefault(), drops: c.DropsLoad,
		work: make(chan struct{}, 1), changed: make(chan struct{}, 1), live: map[string]live{}, renewal: map[string]*renewal{}, told: map[string]told{},
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.now == nil {
		b.now = time.Now
	}
	if b.poll == 0 {
		b.poll = 2 * time.Second
	}
	b.feedLook = feedLook
	if c.DB.Dialect() == store.Postgres {
		b.feedLook = feedLookSQL
	}
	return b, nil
}

// OnChange has f called behind each commit of this process that ends an order of a job, or lets orders reach an agent. It must not wait, and is
// set before anything else is done with the Book.
func (b *Book) OnChange(f func()) { b.onChange = f }

func (b *Book) tellChange() {
	if b.onChange != nil {
		b.onChange()
	}
}

// wake has Run look for orders.
func (b *Book) wake() { signal(b.work) }

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it will look anyway
	}
}

// tell tells the operator. device is a serial number.
func (b *Book) tell(ctx context.Context, tx *store.Tx, agent, what, device, detail string) error {
	first, err := ingest.Tell(ctx, tx, b.now(), agent, what, device, detail)
	if first {
		tx.After(func() { b.log.Warn("told the operator", "agent", agent, "event", what, "detail", detail) })
	}
	return err
}
