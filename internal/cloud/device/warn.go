package device

import (
	"context"
	"errors"
	"slices"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// WarnDays are how many days before its end people are warned of it (PLAN-12). 0 is the day itself: the last, in UTC, on which the plan is in force
// for a while.
var WarnDays = [...]int{90, 30, 7, 0}

// warnTime returns when a warning is due.
func warnTime(end time.Time, days int) time.Time {
	if days == 0 {
		return end.Add(-time.Millisecond).UTC().Truncate(day)
	}
	return end.Add(-time.Duration(days) * day)
}

// nextWarning returns when the first warning behind an instant is due; zero for none before the end. Only what lies ahead of the beginning of a
// stretch is warned of: of a plan of 90 days, nobody is told at once that it ends in 90 days.
func (d *Device) nextWarning(behind time.Time) time.Time {
	if d.Plan == policy.Basic || !d.ValidUntil.Before(Forever) {
		return time.Time{}
	}
	for _, days := range WarnDays {
		if at := warnTime(d.ValidUntil, days); at.After(behind) {
			return at
		}
	}
	return time.Time{}
}

// dueWarning returns the warning to give now, the last of those that are due: who was not told in time is not told twice.
func (d *Device) dueWarning(now time.Time) (days int, due bool) {
	for _, days := range slices.Backward(WarnDays[:]) {
		if at := warnTime(d.ValidUntil, days); !at.After(now) {
			return days, at.After(d.PlanSet) && !at.Before(d.warnAt)
		}
	}
	return 0, false
}

// OnPlanWarning has f called in the transaction that writes down that people were warned, so that each is told of each warning once.
func (r *Registry) OnPlanWarning(f func(ctx context.Context, tx *store.Tx, d *Device, days int) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onWarning = append(r.onWarning, f)
}

// WarnOfEnds gives the warnings that are due. Each is a transaction of its own, in which the device is read again: of any number of processes one
// gives it.
func (r *Registry) WarnOfEnds(ctx context.Context, db *store.DB) error {
	return r.each(ctx, db, `SELECT id FROM devices WHERE warn_at <> 0 AND warn_at <= $1 ORDER BY warn_at LIMIT $2`, r.warn)
}

func (r *Registry) warn(ctx context.Context, tx *store.Tx, id string) error {
	now := store.Instant(r.now().UnixMilli())
	d, err := Get(ctx, tx, id)
	if errors.Is(err, ErrNone) {
		_, err = tx.Exec(ctx, `UPDATE devices SET warn_at = 0 WHERE id = $1`, id) // it is no device any more: nobody is warned
		return err
	}
	if err != nil || d.warnAt.IsZero() || now.Before(d.warnAt) {
		return err // another process was here
	}
	days, due := d.dueWarning(now)
	if due {
		r.mu.Lock()
		all := r.onWarning
		r.mu.Unlock()
		for _, f := range all {
			if err := f(ctx, tx, d, days); err != nil {
				return err
			}
		}
	}
	d.warnAt = d.nextWarning(now)
	_, err = tx.Exec(ctx, `UPDATE devices SET warn_at = $1 WHERE id = $2`, store.Millis(d.warnAt), id)
	return err
}
