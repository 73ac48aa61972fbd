package job

import (
	"context"
	"errors"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func asRefusal(err error, to **cloud.Error) bool { return errors.As(err, to) }

// Cancel stops a job of one's own: what has not begun never does. CONFLICT where it was stopped before or has ended.
func (d *Desk) Cancel(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (*Job, error) {
	if _, err := own(ctx, tx, actor, id); err != nil {
		return nil, err
	}
	j, err := take(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if j == nil || j.State != Running {
		return nil, cloud.Refuse(policy.Conflict, "the job is not running any more")
	}
	return j, d.stop(ctx, tx, j, actor, Cancelled, "by who asked for it")
}

// SignedOut stops the jobs of an account in the transaction that ends all its sessions: whoever has them end does not trust what was begun in
// them (T-07). It is for account.Options.SignedOut.
func (d *Desk) SignedOut(ctx context.Context, tx *store.Tx, account string) error {
	ids, err := tx.Texts(ctx, `SELECT id FROM jobs WHERE account = $1 AND ended_at = 0 AND state = 'running' ORDER BY id`, account)
	if err != nil {
		return err
	}
	for _, id := range ids {
		j, err := take(ctx, tx, id)
		if err != nil || j == nil {
			return err
		}
		if err := d.stop(ctx, tx, j, cloud.System(j.Actor.Request), Cancelled, "all sessions of who asked were ended"); err != nil {
			return err
		}
	}
	return nil
}

// GrantEnded refuses at once what waits for its turn on a right that has ended, also where its agent is away. It is for
// device.Registry.OnGrantEnd.
func (d *Desk) GrantEnded(ctx context.Context, tx *store.Tx, dev *device.Device, g *device.Grant) error {
	return d.withdraw(ctx, tx, dev.ID, g.Account, false)
}

// DeviceEnded does so where a device is none any more. It is for device.Registry.OnDeviceEnd.
func (d *Desk) DeviceEnded(ctx context.Context, tx *store.Tx, dev *device.Device) error {
	return d.withdraw(ctx, tx, dev.ID, dev.Owner, true) // whoever else had a role on it loses that, too: GrantEnded
}

// withdraw refuses what waits for its turn at a device, where its account may not any more. Whoever is the owner may until the very end: over
// says that this is it.
func (d *Desk) withdraw(ctx context.Context, tx *store.Tx, dev, account string, over bool) error {
	ids, err := tx.Texts(ctx, `SELECT j.id FROM jobs j JOIN job_devices jd ON jd.job = j.id
		WHERE j.account = $1 AND j.ended_at = 0 AND jd.device = $2 AND jd.state = 'waiting' ORDER BY j.id`, account, dev)
	if err != nil {
		return err
	}
	for _, id := range ids {
		j, err := take(ctx, tx, id)
		if err != nil || j == nil {
			return err
		}
		var number int
		if err := tx.QueryRow(ctx, `SELECT number FROM job_devices WHERE job = $1 AND device = $2`, id, dev).Scan(&number); err != nil {
			return err
		}
		why := &cloud.Error{Reason: policy.NotBound, Detail: "the device is not registered any more"}
		if _, _, err := device.May(ctx, tx, j.Actor, dev, j.Action, d.now()); !over && !asRefusal(err, &why) {
			if err != nil {
				return err
			}
			continue // in another role
		}
		if err := d.refuse(ctx, tx, j, order.Request{Device: dev, Action: j.Action, Params: j.Params, Job: j.ID}, number, why); err != nil {
			return err
		}
		tx.After(d.Wake)
	}
	return nil
}
