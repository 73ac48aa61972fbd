package device

import (
	"context"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// errNoShare is of every id that is no share of the device now.
var errNoShare = cloud.Refuse(policy.NotFound, "there is no such share of the device")

// Revoke ends a share of a device: the owner may, on any plan, and it holds from the commit on (SHARE-6, SHARE-7). Who had it is told.
func (r *Registry) Revoke(ctx context.Context, tx *store.Tx, actor cloud.Actor, id, share string) error {
	d, right, err := May(ctx, tx, actor, id, policy.ShareRevoke, r.now())
	if err != nil {
		return err
	}
	found, err := grants(ctx, tx, `id = $1 AND device = $2 AND role = $3 AND ended_at IS NULL`, share, d.ID, string(policy.Shared))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errNoShare
	}
	return r.endShare(ctx, tx, actor, right.Role, d, &found[0], policy.ShareRevoke, EndRevoked)
}

// Leave ends the actor's own share of a device, and nothing else (SHARE-8).
func (r *Registry) Leave(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) error {
	d, right, err := May(ctx, tx, actor, id, policy.ShareLeave, r.now())
	if err != nil {
		return err
	}
	g, err := GrantOf(ctx, tx, d.ID, actor.Account)
	if err != nil {
		return err
	}
	if g == nil {
		return errNoShare
	}
	return r.endShare(ctx, tx, actor, right.Role, d, g, policy.ShareLeave, EndLeft)
}

func (r *Registry) endShare(ctx context.Context, tx *store.Tx, actor cloud.Actor, role policy.Role, d *Device, g *Grant, action policy.Action, why string) error {
	if err := r.EndGrant(ctx, tx, d, g, why); err != nil {
		return err
	}
	e := entry(actor, role, string(action))
	e.Device, e.At, e.Outcome = d.ID, r.now(), eventlog.Done
	e.Params = map[string]string{"share": g.ID, "user": g.Actor}
	return eventlog.Append(ctx, tx, e)
}
