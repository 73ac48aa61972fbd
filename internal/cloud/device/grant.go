package device

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A Grant is a role of one account on one device, from an instant on (rules, section 1).
type Grant struct {
	ID      string // "sh_…"
	Device  string
	Account string
	Actor   string // opaque, what orders and logs carry
	Role    policy.Role
	Version uint64 // grant version of the device with which it began
	Since   time.Time
}

// MaxShares is how many others a device can be shared with, open invitations included (SHARE-2, SHARE-3).
const MaxShares = 5

// Why a grant ended, as the log has it.
const (
	EndRevoked = "revoked" // by the owner
	EndLeft    = "left"    // by who had it
	EndDevice  = "device"  // the device is not registered any more
	EndAccount = "account" // who had it has no account any more
)

const grantColumns = `id, device, account, actor, role, version, began_at`

func scanGrant(row interface{ Scan(...any) error }) (*Grant, error) {
	var g Grant
	var version, began int64
	err := row.Scan(&g.ID, &g.Device, &g.Account, &g.Actor, &g.Role, &version, &began)
	g.Version, g.Since = uint64(version), fromMillis(began)
	return &g, err
}

// Role says what an actor is to a device now (PERM-10): the owner, or what a grant makes them. Who is nobody is to be answered with
// ErrNone, whatever the truth (ROLE-6).
func Role(ctx context.Context, tx *store.Tx, actor cloud.Actor, d *Device) (policy.Role, error) {
	role, _, err := RoleSince(ctx, tx, actor, d)
	return role, err
}

// RoleSince is Role, and since when: the log shows who was given a right later nothing from before (LOG-7). Of the owner it is zero.
func RoleSince(ctx context.Context, tx *store.Tx, actor cloud.Actor, d *Device) (policy.Role, time.Time, error) {
	if actor.Account == "" || !d.EndedAt.IsZero() {
		return policy.Nobody, time.Time{}, nil
	}
	if actor.Account == d.Owner {
		return policy.Owner, time.Time{}, nil
	}
	g, err := GrantOf(ctx, tx, d.ID, actor.Account)
	if err != nil || g == nil {
		return policy.Nobody, time.Time{}, err
	}
	return g.Role, g.Since, nil
}

// GrantOf returns the grant that an account has on a device now, nil for none.
func GrantOf(ctx context.Context, tx *store.Tx, device, account string) (*Grant, error) {
	g, err := scanGrant(tx.QueryRow(ctx, `SELECT `+grantColumns+` FROM grants WHERE device = $1 AND account = $2 AND ended_at IS NULL`, device, account))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return g, err
}

// Grants returns the grants on a device now, the oldest first.
func Grants(ctx context.Context, tx *store.Tx, device string) (out []Grant, err error) {
	rows, err := tx.Query(ctx, `SELECT `+grantColumns+` FROM grants WHERE device = $1 AND ended_at IS NULL ORDER BY began_at, id`, device)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		g, err := scanGrant(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, *g)
	}
	return out, rows.Err()
}

// Share makes an account a shared user of a device. Who calls has asked everything: places, plan, who the owner is (INV-16); it logs, too.
func (r *Registry) Share(ctx context.Context, tx *store.Tx, d *Device, account, actor string) (*Grant, error) {
	if err := r.raise(ctx, tx, d); err != nil {
		return nil, err
	}
	g := &Grant{ID: cloud.NewID("sh_"), Device: d.ID, Account: account, Actor: actor, Role: policy.Shared, Version: d.GrantVersion, Since: fromMillis(r.now().UnixMilli())}
	_, err := tx.Exec(ctx, `INSERT INTO grants (`+grantColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		g.ID, g.Device, g.Account, g.Actor, string(g.Role), int64(g.Version), millis(g.Since))
	return g, err
}

// EndGrant ends a grant: what its actor orders with a lower grant version is refused on site from then on (EDGE-5). Nothing else of the
// device changes (SHARE-8), and nothing is erased (ERASE-13). Who calls logs it.
func (r *Registry) EndGrant(ctx context.Context, tx *store.Tx, d *Device, g *Grant, why string) error {
	if err := r.raise(ctx, tx, d); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE grants SET ended_at = $1, ended_version = $2, why = $3 WHERE id = $4 AND ended_at IS NULL`,
		r.now().UnixMilli(), int64(d.GrantVersion), why, g.ID)
	if err != nil {
		return err
	}
	return r.ended(ctx, tx, d, g)
}

// AfterEnd has f called in the transaction that ends a grant: what rests on it goes with it (NOTE-2).
func (r *Registry) AfterEnd(f func(ctx context.Context, tx *store.Tx, d *Device, g *Grant) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onEnd = append(r.onEnd, f)
}

func (r *Registry) ended(ctx context.Context, tx *store.Tx, d *Device, g *Grant) error {
	r.mu.Lock()
	onEnd := r.onEnd
	r.mu.Unlock()
	for _, f := range onEnd {
		if err := f(ctx, tx, d, g); err != nil {
			return err
		}
	}
	return nil
}

// raise gives a device its next grant version, of which the site is told. Who changes a device's grants at once waits for its row here.
func (r *Registry) raise(ctx context.Context, tx *store.Tx, d *Device) error {
	var version int64
	err := tx.QueryRow(ctx, `UPDATE devices SET grant_version = grant_version + 1 WHERE id = $1 RETURNING grant_version`, d.ID).Scan(&version)
	d.GrantVersion = uint64(version)
	r.changed(tx, d.Agent)
	return err
}

// An EndedGrant says that grants of an actor on a device, below a version, are over (EDGE-5).
type EndedGrant struct {
	Actor        string
	GrantVersion uint64
}

// Ended returns the grants on a device that have ended: of each actor the last.
func Ended(ctx context.Context, tx *store.Tx, device string) (out []EndedGrant, err error) {
	rows, err := tx.Query(ctx, `SELECT actor, MAX(ended_version) FROM grants WHERE device = $1 AND ended_at IS NOT NULL GROUP BY actor`, device)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e EndedGrant
		var version int64
		if err := rows.Scan(&e.Actor, &version); err != nil {
			return nil, err
		}
		e.GrantVersion = uint64(version)
		out = append(out, e)
	}
	return out, rows.Err()
}
