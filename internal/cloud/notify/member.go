package notify

import (
	"context"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A Member is a device in a policy.
type Member struct {
	Device string
	Added  time.Time // what happened before is not told
}

// taken is logged when a device leaves a policy, by whoever's will (LOG-3).
var taken = eventlog.Declare("notify.remove_device", eventlog.ByReaders, "policy")

// Devices returns the devices in a policy, the oldest first.
func (s *Service) Devices(ctx context.Context, tx *store.Tx, p *Policy) (out []Member, err error) {
	rows, err := tx.Query(ctx, `SELECT device, added_at FROM notification_members WHERE policy = $1 ORDER BY added_at, device`, p.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m Member
		var added int64
		if err := rows.Scan(&m.Device, &added); err != nil {
			return nil, err
		}
		m.Added = time.UnixMilli(added).UTC()
		out = append(out, m)
	}
	return out, rows.Err()
}

// AddDevice puts a device into a policy of the actor's own (NOTE-1), for who may at this moment; once more changes nothing.
func (s *Service) AddDevice(ctx context.Context, tx *store.Tx, actor cloud.Actor, id, dev string) error {
	p, err := s.Get(ctx, tx, actor, id)
	if err != nil {
		return err
	}
	d, right, err := device.May(ctx, tx, actor, dev, policy.NotifyAddDevice, s.Now())
	if err != nil {
		return err
	}
	n, err := number(ctx, tx, `SELECT COUNT(*) FROM notification_members WHERE policy = $1 AND device <> $2`, p.ID, d.ID)
	if err != nil {
		return err
	}
	if n >= devicesMax {
		return cloud.Refuse(policy.Conflict, "a notification policy has at most %d devices", devicesMax)
	}
	n, err = tx.Exec(ctx, `INSERT INTO notification_members (policy, device, account, added_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		p.ID, d.ID, p.Account, s.Now().UnixMilli())
	if err != nil || n == 0 {
		return err
	}
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Device: d.ID, Actor: actor.Ref, Role: right.Role, Action: string(policy.NotifyAddDevice), Params: map[string]string{"policy": p.ID},
		Outcome: eventlog.Done, Request: actor.Request,
	})
}

// RemoveDevice takes a device out of a policy of the actor's own; what waits is withdrawn. NOT_FOUND where it is not in it.
func (s *Service) RemoveDevice(ctx context.Context, tx *store.Tx, actor cloud.Actor, id, dev string) error {
	p, err := s.Get(ctx, tx, actor, id)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `DELETE FROM notification_members WHERE policy = $1 AND device = $2`, p.ID, dev)
	if err != nil {
		return err
	}
	if n == 0 {
		return device.ErrNone
	}
	if err := s.withdrawDevice(ctx, tx, whyMember, `policy = $1`, p.ID, dev); err != nil {
		return err
	}
	return s.logTaken(ctx, tx, actor, p.ID, dev)
}

// logTaken writes into the device's log that it left a policy.
func (s *Service) logTaken(ctx context.Context, tx *store.Tx, actor cloud.Actor, id, dev string) error {
	d, err := device.Get(ctx, tx, dev)
	if refusal := (*cloud.Error)(nil); errors.As(err, &refusal) {
		return nil // it has no log any more that somebody reads
	} else if err != nil {
		return err
	}
	role := policy.Role("")
	if actor.Account != "" {
		if role, err = device.Role(ctx, tx, actor, d); err != nil {
			return err
		}
	}
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Device: dev, Actor: actor.Ref, Role: role, Action: taken, Params: map[string]string{"policy": id}, Outcome: eventlog.Done, Request: actor.Request,
	})
}

// GrantEnded is for device.Registry.OnGrantEnd: in the transaction that ends a grant the device leaves that user's policies, and what waits to
// be sent about it is withdrawn (NOTE-2).
func (s *Service) GrantEnded(ctx context.Context, tx *store.Tx, d *device.Device, g *device.Grant) error {
	policies, err := tx.Texts(ctx, `DELETE FROM notification_members WHERE account = $1 AND device = $2 RETURNING policy`, g.Account, d.ID)
	if err != nil {
		return err
	}
	if err := s.withdrawDevice(ctx, tx, whyRight, `account = $1`, g.Account, d.ID); err != nil {
		return err
	}
	for _, id := range policies {
		if err := s.logTaken(ctx, tx, cloud.System(""), id, d.ID); err != nil {
			return err
		}
	}
	return nil
}

// DeviceEnded takes a device that is not registered any more out of all policies, with everything that was kept of it here (DEV-3).
func (s *Service) DeviceEnded(ctx context.Context, tx *store.Tx, d *device.Device) error {
	accounts, err := tx.Texts(ctx, `SELECT DISTINCT account FROM notification_deliveries WHERE device = $1
		UNION SELECT account FROM notification_members WHERE device = $1 UNION SELECT account FROM notification_held WHERE device = $1`, d.ID)
	if err != nil {
		return err
	}
	for _, account := range accounts {
		if err := s.withdrawDevice(ctx, tx, whyRight, `account = $1`, account, d.ID); err != nil {
			return err
		}
	}
	for _, table := range []string{"notification_members", "notification_deliveries", "notification_held", "notification_events"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE device = $1`, d.ID); err != nil {
			return err
		}
	}
	return nil
}
