package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"upsedge/internal/alarm"
	"upsedge/internal/clock"
	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/store"
	"upsedge/internal/uplink"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// own are the alarms of the agent itself. What happens to its link, its store and its clock is told here by whoever sees it, on
// any goroutine; what comes of it goes through the recorder, as the units' alarms do, under the unit "".
type own struct {
	disk     *disk
	clock    *clock.Clock
	recorder *recorder
	notify   func() // the full state has changed
	orders   func() (known, most int64)

	failed atomic.Pointer[string] // why the last attempt to connect failed; nil: it did not

	mu     sync.Mutex // held until what was judged has its place in the recorder's queue
	alarms *alarm.Self
}

// newOwn takes the alarms over that were active when the agent last ran.
func newOwn(ctx context.Context, s *site, d *disk, log *slog.Logger) *own {
	saved, err := d.AlarmState(ctx, "")
	if err != nil && !errors.Is(err, errNoStore) { // without a store they are taken over when there is one
		log.Error("the agent's own saved alarms cannot be had; they begin anew", "err", err)
	}
	alarms, err := alarm.NewSelf(saved)
	if err != nil {
		log.Error("the agent's own saved alarms cannot be read; they begin anew", "err", err)
	}
	alarms.TrustClock(s.clock.Time)
	return &own{disk: d, clock: s.clock, recorder: s.recorder, notify: s.notify, alarms: alarms}
}

// tell lets the alarms judge something that happens now.
func (o *own) tell(judge func(a *alarm.Self, now time.Time) []ups.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	events := judge(o.alarms, time.Now())
	out := outcome{events: slices.Clone(events)}
	if blob, changed := o.alarms.State(); changed {
		out.saved = blob
	}
	o.recorder.add("", out)
	if len(events) > 0 {
		o.notify()
	}
}

// started tells that the agent works, and why it knows nothing of a run before if it does not. What the link may have been blamed
// for in that run and this one's cannot have is over; up is nil without a broker.
func (o *own) started(version string, up *config.Uplink) {
	anew := ""
	if s, _, err := o.disk.now(); err != nil {
		anew = "without its database, which cannot be opened"
	} else if s.SetAside() != "" {
		anew = "with a new database, the one before was broken"
	}
	boot := o.clock.Boot().String()
	o.tell(func(a *alarm.Self, now time.Time) []ups.Event { return a.Started(now, version, boot, anew) })
	o.cannotBe(up)
}

// led tells that the uplink leads elsewhere now, or, with nil, nowhere: what the one before was blamed for is over.
func (o *own) led(up *config.Uplink) {
	o.tell(func(a *alarm.Self, now time.Time) []ups.Event { return a.Over(now, 820, 822, 823, 824) })
	o.cannotBe(up)
}

// cannotBe ends what an uplink cannot be blamed for; from now on it has a minute to come about.
func (o *own) cannotBe(up *config.Uplink) {
	var over []ups.AlarmID
	if up == nil {
		over = append(over, 820, 824)
	}
	if up == nil || !secure(up) {
		over = append(over, 822)
	}
	if up == nil || !secure(up) || up.CertFile == "" {
		over = append(over, 823)
	}
	o.tell(func(a *alarm.Self, now time.Time) []ups.Event { return a.Over(now, over...) })
	if up != nil {
		o.linked(false)
	}
}

// stopping tells of an orderly end.
func (o *own) stopping(reason string) {
	o.tell(func(a *alarm.Self, now time.Time) []ups.Event { return a.Stopping(now, reason) })
}

// linked tells of the beginning and the end of a session with the broker.
func (o *own) linked(on bool) {
	if on {
		o.failed.Store(nil)
	}
	o.tell(func(a *alarm.Self, now time.Time) []ups.Event {
		if !on {
			return a.Unlinked(now)
		}
		st, waiting := o.disk.stats(), uint64(0)
		for _, l := range wire.Lanes {
			waiting += uint64(st.Lane(l).Records)
		}
		return a.Linked(now, waiting)
	})
}

// refused tells why an attempt to connect failed.
func (o *own) refused(f uplink.Failure) {
	o.failed.Store(&f.Words)
	switch f.Trouble {
	case uplink.Distrusted:
		o.tell(func(a *alarm.Self, now time.Time) []ups.Event { return a.Distrusted(now, f.Words) })
	case uplink.Rejected:
		o.tell(func(a *alarm.Self, now time.Time) []ups.Event { return a.Rejected(now, f.Words) })
	}
}

// secured tells that the broker's certificate is in order.
func (o *own) secured() { o.tell((*alarm.Self).Trusted) }

// certificate tells when the agent's own certificate ends. While the clock is not set it may be nearer to that than anybody knows.
func (o *own) certificate(ends time.Time) {
	by, _ := o.clock.Certificates()
	o.tell(func(a *alarm.Self, now time.Time) []ups.Event { return a.Certificate(now, by, ends) })
}

// stored tells what came of an attempt to write to the store.
func (o *own) stored(err error) {
	o.tell(func(a *alarm.Self, now time.Time) []ups.Event { return a.Storage(now, storeTrouble(err)) })
}

// storeTrouble says in plain words why the store refuses, "" if it does not.
func storeTrouble(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, store.ErrFull):
		return "events alone fill the quota"
	case strings.Contains(err.Error(), "disk is full"):
		return "the disk is full"
	case strings.Contains(err.Error(), "readonly"), errors.Is(err, unix.EROFS):
		return "the disk is read-only"
	}
	return "a write or sync failed; events and samples wait in memory"
}

// reloaded tells what came of a new configuration.
func (o *own) reloaded(err error) {
	problem := ""
	if err != nil {
		problem = config.FirstProblem(err)
	}
	o.tell(func(a *alarm.Self, now time.Time) []ups.Event { return a.Reloaded(now, problem) })
}

// elapse tells that time passes, and how full the store is now.
func (o *own) elapse() {
	o.tell(func(a *alarm.Self, now time.Time) []ups.Event { return a.Elapsed(now) })
	fill := o.fill()
	o.tell(func(a *alarm.Self, now time.Time) []ups.Event { return a.Spool(now, fill) })
}

func (o *own) fill() alarm.Fill {
	st := o.disk.stats()
	lost := st.Samples.Lost[wire.GapQuota]
	fill := alarm.Fill{Used: st.Used, Room: st.Limit, Dropped: lost.Records, From: o.when(lost.From), To: o.when(lost.To)}
	if o.orders != nil {
		fill.Orders, fill.MostOrders = o.orders()
	}
	return fill
}

// when is a stamp as people read it, "" where its time is not known.
func (o *own) when(s wire.Stamp) string {
	if s = o.clock.Complete(s); s.Wall.IsZero() {
		return ""
	}
	return s.Wall.Format(time.DateTime)
}

// run lets time pass until ctx ends.
func (o *own) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			o.elapse()
		}
	}
}

// active are the ids of those that are active, each once.
func (o *own) active() []ups.AlarmID {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []ups.AlarmID
	for _, a := range o.alarms.Active() {
		out = append(out, a.ID)
	}
	return out
}

// shown are those that are active as the page and the socket show them.
func (o *own) shown() []local.Alarm {
	out := []local.Alarm{}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range o.alarms.Active() {
		row := ups.AlarmByID(a.ID)
		out = append(out, local.Alarm{ID: int(a.ID), Severity: a.Severity.String(), Text: row.Text, Do: row.Do})
	}
	return out
}
