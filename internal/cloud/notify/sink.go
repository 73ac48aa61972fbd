package notify

import (
	"context"
	"strconv"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// An event is something that has happened to a device, as notification_events has it.
type event struct {
	id       int64
	device   string
	code     string
	step     Step
	severity ups.Severity
	words    string
	detail   string
	outlet   string
	at       time.Time // of one whose time is not known: its arrival
	certain  bool
	arrived  time.Time
}

// Event is for ingest.Sinks.Event. Of what is no alarm of a device it asks nothing; of one, whether some policy that is on has the device, by
// indices.
func (s *Service) Event(ctx context.Context, tx *store.Tx, agent string, at ingest.Stored, p *wire.PublishedEvent) error {
	if p.Event == nil || p.Event.Device == "" {
		return nil
	}
	e := eventOf(at, p.Event)
	dev, err := wantedBy(ctx, tx, e, `d.serial = $1 AND d.epoch = $2 AND d.agent = $3`, p.Event.Device, int64(at.Record.Epoch), agent)
	if err != nil || dev == "" {
		return err
	}
	d, err := device.Get(ctx, tx, dev)
	if err != nil {
		return err
	}
	if d.PlanAt(s.Now()) == policy.Basic { // nobody is told of what happens on Basic, now or later (PERM-4, PLAN-7)
		return nil
	}
	e.device = dev
	return s.keep(ctx, tx, e, s.Now())
}

// eventOf takes over what may be believed of an event: the catalogue's words where it has the id, and one line of printable characters.
func eventOf(at ingest.Stored, u *ups.Event) *event {
	e := &event{
		code: strconv.Itoa(int(u.ID)), severity: u.Severity, words: eventlog.Clean(u.Text), detail: eventlog.Clean(u.Detail),
		at: at.Time.At, certain: at.Time.Kind != ingest.Bounded, arrived: at.Arrived,
	}
	if known := ups.AlarmByID(u.ID); known.ID != 0 {
		e.words = known.Text
	}
	if u.Group != ups.NoGroup {
		e.outlet = u.Group.String()
	}
	switch u.Kind {
	case ups.Clear:
		e.step = Cleared
	case ups.Moment:
		e.step = Moment
	default:
		e.step = Raised
	}
	if !e.certain || e.at.After(e.arrived) { // a clock that is ahead tells nothing of the future
		e.at = e.arrived
	}
	return e
}

// wantedBy asks which device a condition names and whether a policy that is on wants the event of it; "" where none does.
func wantedBy(ctx context.Context, tx *store.Tx, e *event, where string, args ...any) (dev string, err error) {
	rows, err := tx.Query(ctx, `SELECT d.id, `+selectionColumns+` FROM devices d JOIN notification_members m ON m.device = d.id
		JOIN notification_policies p ON p.id = m.policy WHERE `+where+` AND d.ended_at IS NULL AND p.enabled = 1`, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() && dev == "" {
		var id string
		var sel selectionRow
		if err := rows.Scan(append([]any{&id}, sel.into()...)...); err != nil {
			return "", err
		}
		if p := sel.selection(); p.wants(e.code, e.severity, e.step) {
			dev = id
		}
	}
	return dev, rows.Err()
}

// keep writes an event down, to be spread from due on.
func (s *Service) keep(ctx context.Context, tx *store.Tx, e *event, due time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO notification_events (device, code, step, severity, words, detail, outlet, at, certain, arrived_at, due_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, e.device, e.code, string(e.step), int64(e.severity), e.words, e.detail, e.outlet,
		e.at.UnixMilli(), store.Flag(e.certain), e.arrived.UnixMilli(), due.UnixMilli())
	tx.After(s.nudge)
	return err
}

// silenceRests is how long an agent must be away, once TIME-4 has it as silent or it has said goodbye, before anybody is told: a box that
// restarts is none's business.
const silenceRests = time.Minute

// Presence is for ingest.Sinks.Presence, before package device takes note of it: what matters is whether it is news (TIME-4).
func (s *Service) Presence(ctx context.Context, tx *store.Tx, agent string, online bool, at time.Time) error {
	devices, err := tx.Texts(ctx, `SELECT DISTINCT d.id FROM devices d JOIN agent_presence a ON a.agent = d.agent JOIN notification_members m ON m.device = d.id
		JOIN notification_policies p ON p.id = m.policy WHERE d.agent = $1 AND a.online <> $2 AND d.ended_at IS NULL AND p.enabled = 1 AND p.silence = 1 ORDER BY d.id`,
		agent, store.Flag(online))
	if err != nil {
		return err
	}
	for _, dev := range devices {
		d, err := device.Get(ctx, tx, dev)
		if err != nil {
			return err
		}
		if d.PlanAt(s.Now()) == policy.Basic { // as in Event
			continue
		}
		e := &event{device: dev, code: Silence, step: Raised, severity: ups.Warning, words: "no communication", at: at, certain: true, arrived: at}
		if online {
			// Nobody was told of the beginning yet: then there is no end to tell.
			n, err := tx.Exec(ctx, `DELETE FROM notification_events WHERE device = $1 AND code = $2 AND step = 'raised'`, dev, Silence)
			if err != nil {
				return err
			}
			if n > 0 {
				continue
			}
			e.step = Cleared
		}
		due := s.Now()
		if !online {
			due = due.Add(silenceRests)
		}
		if err := s.keep(ctx, tx, e, due); err != nil {
			return err
		}
	}
	return nil
}
