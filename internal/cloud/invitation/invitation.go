package invitation

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

const idPrefix = "si_"

// States of an invitation and of each device of it (rules, section 7). All but open are final.
const (
	Open      = "open"
	Accepted  = "accepted"
	Declined  = "declined"
	Expired   = "expired"
	Locked    = "locked"
	Cancelled = "cancelled"
)

// An Invitation asks one address to share devices.
type Invitation struct {
	ID      string // si_…
	Email   string // where the letter went
	State   string // open while something of it is; then what ended the last
	Created time.Time
	Sent    time.Time // the code, last
	Expires time.Time
	Items   []Item // by number

	owner, inviter string // account and actor
	key            string
	sealed         []byte
	tries          int64
}

// An Item is one device of an invitation.
type Item struct {
	Device string
	Number int // by which the letter calls it, from 1
	State  string

	epoch uint32
}

// open returns what of an invitation can still be accepted.
func (i *Invitation) open() (out []*Item) {
	for n := range i.Items {
		if i.Items[n].State == Open {
			out = append(out, &i.Items[n])
		}
	}
	return out
}

// over reports whether the time of an invitation has passed (INV-11).
func (i *Invitation) over(now time.Time) bool { return !now.Before(i.Expires) }

// An Outcome is what became of one device of a request (SHARE-5).
type Outcome struct {
	Device  string
	Number  int          // by which the letter calls it; 0 where no letter names it
	Refused *cloud.Error // nil: it was done
	Free    int          // places that are left; NotTold to who may not know
}

// NotTold stands in place of a number of places.
const NotTold = -1

// A RefusedError says that of several devices none was done. It unwraps to the first refusal.
type RefusedError struct {
	First    *cloud.Error
	Outcomes []Outcome
}

func (e *RefusedError) Error() string { return e.First.Error() }

// Unwrap returns the first refusal.
func (e *RefusedError) Unwrap() error { return e.First }

// none returns a RefusedError where nothing was done, else nil.
func none(outcomes []Outcome) error {
	for _, o := range outcomes {
		if o.Refused == nil {
			return nil
		}
	}
	return &RefusedError{outcomes[0].Refused, outcomes}
}

const selectInvitation = `SELECT id, email, state, created_at, sent_at, expires_at, owner, inviter, email_key, sealed, tries FROM device_invitations WHERE `

// find returns the invitations that a condition meets, with their devices.
func find(ctx context.Context, tx *store.Tx, where string, args ...any) ([]*Invitation, error) {
	list, err := heads(ctx, tx, where, args...)
	for _, i := range list {
		if err == nil {
			err = i.items(ctx, tx)
		}
	}
	return list, err
}

// heads is find without the devices.
func heads(ctx context.Context, tx *store.Tx, where string, args ...any) (list []*Invitation, err error) {
	rows, err := tx.Query(ctx, selectInvitation+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var i Invitation
		var created, sent, expires int64
		if err := rows.Scan(&i.ID, &i.Email, &i.State, &created, &sent, &expires, &i.owner, &i.inviter, &i.key, &i.sealed, &i.tries); err != nil {
			return nil, err
		}
		i.Created, i.Sent, i.Expires = time.UnixMilli(created), time.UnixMilli(sent), time.UnixMilli(expires)
		list = append(list, &i)
	}
	return list, rows.Err()
}

// one returns the invitation that a condition meets, nil for none.
func one(ctx context.Context, tx *store.Tx, where string, args ...any) (*Invitation, error) {
	list, err := find(ctx, tx, where, args...)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

func (i *Invitation) items(ctx context.Context, tx *store.Tx) error {
	rows, err := tx.Query(ctx, `SELECT device, number, state, epoch FROM device_invitation_devices WHERE invitation = $1 ORDER BY number`, i.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var item Item
		var epoch int64
		if err := rows.Scan(&item.Device, &item.Number, &item.State, &epoch); err != nil {
			return err
		}
		item.epoch = uint32(epoch)
		i.Items = append(i.Items, item)
	}
	return rows.Err()
}

// ofDevice is a condition on invitations: one open row of theirs is of the device $1.
const ofDevice = `id IN (SELECT invitation FROM device_invitation_devices WHERE device = $1 AND state = 'open')`

// OpenOf returns the invitations to share a device that can still be accepted, the oldest first. Who calls has asked the matrix.
func OpenOf(ctx context.Context, tx *store.Tx, device string, now time.Time) ([]*Invitation, error) {
	return find(ctx, tx, ofDevice+` AND state = 'open' AND expires_at > $2 ORDER BY created_at, id`, device, now.UnixMilli())
}

// Free returns how many more a device can be shared with: five, less shares and open invitations (SHARE-2, SHARE-3).
func Free(ctx context.Context, tx *store.Tx, id string, now time.Time) (int, error) {
	var shares, open int
	err := tx.QueryRow(ctx, `SELECT (SELECT COUNT(*) FROM grants WHERE device = $1 AND role = $2 AND ended_at IS NULL),
		(SELECT COUNT(*) FROM device_invitation_devices v JOIN device_invitations i ON i.id = v.invitation
			WHERE v.device = $1 AND v.state = 'open' AND i.expires_at > $3)`, id, string(policy.Shared), now.UnixMilli()).Scan(&shares, &open)
	return device.MaxShares - shares - open, err
}

// take makes who changes the shares of a device wait for others who do (SHARE-4).
func take(ctx context.Context, tx *store.Tx, id string) error {
	_, err := tx.Exec(ctx, `UPDATE devices SET grant_version = grant_version WHERE id = $1`, id)
	return err
}
