package order

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// openOrders returns the orders of an agent that have not ended, in the order of their requests.
func openOrders(ctx context.Context, tx *store.Tx, agent string) ([]*Order, error) {
	return query(ctx, tx, `WHERE agent = $1 AND final_at = 0 ORDER BY requested_at, id`, agent)
}

// deliver makes commands of what is to be sent to one agent on the session of l. Every right is judged again, now (PERM-10, T-08): what
// does not hold any more ends as refused instead.
func (b *Book) deliver(ctx context.Context, tx *store.Tx, agent string, l live) (out []message, err error) {
	a, err := loadAgent(ctx, tx, agent)
	if err != nil || a.session != l.session || a.nonce != l.nonce {
		return nil, err // another process has heard a later one, and the agent is its
	}
	open, err := openOrders(ctx, tx, agent)
	if err != nil {
		return nil, err
	}
	now := b.now().UTC().Truncate(time.Millisecond)
	send, _ := choose(open, a, now)
	for _, o := range send {
		c, err := b.command(ctx, tx, o, now)
		var refusal *cloud.Error
		if errors.As(err, &refusal) {
			if err = b.refuse(ctx, tx, o, now, refusal); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if c.MaxAge = maxAge(b.since(l), min(o.ExpiresAt.Sub(now), Life(o.Action))); c.MaxAge == 0 {
			continue // less than a second is left: it expires
		}
		knows, err := b.knowsKeys(agent, a.nonce)
		if err != nil {
			return nil, err
		}
		m, err := b.send(ctx, tx, o, a, c, now)
		if has := a.confirmed[o.Serial]; err == nil && (!knows || has.epoch != o.Epoch || has.grant < c.GrantVersion) {
			m.statement, err = b.Statement(ctx, tx, agent, a.nonce, now) // what was judged here, it judges by, too: it takes one after the other
		}
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// refuse ends an order that may not be sent any more. One that was sent before may have been carried out: the agent alone can say, and it is
// only not sent again.
func (b *Book) refuse(ctx context.Context, tx *store.Tx, o *Order, now time.Time, refusal *cloud.Error) error {
	if o.State == Pending {
		return b.end(ctx, tx, o, now, wire.OrderRefused, refusal.Reason, refusal.Detail)
	}
	o.Withheld, o.Detail = true, fmt.Sprintf("not sent again: %s (%s)", refusal.Reason, refusal.Detail)
	return o.update(ctx, tx)
}

// since is how old the nonce is, by the monotonic clock of the process that heard it.
func (b *Book) since(l live) time.Duration { return max(0, b.now().Sub(l.heard)) }

// command judges an order as of now and returns what is to be signed, but for nonce, counter and age. A *cloud.Error says why it may not
// be sent any more.
func (b *Book) command(ctx context.Context, tx *store.Tx, o *Order, now time.Time) (*trust.Command, error) {
	d, err := device.Get(ctx, tx, o.Device)
	var gone *cloud.Error
	if errors.As(err, &gone) {
		return nil, cloud.Refuse(policy.NotBound, "the device is not registered any more")
	}
	if err != nil {
		return nil, err
	}
	if d.Epoch != o.Epoch || d.Agent != o.Agent || d.Serial != o.Serial {
		return nil, cloud.Refuse(policy.NotBound, "the device has been registered anew, or with another agent, since the request")
	}
	right, err := mayOrder(ctx, tx, o.Actor, d, o.Action, now)
	if errors.Is(err, device.ErrNone) {
		return nil, cloud.Refuse(policy.GrantStale, "who asked has no right on the device any more")
	}
	if err != nil {
		return nil, err
	}
	if err := b.targetOpen(ctx, tx, o, right.Role); err != nil {
		return nil, err
	}
	return &trust.Command{
		Agent: o.Agent, Device: o.Serial, Epoch: o.Epoch, ID: o.ID, Action: string(o.Action), Params: o.Params, Actor: o.Actor.Ref, Role: string(right.Role),
		Plan: string(right.Plan), GrantVersion: d.GrantVersion, MFA: o.Actor.MFA, IssuedAt: now,
	}, nil
}

// targetOpen refuses a cancellation that has come too late, or is not the asking one's any more.
func (b *Book) targetOpen(ctx context.Context, tx *store.Tx, o *Order, role policy.Role) error {
	if o.Action != policy.OrderCancel {
		return nil
	}
	target, err := load(ctx, tx, o.Target)
	if err != nil {
		return err
	}
	if target == nil || !target.FinalAt.IsZero() {
		return cloud.Refuse(policy.Conflict, "the order had ended before")
	}
	return mayCancel(target, o.Actor.Ref, role)
}

// send uses up a counter and signs. The command goes out behind the commit.
func (b *Book) send(ctx context.Context, tx *store.Tx, o *Order, a *agentRow, c *trust.Command, now time.Time) (message, error) {
	err := tx.QueryRow(ctx, `UPDATE order_agents SET counter = counter + 1 WHERE agent = $1 RETURNING counter`, a.name).Scan(&c.Counter)
	if err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = errors.New("the agent has no row")
		}
		return message{}, fmt.Errorf("counter of agent %s: %w", a.name, err)
	}
	c.Nonce = a.nonce
	text, err := b.signer.Command(ctx, tx, *c)
	if err != nil {
		return message{}, fmt.Errorf("sign order %s: %w", o.ID, err)
	}
	first := o.State == Pending
	o.State, o.Session, o.Counter, o.Grant, o.SentAt, o.Decided = Sent, a.session, c.Counter, c.GrantVersion, now, ByCloud
	o.Attempts++
	o.plan()
	if first {
		o.UpdatedAt = now
		if err := b.record(ctx, tx, o, o.event("")); err != nil {
			return message{}, err
		}
	}
	return message{agent: a.name, order: o.ID, session: a.session, payload: []byte(text)}, o.update(ctx, tx)
}
