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

// A Device is one registration of a unit.
type Device struct {
	ID     string // "d_…"
	Serial string // as the agent reads it from the unit
	Epoch  uint32 // from 1; rises with each registration and deletion of the serial
	Agent  string
	Owner  string // account
	Org    string

	Name, Site, Notes string

	// The stretch of its Terms that was last written down. PlanAt and EndAt say what is in force.
	Plan          policy.Plan
	ValidUntil    time.Time // of Plan; Forever: no end
	StandardUntil time.Time // Standard follows an Advanced plan until then; zero: Basic does
	PlanSet       time.Time // when Plan and ValidUntil became what they are
	paid          time.Time // see PaidSince
	warnAt        time.Time // when people are warned next that ValidUntil comes; zero: not before it

	GrantVersion uint64 // from 1; rises with each change of grants or plan
	RegisteredAt time.Time
	EndedAt      time.Time // when it was deleted; zero while it lives
}

// ErrNone is what everybody is told who has no right on a device, and of one that does not exist (PERM-9).
var ErrNone = cloud.Refuse(policy.NotFound, "there is no such device")

const columns = `id, serial, epoch, agent, owner, org, name, site, notes, plan, valid_until, standard_until, plan_set, paid_since, warn_at, grant_version,
	registered_at, ended_at`

func scan(row interface{ Scan(...any) error }) (*Device, error) {
	var d Device
	var epoch, validUntil, standard, set, paid, warn, version, registered int64
	var ended sql.NullInt64
	err := row.Scan(&d.ID, &d.Serial, &epoch, &d.Agent, &d.Owner, &d.Org, &d.Name, &d.Site, &d.Notes, &d.Plan, &validUntil, &standard,
		&set, &paid, &warn, &version, &registered, &ended)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNone
	}
	d.Epoch, d.GrantVersion = uint32(epoch), uint64(version)
	d.RegisteredAt, d.EndedAt = store.Instant(registered), store.Instant(ended.Int64)
	d.ValidUntil, d.StandardUntil, d.PlanSet = store.Instant(validUntil), store.Instant(standard), store.Instant(set)
	d.paid, d.warnAt = store.Instant(paid), store.Instant(warn)
	if d.ValidUntil.IsZero() {
		d.ValidUntil = Forever
	}
	return &d, err
}

// Get returns a device that lives; ErrNone where there is none.
func Get(ctx context.Context, tx *store.Tx, id string) (*Device, error) {
	return scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM devices WHERE id = $1 AND ended_at IS NULL`, id))
}

// Registered returns the device that a unit is now; ErrNone where it has no owner.
func Registered(ctx context.Context, tx *store.Tx, serial string) (*Device, error) {
	return scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM devices WHERE serial = $1 AND ended_at IS NULL`, serial))
}

// BySerial returns the device of one epoch of a unit behind an agent, also one that has ended; ErrNone where there was none.
func BySerial(ctx context.Context, tx *store.Tx, agent, serial string, epoch uint32) (*Device, error) {
	return scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM devices WHERE serial = $1 AND epoch = $2 AND agent = $3`, serial, int64(epoch), agent))
}

// OfAgent returns the devices that live behind an agent, by serial number.
func OfAgent(ctx context.Context, tx *store.Tx, agent string) ([]Device, error) {
	return list(ctx, tx, `SELECT `+columns+` FROM devices WHERE agent = $1 AND ended_at IS NULL ORDER BY serial`, agent)
}

func list(ctx context.Context, tx *store.Tx, query string, args ...any) (out []Device, err error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		d, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, *d)
	}
	return out, rows.Err()
}
