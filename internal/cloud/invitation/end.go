package invitation

import (
	"context"
	"slices"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
)

// end ends what of an invitation is open, with an entry like e by each device.
func (s *Service) end(ctx context.Context, tx *store.Tx, i *Invitation, state string, e eventlog.Entry) error {
	for _, item := range i.open() {
		if err := s.endItem(ctx, tx, i, item, state); err != nil {
			return err
		}
		if err := note(ctx, tx, item.Device, e); err != nil {
			return err
		}
	}
	return s.close(ctx, tx, i, state)
}

// endItem ends one device of an invitation; its place is free, or is that of a share.
func (s *Service) endItem(ctx context.Context, tx *store.Tx, i *Invitation, item *Item, state string) error {
	item.State = state
	_, err := tx.Exec(ctx, `UPDATE device_invitation_devices SET state = $1, ended_at = $2 WHERE invitation = $3 AND device = $4`,
		state, s.Now().UnixMilli(), i.ID, item.Device)
	return err
}

// close ends an invitation of which nothing is open any more. Of one that was accepted in part the code was used, whatever was cancelled.
func (s *Service) close(ctx context.Context, tx *store.Tx, i *Invitation, state string) error {
	if len(i.open()) > 0 {
		return nil
	}
	if state == Cancelled && slices.ContainsFunc(i.Items, func(item Item) bool { return item.State == Accepted }) {
		state = Accepted
	}
	i.State = state
	_, err := tx.Exec(ctx, `UPDATE device_invitations SET state = $1, ended_at = $2 WHERE id = $3`, state, s.Now().UnixMilli(), i.ID)
	return err
}

// expire ends an invitation whose time is over, and tells its owner (INV-15). Who comes second finds it ended: there is one letter.
func (s *Service) expire(ctx context.Context, tx *store.Tx, i *Invitation) error {
	if i.State != Open || !i.over(s.Now()) {
		return nil
	}
	items := i.open()
	e := s.step(cloud.System(""), "", expired, "", i)
	e.At, e.Arrived = i.Expires, s.Now()
	if err := s.end(ctx, tx, i, Expired, e); err != nil {
		return err
	}
	return s.tellOwner(ctx, tx, i, items, "it was not accepted in time.")
}

// expireOf is expire for all of a device: their places are free at once, and stay so for whoever's clock is behind.
func (s *Service) expireOf(ctx context.Context, tx *store.Tx, id string) error {
	list, err := find(ctx, tx, ofDevice+` AND expires_at <= $2 ORDER BY id`, id, s.Now().UnixMilli())
	for _, i := range list {
		if err == nil {
			err = s.expire(ctx, tx, i)
		}
	}
	return err
}

// DeviceEnded cancels the open invitations to share a device that is not registered any more (INV-18), and tells who was invited (SHARE-13).
// It is for device.Registry's hook, in the transaction of the end.
func (s *Service) DeviceEnded(ctx context.Context, tx *store.Tx, d *device.Device) error {
	list, err := find(ctx, tx, ofDevice+` ORDER BY id`, d.ID)
	for _, i := range list {
		if err == nil {
			err = s.deviceEnded(ctx, tx, i, d)
		}
	}
	return err
}

func (s *Service) deviceEnded(ctx context.Context, tx *store.Tx, i *Invitation, d *device.Device) error {
	for _, item := range i.open() {
		if item.Device != d.ID {
			continue
		}
		if err := s.endItem(ctx, tx, i, item, Cancelled); err != nil {
			return err
		}
		e := s.step(cloud.System(""), "", cancelled, "", i)
		e.Device = d.ID // it gets its last entries, too
		if err := eventlog.Append(ctx, tx, e); err != nil {
			return err
		}
		line, err := lineOf(ctx, tx, item.Number, d)
		if err != nil {
			return err
		}
		if err := s.tellInvitee(ctx, tx, i, []string{line}, "the device is no longer available."); err != nil {
			return err
		}
	}
	return s.close(ctx, tx, i, Cancelled)
}

// AccountEnded cancels the open invitations that an account has sent, and those to its address, which no later account of that address can
// accept (INV-18, REG-4). It is for the transaction that closes the account, before its devices end and while ByID still finds it. Who was invited by
// it is told.
func (s *Service) AccountEnded(ctx context.Context, tx *store.Tx, a *account.Account) error {
	const gone = "the devices are no longer available."
	sent, err := find(ctx, tx, `owner = $1 AND state = 'open' ORDER BY id`, a.ID)
	if err != nil {
		return err
	}
	for _, i := range sent {
		devices, err := lines(ctx, tx, i.open())
		if err != nil {
			return err
		}
		if err := s.end(ctx, tx, i, Cancelled, s.step(cloud.System(""), "", cancelled, "", i)); err != nil {
			return err
		}
		if err := s.tellInvitee(ctx, tx, i, devices, gone); err != nil {
			return err
		}
	}
	got, err := find(ctx, tx, `email_key = $1 AND state = 'open' ORDER BY id`, keyOf(a))
	for _, i := range got {
		if err == nil {
			err = s.end(ctx, tx, i, Cancelled, s.step(cloud.System(""), "", cancelled, "", i))
		}
	}
	return err
}
