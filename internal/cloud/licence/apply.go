package licence

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/onetime"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A Use is what a licence was used for.
type Use struct {
	Licence string // its id
	Device  string
	Plan    policy.Plan
	Days    int
	Actor   string // opaque
	Role    policy.Role
	At      time.Time
}

// Apply uses a code for a device (LIC-1): days more of its plan, from now on, told to the site at once. A code that was used for the device is not
// used again, and the answer is that of the first time (LIC-2). The device comes as it is then. The error is a *cloud.Error where it is refused, in
// the order existence, role, plan, limits, code: NOT_FOUND, reasons of the matrix, RATE_LIMIT, CODE_UNKNOWN, CODE_EXPIRED, CODE_USED, CONFLICT; then
// the transaction is to be given up and Refused to be called in another, with the Use, which has the licence's id as far as it is known.
func (s *Service) Apply(ctx context.Context, tx *store.Tx, actor cloud.Actor, id, code string) (*device.Device, Use, error) {
	now := store.Instant(s.now().UnixMilli())
	d, right, err := device.May(ctx, tx, actor, id, policy.LicenceApply, now)
	if err != nil {
		return nil, Use{}, err
	}
	if err := limit.Reached(ctx, tx, now, counts(actor)...); err != nil {
		return nil, Use{}, err
	}
	l, err := find(ctx, tx, code)
	if err != nil {
		return nil, Use{}, err
	}
	use := Use{Licence: l.ID, Device: d.ID, Plan: l.Plan, Days: l.Days, Actor: actor.Ref, Role: right.Role, At: now}
	if before, err := used(ctx, tx, l, d.ID); err != nil || before != nil {
		return d, deref(before), err
	}
	if err := l.take(ctx, tx, now); err != nil {
		return nil, use, err
	}
	old := right.Plan
	if err := s.devices.Lengthen(ctx, tx, actor, right.Role, d, l.Plan, l.Days); err != nil {
		return nil, use, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO licence_uses (licence, device, actor, role, at) VALUES ($1, $2, $3, $4, $5)`,
		use.Licence, use.Device, use.Actor, string(use.Role), store.Millis(use.At))
	if err != nil {
		return nil, use, err
	}
	if err := logUse(ctx, tx, actor, d, use, old); err != nil {
		return nil, use, err
	}
	return d, use, s.tellOwner(ctx, tx, actor, d, use)
}

func deref(u *Use) Use {
	if u == nil {
		return Use{}
	}
	return *u
}

// counts are what wrong codes of an actor count in.
func counts(actor cloud.Actor) []limit.Count {
	return []limit.Count{wrongHere.Of(actor.Account), account.CodesSource.Of(account.Source(actor.Address))}
}

// nobody is compared with where there is no such number: it takes as long.
var nobody = onetime.Seal(onetime.New(onetime.Licence))

// find returns the licence whose code this is. What is wrong with a code that is none, nobody is told.
func find(ctx context.Context, tx *store.Tx, code string) (*Licence, error) {
	l, err := scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM licences WHERE number = $1`, number(code)))
	none := errors.Is(err, sql.ErrNoRows)
	if err != nil && !none {
		return nil, err
	}
	sealed := l.sealed
	if none {
		sealed = nobody
	}
	if !onetime.Fits(sealed, code, onetime.Licence) {
		return nil, cloud.RefuseField(policy.CodeUnknown, "code", "that is no activation code")
	}
	return l, nil
}

// used returns what a licence was used for on a device; nil for nothing.
func used(ctx context.Context, tx *store.Tx, l *Licence, id string) (*Use, error) {
	u := Use{Licence: l.ID, Device: id, Plan: l.Plan, Days: l.Days}
	var at int64
	err := tx.QueryRow(ctx, `SELECT actor, role, at FROM licence_uses WHERE licence = $1 AND device = $2`, l.ID, id).Scan(&u.Actor, &u.Role, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	u.At = store.Instant(at)
	return &u, err
}

// take counts one use. The row is what all who use the code at once wait for: behind the last use there is none.
func (l *Licence) take(ctx context.Context, tx *store.Tx, now time.Time) error {
	switch {
	case !l.Revoked.IsZero():
		return cloud.RefuseField(policy.CodeExpired, "code", "that code was withdrawn by who issued it")
	case !l.Expires.IsZero() && !now.Before(l.Expires):
		return cloud.RefuseField(policy.CodeExpired, "code", "that code was valid until %s", mail.When(l.Expires))
	}
	n, err := tx.Exec(ctx, `UPDATE licences SET used = used + 1 WHERE id = $1 AND used < uses`, l.ID)
	if err == nil && n == 0 {
		err = cloud.RefuseField(policy.CodeUsed, "code", "that code has been used for as many devices as it is for")
	}
	return err
}

// logUse writes a use into the device's log (LOG-3). No part of the code stands there (LOG-10).
func logUse(ctx context.Context, tx *store.Tx, actor cloud.Actor, d *device.Device, u Use, old policy.Plan) error {
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Device: d.ID, At: u.At, Actor: actor.Ref, Role: u.Role, Action: string(policy.LicenceApply), Outcome: eventlog.Done, Request: actor.Request, Plan: old,
		Params: map[string]string{
			"licence": u.Licence, "plan": string(u.Plan), "days": decimal(u.Days), "old": string(old), "valid_until": instant(d.EndAt(u.At)),
		},
	})
}

// Refused counts a wrong code, and logs that one was refused (LOG-1), in a transaction of its own.
func (s *Service) Refused(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string, u Use, refusal *cloud.Error) error {
	if refusal.Reason == policy.CodeUnknown {
		if err := limit.Add(ctx, tx, s.now(), counts(actor)...); err != nil {
			return err
		}
	}
	params := map[string]string{}
	if u.Licence != "" {
		params["licence"] = u.Licence
	}
	return device.LogRefusal(ctx, tx, actor, id, policy.LicenceApply, params, refusal)
}

// Uses returns what licences were used for a device since an instant: at most limit, those behind (at, licence) in that order.
func Uses(ctx context.Context, tx *store.Tx, id string, since, at time.Time, licence string, limit int) (list []Use, err error) {
	rows, err := tx.Query(ctx, `SELECT u.licence, u.device, l.plan, l.days, u.actor, u.role, u.at FROM licence_uses u JOIN licences l ON l.id = u.licence
		WHERE u.device = $1 AND u.at >= $2 AND (u.at > $3 OR u.at = $3 AND u.licence > $4) ORDER BY u.at, u.licence LIMIT $5`,
		id, store.Millis(since), store.Millis(at), licence, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var u Use
		var at int64
		if err := rows.Scan(&u.Licence, &u.Device, &u.Plan, &u.Days, &u.Actor, &u.Role, &at); err != nil {
			return nil, err
		}
		u.At = store.Instant(at)
		list = append(list, u)
	}
	return list, rows.Err()
}
