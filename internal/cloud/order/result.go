package order

import (
	"context"
	"fmt"
	"slices"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A report is a result on its way in.
type report struct {
	*wire.Result
	at, arrived time.Time
}

// Result is ingest's sink Event; of what is no result it takes no notice. States move forward only. What comes late or again is
// recorded and changes nothing.
func (b *Book) Result(ctx context.Context, tx *store.Tx, agent string, s ingest.Stored, e *wire.PublishedEvent) error {
	if e.Result == nil {
		return nil
	}
	r := report{e.Result, s.Time.At, s.Arrived}
	if r.at.IsZero() {
		r.at = r.arrived
	}
	r.at, r.arrived = r.at.UTC().Truncate(time.Millisecond), r.arrived.UTC().Truncate(time.Millisecond)
	o, err := load(ctx, tx, r.Order.String())
	switch {
	case err != nil:
		return err
	case o == nil:
		return b.strange(ctx, tx, agent, e.Record.Epoch, r)
	case o.Agent != agent || o.Serial != r.Device:
		return b.tell(ctx, tx, agent, Foreign, r.Device, "it tells of order "+r.Order.String()+" of another agent or device")
	}
	if r.Actor == wire.OnSite || r.Role == wire.OnSite { // of an order that was made here: nobody gave it on site
		return b.tell(ctx, tx, agent, Foreign, r.Device, "it tells of order "+r.Order.String()+" as of one given on site, and it was ordered here")
	}
	if err := b.compare(ctx, tx, o, r); err != nil {
		return err
	}
	switch judge(o.State, r.State, o.Progress, r.Progress) {
	case forward:
		return b.advance(ctx, tx, o, r)
	case stale:
		return b.late(ctx, tx, o, r)
	}
	if !r.Repeated && !r.State.Final() {
		return nil // the same word once more, of something at work
	}
	return b.record(ctx, tx, o, r.event(Repeated))
}

func (r report) event(kind string) Event {
	return Event{
		At: r.at, Arrived: r.arrived, State: r.State, Reason: policy.Reason(r.Reason), Progress: r.Progress, Detail: eventlog.Clean(r.Detail), Decided: ByAgent,
		Kind: kind,
	}
}

// advance gives an order the state that its agent told.
func (b *Book) advance(ctx context.Context, tx *store.Tx, o *Order, r report) error {
	before := o.State
	o.State, o.Reason, o.Progress, o.Detail, o.Decided = r.State, policy.Reason(r.Reason), r.Progress, eventlog.Clean(r.Detail), ByAgent
	if len(r.Raw) > 0 {
		o.Raw = rawOf(r.Raw)
	}
	o.UpdatedAt = r.arrived
	if r.State.Final() {
		o.FinalAt = r.arrived
	}
	o.plan()
	if err := o.update(ctx, tx); err != nil {
		return err
	}
	if err := b.record(ctx, tx, o, r.event("")); err != nil {
		return err
	}
	if before == Pending || before == Sent || r.State.Final() {
		tx.After(b.wake) // the next one of the device may go
	}
	if o.Job != "" && r.State.Final() {
		tx.After(b.tellChange)
	}
	// Of what is on its way the log has the beginning and the end.
	if r.State.Final() || r.State == wire.OrderAccepted || r.State == wire.OrderRunning && rank(before) < rank(wire.OrderAccepted) {
		if err := logReport(ctx, tx, o, r.Result, r.at, r.arrived); err != nil {
			return err
		}
	}
	return b.settleTarget(ctx, tx, o, r.arrived)
}

// late notes what was told of an order that has moved on. Of one that has ended, and ended otherwise, it is shown beside it and logged.
func (b *Book) late(ctx context.Context, tx *store.Tx, o *Order, r report) error {
	if err := b.record(ctx, tx, o, r.event(Stale)); err != nil {
		return err
	}
	if !o.State.Final() || !r.State.Final() {
		return nil
	}
	if o.Late == nil || o.Late.State != r.State {
		o.Late = &Late{r.State, policy.Reason(r.Reason), eventlog.Clean(r.Detail), r.arrived}
		if err := o.update(ctx, tx); err != nil {
			return err
		}
		return logReport(ctx, tx, o, r.Result, r.at, r.arrived)
	}
	return nil
}

// permission lists the reasons by which an agent says that somebody may not: the matrix, or a grant that has ended.
var permission = []policy.Reason{
	policy.PlanBasic, policy.PlanStandard, policy.RoleReadOnly, policy.OwnerOnly, policy.MFARequired, policy.UnknownAction, policy.NotFound, policy.GrantStale,
}

// compare holds the agent's decision against the cloud's (PERM-11). The stricter one has held already; that they differ is told.
//
// A refusal is explained where plan or grants have changed since the command was signed: the statement was faster than the command, which
// is what it is for.
func (b *Book) compare(ctx context.Context, tx *store.Tx, o *Order, r report) error {
	if o.Attempts == 0 && r.State != wire.OrderRefused {
		return b.neverSent(ctx, tx, o, r)
	}
	if r.State != wire.OrderRefused || r.Repeated || o.State == wire.OrderRefused || !slices.Contains(permission, policy.Reason(r.Reason)) {
		return nil
	}
	d, err := device.Get(ctx, tx, o.Device)
	if err != nil || d.GrantVersion != o.Grant || d.Epoch != o.Epoch {
		return ignoreGone(err)
	}
	detail := fmt.Sprintf("order %s (%s): allowed here to %s on plan %s, refused on site with %s", o.ID, o.Action, o.Role, d.PlanAt(o.SentAt), r.Reason)
	if err := b.tell(ctx, tx, o.Agent, PolicyDiffers, o.Serial, detail); err != nil {
		return err
	}
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Device: o.Device, At: r.at, Arrived: r.arrived, Actor: o.Actor.Ref, Role: o.Role, Action: logDiffers,
		Params:  map[string]string{"order": o.ID.String(), "action": string(o.Action), "cloud": "allowed", "agent": "refused"},
		Outcome: eventlog.Refused, Reason: policy.Reason(r.Reason), Request: o.Request, Decided: eventlog.ByAgent,
	})
}

// neverSent tells of an order that runs on site though nobody here has signed it.
func (b *Book) neverSent(ctx context.Context, tx *store.Tx, o *Order, r report) error {
	if err := b.tell(ctx, tx, o.Agent, NeverSent, o.Serial, fmt.Sprintf("order %s is %s there, and was never sent", o.ID, r.State)); err != nil {
		return err
	}
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Device: o.Device, At: r.at, Arrived: r.arrived, Actor: o.Actor.Ref, Role: o.Role, Action: logNeverSent,
		Params:  map[string]string{"order": o.ID.String(), "action": string(o.Action), "state": string(r.State)},
		Outcome: eventlog.Unknown, Request: o.Request, Decided: eventlog.ByAgent,
	})
}

func rawOf(raw []ups.RawValue) map[string]*int64 {
	out := map[string]*int64{}
	for _, v := range raw {
		if v.Raw == ups.Absent {
			out[v.Point.String()] = nil
			continue
		}
		n := int64(v.Raw)
		out[v.Point.String()] = &n
	}
	return out
}
