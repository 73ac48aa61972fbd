package job

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

var errNone = cloud.Refuse(policy.NotFound, "there is no such job")

// An Item is one device of a job.
type Item struct {
	Number int // its place in the request, from 1
	Device string
	State  string // Waiting, Refused, Dropped, Expired, Withheld, or that of its order
	Reason policy.Reason
	Detail string
	Order  string      // ""; none was made
	Late   *order.Late // what its agent told when the order had ended already; nil: nothing
	At     time.Time   // of the state
	Final  bool
}

// Counts says how many devices of a job are in which state: Waiting, "at_work", Withheld, and the final states. Known is the same where a late
// report counts in place of the end that the cloud gave for want of one: what is known now, beside what was decided then.
type Counts struct {
	Ended, Known map[string]int
}

// AtWork stands in Counts for every state of an order that is no end.
const AtWork = "at_work"

// A Position is where a list of jobs goes on: behind this one.
type Position struct {
	At time.Time `json:"at"`
	ID string    `json:"id"`
}

// Position returns where a list goes on behind j.
func (j *Job) Position() Position { return Position{j.RequestedAt, j.ID} }

// List returns the jobs of an account, the newest first, behind a position (nil: from the newest), at most limit.
func List(ctx context.Context, tx *store.Tx, actor cloud.Actor, after *Position, limit int) ([]*Job, error) {
	if after == nil {
		return query(ctx, tx, `WHERE account = $1 ORDER BY requested_at DESC, id DESC LIMIT $2`, actor.Account, limit)
	}
	return query(ctx, tx, `WHERE account = $1 AND (requested_at < $2 OR requested_at = $2 AND id < $3) ORDER BY requested_at DESC, id DESC LIMIT $4`,
		actor.Account, store.Millis(after.At), after.ID, limit)
}

// own returns a job of an account; of others there is none.
func own(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (*Job, error) {
	list, err := query(ctx, tx, `WHERE id = $1 AND account = $2`, id, actor.Account)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errNone
	}
	return list[0], nil
}

// Get returns a job of one's own with all its devices. Of a device on which its reader has no right any more, or has it anew since, nothing is
// told that the request did not say (PERM-10, LOG-7).
func (d *Desk) Get(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (*Job, []Item, error) {
	j, err := own(ctx, tx, actor, id)
	if err != nil {
		return nil, nil, err
	}
	list, err := items(ctx, tx, id)
	if err != nil {
		return nil, nil, err
	}
	owned, err := tx.Texts(ctx, `SELECT jd.device FROM job_devices jd JOIN devices d ON d.id = jd.device WHERE jd.job = $1 AND d.owner = $2 AND d.ended_at IS NULL`,
		id, actor.Account)
	if err != nil {
		return nil, nil, err
	}
	mine := map[string]bool{}
	for _, id := range owned {
		mine[id] = true
	}
	for n := range list {
		i := &list[n]
		if mine[i.Device] || i.State == Refused && i.Order == "" {
			continue // of a refusal it was told
		}
		_, right, err := device.May(ctx, tx, actor, i.Device, policy.EventLogRead, d.now())
		if refused := (*cloud.Error)(nil); asRefusal(err, &refused) || err == nil && right.Since.After(j.RequestedAt) {
			*i = Item{Number: i.Number, Device: i.Device, State: Withheld, At: j.RequestedAt}
		} else if err != nil {
			return nil, nil, err
		}
	}
	return j, list, nil
}

// items reads the devices of a job, with what their orders say.
func items(ctx context.Context, tx *store.Tx, id string) (out []Item, err error) {
	rows, err := tx.Query(ctx, `SELECT jd.number, jd.device, jd.order_id, jd.state, jd.reason, jd.detail, jd.at, COALESCE(o.state, ''), COALESCE(o.reason, ''),
		COALESCE(o.detail, ''), COALESCE(o.updated_at, 0), COALESCE(o.late_state, ''), COALESCE(o.late_reason, ''), COALESCE(o.late_detail, ''),
		COALESCE(o.late_at, 0) FROM job_devices jd LEFT JOIN orders o ON o.id = jd.order_id WHERE jd.job = $1 ORDER BY jd.number`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var i, of Item
		var late order.Late
		var at, updated, lateAt int64
		err := rows.Scan(&i.Number, &i.Device, &i.Order, &i.State, &i.Reason, &i.Detail, &at, &of.State, &of.Reason, &of.Detail, &updated,
			&late.State, &late.Reason, &late.Detail, &lateAt)
		if err != nil {
			return nil, err
		}
		i.At, i.Final = store.Instant(at), i.State != Waiting
		if i.State == Ordered {
			i.State, i.Reason, i.Detail, i.At = of.State, of.Reason, of.Detail, store.Instant(updated)
			i.Final = wire.OrderState(i.State).Final()
		}
		if late.State != "" {
			late.At = store.Instant(lateAt)
			i.Late = &late
		}
		out = append(out, i)
	}
	return out, rows.Err()
}

// Count counts devices.
func Count(list []Item) Counts {
	c := Counts{map[string]int{}, map[string]int{}}
	for _, i := range list {
		state := i.State
		if !i.Final && state != Waiting && state != Withheld {
			state = AtWork
		}
		c.Ended[state]++
		if i.Late != nil {
			state = string(i.Late.State)
		}
		c.Known[state]++
	}
	return c
}
