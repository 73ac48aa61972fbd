package job

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

const idPrefix = "j_"

// Bounds of a job, and what holds where a request does not say.
const (
	MaxDevices = 500

	DefaultAtOnce, MaxAtOnce = 10, 100

	// One in five of at least ten: a fault that all devices have stops a job of hundreds within its first orders, and one bad site stops none.
	DefaultPercent, DefaultAfter = 20, 10

	DefaultStart, MinStart, MaxStart = time.Hour, time.Minute, 24 * time.Hour
)

// States of a job. All but Running say that no further order is made; those that were made may be at work until Job.EndedAt.
const (
	Running   = "running"
	Completed = "completed" // every device had its turn, or the start window ended
	Cancelled = "cancelled" // by who asked for it, or since their sessions or account ended
	Aborted   = "aborted"   // too many failed
)

// States of a device in a job, while there is no order; with one, the order's state is told.
const (
	Waiting   = "waiting"
	Ordered   = "ordered"
	Refused   = "refused"
	Dropped   = "cancelled" // the job was stopped before its turn
	Expired   = "expired"   // the start window ended before its turn
	Withheld  = "withheld"  // who asks has no right to know any more
	markAsked = 1
)

// An Abort says when a job stops by itself: when at least After devices have ended and Percent of a hundred of these failed. Refused, failed,
// expired and unknown are failures; what was cancelled is neither, and what was refused at the request never began.
type Abort struct {
	Percent int // 1 to 100
	After   int // 1 to MaxDevices
}

// A Job is one request to many devices.
type Job struct {
	ID     string
	Actor  cloud.Actor // as it was at the request: Ref, Account, Org, MFA
	Action policy.Action
	Params map[string]string
	Reject bool // on_offline
	AtOnce int
	Abort  Abort

	Devices     int // that it began with
	RequestedAt time.Time
	StartUntil  time.Time
	State       string
	Detail      string
	DecidedAt   time.Time // when it left Running; zero: not yet
	EndedAt     time.Time // when the last of its orders had ended, too; zero: not yet
}

// dropsLoad reports whether its orders can switch off what units feed (see order.Order).
func (j *Job) dropsLoad() bool {
	return j.Action == policy.FirmwareUpgrade || ups.DropsLoad(string(j.Action), j.Params)
}

const columns = `id, actor, account, org, mfa, request, action, params, reject, at_once, abort_percent, abort_after, devices, requested_at,
	start_until, state, detail, decided_at, ended_at`

func scan(row interface{ Scan(...any) error }) (*Job, error) {
	j := &Job{}
	var params string
	var mfa, reject int
	var requested, until, decided, ended int64
	err := row.Scan(&j.ID, &j.Actor.Ref, &j.Actor.Account, &j.Actor.Org, &mfa, &j.Actor.Request, &j.Action, &params, &reject, &j.AtOnce,
		&j.Abort.Percent, &j.Abort.After, &j.Devices, &requested, &until, &j.State, &j.Detail, &decided, &ended)
	if err != nil {
		return nil, err
	}
	j.Actor.MFA, j.Reject = mfa != 0, reject != 0
	j.RequestedAt, j.StartUntil = store.Instant(requested), store.Instant(until)
	j.DecidedAt, j.EndedAt = store.Instant(decided), store.Instant(ended)
	return j, json.Unmarshal([]byte(params), &j.Params)
}

func (j *Job) insert(ctx context.Context, tx *store.Tx) error {
	params, err := json.Marshal(j.Params)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO jobs (`+columns+`, drops_load, turn) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
		$16, $17, 0, 0, $18, 0)`, j.ID, j.Actor.Ref, j.Actor.Account, j.Actor.Org, store.Flag(j.Actor.MFA), j.Actor.Request, j.Action, string(params),
		store.Flag(j.Reject), j.AtOnce, j.Abort.Percent, j.Abort.After, j.Devices, store.Millis(j.RequestedAt), store.Millis(j.StartUntil), j.State,
		j.Detail, store.Flag(j.dropsLoad()))
	return err
}

// update writes what can change.
func (j *Job) update(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, `UPDATE jobs SET state = $1, detail = $2, decided_at = $3, ended_at = $4 WHERE id = $5`,
		j.State, j.Detail, store.Millis(j.DecidedAt), store.Millis(j.EndedAt), j.ID)
	return err
}

// query returns the jobs a query finds.
func query(ctx context.Context, tx *store.Tx, rest string, args ...any) (out []*Job, err error) {
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM jobs `+rest, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		j, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	return out, rows.Err()
}

// take returns a job that has not ended for a step of whoever asks, and has everybody else who wants one wait for the end of this transaction;
// nil where there is none.
func take(ctx context.Context, tx *store.Tx, id string) (*Job, error) {
	j, err := scan(tx.QueryRow(ctx, `UPDATE jobs SET turn = turn + 1 WHERE id = $1 AND ended_at = 0 RETURNING `+columns, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return j, err
}
