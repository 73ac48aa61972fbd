package job

import (
	"context"
	"errors"
	"slices"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A Request asks for a job. Nil is what holds where nothing is said.
type Request struct {
	Devices     []string
	Action      policy.Action
	Params      map[string]string
	OnOffline   string // Queue, Reject, or "" for Queue
	AtOnce      *int
	Percent     *int
	After       *int
	StartWithin *int // seconds
}

// What is done about an agent that is away.
const (
	Queue  = "queue"  // it is waited for
	Reject = "reject" // the order is refused
)

// An Outcome is what was said of one device of a request.
type Outcome struct {
	Device  string
	Refused *cloud.Error // nil: it is part of the job
}

// A RefusedError says that every device was refused, so that there is no job. It unwraps to the first refusal.
type RefusedError struct {
	First    *cloud.Error
	Outcomes []Outcome
}

func (e *RefusedError) Error() string { return e.First.Error() }

// Unwrap returns the first refusal.
func (e *RefusedError) Unwrap() error { return e.First }

// Create takes a job. Each device is judged as an order of its own would be, in the order of the request; those that are refused are logged and
// left out. Behind that, as of a single order, come a fresh second factor where the action asks for one (D-18), once, and the limits (T-07).
// The error is a *cloud.Error, or a *RefusedError where no device is left: the transaction is then given up, and LogRefused logs it.
func (d *Desk) Create(ctx context.Context, tx *store.Tx, actor cloud.Actor, r Request) (*Job, []Outcome, error) {
	now := d.now().UTC().Truncate(time.Millisecond)
	j, err := r.job(actor, now)
	if err != nil {
		return nil, nil, err
	}
	outcomes, refused, err := d.judge(ctx, tx, j, r.Devices)
	if err != nil {
		return nil, nil, err
	}
	if refused == len(outcomes) {
		return nil, nil, &RefusedError{outcomes[0].Refused, outcomes}
	}
	if j.Action.Sensitive() {
		if err := actor.StepUp(now); err != nil {
			return nil, nil, err
		}
	}
	j.Devices = len(outcomes) - refused
	if err := d.limits.check(ctx, tx, j); err != nil {
		return nil, nil, err
	}
	if err := j.insert(ctx, tx); err != nil {
		return nil, nil, err
	}
	for n, o := range outcomes {
		if err := d.add(ctx, tx, j, n+1, o); err != nil {
			return nil, nil, err
		}
	}
	if err := d.tell(ctx, tx, j, outcomes); err != nil {
		return nil, nil, err
	}
	tx.After(d.Wake)
	return j, outcomes, logStart(ctx, tx, j, refused)
}

// tell has people told of a job that can drop their load.
func (d *Desk) tell(ctx context.Context, tx *store.Tx, j *Job, outcomes []Outcome) error {
	if d.drops == nil || !j.dropsLoad() {
		return nil
	}
	var devices []string
	for _, o := range outcomes {
		if o.Refused == nil {
			devices = append(devices, o.Device)
		}
	}
	return d.drops(ctx, tx, j, devices)
}

// job makes one of a request, whose form is checked.
func (r *Request) job(actor cloud.Actor, now time.Time) (*Job, error) {
	sorted := slices.Sorted(slices.Values(r.Devices))
	if len(sorted) == 0 || len(sorted) > MaxDevices || len(slices.Compact(sorted)) != len(r.Devices) {
		return nil, cloud.RefuseField(policy.Malformed, "devices", "name 1 to %d devices, each once", MaxDevices)
	}
	if r.Action == policy.OrderCancel {
		return nil, cloud.RefuseField(policy.Malformed, "action", "an order is cancelled by itself, and a job by its own route")
	}
	if r.OnOffline != "" && r.OnOffline != Queue && r.OnOffline != Reject {
		return nil, cloud.RefuseField(policy.Malformed, "on_offline", "%.20q is neither %s nor %s", r.OnOffline, Queue, Reject)
	}
	j := &Job{
		ID: cloud.NewID(idPrefix), Actor: actor, Action: r.Action, Params: r.Params, Reject: r.OnOffline == Reject, RequestedAt: now, State: Running,
		AtOnce: DefaultAtOnce, Abort: Abort{DefaultPercent, DefaultAfter},
	}
	within := int(DefaultStart / time.Second)
	for _, n := range []struct {
		name        string
		given, to   *int
		least, most int
	}{
		{"at_once", r.AtOnce, &j.AtOnce, 1, MaxAtOnce},
		{"abort.failures_percent", r.Percent, &j.Abort.Percent, 1, 100},
		{"abort.after", r.After, &j.Abort.After, 1, MaxDevices},
		{"start_within", r.StartWithin, &within, int(MinStart / time.Second), int(MaxStart / time.Second)},
	} {
		if n.given == nil {
			continue
		}
		if *n.given < n.least || *n.given > n.most {
			return nil, cloud.RefuseField(policy.Malformed, n.name, "%d is not a number from %d to %d", *n.given, n.least, n.most)
		}
		*n.to = *n.given
	}
	j.StartUntil = now.Add(time.Duration(within) * time.Second)
	return j, nil
}

// judge asks of each device whether its order would be taken now.
func (d *Desk) judge(ctx context.Context, tx *store.Tx, j *Job, devices []string) (out []Outcome, refused int, err error) {
	for _, id := range devices {
		o := Outcome{Device: id}
		if err := d.orders.Check(ctx, tx, j.Actor, j.request(id)); err != nil && !errors.As(err, &o.Refused) {
			return nil, 0, err
		}
		if o.Refused != nil {
			refused++
		}
		out = append(out, o)
	}
	return out, refused, nil
}

// add writes one device of a new job down.
func (d *Desk) add(ctx context.Context, tx *store.Tx, j *Job, number int, o Outcome) error {
	state, reason, detail, asked := Waiting, policy.Reason(""), "", 0
	if o.Refused != nil {
		state, reason, detail, asked = Refused, o.Refused.Reason, o.Refused.Detail, markAsked
		if err := d.orders.Refused(ctx, tx, j.Actor, j.request(o.Device), o.Refused); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO job_devices (job, number, device, order_id, state, reason, detail, asked, at)
		VALUES ($1, $2, $3, '', $4, $5, $6, $7, $8)`, j.ID, number, o.Device, state, reason, detail, asked, store.Millis(j.RequestedAt))
	return err
}

// LogRefused writes down that there was no job (LOG-1): by each device, why. err is what Create returned.
func (d *Desk) LogRefused(ctx context.Context, tx *store.Tx, actor cloud.Actor, r Request, err error) error {
	var refusal *cloud.Error
	if !errors.As(err, &refusal) || refusal.Reason == policy.Malformed {
		return nil // it came to no action
	}
	outcomes := map[string]*cloud.Error{}
	if each := (*RefusedError)(nil); errors.As(err, &each) {
		for _, o := range each.Outcomes {
			outcomes[o.Device] = o.Refused
		}
	}
	for _, id := range slices.Sorted(slices.Values(r.Devices)) {
		why := refusal
		if own := outcomes[id]; own != nil {
			why = own
		}
		one := order.Request{Device: eventlog.Clean(id), Action: r.Action, Params: r.Params}
		if err := d.orders.Refused(ctx, tx, actor, one, why); err != nil {
			return err
		}
	}
	return nil
}

// check refuses a job that is one too many for its account.
func (l Limits) check(ctx context.Context, tx *store.Tx, j *Job) error {
	var open int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM jobs WHERE account = $1 AND ended_at = 0`, j.Actor.Account).Scan(&open); err != nil {
		return err
	}
	if open >= l.Open {
		return &cloud.Error{Reason: policy.RateLimit, Detail: "too many jobs of yours are at work", Retry: time.Minute}
	}
	for _, w := range []struct {
		most  int
		of    string
		leave bool
		what  string
	}{
		{l.Day, ``, false, "devices in jobs of yours in a day"},
		{l.LoadDay, ` AND drops_load = 1`, !j.dropsLoad(), "devices in a day in jobs of yours that can drop their load"},
	} {
		if w.leave {
			continue
		}
		var n, first int64
		err := tx.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(devices), 0) AS BIGINT), COALESCE(MIN(requested_at), 0) FROM jobs
			WHERE account = $1 AND requested_at > $2`+w.of, j.Actor.Account, store.Millis(j.RequestedAt.Add(-day))).Scan(&n, &first)
		if err != nil {
			return err
		}
		if n+int64(j.Devices) > int64(w.most) {
			retry := max(store.Instant(first).Add(day).Sub(j.RequestedAt), time.Second)
			return &cloud.Error{Reason: policy.RateLimit, Detail: "too many " + w.what, Retry: retry}
		}
	}
	return nil
}

const day = 24 * time.Hour
