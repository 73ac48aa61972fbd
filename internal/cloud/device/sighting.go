package device

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/ups"
)

// A Sighting is what an agent says of one of its units.
type Sighting struct {
	Agent, Unit, Serial, Model, Firmware string
	Condition                            []string      // names of states (design, section 10)
	Alarms, Unconfirmed                  []ups.AlarmID // active ones, and those of them that the unit has not confirmed since it was lost
	Epoch                                uint32        // what the agent has confirmed; 0: no owner
	PlanVersion, GrantVersion            uint64        // confirmed
	FirstSeen, LastSeen                  time.Time     // LastSeen: arrival of the last full state that had it, and reached it
	Ended                                Ending        // why the last full state does not have it; "": it does
}

// An Ending says why a unit is not reported any more.
type Ending string

// The endings.
const (
	Replaced Ending = "serial_changed" // another serial number answers under the unit's name (DEV-5)
	Removed  Ending = "not_reported"   // the agent has no such unit any more
)

// Silent reports whether the agent itself does not reach the unit.
func (s *Sighting) Silent() bool { return slices.Contains(s.Condition, "stale") }

const sightingColumns = `s.agent, s.unit, s.serial, s.model, s.firmware, s.condition, s.alarms, s.unconfirmed, s.epoch, s.plan_version, s.grant_version,
	s.first_seen, s.last_seen, s.ended`

// scanSighting reads a row of sightingColumns and what more is asked for. seen, one of that, is when the last full state of the agent came:
// a unit that it had was seen then.
func scanSighting(row interface{ Scan(...any) error }, seen *int64, more ...any) (s Sighting, err error) {
	var condition, alarms, unconfirmed string
	var epoch, plan, grant, first, last int64
	err = row.Scan(append([]any{
		&s.Agent, &s.Unit, &s.Serial, &s.Model, &s.Firmware, &condition, &alarms, &unconfirmed, &epoch, &plan, &grant, &first, &last, &s.Ended,
	}, more...)...)
	if err != nil {
		return s, err
	}
	err = errors.Join(json.Unmarshal([]byte(condition), &s.Condition), json.Unmarshal([]byte(alarms), &s.Alarms),
		json.Unmarshal([]byte(unconfirmed), &s.Unconfirmed))
	s.Epoch, s.PlanVersion, s.GrantVersion = uint32(epoch), uint64(plan), uint64(grant)
	s.FirstSeen, s.LastSeen = store.Instant(first), store.Instant(last)
	if s.Ended == "" && !s.Silent() {
		s.LastSeen = store.Instant(*seen)
	}
	return s, err
}

// Unregistered returns what the agents of an organisation report now and nobody owns, or whose own agent was removed, by agent and unit: at most
// limit, those behind (agent, unit). Of a unit that somebody else owns nothing is said here: it is not there.
func Unregistered(ctx context.Context, tx *store.Tx, org, agent, unit string, limit int) (out []Sighting, err error) {
	rows, err := tx.Query(ctx, `SELECT `+sightingColumns+`, p.state_at FROM sightings s
		JOIN enrolled_agents e ON e.agent = s.agent JOIN agent_presence p ON p.agent = s.agent
		WHERE e.org = $1 AND e.revoked_at IS NULL AND s.ended = '' AND (s.agent > $2 OR s.agent = $2 AND s.unit > $3)
		AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.serial = s.serial AND d.ended_at IS NULL
			AND (d.org <> e.org OR EXISTS (SELECT 1 FROM enrolled_agents o WHERE o.agent = d.agent AND o.revoked_at IS NULL)))
		ORDER BY s.agent, s.unit LIMIT $4`, org, agent, unit, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var seen int64
		s, err := scanSighting(rows, &seen, &seen)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// serial returns a unit's serial number as it may stand in statements and orders: 1 to 64 characters, printable ASCII without space, quote
// and backslash (T-54). "": it is none, and the unit counts as one whose number is not known.
func serial(text string) string {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
	if len(text) > 64 || strings.ContainsFunc(text, bad) {
		return ""
	}
	return text
}
