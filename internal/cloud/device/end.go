package device

import (
	"context"
	"strconv"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// OnDeviceEnd has f called in the transaction that ends a device, while it still is one and its shares are: what rests on the device goes with
// it, open invitations for instance (INV-18). What rests on a share goes with that (OnGrantEnd).
func (r *Registry) OnDeviceEnd(f func(ctx context.Context, tx *store.Tx, d *Device) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onDeviceEnd = append(r.onDeviceEnd, f)
}

// End takes a device out of everybody's hands: from the commit on it is nobody's and is not there, its shares and open invitations have ended,
// and those who had them are told that it is no longer available (SHARE-13, DEL-8). It is the half of a deletion that ends access: nothing is
// erased here, neither in the database nor on site. Who calls has asked the matrix for device.delete in role, or deletes the owner's account.
func (r *Registry) End(ctx context.Context, tx *store.Tx, actor cloud.Actor, role policy.Role, d *Device) error {
	r.mu.Lock()
	hooks := r.onDeviceEnd
	r.mu.Unlock()
	for _, f := range hooks {
		if err := f(ctx, tx, d); err != nil {
			return err
		}
	}
	all, err := grants(ctx, tx, `device = $1 AND ended_at IS NULL`, d.ID)
	if err != nil {
		return err
	}
	for i := range all {
		if err := r.EndGrant(ctx, tx, d, &all[i], EndDevice); err != nil {
			return err
		}
	}
	now := store.Instant(r.now().UnixMilli())
	if _, err := tx.Exec(ctx, `UPDATE devices SET ended_at = $1 WHERE id = $2`, store.Millis(now), d.ID); err != nil {
		return err
	}
	// The next registration has a higher epoch than anything that was said of this one's end.
	if _, err := tx.Exec(ctx, `UPDATE serials SET epoch = epoch + 1 WHERE serial = $1`, d.Serial); err != nil {
		return err
	}
	d.EndedAt = now
	r.changed(tx, d.Agent)
	e := entry(actor, role, string(policy.DeviceDelete))
	e.Device, e.At, e.Outcome = d.ID, now, eventlog.Done
	e.Params = map[string]string{"serial": d.Serial, "epoch": strconv.Itoa(int(d.Epoch))}
	return eventlog.Append(ctx, tx, e)
}
