package device

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// Bounds of what one agent may have here: an agent that reports another unit each minute fills no table.
const (
	maxUnits   = 1000 // of a full state; more are left out
	maxSighted = 2000 // units and serial numbers, gone ones included; beyond them the longest gone are forgotten
	maxAlarms  = 500  // of a unit
)

// replaced is logged when another serial number answers where a device was (DEV-5).
var replaced = eventlog.Declare("device.replaced", eventlog.ByReaders, "unit", "serial")

type place struct{ unit, serial string }

// State is ingest.Sinks.State: it takes over what a full state says of the agent's units. While nothing has changed, as with most
// heartbeats, only the time is written.
func (r *Registry) State(ctx context.Context, tx *store.Tx, agent string, full *wire.FullState, at time.Time) error {
	known, err := sighted(ctx, tx, agent)
	if err != nil {
		return err
	}
	now, units := map[place]bool{}, map[string]string{}
	for i := range full.Units[:min(len(full.Units), maxUnits)] {
		s := clean(agent, &full.Units[i])
		p := place{s.Unit, s.Serial}
		if _, twice := units[s.Unit]; s.Unit == "" || twice {
			continue
		}
		units[s.Unit] = s.Serial
		if s.Serial == "" || now[p] {
			continue
		}
		now[p] = true
		if err := s.save(ctx, tx, known[p], at); err != nil {
			return err
		}
	}
	if err := r.end(ctx, tx, agent, known, now, units, at); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO agent_presence (agent, online, since, state_at) VALUES ($1, 1, $2, $2)
		ON CONFLICT (agent) DO UPDATE SET state_at = excluded.state_at`, agent, at.UnixMilli())
	return err
}

// sighted returns what is known of an agent's units.
func sighted(ctx context.Context, tx *store.Tx, agent string) (map[place]*Sighting, error) {
	rows, err := tx.Query(ctx, `SELECT `+sightingColumns+`, p.state_at FROM sightings s JOIN agent_presence p ON p.agent = s.agent WHERE s.agent = $1`, agent)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	known := map[place]*Sighting{}
	for rows.Next() {
		var seen int64
		s, err := scanSighting(rows, &seen, &seen)
		if err != nil {
			return nil, err
		}
		known[place{s.Unit, s.Serial}] = &s
	}
	return known, rows.Err()
}

// clean takes over what may be believed of a unit's state: bounded texts of printable characters (T-54).
func clean(agent string, u *wire.UnitState) *Sighting {
	s := &Sighting{
		Agent: agent, Unit: eventlog.Clean(u.Unit), Serial: serial(u.Serial), Model: eventlog.Clean(u.Model), Firmware: eventlog.Clean(u.Firmware),
		Condition: u.Condition.Names(), Epoch: u.Epoch, PlanVersion: bounded(u.PlanVersion), GrantVersion: bounded(u.GrantVersion),
		Alarms: u.Alarms[:min(len(u.Alarms), maxAlarms)], Unconfirmed: u.Unconfirmed[:min(len(u.Unconfirmed), maxAlarms)],
	}
	return s
}

// bounded keeps a number of somebody else within what a column has.
func bounded(v uint64) uint64 { return min(v, 1<<62) }

// save writes a sighting, unless it is already known so.
func (s *Sighting) save(ctx context.Context, tx *store.Tx, known *Sighting, at time.Time) error {
	condition, alarms, unconfirmed := encode(s.Condition), encode(s.Alarms), encode(s.Unconfirmed)
	if known != nil && known.Ended == "" && known.Model == s.Model && known.Firmware == s.Firmware && known.Epoch == s.Epoch &&
		known.PlanVersion == s.PlanVersion && known.GrantVersion == s.GrantVersion &&
		encode(known.Condition) == condition && encode(known.Alarms) == alarms && encode(known.Unconfirmed) == unconfirmed {
		return nil
	}
	seen := at
	if s.Silent() && known != nil {
		seen = known.LastSeen // the unit, not the agent that tells of it
	}
	_, err := tx.Exec(ctx, `INSERT INTO sightings
		(agent, unit, serial, model, firmware, condition, alarms, unconfirmed, epoch, plan_version, grant_version, first_seen, last_seen)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (agent, unit, serial) DO UPDATE SET model = excluded.model, firmware = excluded.firmware, condition = excluded.condition,
		alarms = excluded.alarms, unconfirmed = excluded.unconfirmed, epoch = excluded.epoch, plan_version = excluded.plan_version,
		grant_version = excluded.grant_version, last_seen = excluded.last_seen, ended = ''`,
		s.Agent, s.Unit, s.Serial, s.Model, s.Firmware, condition, alarms, unconfirmed, int64(s.Epoch), int64(s.PlanVersion), int64(s.GrantVersion), at.UnixMilli(), seen.UnixMilli())
	if err != nil {
		return fmt.Errorf("unit %s of agent %s: %w", s.Unit, s.Agent, err)
	}
	return nil
}

func encode[T string | ups.AlarmID](list []T) string {
	if len(list) == 0 {
		return "[]"
	}
	b, _ := json.Marshal(list) // texts and numbers: nothing to fail
	return string(b)
}

// end marks what the state does not have any more. A unit whose serial number is not known just now, as after a start of the agent, is
// neither there nor gone.
func (r *Registry) end(ctx context.Context, tx *store.Tx, agent string, known map[place]*Sighting, now map[place]bool, units map[string]string, at time.Time) error {
	for p, s := range known {
		other, there := units[p.unit]
		if now[p] || s.Ended != "" || there && other == "" {
			continue
		}
		why := Removed
		if there && !elsewhere(units, p.serial) {
			why = Replaced
		}
		_, err := tx.Exec(ctx, `UPDATE sightings SET ended = $1, last_seen = $2 WHERE agent = $3 AND unit = $4 AND serial = $5`,
			string(why), s.LastSeen.UnixMilli(), agent, p.unit, p.serial)
		if err == nil && why == Replaced {
			err = logReplaced(ctx, tx, agent, p, other, at)
		}
		if err != nil {
			return err
		}
	}
	return forget(ctx, tx, agent, len(known)+len(now))
}

// elsewhere reports whether a serial number answers under some name: the unit was renamed or plugged in elsewhere, and is still there.
func elsewhere(units map[string]string, serial string) bool {
	for _, other := range units {
		if other == serial {
			return true
		}
	}
	return false
}

// logReplaced tells the owner of a device that another unit answers in its place. Nothing is registered by that.
func logReplaced(ctx context.Context, tx *store.Tx, agent string, p place, other string, at time.Time) error {
	devices, err := list(ctx, tx, `SELECT `+columns+` FROM devices WHERE agent = $1 AND serial = $2 AND ended_at IS NULL`, agent, p.serial)
	if err != nil || len(devices) == 0 {
		return err
	}
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Device: devices[0].ID, At: at, Actor: cloud.LocalRef, Action: replaced, Outcome: eventlog.Done, Decided: eventlog.ByAgent,
		Params: map[string]string{"unit": p.unit, "serial": other},
	})
}

// forget drops the sightings that ended longest ago where an agent has more than it may.
func forget(ctx context.Context, tx *store.Tx, agent string, most int) error {
	if most <= maxSighted {
		return nil
	}
	_, err := tx.Exec(ctx, `DELETE FROM sightings WHERE agent = $1 AND ended <> '' AND (unit, serial) NOT IN
		(SELECT unit, serial FROM sightings WHERE agent = $1 AND ended <> '' ORDER BY last_seen DESC, unit, serial LIMIT $2)`, agent, maxSighted-maxUnits)
	return err
}

// Presence is ingest.Sinks.Presence: an agent is there, or is not (TIME-4).
func (r *Registry) Presence(ctx context.Context, tx *store.Tx, agent string, online bool, at time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO agent_presence (agent, online, since, state_at) VALUES ($1, $2, $3, 0)
		ON CONFLICT (agent) DO UPDATE SET since = CASE WHEN agent_presence.online = excluded.online THEN agent_presence.since ELSE excluded.since END,
		online = excluded.online`, agent, store.Flag(online), at.UnixMilli())
	return err
}

// Keep is ingest.Sinks.Keep: records under an epoch that is not the one in force are of an owner who is not any more, and go unread
// (DEL-11). Those without an epoch have no owner; they are kept, and shown to nobody.
func (r *Registry) Keep(ctx context.Context, tx *store.Tx, agent, serial string, epoch uint32) (bool, error) {
	if epoch == 0 {
		return true, nil
	}
	var n int
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM devices WHERE serial = $1 AND epoch = $2 AND agent = $3 AND ended_at IS NULL`,
		serial, int64(epoch), agent).Scan(&n)
	return n > 0, err
}
