package order

import (
	"context"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// end gives an order its final state, by the cloud's word.
func (b *Book) end(ctx context.Context, tx *store.Tx, o *Order, at time.Time, state wire.OrderState, reason policy.Reason, detail string) error {
	at = at.UTC().Truncate(time.Millisecond)
	o.State, o.Reason, o.Detail, o.Decided = state, reason, detail, ByCloud
	o.UpdatedAt, o.FinalAt, o.due = at, at, time.Time{}
	if err := o.update(ctx, tx); err != nil {
		return err
	}
	if err := b.record(ctx, tx, o, o.event("")); err != nil {
		return err
	}
	tx.After(b.wake) // the next one of the device may go
	if o.Job != "" {
		tx.After(b.tellChange)
	}
	return logEnd(ctx, tx, o)
}

// sweep ends an order that nothing will come of any more. It does nothing to one that is not due yet, or has ended: who looked may have
// looked at an older state.
func (b *Book) sweep(ctx context.Context, tx *store.Tx, o *Order, now time.Time) error {
	if !o.FinalAt.IsZero() {
		return nil
	}
	switch {
	case o.State == Pending && o.ahead(now):
		return b.end(ctx, tx, o, now, wire.OrderExpired, policy.Expired, "it was asked for later than now: a clock was set back, and its age is not known")
	case o.State == Pending && !now.Before(o.ExpiresAt):
		return b.end(ctx, tx, o, now, wire.OrderExpired, policy.Expired, "it could not be delivered in time")
	case o.State == Sent && !now.Before(o.ExpiresAt.Add(AnswerTime)):
		return b.end(ctx, tx, o, now, wire.OrderUnknown, "", "it was sent and the agent never answered")
	case rank(o.State) > rank(Sent) && !now.Before(o.UpdatedAt.Add(OutcomeTime)):
		return b.end(ctx, tx, o, now, wire.OrderUnknown, "", "the agent told "+string(o.State)+", and never how it ended")
	}
	return nil
}

// clockSlack is by how much the clocks of processes on one database may differ.
const clockSlack = time.Minute

// ahead reports whether an order was requested later than now: the clock was set back since. How old it is nobody knows then, and it might
// begin long behind the end of its life (EDGE-4).
func (o *Order) ahead(now time.Time) bool { return o.RequestedAt.After(now.Add(clockSlack)) }

// plan sets when sweep will have something to do.
func (o *Order) plan() {
	switch {
	case !o.FinalAt.IsZero():
		o.due = time.Time{}
	case o.State == Pending:
		o.due = o.ExpiresAt
	case o.State == Sent:
		o.due = o.ExpiresAt.Add(AnswerTime)
	default:
		o.due = o.UpdatedAt.Add(OutcomeTime)
	}
}

// A command that was not answered goes out again on the same session after leastAgain, then twice that, up to mostAgain: whatever lost it
// there (a process that died between its commit and its connection) is past then. The agent knows an id it has had.
const (
	leastAgain = 10 * time.Second
	mostAgain  = 10 * time.Minute
)

// again is when a sent order goes out once more on the same session.
func (o *Order) again() time.Time {
	pause := leastAgain
	for range o.Attempts - 1 {
		pause = min(2*pause, mostAgain)
	}
	return o.SentAt.Add(pause)
}
