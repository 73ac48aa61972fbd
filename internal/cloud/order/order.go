package order

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
	"upsedge/internal/wire"
)

// An Order is what somebody asked a device to do, and what became of it.
type Order struct {
	ID     wire.ID // of the command, too
	Device string  // its id, which stands for one epoch
	Serial string
	Epoch  uint32
	Agent  string
	Org    string // of the device

	Action  policy.Action
	Params  map[string]string // complete
	Actor   cloud.Actor       // as it was at the request: Ref, Account, Org and MFA
	Role    policy.Role       // at the request
	Plan    policy.Plan       // at the request
	Request string
	Job     string // of many devices, of which it is one; "": somebody asked for it alone
	Reject  bool   // it ends instead of waiting for an agent that is away

	RequestedAt, ExpiresAt time.Time // what has not begun by ExpiresAt never does

	State    wire.OrderState // or Pending or Sent
	Reason   policy.Reason
	Progress int // 1 to 100 while it runs and the unit tells, else 0
	Detail   string
	Raw      map[string]*int64 // registers that decided it, by point; nil values were not there
	Decided  string            // ByCloud or ByAgent
	Late     *Late             // what the agent told behind the end; nil: nothing
	Target   string            // of order.cancel: the order it cancels
	Cancel   string            // the order.cancel that asks for its end; "": nobody did

	Session, Counter, Grant uint64 // with which it was sent last; Grant before that: with which it was judged last
	Attempts                int    // how often it was sent
	SentAt                  time.Time
	Withheld                bool // it was sent, and is not any more: the right to it has ended since. The agent may have it

	UpdatedAt, FinalAt time.Time // zero: not yet
	due                time.Time // when it has to be looked at
}

// Late is what an agent told of an order that had its final state: a link that was down for longer than we wait. It is shown and
// changes nothing.
type Late struct {
	State  wire.OrderState
	Reason policy.Reason
	Detail string
	At     time.Time // of its arrival
}

// dropsLoad reports whether the order can switch off what the unit feeds: its number is limited, and people are told (T-07).
func (o *Order) dropsLoad() bool {
	return o.Action == policy.FirmwareUpgrade || ups.DropsLoad(string(o.Action), o.Params)
}

const columns = `id, device, serial, epoch, agent, org, action, params, actor, account, account_org, mfa, role, plan, request, requested_at,
	expires_at, drops_load, target, cancel, state, reason, progress, detail, raw, decided, late_state, late_reason, late_detail, late_at, session,
	counter, attempts, sent_at, sent_grant, withheld, due_at, updated_at, final_at, job, reject`

type scanner interface{ Scan(dst ...any) error }

func scan(row scanner) (*Order, error) {
	o := &Order{}
	var id, params, raw string
	var late Late
	var mfa, drops, withheld, reject int
	var requested, expires, lateAt, sent, due, updated, final int64
	err := row.Scan(&id, &o.Device, &o.Serial, &o.Epoch, &o.Agent, &o.Org, &o.Action, &params, &o.Actor.Ref, &o.Actor.Account, &o.Actor.Org, &mfa,
		&o.Role, &o.Plan, &o.Request, &requested, &expires, &drops, &o.Target, &o.Cancel, &o.State, &o.Reason, &o.Progress, &o.Detail, &raw,
		&o.Decided, &late.State, &late.Reason, &late.Detail, &lateAt, &o.Session, &o.Counter, &o.Attempts, &sent, &o.Grant, &withheld, &due, &updated, &final,
		&o.Job, &reject)
	if err != nil {
		return nil, err
	}
	o.Actor.MFA, o.Actor.Request, o.Withheld, o.Reject = mfa != 0, o.Request, withheld != 0, reject != 0
	o.RequestedAt, o.ExpiresAt, o.SentAt = store.Instant(requested), store.Instant(expires), store.Instant(sent)
	o.due, o.UpdatedAt, o.FinalAt = store.Instant(due), store.Instant(updated), store.Instant(final)
	if late.State != "" {
		late.At = store.Instant(lateAt)
		o.Late = &late
	}
	err = errors.Join(o.ID.UnmarshalText([]byte(id)), json.Unmarshal([]byte(params), &o.Params))
	if raw != "" {
		err = errors.Join(err, json.Unmarshal([]byte(raw), &o.Raw))
	}
	return o, err
}

// insert writes a new order.
func (o *Order) insert(ctx context.Context, tx *store.Tx) error {
	params, err := json.Marshal(o.Params)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO orders (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
		$18, $19, $20, $21, '', 0, $22, '', $23, '', '', '', 0, 0, 0, 0, 0, $24, 0, $25, $26, $27, $28, $29)`,
		o.ID.String(), o.Device, o.Serial, o.Epoch, o.Agent, o.Org, o.Action, string(params), o.Actor.Ref, o.Actor.Account, o.Actor.Org, store.Flag(o.Actor.MFA),
		o.Role, o.Plan, o.Request, store.Millis(o.RequestedAt), store.Millis(o.ExpiresAt), store.Flag(o.dropsLoad()), o.Target, o.Cancel, o.State, o.Detail,
		o.Decided, o.Grant, store.Millis(o.due), store.Millis(o.UpdatedAt), store.Millis(o.FinalAt), o.Job, store.Flag(o.Reject))
	return err
}

// update writes what can change.
func (o *Order) update(ctx context.Context, tx *store.Tx) error {
	raw := ""
	if o.Raw != nil {
		b, err := json.Marshal(o.Raw)
		if err != nil {
			return err
		}
		raw = string(b)
	}
	var late Late
	if o.Late != nil {
		late = *o.Late
	}
	_, err := tx.Exec(ctx, `UPDATE orders SET cancel = $1, state = $2, reason = $3, progress = $4, detail = $5, raw = $6, decided = $7, late_state = $8,
		late_reason = $9, late_detail = $10, late_at = $11, session = $12, counter = $13, attempts = $14, sent_at = $15, sent_grant = $16, withheld = $17,
		due_at = $18, updated_at = $19, final_at = $20 WHERE id = $21`,
		o.Cancel, o.State, o.Reason, o.Progress, o.Detail, raw, o.Decided, late.State, late.Reason, late.Detail, store.Millis(late.At), o.Session, o.Counter,
		o.Attempts, store.Millis(o.SentAt), o.Grant, store.Flag(o.Withheld), store.Millis(o.due), store.Millis(o.UpdatedAt), store.Millis(o.FinalAt), o.ID.String())
	return err
}

// load returns an order; nil when there is none.
func load(ctx context.Context, tx *store.Tx, id string) (*Order, error) {
	o, err := scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM orders WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return o, err
}

// query returns the orders a query finds; its columns are columns.
func query(ctx context.Context, tx *store.Tx, rest string, args ...any) (out []*Order, err error) {
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM orders `+rest, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		o, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, rows.Err()
}
