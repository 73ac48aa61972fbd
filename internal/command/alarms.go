package command

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// EventOf returns the event that a result is told as besides (event catalogue, 620 to 627); false for a state that is none.
func EventOf(r wire.Result) (ups.Event, bool) {
	id := ups.AlarmID(0)
	switch {
	case r.Repeated:
		id = 627
	case r.State == wire.OrderAccepted:
		id = 620
	case r.State == wire.OrderDone:
		id = 621
	case r.State == wire.OrderUnknown:
		id = 625
	case r.State == wire.OrderExpired, r.State == wire.OrderRefused && r.Reason == string(policy.Expired):
		id = 626
	case r.Reason == string(policy.UPSRefused), r.State == wire.OrderFailed && r.Reason == string(policy.Unsupported): // both come of its answer to a write
		id = 624
	case r.State == wire.OrderRefused && r.Reason == string(policy.SafetyLock):
		id = 623
	case r.State == wire.OrderRefused:
		id = 622
	default:
		return ups.Event{}, false
	}
	detail := r.Action
	if r.Reason != "" {
		detail += ", " + r.Reason
	}
	if r.Detail != "" {
		detail += ": " + r.Detail
	}
	return eventOf(id, r, detail), true
}

// Security events that whoever can publish on orders can bring about: a few of each id at once, then one in a minute that says how many were
// kept back. Metrics count them all.
const (
	alarmEvery = time.Minute
	alarmBurst = 5
)

// alarms tells of security events.
type alarms struct {
	tell func(ups.Event)

	mu   *sync.Mutex
	kind map[ups.AlarmID]*kept
}

// kept is what was kept back of an id.
type kept struct {
	allow *rate.Limiter
	n     int
	last  ups.Event
}

func newAlarms(tell func(ups.Event)) alarms {
	return alarms{tell: tell, mu: new(sync.Mutex), kind: map[ups.AlarmID]*kept{}}
}

// security tells of an event that no result tells of. device is "" for the agent itself.
func (x *Executor) security(id ups.AlarmID, device, detail string) {
	row := ups.AlarmByID(id)
	x.alarms.add(ups.Event{
		ID: id, Kind: ups.Moment, Severity: row.Severity, Text: row.Text, Device: device, Detail: oneLine(detail, maxDetail), At: time.Now(),
	})
}

func (a *alarms) add(e ups.Event) {
	if a.tell == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.kind[e.ID]
	if k == nil {
		k = &kept{allow: rate.NewLimiter(rate.Every(alarmEvery), alarmBurst)}
		a.kind[e.ID] = k
	}
	if !k.allow.Allow() {
		k.n, k.last = k.n+1, e
		return
	}
	a.out(k, e)
}

// out tells an event, with what was kept back before it. The caller holds mu.
func (a *alarms) out(k *kept, e ups.Event) {
	if k.n > 0 {
		e.Detail = fmt.Sprintf("%s (and %d more before it)", e.Detail, k.n)
	}
	k.n = 0
	a.tell(e)
}

// total tells of what is still kept back.
func (a *alarms) total() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.kind {
		if k.n > 0 && k.allow.Allow() {
			k.n--
			a.out(k, k.last)
		}
	}
}
