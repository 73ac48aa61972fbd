package device

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A Registration is what is asked for.
type Registration struct {
	Serial string
	Agent  string // which reports it; "": whichever of the organisation's does
	Label
}

// A Label is what people call a device.
type Label struct{ Name, Site, Notes string }

// Longest texts of a label, in characters.
const (
	maxName  = 100
	maxNotes = 2000
)

func (l *Label) check() error {
	for _, f := range []struct {
		name  string
		value *string
		most  int
		lines bool
	}{{"name", &l.Name, maxName, false}, {"site", &l.Site, maxName, false}, {"notes", &l.Notes, maxNotes, true}} {
		*f.value = strings.TrimSpace(*f.value)
		text := *f.value
		if f.lines {
			text = strings.ReplaceAll(text, "\n", " ")
		}
		if utf8.RuneCountInString(text) > f.most || !eventlog.Printable(text) {
			return cloud.RefuseField(policy.Malformed, f.name, "at most %d printable characters", f.most)
		}
	}
	return nil
}

// claimed tells an owner that somebody else has tried to register the device (T-89). By whom, the log of who tried says: the request's id
// is the same.
var claimed = eventlog.Declare("device.claim", eventlog.ByOwner)

// Register makes the actor's account the owner of a unit that an agent of the account's own organisation reports, now (DEV-1). The
// answer is NOT_FOUND for every serial that none does report: unknown, somebody else's or long not seen. ALREADY_REGISTERED is told to
// those alone whose agent does (DEV-2). The owner's own device, whose agent was removed, goes on behind the agent that reports it now.
func (r *Registry) Register(ctx context.Context, tx *store.Tx, actor cloud.Actor, what Registration) (*Device, error) {
	if err := what.check(); err != nil {
		return nil, err
	}
	s, err := r.proof(ctx, tx, actor, what)
	if err != nil {
		return nil, err
	}
	owned, err := list(ctx, tx, `SELECT `+columns+` FROM devices WHERE serial = $1 AND ended_at IS NULL`, s.Serial)
	if err != nil {
		return nil, err
	}
	if len(owned) > 0 {
		if d := &owned[0]; d.Owner == actor.Account {
			if gone, err := removed(ctx, tx, d.Agent); err != nil || gone {
				return d, errors.Join(err, r.move(ctx, tx, actor, d, s))
			}
		}
		return nil, cloud.RefuseField(policy.AlreadyRegistered, "serial", "this unit has an owner; only that owner can delete it, and then it can be registered again")
	}
	now := store.Instant(r.now().UnixMilli())
	d := &Device{
		ID: cloud.NewID("d_"), Serial: s.Serial, Agent: s.Agent, Owner: actor.Account, Org: actor.Org,
		Name: what.Name, Site: what.Site, Notes: what.Notes, GrantVersion: 1, RegisteredAt: now,
	}
	if d.Name == "" {
		d.Name = s.Unit
	}
	if err := r.bind(ctx, tx, d, now); err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO devices (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13, $14, $15, $16, NULL)`,
		d.ID, d.Serial, int64(d.Epoch), d.Agent, d.Owner, d.Org, d.Name, d.Site, d.Notes, string(d.Plan), store.Millis(d.ValidUntil), store.Millis(d.PlanSet),
		store.Millis(d.paid), store.Millis(d.warnAt), int64(d.GrantVersion), store.Millis(now))
	if err != nil {
		return nil, err
	}
	tx.After(r.look)
	r.changed(tx, d.Agent)
	if err := d.notePlan(ctx, tx); err != nil {
		return nil, err
	}
	e := entry(actor, policy.Owner, string(policy.DeviceRegister))
	e.Device, e.At, e.Outcome = d.ID, now, eventlog.Done
	e.Params = map[string]string{
		"serial": d.Serial, "agent": d.Agent, "model": s.Model, "plan": string(d.Plan), "valid_until": text(d.ValidUntil), "epoch": strconv.Itoa(int(d.Epoch)),
	}
	return d, eventlog.Append(ctx, tx, e)
}

// moved tells that a device goes on behind another agent: the box of the one before was replaced.
var moved = eventlog.Declare("device.move", eventlog.ByReaders, "serial", "agent", "old_agent")

// removed reports whether an agent is one no more.
func removed(ctx context.Context, tx *store.Tx, agent string) (bool, error) {
	var n int
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM enrolled_agents WHERE agent = $1 AND revoked_at IS NULL`, agent).Scan(&n)
	return n == 0, err
}

// move lets the owner's device go on behind another agent, whose agent was removed: the same device, epoch and history. The new agent is told
// by its next statement; what the old one may still have is nobody's, as it is not let in any more.
func (r *Registry) move(ctx context.Context, tx *store.Tx, actor cloud.Actor, d *Device, s *Sighting) error {
	old := d.Agent
	d.Agent = s.Agent
	if _, err := tx.Exec(ctx, `UPDATE devices SET agent = $1 WHERE id = $2`, d.Agent, d.ID); err != nil {
		return err
	}
	if err := r.raise(ctx, tx, d); err != nil {
		return err
	}
	e := entry(actor, policy.Owner, moved)
	e.Device, e.Outcome, e.Params = d.ID, eventlog.Done, map[string]string{"serial": d.Serial, "agent": d.Agent, "old_agent": old}
	return eventlog.Append(ctx, tx, e)
}

// errNoProof is the one answer to who cannot prove possession.
var errNoProof = cloud.RefuseField(policy.NotFound, "serial", "no agent of your organisation reports this serial number now; /api/v1/sightings lists what they report")

// proof returns the sighting that proves possession: of an agent that is enrolled by the actor's organisation, not revoked, that was
// heard recently, and has the unit in its last full state.
func (r *Registry) proof(ctx context.Context, tx *store.Tx, actor cloud.Actor, what Registration) (*Sighting, error) {
	if actor.Account == "" || actor.Org == "" {
		return nil, errNoProof
	}
	s := &Sighting{}
	err := tx.QueryRow(ctx, `SELECT s.agent, s.unit, s.serial, s.model FROM sightings s
		JOIN enrolled_agents e ON e.agent = s.agent JOIN agent_presence p ON p.agent = s.agent
		WHERE s.serial = $1 AND s.ended = '' AND e.org = $2 AND e.revoked_at IS NULL AND p.state_at >= $3 AND (s.agent = $4 OR $4 = '')
		ORDER BY p.state_at DESC, s.agent, s.unit LIMIT 1`,
		what.Serial, actor.Org, r.now().Add(-recently).UnixMilli(), what.Agent).Scan(&s.Agent, &s.Unit, &s.Serial, &s.Model)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoProof
	}
	return s, err
}

// bind gives the device its epoch and its plan. The row of the serial is what two who register it at once wait for. A serial number that
// this database has never had begins behind what Restored has set.
func (r *Registry) bind(ctx context.Context, tx *store.Tx, d *Device, now time.Time) error {
	var epoch, trial int64
	err := tx.QueryRow(ctx, `INSERT INTO serials (serial, epoch) VALUES ($1, 1 + COALESCE((SELECT s.epoch FROM serials s WHERE s.serial = $2), 0))
		ON CONFLICT (serial) DO UPDATE SET epoch = serials.epoch + 1 RETURNING epoch, trial`, d.Serial, everyOther).Scan(&epoch, &trial)
	if err != nil {
		return err
	}
	d.Epoch = uint32(epoch)
	d.begin(Terms{}, now)
	if r.trial <= 0 || trial != 0 && now.Sub(store.Instant(trial)) < trialRest {
		return nil
	}
	d.begin(Terms{AdvancedUntil: store.Instant(now.Add(r.trial).UnixMilli())}, now)
	_, err = tx.Exec(ctx, `UPDATE serials SET trial = $1 WHERE serial = $2`, store.Millis(now), d.Serial)
	return err
}

// RefusedRegistration writes down that a registration was refused (LOG-1): in the log of who asked, and, where the unit has an owner
// and was really seen, in that owner's device's (T-89).
func RefusedRegistration(ctx context.Context, tx *store.Tx, actor cloud.Actor, serial string, refusal *cloud.Error) error {
	e := entry(actor, policy.Nobody, string(policy.DeviceRegister))
	e.Org, e.Outcome, e.Reason = actor.Org, eventlog.Refused, refusal.Reason
	e.Params = map[string]string{"serial": serial}
	if err := eventlog.Append(ctx, tx, e); err != nil || refusal.Reason != policy.AlreadyRegistered {
		return err
	}
	owned, err := list(ctx, tx, `SELECT `+columns+` FROM devices WHERE serial = $1 AND ended_at IS NULL`, serial)
	if err != nil || len(owned) == 0 || owned[0].Owner == actor.Account {
		return err
	}
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Device: owned[0].ID, Actor: cloud.SystemRef, Role: policy.Nobody, Action: claimed, Outcome: eventlog.Refused,
		Reason: policy.AlreadyRegistered, Request: actor.Request,
	})
}
