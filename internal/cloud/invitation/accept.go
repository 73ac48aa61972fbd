package invitation

import (
	"context"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/onetime"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Accept makes the actor a shared user of the devices that a code is for. Both are needed: the code, and an account whose verified address is
// the invited one (INV-3). Everything is asked again for each device (INV-16). What is on Basic stays open for the same code (PLAN-6); where nothing was
// accepted a RefusedError says why. CODE_UNKNOWN, CODE_USED, CODE_EXPIRED and CODE_LOCKED take the same time (INV-13); five wrong codes lock what is
// open for the address (INV-12).
func (s *Service) Accept(ctx context.Context, who cloud.Actor, code string) (id string, outcomes []Outcome, err error) {
	err = s.withCode(ctx, who, accepted, code, func(ctx context.Context, tx *store.Tx, a *account.Account, i *Invitation) (err error) {
		id = i.ID
		outcomes, err = s.accept(ctx, tx, who, a, i)
		return err
	})
	if err == nil {
		err = none(outcomes)
	}
	return id, outcomes, err
}

// Decline ends what of an invitation is open, and tells its owner (INV-15). The answers to wrong codes are those of Accept.
func (s *Service) Decline(ctx context.Context, who cloud.Actor, code string) error {
	return s.withCode(ctx, who, declined, code, func(ctx context.Context, tx *store.Tx, _ *account.Account, i *Invitation) error {
		items := i.open()
		if err := s.end(ctx, tx, i, Declined, s.step(who, policy.Nobody, declined, "", i)); err != nil {
			return err
		}
		return s.tellOwner(ctx, tx, i, items, "it was declined.")
	})
}

// withCode finds the invitation of a code and runs do with it. What it refuses is counted and logged all the same.
func (s *Service) withCode(ctx context.Context, who cloud.Actor, action, code string, do func(context.Context, *store.Tx, *account.Account, *Invitation) error) error {
	begun := time.Now()
	var refused *cloud.Error
	err := s.DB.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		a, i, err := s.fitting(ctx, tx, who, code)
		if refused, err = refusal(err); err != nil {
			return err
		}
		if refused == nil {
			if refused = s.stillOpen(i); refused == nil {
				return do(ctx, tx, a, i)
			}
			return s.noteItems(ctx, tx, who, action, i, refused)
		}
		if refused.Reason == policy.CodeUnknown {
			err = s.wrongCode(ctx, tx, who, a)
		}
		return errors.Join(err, s.noteOwn(ctx, tx, who, action, nil, refused.Reason))
	})
	if err != nil || refused == nil {
		return err
	}
	return errors.Join(s.pause(ctx, begun), refused)
}

// fitting returns the actor's account, and which of the invitations of its address a code fits: one that is meant for another address is
// CODE_UNKNOWN like one that never was (INV-13), and so is one that was cancelled.
func (s *Service) fitting(ctx context.Context, tx *store.Tx, who cloud.Actor, code string) (*account.Account, *Invitation, error) {
	a, err := account.ByID(ctx, tx, who.Account)
	if err != nil {
		return nil, nil, err
	}
	if a == nil {
		return nil, nil, cloud.Refuse(policy.NotFound, "there is no such account")
	}
	if err := limit.Reached(ctx, tx, s.Now(), s.wrongOf(who, a)...); err != nil {
		return a, nil, err
	}
	list, err := heads(ctx, tx, `email_key = $1 AND state <> 'cancelled' ORDER BY CASE state WHEN 'open' THEN 0 ELSE 1 END, sent_at DESC, id LIMIT 1000`, keyOf(a))
	if err != nil {
		return a, nil, err
	}
	var meant *Invitation
	for _, i := range list {
		if onetime.Fits(i.sealed, code, onetime.Mail) && meant == nil {
			meant = i
		}
	}
	if meant == nil {
		return a, nil, cloud.RefuseField(policy.CodeUnknown, "code", "that is not the code")
	}
	return a, meant, meant.items(ctx, tx)
}

// wrongOf is what wrong codes are counted by: the account, which has one address, and where the request came from (INV-12).
func (s *Service) wrongOf(who cloud.Actor, a *account.Account) []limit.Count {
	return []limit.Count{account.CodesWrong.Of(keyOf(a)), account.CodesSource.Of(account.Source(who.Address))}
}

// stillOpen says why an invitation whose code is right is of no use.
func (s *Service) stillOpen(i *Invitation) *cloud.Error {
	refuse := func(reason policy.Reason, why string) *cloud.Error {
		return &cloud.Error{Reason: reason, Field: "code", Detail: why}
	}
	switch {
	case i.State == Locked:
		return refuse(policy.CodeLocked, "too many wrong codes; ask to be invited again")
	case i.State == Expired || i.State == Open && i.over(s.Now()):
		return refuse(policy.CodeExpired, "that code was valid until "+mail.When(i.Expires))
	case i.State != Open:
		return refuse(policy.CodeUsed, "that code was used")
	}
	return nil
}

func (s *Service) noteItems(ctx context.Context, tx *store.Tx, who cloud.Actor, action string, i *Invitation, refused *cloud.Error) error {
	for _, item := range i.Items {
		if err := note(ctx, tx, item.Device, s.step(who, policy.Nobody, action, refused.Reason, i)); err != nil {
			return err
		}
	}
	return nil
}

// wrongCode counts a try at each open invitation of an address, and locks those that have had too many.
func (s *Service) wrongCode(ctx context.Context, tx *store.Tx, who cloud.Actor, a *account.Account) error {
	if err := limit.Add(ctx, tx, s.Now(), s.wrongOf(who, a)...); err != nil {
		return err
	}
	const open = `email_key = $1 AND state = 'open' AND expires_at > $2`
	if _, err := tx.Exec(ctx, `UPDATE device_invitations SET tries = tries + 1 WHERE `+open, keyOf(a), s.Now().UnixMilli()); err != nil {
		return err
	}
	list, err := find(ctx, tx, open+` ORDER BY id`, keyOf(a), s.Now().UnixMilli())
	for _, i := range list {
		for _, item := range i.open() {
			if err == nil {
				err = note(ctx, tx, item.Device, s.step(who, policy.Nobody, wrongCode, policy.CodeUnknown, i))
			}
		}
		if err == nil && i.tries >= codeTries {
			err = s.lock(ctx, tx, who, i)
		}
	}
	return err
}

// lock ends an invitation at which somebody has guessed. Both sides are told.
func (s *Service) lock(ctx context.Context, tx *store.Tx, who cloud.Actor, i *Invitation) error {
	const why = "five wrong codes were entered. A new invitation can be sent."
	items := i.open()
	if err := s.end(ctx, tx, i, Locked, s.step(who, policy.Nobody, locked, policy.CodeLocked, i)); err != nil {
		return err
	}
	devices, err := lines(ctx, tx, items)
	if err != nil {
		return err
	}
	return errors.Join(s.tellOwner(ctx, tx, i, items, why), s.tellInvitee(ctx, tx, i, devices, why))
}

// pause waits until a whole multiple of the pause has passed since the beginning: how long the work took, the time does not tell.
func (s *Service) pause(ctx context.Context, begun time.Time) error {
	if s.Pause < 0 {
		return nil
	}
	timer := time.NewTimer(s.Pause - time.Since(begun)%s.Pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// accept asks everything again for each open device, and shares those that can be.
func (s *Service) accept(ctx context.Context, tx *store.Tx, who cloud.Actor, a *account.Account, i *Invitation) ([]Outcome, error) {
	var list []string
	items := i.open()
	for _, item := range items {
		list = append(list, item.Device)
	}
	outcomes := make([]Outcome, len(items))
	for _, n := range inOrder(list) {
		var err error
		if outcomes[n], err = s.acceptItem(ctx, tx, who, a, i, items[n]); err != nil {
			return nil, err
		}
	}
	return outcomes, s.close(ctx, tx, i, Cancelled)
}

func (s *Service) acceptItem(ctx context.Context, tx *store.Tx, who cloud.Actor, a *account.Account, i *Invitation, item *Item) (Outcome, error) {
	g, err := s.share(ctx, tx, a, i, item)
	refused, err := refusal(err)
	if err != nil {
		return Outcome{}, err
	}
	e := s.step(who, policy.Shared, accepted, "", i)
	if refused == nil {
		e.Params["share"] = g.ID
		err = s.endItem(ctx, tx, i, item, Accepted)
	} else {
		e = s.step(who, policy.Nobody, accepted, refused.Reason, i)
		if refused.Reason != policy.PlanBasic {
			err = s.endItem(ctx, tx, i, item, Cancelled)
		}
	}
	return Outcome{Device: item.Device, Number: item.Number, Refused: refused, Free: NotTold}, errors.Join(err, note(ctx, tx, item.Device, e))
}

// share makes the account a shared user of one device, or says why not.
func (s *Service) share(ctx context.Context, tx *store.Tx, a *account.Account, i *Invitation, item *Item) (*device.Grant, error) {
	if err := take(ctx, tx, item.Device); err != nil {
		return nil, err
	}
	d, err := device.Get(ctx, tx, item.Device)
	if err != nil {
		return nil, err
	}
	if d.Epoch != item.epoch || d.Owner != i.owner {
		return nil, device.ErrNone
	}
	if decision := policy.Decide(policy.ShareInvite, policy.Owner, d.PlanAt(s.Now()), true); !decision.Allowed {
		return nil, cloud.Refuse(decision.Reason, "the device is on a plan without sharing; the code stays valid for it until %s", mail.When(i.Expires))
	}
	// SELF_SHARE (ROLE-7) and ALREADY_SHARED are the registry's.
	return s.Devices.Share(ctx, tx, d, a.ID, a.Actor, i.Email)
}
