package licence

import (
	"context"
	"database/sql"
	"errors"
	"time"
	"unicode/utf8"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/onetime"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// idLicence begins the id of a licence, which is what logs carry. It says nothing of the code.
const idLicence = "l_"

// A Licence is an activation code, without the code: each use gives one device days of a plan.
type Licence struct {
	ID       string
	Number   string // the first characters of the code, for who asks about it; nobody can use the code by it
	Plan     policy.Plan
	Days     int
	Uses     int
	Used     int
	Note     string // the operator's
	IssuedAt time.Time
	Expires  time.Time // of the code; zero: never
	Revoked  time.Time // zero: it is not

	sealed []byte
}

// Bounds of what can be issued.
const (
	MaxDays = 3660  // ten years
	MaxUses = 10000 // devices for one code
	maxNote = 200   // characters
)

// An Issue is what the operator asks for.
type Issue struct {
	Plan    policy.Plan // Standard or Advanced
	Days    int         // 1 to MaxDays
	Uses    int         // 1 to MaxUses
	Expires time.Time   // of the code; zero: never
	Note    string
}

func (i *Issue) check(now time.Time) error {
	switch {
	case i.Plan != policy.Standard && i.Plan != policy.Advanced:
		return cloud.RefuseField(policy.Malformed, "plan", "%.40q is no plan that can be bought: standard or advanced", i.Plan)
	case i.Days < 1 || i.Days > MaxDays:
		return cloud.RefuseField(policy.Malformed, "days", "%d is not a number from 1 to %d", i.Days, MaxDays)
	case i.Uses < 1 || i.Uses > MaxUses:
		return cloud.RefuseField(policy.Malformed, "uses", "%d is not a number from 1 to %d", i.Uses, MaxUses)
	case !i.Expires.IsZero() && !i.Expires.After(now):
		return cloud.RefuseField(policy.Malformed, "expires", "%s is over", i.Expires.UTC().Format(time.RFC3339))
	case utf8.RuneCountInString(i.Note) > maxNote || !eventlog.Printable(i.Note):
		return cloud.RefuseField(policy.Malformed, "note", "at most %d printable characters", maxNote)
	}
	return nil
}

// What the operator does stands in the log of the cloud, which no customer reads.
var (
	issued  = eventlog.Declare("licence.issue", eventlog.ByActor, "licence", "plan", "days", "uses", "expires")
	revoked = eventlog.Declare("licence.revoke", eventlog.ByActor, "licence")
)

const columns = `id, number, sealed, plan, days, uses, used, note, issued_at, expires_at, revoked_at`

func scan(row interface{ Scan(...any) error }) (*Licence, error) {
	var l Licence
	var issued, expires int64
	var revoked sql.NullInt64
	err := row.Scan(&l.ID, &l.Number, &l.sealed, &l.Plan, &l.Days, &l.Uses, &l.Used, &l.Note, &issued, &expires, &revoked)
	l.IssuedAt, l.Expires, l.Revoked = store.Instant(issued), store.Instant(expires), store.Instant(revoked.Int64)
	return &l, err
}

// Issue makes an activation code and returns it with what is kept of it: it is told this once. The error is MALFORMED.
func (s *Service) Issue(ctx context.Context, tx *store.Tx, i Issue) (l *Licence, code string, err error) {
	now := store.Instant(s.now().UnixMilli())
	if err := i.check(now); err != nil {
		return nil, "", err
	}
	l = &Licence{ID: cloud.NewID(idLicence), Plan: i.Plan, Days: i.Days, Uses: i.Uses, Note: i.Note, IssuedAt: now, Expires: i.Expires.UTC()}
	for {
		code = onetime.New(onetime.Licence)
		l.Number = number(code)
		n, err := tx.Exec(ctx, `INSERT INTO licences (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9, NULL) ON CONFLICT (number) DO NOTHING`,
			l.ID, l.Number, onetime.Seal(code), string(l.Plan), l.Days, l.Uses, l.Note, store.Millis(l.IssuedAt), store.Millis(l.Expires))
		if err != nil {
			return nil, "", err
		}
		if n == 1 {
			break // else another code has this number, once in 2^40
		}
	}
	return l, code, s.note(ctx, tx, issued, map[string]string{
		"licence": l.ID, "plan": string(l.Plan), "days": decimal(l.Days), "uses": decimal(l.Uses), "expires": instant(l.Expires),
	})
}

// note writes what the operator did into the log.
func (s *Service) note(ctx context.Context, tx *store.Tx, action string, params map[string]string) error {
	return eventlog.Append(ctx, tx, eventlog.Entry{At: s.now(), Actor: cloud.SystemRef, Action: action, Params: params, Outcome: eventlog.Done})
}

// List returns every licence, the oldest first.
func List(ctx context.Context, tx *store.Tx) (list []Licence, err error) {
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM licences ORDER BY issued_at, id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		l, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, *l)
	}
	return list, rows.Err()
}

// Revoke ends a code, by its id or its number: it can be used no more. What was done with it stays. NOT_FOUND where there is no such licence; one
// that is revoked already stays so.
func (s *Service) Revoke(ctx context.Context, tx *store.Tx, which string) (*Licence, error) {
	l, err := scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM licences WHERE id = $1 OR number = $2`, which, number(which)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, cloud.Refuse(policy.NotFound, "there is no such licence")
	}
	if err != nil || !l.Revoked.IsZero() {
		return l, err
	}
	l.Revoked = store.Instant(s.now().UnixMilli())
	if _, err := tx.Exec(ctx, `UPDATE licences SET revoked_at = $1 WHERE id = $2`, store.Millis(l.Revoked), l.ID); err != nil {
		return nil, err
	}
	return l, s.note(ctx, tx, revoked, map[string]string{"licence": l.ID})
}
