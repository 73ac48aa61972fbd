package order

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// BySite says that it is the site that would refuse, by what it said of itself last.
const BySite = "site"

// A Doubt is why an order would be refused, or come to nothing.
type Doubt struct {
	Reason policy.Reason
	Detail string
	By     string // ByCloud or BySite
}

// Preview says why an order would be refused, and writes nothing; none: as far as is known here it would be carried out. The site decides
// itself, at the moment of acting, and from what it reads then. The error says that there is no such device for the actor (ROLE-6).
func (b *Book) Preview(ctx context.Context, tx *store.Tx, actor cloud.Actor, r Request) (all []Doubt, err error) {
	now := b.now()
	doubt := func(err error) error {
		var no *cloud.Error
		if !errors.As(err, &no) || no.Reason == policy.NotFound {
			return err
		}
		all = append(all, Doubt{no.Reason, no.Detail, ByCloud})
		return nil
	}
	d, right, err := b.may(ctx, tx, actor, r.Device, r.Action, now)
	if err != nil { // who may not is told nothing of the site
		return all, doubt(err)
	}
	if r.Action == policy.OrderCancel {
		return nil, cloud.RefuseField(policy.Unsupported, "action", "what would become of a cancellation is not said before")
	}
	params, err := checkParams(r.Action, r.Params)
	if err != nil {
		return all, doubt(err)
	}
	if r.Action.Sensitive() {
		if err := doubt(actor.StepUp(now)); err != nil {
			return nil, err
		}
	}
	o := newOrder(d, actor, right, r.Action, params, now)
	o.Reject = r.Reject
	for _, check := range []func(context.Context, *store.Tx, *Order) error{b.limits.check, mustBeThere} {
		if err := doubt(check(ctx, tx, o)); err != nil {
			return nil, err
		}
	}
	site, err := b.site(ctx, tx, o)
	return append(all, site...), err
}

// site is what is known here of why the site would refuse an order: what its last full state said.
func (b *Book) site(ctx context.Context, tx *store.Tx, o *Order) (out []Doubt, err error) {
	doubt := func(r policy.Reason, format string, args ...any) {
		out = append(out, Doubt{r, fmt.Sprintf(format, args...), BySite})
	}
	a, err := loadAgent(ctx, tx, o.Agent)
	if err != nil {
		return nil, err
	}
	there, err := Connected(ctx, tx, o.Agent)
	if err != nil {
		return nil, err
	}
	if !there {
		doubt(policy.Expired, "the agent is not connected; the order waits until %s and then ends as expired", o.ExpiresAt.Format(time.RFC3339))
	}
	if !a.obeys(o.Action) {
		doubt(policy.LocalPolicy, "the site's configuration does not allow orders of the group %q (orders.allow)", o.Action.Group())
	}
	now := b.now()
	if why := a.siteRules().closed(now); why != "" {
		doubt(policy.LocalPolicy, "%s", why)
	}
	if o.dropsLoad() {
		if why := a.siteRules().limited(a.confirmed[o.Serial].drops, now); why != "" {
			doubt(policy.RateLimit, "%s", why)
		}
	}
	var busy int
	err = tx.QueryRow(ctx, `SELECT COUNT(*) FROM orders WHERE device = $1 AND final_at = 0 AND state IN ('accepted', 'running')`, o.Device).Scan(&busy)
	if err != nil {
		return nil, err
	}
	if busy > 0 {
		doubt(policy.Busy, "another order of the device is at work")
	}
	return out, b.unit(ctx, tx, o, doubt)
}

// unit doubts for what is known of the unit, and of the plan that its site has stored.
func (b *Book) unit(ctx context.Context, tx *store.Tx, o *Order, doubt func(policy.Reason, string, ...any)) error {
	d, err := device.Get(ctx, tx, o.Device)
	if err != nil {
		return ignoreGone(err)
	}
	st, err := device.StatusOf(ctx, tx, d)
	if err != nil || st.Seen == nil {
		return err
	}
	if o.Action != policy.SupportBundle { // that is the box's own
		switch st.Why {
		case "":
			if state := lockedBy(o, st.Seen.Condition); state != "" {
				doubt(policy.SafetyLock, "the unit is in the state %s, in which this is held back", state)
			}
		case device.AgentSilent:
		default:
			doubt(policy.UPSUnreachable, "the unit does not answer on site (%s)", st.Why)
		}
	}
	if st.Confirmed(d) {
		return nil
	}
	plan, err := st.ConfirmedPlan(ctx, tx, d, b.now())
	if err == nil && plan != "" {
		if decision := policy.Decide(o.Action, o.Role, plan, true); !decision.Allowed {
			doubt(decision.Reason, "the site has confirmed the plan %s, and not yet the one in force", plan)
		}
	}
	return err
}

// lockedBy returns the state in which a unit is that keeps an order from being carried out (EDGE-8), "" for none. The site knows more of them.
func lockedBy(o *Order, condition []string) string {
	switch o.Action {
	case policy.AlarmMute, policy.AlarmAck, policy.OrderCancel, policy.SupportBundle:
		return ""
	}
	if o.Params[ups.ParamDo] == ups.DoAbort || o.Params[ups.ParamTo] == ups.ToCancel {
		return ""
	}
	locks := []ups.Status{ups.OnBattery, ups.Bypass, ups.Overload, ups.Testing, ups.Calibrating}
	if o.Params[ups.ParamTo] != ups.ToOn {
		locks = append(locks, ups.OutputOff)
	}
	for _, l := range locks {
		if name := l.Names()[0]; slices.Contains(condition, name) {
			return strings.ReplaceAll(name, "_", " ")
		}
	}
	return ""
}

// siteRules are what a full state said of orders.
type siteRules struct {
	Hours    string `json:"hours,omitempty"`
	Zone     int    `json:"zone"` // minutes east of UTC
	Unset    bool   `json:"unset,omitempty"`
	Interval int64  `json:"min_interval"` // s
	DailyMax uint32 `json:"daily_max"`
}

// rulesOf is how they are kept, "" where they are not told.
func rulesOf(full *wire.FullState) (string, error) {
	r := full.Rules
	if r == nil {
		return "", nil
	}
	hours, err := policy.ParseHours(r.Hours)
	if err != nil {
		hours = policy.Hours{} // of another version: nothing is said of it
	}
	out, err := json.Marshal(siteRules{
		hours.String(), int(r.Zone / time.Minute), full.Clock == wire.ClockUnset, int64(r.MinInterval / time.Second), r.DailyMax,
	})
	return string(out), err
}

func (a *agentRow) siteRules() *siteRules {
	if a.rules == "" {
		return nil
	}
	r := &siteRules{}
	_ = json.Unmarshal([]byte(a.rules), r) // written by State
	return r
}

// closed says why the site obeys nothing from afar now; nil rules say nothing.
func (r *siteRules) closed(now time.Time) string {
	if r == nil || r.Hours == "" {
		return ""
	}
	hours, _ := policy.ParseHours(r.Hours) // written by rulesOf
	site := now.In(time.FixedZone("", r.Zone*60))
	switch {
	case r.Unset:
		return "the site obeys orders from afar only at certain hours (orders.hours), and does not know the time"
	case !hours.Has(site):
		return fmt.Sprintf("the site obeys orders from afar only in %s by its own clock (orders.hours); there it is %s", r.Hours, site.Format("15:04"))
	}
	return ""
}

// limited says why the load may not be dropped again now.
func (r *siteRules) limited(d drops, now time.Time) string {
	switch wait := d.at.Sub(now); {
	case r == nil || d.left < 0:
	case r.DailyMax == 0:
		return "the site carries out no orders that drop the load (orders.daily_max)"
	case d.at.IsZero() || wait <= 0:
	case d.left == 0:
		return fmt.Sprintf("the load was dropped as often as the site lets it be in 24 hours, %d times (orders.daily_max); again in %v", r.DailyMax, wait.Round(time.Second))
	default:
		return fmt.Sprintf("the load was dropped lately, and the site waits %v in between (orders.min_interval); again in %v",
			time.Duration(r.Interval)*time.Second, wait.Round(time.Second))
	}
	return ""
}

// drops is when another order may drop the load of a device, zero: now, and how many more may; below 0: not told.
type drops struct {
	at   time.Time
	left int64
}

func dropsOf(d *wire.Drops, at time.Time) drops {
	if d == nil {
		return drops{left: -1}
	}
	out := drops{left: int64(d.Left)}
	if d.Wait > 0 {
		out.at = at.Add(d.Wait).UTC().Truncate(time.Millisecond)
	}
	return out
}

// same reports whether it says nothing new: the wait is told in whole seconds, and arrives when it does.
func (d drops) same(o drops) bool {
	return d.left == o.left && d.at.IsZero() == o.at.IsZero() && d.at.Sub(o.at).Abs() < 5*time.Second
}
