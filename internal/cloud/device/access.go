package device

import (
	"context"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A Right is what an actor was allowed, and in which role.
type Right struct {
	Role      policy.Role
	Plan      policy.Plan // in force now
	Projected bool        // only the partner projection may be shown (rules, section 12)
	Since     time.Time   // of what people did, nothing from before may be shown (LOG-7, SHARE-12); zero: all may
}

// GetFor is Get for somebody whose roles are asked next: of a device that does not exist they are looked for, too, so that it takes no less than
// one that is not for them to know of (PERM-9).
func GetFor(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (*Device, error) {
	d, err := Get(ctx, tx, id)
	if errors.Is(err, ErrNone) {
		if _, err := held(ctx, tx, actor, id); err != nil {
			return nil, err
		}
	}
	return d, err
}

// May is the one question every request about a device asks (T-80), at the moment of acting (PERM-10): is there such a device, what is the
// actor to it, and does the matrix allow that now? The error says why not: ErrNone for nobody, whatever the truth; else a reason of the matrix.
func May(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string, action policy.Action, now time.Time) (*Device, Right, error) {
	d, err := GetFor(ctx, tx, actor, id)
	if err != nil {
		return nil, Right{Role: policy.Nobody}, err
	}
	right, err := Judge(ctx, tx, actor, d, action, now)
	if err != nil {
		return nil, right, err
	}
	return d, right, nil
}

// LogRefusal writes down that something was refused (LOG-1): in the device's log, where the actor has a role on it; else in that of the actor's
// organisation, whether there is such a device or not, with the same work (PERM-9). params are those that the action has declared.
func LogRefusal(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string, action policy.Action, params map[string]string, refusal *cloud.Error) error {
	role := policy.Nobody
	d, err := GetFor(ctx, tx, actor, id)
	if err == nil {
		role, err = Role(ctx, tx, actor, d)
	}
	var none *cloud.Error
	if err != nil && !errors.As(err, &none) {
		return err
	}
	e := entry(actor, role, string(action))
	e.Outcome, e.Reason, e.Params = eventlog.Refused, refusal.Reason, eventlog.Allowed(string(action), params)
	if role != policy.Nobody {
		e.Device = id
		return eventlog.Append(ctx, tx, e)
	}
	e.Org, e.Params = actor.Org, eventlog.Allowed(string(action), map[string]string{"device": id})
	return eventlog.Append(ctx, tx, e)
}

// Visible returns the devices that an account owns or has a role on: at most limit, those behind (registered, id) in that order.
func Visible(ctx context.Context, tx *store.Tx, account string, registered time.Time, id string, limit int) ([]Device, error) {
	return list(ctx, tx, `SELECT `+columns+` FROM devices WHERE ended_at IS NULL
		AND (owner = $1 OR id IN (SELECT device FROM grants WHERE account = $1 AND ended_at IS NULL))
		AND (registered_at > $2 OR registered_at = $2 AND id > $3) ORDER BY registered_at, id LIMIT $4`, account, store.Millis(registered), id, limit)
}
