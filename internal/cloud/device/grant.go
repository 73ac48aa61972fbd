package device

import (
	"context"
	"slices"
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
	Address string // as the owner invited it; of a share
	Role    policy.Role
	Version uint64 // grant version of the device with which it began
	Since   time.Time
	Why     string // it ended, for OnGrantEnd; "": it has not
}

// MaxShares is how many others a device can be shared with, open invitations included (SHARE-2, SHARE-3).
const MaxShares = 5

const idShare = "sh_"

// Why a grant ended, as the log has it.
const (
	EndRevoked = "revoked" // by the owner
	EndLeft    = "left"    // by who had it
	EndDevice  = "device"  // the device is not registered any more
	EndAccount = "account" // who had it has no account any more
)

const grantColumns = `id, device, account, actor, address, role, version, began_at`

func scanGrant(row interface{ Scan(...any) error }) (*Grant, error) {
	var g Grant
	var version, began int64
	err := row.Scan(&g.ID, &g.Device, &g.Account, &g.Actor, &g.Address, &g.Role, &version, &began)
	g.Version, g.Since = uint64(version), store.Instant(began)
	return &g, err
}

// grants returns those that a condition meets, the oldest first.
func grants(ctx context.Context, tx *store.Tx, where string, args ...any) (out []Grant, err error) {
	rows, err := tx.Query(ctx, `SELECT `+grantColumns+` FROM grants WHERE `+where+` ORDER BY began_at, id`, args...)
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

// GrantOf returns the share that an account has of a device now, nil for none.
func GrantOf(ctx context.Context, tx *store.Tx, device, account string) (*Grant, error) {
	found, err := grants(ctx, tx, `device = $1 AND account = $2 AND role = $3 AND ended_at IS NULL`, device, account, string(policy.Shared))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// Shares returns with whom a device is shared now, the oldest first.
func Shares(ctx context.Context, tx *store.Tx, device string) ([]Grant, error) {
	return grants(ctx, tx, `device = $1 AND role = $2 AND ended_at IS NULL`, device, string(policy.Shared))
}

// Share makes an account a shared user of a device. Who calls has asked who the owner is, the plan and the invitation (INV-16), and logs it;
// what no share may ever break is asked here again, whatever the way to it. address is what the owner invited.
func (r *Registry) Share(ctx context.Context, tx *store.Tx, d *Device, account, actor, address string) (*Grant, error) {
	if account == d.Owner {
		return nil, cloud.Refuse(policy.SelfShare, "the owner has the device already") // ROLE-7, SHARE-14
	}
	if err := r.raise(ctx, tx, d); err != nil {
		return nil, err
	}
	shares, err := Shares(ctx, tx, d.ID)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(shares, func(g Grant) bool { return g.Account == account }) {
		return nil, cloud.Refuse(policy.AlreadyShared, "the device is shared with this account")
	}
	if len(shares) >= MaxShares {
		return nil, cloud.Refuse(policy.ShareLimit, "a device is shared with at most %d others", MaxShares)
	}
	g := &Grant{
		ID: cloud.NewID(idShare), Device: d.ID, Account: account, Actor: actor, Address: address, Role: policy.Shared, Version: d.GrantVersion,
		Since: store.Instant(r.now().UnixMilli()),
	}
	_, err = tx.Exec(ctx, `INSERT INTO grants (`+grantColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		g.ID, g.Device, g.Account, g.Actor, g.Address, string(g.Role), int64(g.Version), store.Millis(g.Since))
	return g, err
}

// EndGrant ends a grant: what its actor orders with a lower grant version is refused on site from then on (EDGE-5). Nothing else of the
// device changes (SHARE-8), and nothing is erased (ERASE-13). Who calls logs it.
func (r *Registry) EndGrant(ctx context.Context, tx *store.Tx, d *Device, g *Grant, why string) error {
	if err := r.raise(ctx, tx, d); err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `UPDATE grants SET ended_at = $1, ended_version = $2, why = $3, address = '' WHERE id = $4 AND ended_at IS NULL`,
		r.now().UnixMilli(), int64(d.GrantVersion), why, g.ID)
	if err != nil || n == 0 {
		return err
	}
	g.Why = why
	if err := r.tell(ctx, tx, d, g); err != nil {
		return err
	}
	return r.ended(ctx, tx, d, g)
}

// OnGrantEnd has f called in the transaction that ends a grant: what rests on it goes with it (NOTE-2).
func (r *Registry) OnGrantEnd(f func(ctx context.Context, tx *store.Tx, d *Device, g *Grant) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onGrantEnd = append(r.onGrantEnd, f)
}

func (r *Registry) ended(ctx context.Context, tx *store.Tx, d *Device, g *Grant) error {
	r.mu.Lock()
	hooks := r.onGrantEnd
	r.mu.Unlock()
	for _, f := range hooks {
		if err := f(ctx, tx, d, g); err != nil {
			return err
		}
	}
	return nil
}

// raise gives a device its next grant version, of which the site is told, and writes down which plan it means. Who changes a device's grants
// or plan at once waits for its row here.
func (r *Registry) raise(ctx context.Context, tx *store.Tx, d *Device) error {
	var version int64
	err := tx.QueryRow(ctx, `UPDATE devices SET grant_version = grant_version + 1 WHERE id = $1 RETURNING grant_version`, d.ID).Scan(&version)
	if err != nil {
		return err
	}
	d.GrantVersion = uint64(version)
	r.changed(tx, d.Agent)
	return d.notePlan(ctx, tx)
}

// notePlan writes down which plan the device's grant version means (TIME-3).
func (d *Device) notePlan(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, `INSERT INTO grant_plans (device, version, plan, valid_until) VALUES ($1, $2, $3, $4)`,
		d.ID, int64(d.GrantVersion), string(d.Plan), store.Millis(d.ValidUntil))
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
