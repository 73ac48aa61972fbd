package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// A stand is how far a job is.
type stand struct {
	job     *Job
	gone    bool           // the account of who asked is no more
	waiting int            // devices whose turn has not come
	ready   int            // of those, that could be ordered now
	atWork  int            // orders without an end
	ended   map[string]int // devices that ended since it began, by state
}

// A move is what is to be done next with a job.
type move int

const (
	nothing move = iota
	closes       // every device has its end
	stops        // the account is gone
	expires      // the start window is over
	aborts       // too many failed
	orders       // the turn of the next device has come
)

// clockSlack is by how much the clocks of processes on one database may differ (see order.Book).
const clockSlack = time.Minute

// next decides. It is all there is to decide.
func (s *stand) next(now time.Time) move {
	j := s.job
	switch {
	case s.waiting+s.atWork == 0:
		return closes
	case j.State != Running:
		return nothing
	case s.gone:
		return stops
	case s.failing():
		return aborts
	case s.waiting == 0:
		return nothing
	case !now.Before(j.StartUntil) || j.RequestedAt.After(now.Add(clockSlack)): // a clock was set back: nobody knows how old it is
		return expires
	case s.atWork < j.AtOnce && s.ready > 0:
		return orders
	}
	return nothing
}

// failures are the states that count against a job.
var failures = []string{string(wire.OrderRefused), string(wire.OrderFailed), string(wire.OrderExpired), string(wire.OrderUnknown)}

// rate returns how many devices have ended by themselves, and how many of these failed.
func (s *stand) rate() (ended, failed int) {
	for _, state := range failures {
		failed += s.ended[state]
	}
	return failed + s.ended[string(wire.OrderDone)], failed
}

func (s *stand) failing() bool {
	ended, failed := s.rate()
	return ended >= s.job.Abort.After && failed*100 >= ended*s.job.Abort.Percent
}

// look reads how far a job is.
func (d *Desk) look(ctx context.Context, tx *store.Tx, j *Job) (*stand, error) {
	s := &stand{job: j, ended: map[string]int{}}
	if err := s.tally(ctx, tx); err != nil {
		return nil, err
	}
	if j.State != Running || s.waiting+s.atWork == 0 {
		return s, nil
	}
	who, err := account.ByID(ctx, tx, j.Actor.Account)
	if err != nil {
		return nil, err
	}
	s.gone = who == nil
	err = tx.QueryRow(ctx, `SELECT COUNT(*) FROM (`+j.readyOnes()+`) r`, j.ID).Scan(&s.ready)
	return s, err
}

func (s *stand) tally(ctx context.Context, tx *store.Tx) error {
	rows, err := tx.Query(ctx, `SELECT jd.state, COALESCE(o.state, ''), CASE WHEN o.final_at = 0 THEN 1 ELSE 0 END, COUNT(*) FROM job_devices jd
		LEFT JOIN orders o ON o.id = jd.order_id WHERE jd.job = $1 AND jd.asked = 0 GROUP BY 1, 2, 3`, s.job.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var own, ordered string
		var open, n int
		if err := rows.Scan(&own, &ordered, &open, &n); err != nil {
			return err
		}
		switch {
		case own == Waiting:
			s.waiting += n
		case own != Ordered:
			s.ended[own] += n
		case open != 0:
			s.atWork += n
		default:
			s.ended[ordered] += n
		}
	}
	return rows.Err()
}

// readyOnes finds the devices of the job $1 that could be ordered now, in the order of the request. With queue those wait whose agent is away; a
// device that is none any more waits for nothing.
func (j *Job) readyOnes() string {
	q := `SELECT jd.number, jd.device FROM job_devices jd LEFT JOIN devices d ON d.id = jd.device WHERE jd.job = $1 AND jd.state = 'waiting'`
	if !j.Reject {
		q += ` AND (d.id IS NULL OR d.ended_at IS NOT NULL OR ` + order.Reachable + `)`
	}
	return q + ` ORDER BY jd.number`
}

// mostOnce is how many devices have their turn in one transaction: others want to write, too.
const mostOnce = 16

// proceed does what is to be done now, within bounds. more says that there may be more.
func (d *Desk) proceed(ctx context.Context, tx *store.Tx, j *Job) (more bool, err error) {
	for range mostOnce {
		s, err := d.look(ctx, tx, j)
		if err != nil {
			return false, err
		}
		switch now := d.now(); s.next(now) {
		case nothing:
			return false, nil
		case closes:
			return false, d.closeJob(ctx, tx, s, now)
		case stops:
			err = d.stop(ctx, tx, j, cloud.System(j.Actor.Request), Cancelled, "the account of who asked is no more")
		case expires:
			err = d.settle(ctx, tx, j, Expired, policy.Expired, "the start window of the job ended before its turn", now)
		case aborts:
			ended, failed := s.rate()
			why := fmt.Sprintf("%d of the %d devices that ended have failed", failed, ended)
			err = d.stop(ctx, tx, j, cloud.System(j.Actor.Request), Aborted, why)
		case orders:
			err = d.turn(ctx, tx, j)
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// turn makes the order of the next device, or writes down why there is none. Everything is judged as of now (PERM-10).
func (d *Desk) turn(ctx context.Context, tx *store.Tx, j *Job) error {
	var number int
	var id string
	if err := tx.QueryRow(ctx, j.readyOnes()+` LIMIT 1`, j.ID).Scan(&number, &id); err != nil {
		return err
	}
	r := j.request(id)
	made, err := d.orders.Create(ctx, tx, j.Actor, r)
	var refusal *cloud.Error
	switch {
	case errors.As(err, &refusal):
		return d.refuse(ctx, tx, j, r, number, refusal)
	case err != nil:
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE job_devices SET state = $1, order_id = $2, at = $3 WHERE job = $4 AND number = $5`,
		Ordered, made.ID.String(), store.Millis(d.now()), j.ID, number)
	return err
}

// request is that for one device.
func (j *Job) request(device string) order.Request {
	return order.Request{Device: device, Action: j.Action, Params: j.Params, Reject: j.Reject, Job: j.ID}
}

// refuse ends a device whose turn came to nothing, and logs it as the refusal of a single order is.
func (d *Desk) refuse(ctx context.Context, tx *store.Tx, j *Job, r order.Request, number int, why *cloud.Error) error {
	if errors.Is(why, device.ErrNone) {
		why = &cloud.Error{Reason: policy.GrantStale, Detail: "who asked has no right on the device any more"}
	}
	_, err := tx.Exec(ctx, `UPDATE job_devices SET state = $1, reason = $2, detail = $3, at = $4 WHERE job = $5 AND number = $6`,
		Refused, why.Reason, why.Detail, store.Millis(d.now()), j.ID, number)
	if err != nil {
		return err
	}
	return d.orders.Refused(ctx, tx, j.Actor, r, why)
}

// settle ends all that wait.
func (d *Desk) settle(ctx context.Context, tx *store.Tx, j *Job, state string, reason policy.Reason, why string, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE job_devices SET state = $1, reason = $2, detail = $3, at = $4 WHERE job = $5 AND state = 'waiting'`,
		state, reason, why, store.Millis(now), j.ID)
	return err
}

// stop has nothing of a job begin any more: what waits is cancelled, with the orders that have not begun. What runs goes on.
func (d *Desk) stop(ctx context.Context, tx *store.Tx, j *Job, by cloud.Actor, state, why string) error {
	now := d.now()
	why = "the job was " + state + ": " + why
	j.State, j.Detail, j.DecidedAt = state, why, now
	if err := j.update(ctx, tx); err != nil {
		return err
	}
	if err := d.settle(ctx, tx, j, Dropped, policy.Cancelled, why, now); err != nil {
		return err
	}
	if err := logStop(ctx, tx, j, by, now); err != nil {
		return err
	}
	tx.After(d.Wake)
	return d.orders.StopJob(ctx, tx, j.Actor, j.ID, why)
}

// closeJob ends a job whose devices have all ended.
func (d *Desk) closeJob(ctx context.Context, tx *store.Tx, s *stand, now time.Time) error {
	j := s.job
	if j.State == Running {
		j.State, j.DecidedAt = Completed, now
	}
	j.EndedAt = now
	if err := j.update(ctx, tx); err != nil {
		return err
	}
	return logEnd(ctx, tx, s, now)
}
