package device

import (
	"context"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Rename gives a device another label, with an entry in the log for each part that changes. role is that of the actor on the device.
func (r *Registry) Rename(ctx context.Context, tx *store.Tx, actor cloud.Actor, role policy.Role, d *Device, to Label) error {
	if err := to.check(); err != nil {
		return err
	}
	if to.Name == "" {
		return cloud.RefuseField(policy.Malformed, "name", "a device needs a name")
	}
	for _, part := range []struct {
		field    string
		old, new string
	}{{"name", d.Name, to.Name}, {"site", d.Site, to.Site}, {"notes", d.Notes, to.Notes}} {
		if part.old == part.new {
			continue
		}
		e := entry(actor, role, string(policy.ConfigureLabel))
		e.Device, e.At, e.Outcome = d.ID, r.now(), eventlog.Done
		e.Params = map[string]string{"field": part.field, "old": part.old, "new": part.new}
		if err := eventlog.Append(ctx, tx, e); err != nil {
			return err
		}
	}
	d.Name, d.Site, d.Notes = to.Name, to.Site, to.Notes
	_, err := tx.Exec(ctx, `UPDATE devices SET name = $1, site = $2, notes = $3 WHERE id = $4`, d.Name, d.Site, d.Notes, d.ID)
	return err
}
