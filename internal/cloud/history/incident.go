package history

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// An Incident is an alarm from its raise to its clear, or an event that has no end.
type Incident struct {
	ID       string // "i_…"
	Event    ups.AlarmID
	Outlet   string // main, sog0 … of an event about one outlet group
	Moment   bool   // it has no end
	Severity string
	Text     string
	Detail   string
	Raised   time.Time
	Certain  bool      // whether Raised is known, and not only its arrival
	Arrived  time.Time // here
	Cleared  time.Time // zero while it lasts, and for one without an end
	Inferred bool      // the clear was found, not seen to happen
}

// TakeEvent is for ingest.Sinks.Event: it keeps the alarms of devices as incidents, in the transaction that stores them.
func TakeEvent(ctx context.Context, tx *store.Tx, agent string, s ingest.Stored, p *wire.PublishedEvent) error {
	if p.Event == nil || p.Event.Device == "" {
		return nil
	}
	d, err := device.BySerial(ctx, tx, agent, p.Event.Device, s.Record.Epoch)
	if refusal := (*cloud.Error)(nil); errors.As(err, &refusal) && refusal.Reason == policy.NotFound {
		return nil
	} else if err != nil {
		return err
	}
	at, certain := s.Record.Stamp.Wall, true
	if at.IsZero() {
		if at, certain, err = ingest.PlaceAt(ctx, tx, agent, s.Record.Stamp.BootID, s.Record.Stamp.Mono); err != nil {
			return err
		}
		if !certain {
			at = s.Arrived
		}
	}
	if p.Event.ID == settingChanged {
		if err := logSetting(ctx, tx, d.ID, at, s.Arrived, p.Event.Detail); err != nil {
			return err
		}
	}
	if p.Event.Kind == ups.Clear {
		return clearIncident(ctx, tx, d.ID, s, p.Event, at, certain)
	}
	return raiseIncident(ctx, tx, d.ID, s, p.Event, at, certain)
}

func raiseIncident(ctx context.Context, tx *store.Tx, dev string, s ingest.Stored, e *ups.Event, at time.Time, certain bool) error {
	outlet := ""
	if e.Group != ups.NoGroup {
		outlet = e.Group.String()
	}
	stream := s.Record.Stream
	if _, err := tx.Exec(ctx, `INSERT INTO incidents (id, device, stream, seq, event_id, outlet, kind, severity, text, detail, raised_at, certain, arrived_at, inferred)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (device, stream, seq) DO NOTHING`,
		cloud.NewID("i_"), dev, stream[:], int64(s.Record.Seq), int64(e.ID), outlet, e.Kind.String(), e.Severity.String(), e.Text, e.Detail,
		at.UnixMilli(), store.Flag(certain), s.Arrived.UnixMilli(), 0); err != nil || e.Kind == ups.Moment {
		return err
	}
	// Records of one lane arrive nearly in order: the clear may have been here before.
	var seq, cleared int64
	var known, inferred int
	err := tx.QueryRow(ctx, `DELETE FROM early_clears WHERE device = $1 AND stream = $2 AND raised = $3 RETURNING seq, at, certain, inferred`, dev, stream[:], int64(s.Record.Seq)).
		Scan(&seq, &cleared, &known, &inferred)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE incidents SET cleared_at = $1, cleared_seq = $2, cleared_certain = $3, inferred = $4 WHERE device = $5 AND stream = $6 AND seq = $7`,
		cleared, seq, known, inferred, dev, stream[:], int64(s.Record.Seq))
	return err
}

// clearIncident ends the incident that a clear names. One that names none, as its raise was lost with its stream, ends what is open of its kind.
func clearIncident(ctx context.Context, tx *store.Tx, dev string, s ingest.Stored, e *ups.Event, at time.Time, certain bool) error {
	stream := s.Record.Stream
	if e.RaisedBy != 0 {
		n, err := tx.Exec(ctx, `UPDATE incidents SET cleared_at = $1, cleared_seq = $2, cleared_certain = $3, inferred = $4
			WHERE device = $5 AND stream = $6 AND seq = $7 AND cleared_at IS NULL`,
			at.UnixMilli(), int64(s.Record.Seq), store.Flag(certain), store.Flag(e.Inferred), dev, stream[:], int64(e.RaisedBy))
		if err != nil || n > 0 {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO early_clears (device, stream, raised, seq, at, certain, inferred) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
			dev, stream[:], int64(e.RaisedBy), int64(s.Record.Seq), at.UnixMilli(), store.Flag(certain), store.Flag(e.Inferred))
		return err
	}
	outlet := ""
	if e.Group != ups.NoGroup {
		outlet = e.Group.String()
	}
	_, err := tx.Exec(ctx, `UPDATE incidents SET cleared_at = $1, cleared_seq = $2, inferred = $3
		WHERE device = $4 AND event_id = $5 AND outlet = $6 AND kind = 'raise' AND cleared_at IS NULL`,
		at.UnixMilli(), int64(s.Record.Seq), store.Flag(e.Inferred), dev, int64(e.ID), outlet) // its number is one of another stream: its time is not mended
	return err
}

// A Position is where an incident stands in a list: newest first.
type Position struct {
	At int64  `json:"at"`
	ID string `json:"id"`
}

// Incidents returns up to limit incidents of a device behind a position (nil: from the newest), newest first. open asks for those alone that last.
func Incidents(ctx context.Context, tx *store.Tx, dev string, open bool, behind *Position, limit int) (out []Incident, err error) {
	if behind == nil {
		behind = &Position{At: 1<<62 - 1}
	}
	query := `SELECT id, event_id, outlet, kind, severity, text, detail, raised_at, certain, arrived_at, cleared_at, inferred FROM incidents
		WHERE device = $1 AND (raised_at < $2 OR raised_at = $2 AND id < $3)`
	if open {
		query += ` AND kind = 'raise' AND cleared_at IS NULL`
	}
	rows, err := tx.Query(ctx, query+` ORDER BY raised_at DESC, id DESC LIMIT $4`, dev, behind.At, behind.ID, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var i Incident
		var event, raised, arrived int64
		var cleared sql.NullInt64
		var kind string
		var certain, inferred int
		if err := rows.Scan(&i.ID, &event, &i.Outlet, &kind, &i.Severity, &i.Text, &i.Detail, &raised, &certain, &arrived, &cleared, &inferred); err != nil {
			return nil, err
		}
		i.Event, i.Moment, i.Certain, i.Inferred = ups.AlarmID(event), kind != ups.Raise.String(), certain != 0, inferred != 0
		i.Raised, i.Arrived = time.UnixMilli(raised).UTC(), time.UnixMilli(arrived).UTC()
		if cleared.Valid {
			i.Cleared = time.UnixMilli(cleared.Int64).UTC()
		}
		out = append(out, i)
	}
	return out, rows.Err()
}

// PositionOf says where an incident stands.
func PositionOf(i Incident) any { return Position{i.Raised.UnixMilli(), i.ID} }
