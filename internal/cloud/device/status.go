package device

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A Status is what is known of a device now.
type Status struct {
	Connected bool // its agent is heard
	// Why says why there is no communication: AgentSilent, UnitSilent or an Ending; "" while there is.
	Why string
	// Seen is what the agent said last; nil before anything was said. Its values are old where Why is set.
	Seen *Sighting
}

// Why there is no communication.
const (
	AgentSilent = "agent_silent" // nothing was heard of the agent for three heartbeats, or it has gone (TIME-4)
	UnitSilent  = "unit_silent"  // the agent is heard, and does not reach the unit
)

// Confirmed reports whether the site is told to obey what is in force: this epoch, and plan and grants of this version (TIME-3).
func (s *Status) Confirmed(d *Device) bool {
	return s.Seen != nil && s.Seen.Epoch == d.Epoch && s.Seen.GrantVersion >= d.GrantVersion
}

// ConfirmedPlan returns the plan that the site has: the one that the confirmed grant version means, until its end, and then Basic; "" where what
// it has confirmed is of another registration (TIME-3).
func (s *Status) ConfirmedPlan(ctx context.Context, tx *store.Tx, d *Device, now time.Time) (policy.Plan, error) {
	if s.Seen == nil || s.Seen.Epoch != d.Epoch {
		return "", nil
	}
	var plan policy.Plan
	var until int64
	err := tx.QueryRow(ctx, `SELECT plan, valid_until FROM grant_plans WHERE device = $1 AND version <= $2 ORDER BY version DESC LIMIT 1`,
		d.ID, int64(s.Seen.GrantVersion)).Scan(&plan, &until)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil // a version of before they were written down
	}
	if !now.Before(store.Instant(until)) {
		plan = policy.Lesser(plan, policy.Basic)
	}
	return plan, err
}

// StatusOf returns what is known of a device now.
func StatusOf(ctx context.Context, tx *store.Tx, d *Device) (*Status, error) {
	var online int
	var seen int64
	s, err := scanSighting(tx.QueryRow(ctx, `SELECT `+sightingColumns+`, p.online, p.state_at FROM sightings s JOIN agent_presence p ON p.agent = s.agent
		WHERE s.serial = $1 AND s.agent = $2 ORDER BY CASE WHEN s.ended = '' THEN 0 ELSE 1 END, s.last_seen DESC, s.unit LIMIT 1`, d.Serial, d.Agent),
		&seen, &online, &seen)
	if errors.Is(err, sql.ErrNoRows) {
		return &Status{Why: AgentSilent}, nil
	}
	if err != nil {
		return nil, err
	}
	st := &Status{Connected: online != 0, Seen: &s}
	switch {
	case s.Ended != "":
		st.Why = string(s.Ended)
	case !st.Connected:
		st.Why = AgentSilent
	case s.Silent():
		st.Why = UnitSilent
	}
	return st, nil
}
