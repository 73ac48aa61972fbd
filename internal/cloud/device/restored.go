package device

import (
	"context"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
)

// restored is logged of each device when the database was put back from a copy: what is missing from here on is why.
var restored = eventlog.Declare("database.restore", eventlog.ByReaders)

// everyOther stands in the place of a serial number in the row whose epoch every unit begins behind that has no row. No unit has it: a
// registration names one.
const everyOther = ""

// Restored is told that the database was put back from a copy: sites may remember grant versions and epochs that it has forgotten, and take
// nothing that is not above them. So both go ahead of whatever may have been given since: versions of the devices there are, and epochs of
// what is registered from now on. It returns how many devices there are.
func (r *Registry) Restored(ctx context.Context, tx *store.Tx, ahead int64) (int, error) {
	if _, err := tx.Exec(ctx, `UPDATE serials SET epoch = epoch + $1`, ahead); err != nil {
		return 0, err
	}
	// A unit that nobody had then, or that nobody had seen, may have been somebody's since.
	_, err := tx.Exec(ctx, `INSERT INTO serials (serial, epoch) VALUES ($1, $2) ON CONFLICT (serial) DO NOTHING`, everyOther, ahead)
	if err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, `UPDATE devices SET grant_version = grant_version + $1 WHERE ended_at IS NULL`, ahead); err != nil {
		return 0, err
	}
	devices, err := list(ctx, tx, `SELECT `+columns+` FROM devices WHERE ended_at IS NULL`)
	if err != nil {
		return 0, err
	}
	for i := range devices {
		if err := devices[i].notePlan(ctx, tx); err != nil {
			return 0, err
		}
		e := entry(cloud.System(""), "", restored)
		e.Device, e.Outcome = devices[i].ID, eventlog.Done
		if err := eventlog.Append(ctx, tx, e); err != nil {
			return 0, err
		}
		r.changed(tx, devices[i].Agent)
	}
	return len(devices), nil
}
