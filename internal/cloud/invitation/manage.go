package invitation

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/onetime"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// List returns up to limit open invitations of the actor, of one device or ("") all, in the order of their ids, behind the id after (INV-14).
func List(ctx context.Context, tx *store.Tx, who cloud.Actor, device, after string, now time.Time, limit int) ([]*Invitation, error) {
	return find(ctx, tx, `owner = $1 AND state = 'open' AND expires_at > $2 AND id > $3
		AND ($4 = '' OR id IN (SELECT invitation FROM device_invitation_devices WHERE device = $4)) ORDER BY id LIMIT $5`,
		who.Account, now.UnixMilli(), after, device, limit)
}

// errNoInvitation is the answer for every id that is not of an open invitation of the actor.
var errNoInvitation = cloud.Refuse(policy.NotFound, "there is no such open invitation")

// own returns an open invitation of the actor.
func (s *Service) own(ctx context.Context, tx *store.Tx, who cloud.Actor, id string) (*Invitation, error) {
	i, err := one(ctx, tx, `id = $1 AND owner = $2`, id, who.Account)
	if err != nil {
		return nil, err
	}
	if i == nil || i.State != Open || i.over(s.Now()) {
		return nil, errNoInvitation
	}
	return i, nil
}

// Cancel ends an invitation of the actor, on any plan, like a share (SHARE-7). It returns NOT_FOUND, and has LogStep write that down.
func (s *Service) Cancel(ctx context.Context, tx *store.Tx, who cloud.Actor, id string) error {
	i, err := s.own(ctx, tx, who, id)
	if err != nil {
		return err
	}
	return s.end(ctx, tx, i, Cancelled, s.step(who, policy.Owner, cancelled, "", i))
}

// Resend sends a new code, from when the time counts anew; the old one is void (INV-14). The letter names what can be shared now; where that is
// nothing, the refusal is that of the first device: PLAN_BASIC. It returns NOT_FOUND and RATE_LIMIT, too.
func (s *Service) Resend(ctx context.Context, tx *store.Tx, who cloud.Actor, id string) (*Invitation, error) {
	i, err := s.own(ctx, tx, who, id)
	if err != nil {
		return nil, err
	}
	owner, err := account.ByID(ctx, tx, who.Account)
	if err != nil {
		return nil, err
	}
	if owner == nil {
		return nil, errNoInvitation
	}
	items, err := s.shareable(ctx, tx, who, i)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	if err := limit.Spend(ctx, tx, now, resendsOften.Of(i.ID), resendsDay.Of(i.ID), lettersBy.Of(i.owner), lettersTo.Of(i.key)); err != nil {
		return nil, err
	}
	code := onetime.New(onetime.Mail)
	i.Sent, i.Expires = now, now.Add(life)
	_, err = tx.Exec(ctx, `UPDATE device_invitations SET sealed = $1, tries = 0, sent_at = $2, expires_at = $3 WHERE id = $4`,
		onetime.Seal(code), now.UnixMilli(), i.Expires.UnixMilli(), i.ID)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if err := note(ctx, tx, item.Device, s.step(who, policy.Owner, resent, "", i)); err != nil {
			return nil, err
		}
	}
	return i, s.sendCode(ctx, tx, owner, i, items, code)
}

// shareable returns what of an invitation the actor may share now; the first refusal where that is nothing.
func (s *Service) shareable(ctx context.Context, tx *store.Tx, who cloud.Actor, i *Invitation) (items []*Item, err error) {
	var first *cloud.Error
	for _, item := range i.open() {
		_, _, err := device.May(ctx, tx, who, item.Device, policy.ShareInvite, s.Now())
		refused, err := refusal(err)
		switch {
		case err != nil:
			return nil, err
		case refused == nil:
			items = append(items, item)
		case first == nil:
			first = refused
		}
	}
	if len(items) == 0 && first != nil {
		return nil, first
	}
	return items, nil
}

// LogStep writes down that cancelling or sending again was refused (LOG-1): by each open device of the actor's invitation, or, for an id that
// is not of one, in the log of the actor's organisation.
func (s *Service) LogStep(ctx context.Context, tx *store.Tx, who cloud.Actor, id string, resend bool, refused *cloud.Error) error {
	action := cancelled
	if resend {
		action = resent
	}
	i, err := s.own(ctx, tx, who, id)
	if err != nil {
		if err = notOurs(err); err != nil {
			return err
		}
		return s.noteOwn(ctx, tx, who, action, map[string]string{"invitation": eventlog.Clean(id)}, refused.Reason)
	}
	for _, item := range i.open() {
		if err := note(ctx, tx, item.Device, s.step(who, policy.Owner, action, refused.Reason, i)); err != nil {
			return err
		}
	}
	return nil
}
