package eventlog

import (
	"context"
	"fmt"
	"strings"
	"time"

	"upsedge/internal/cloud/store"
)

// A View is what somebody may see. Who fills it in has asked the matrix for eventlog.read.
type View struct {
	Device string    // the entries of this device; "": of the organisation
	Since  time.Time // of a device: none from before; for who was given a right on it later (LOG-7). Zero: all
	Owner  bool      // of a device: what ByOwner entries say, too

	// Without a device: the entries of Org, and of the devices that Account owns. Nobody sees what another member alone may see.
	Org, Account string
	Actor        string // reference of who looks
}

// A Filter narrows a view. Zero fields let everything pass.
type Filter struct {
	From, To                       time.Time // of the event: From <= time < To
	Device, Actor, Action, Outcome string
}

// A Position is where an entry stands in a list: by the time of the event, then by number. What arrives late gets its place by its own
// time (LOG-6), also on a page that was read before.
type Position struct {
	At    int64  `json:"t"`
	Chain string `json:"c"`
	N     int64  `json:"n"`
}

// Position returns where the entry stands.
func (l *Logged) Position() Position { return Position{l.At.UnixMilli(), l.Chain, l.Number} }

// query collects a statement with its arguments.
type query struct {
	where []string
	args  []any
}

// and adds a condition; each "?" in it stands for one more argument.
func (q *query) and(condition string, args ...any) {
	for _, a := range args {
		q.args = append(q.args, a)
		condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(q.args)), 1)
	}
	q.where = append(q.where, condition)
}

func (v *View) where(q *query) {
	if v.Device != "" {
		q.and("chain = ?", v.Device)
		if !v.Since.IsZero() {
			q.and("at >= ? AND arrived >= ?", v.Since.UnixMilli(), v.Since.UnixMilli())
		}
		level := ByReaders
		if v.Owner {
			level = ByOwner
		}
		q.and("action NOT IN (" + quoted(notSeen(level)) + ")")
		return
	}
	q.and("org = ?", v.Org)
	q.and("(device = '' OR device IN (SELECT id FROM devices WHERE owner = ? AND ended_at IS NULL))", v.Account)
	q.and("(actor = ? OR action NOT IN ("+quoted(notSeen(ByOwner))+"))", v.Actor)
}

// quoted is for names of actions: letters, a dot and underscores.
func quoted(names []string) string {
	if len(names) == 0 {
		return "''"
	}
	return "'" + strings.Join(names, "', '") + "'"
}

func (f *Filter) where(q *query) {
	if !f.From.IsZero() {
		q.and("at >= ?", f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		q.and("at < ?", f.To.UnixMilli())
	}
	for _, one := range []struct{ column, value string }{{"device", f.Device}, {"actor", f.Actor}, {"action", f.Action}, {"outcome", f.Outcome}} {
		if one.value != "" {
			q.and(one.column+" = ?", one.value)
		}
	}
}

// List returns entries of a view, the newest first: at most limit, those behind after (nil: from the beginning).
func List(ctx context.Context, tx *store.Tx, v View, f Filter, after *Position, limit int) ([]*Logged, error) {
	return list(ctx, tx, v, f, after, limit, "<", "DESC")
}

func list(ctx context.Context, tx *store.Tx, v View, f Filter, after *Position, limit int, behind, order string) (out []*Logged, err error) {
	if v.Device == "" && v.Org == "" {
		return nil, nil // nobody sees nothing
	}
	q := &query{}
	v.where(q)
	f.where(q)
	if after != nil {
		q.and("(at, chain, n) "+behind+" (?, ?, ?)", after.At, after.Chain, after.N)
	}
	q.args = append(q.args, limit)
	rows, err := tx.Query(ctx, fmt.Sprintf(`SELECT `+columns+` FROM event_log WHERE %s ORDER BY at %[2]s, chain %[2]s, n %[2]s LIMIT $%[3]d`,
		strings.Join(q.where, " AND "), order, len(q.args)), q.args...)
	if err != nil {
		return nil, fmt.Errorf("event log: list: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		l, _, err := scan(rows) // what is not plain is shown as it stands: Verify names it
		if err != nil {
			return nil, fmt.Errorf("event log: list: %w", err)
		}
		out = append(out, l)
	}
	return out, rows.Err()
}
