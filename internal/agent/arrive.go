package agent

import (
	"context"
	"errors"
	"time"

	"upsedge/internal/alarm"
	"upsedge/internal/store"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// arrived makes a store that was opened while the units are polled theirs: what they hold in memory follows what it knows of them
// as a run follows the one before. Nobody else writes to it yet.
func (a *agent) arrived(ctx context.Context, s *store.Store) error {
	for !a.site.applying.TryLock() { // lines are replaced or ended, which takes its time
		time.Sleep(10 * time.Millisecond)
	}
	defer a.site.applying.Unlock()
	units := a.site.all()
	since := a.site.flusher.gather(units)
	now := a.clock.Stamp(time.Now())
	from := func(unit string) wire.Stamp {
		if at, some := since[unit]; some {
			return at
		}
		return now
	}
	for _, u := range units {
		if err := s.Begin(ctx, u.cfg.Name, from(u.cfg.Name)); err != nil {
			return err
		}
		saved, known, err := a.knownTo(ctx, s, u.cfg.Name)
		if err != nil {
			return err
		}
		a.site.takeOver(u, saved, known)
	}
	_, known, err := a.knownTo(ctx, s, "")
	if err != nil {
		return err
	}
	a.own.takeOver(known)
	if err := a.reportGaps(ctx, s, from); err != nil {
		return err
	}
	a.site.flusher.press.forget() // the stream may be new, and must not wait for what was said in another
	a.site.recorder.retry()
	a.site.flusher.soon("")
	return nil
}

// knownTo returns the state of the alarms of a unit, or of the agent itself, that a store holds, and which of them are raised in it.
func (a *agent) knownTo(ctx context.Context, s *store.Store, unit string) (saved []byte, known []alarm.Active, err error) {
	saved, err = s.AlarmState(ctx, unit)
	if damaged := (*store.CorruptError)(nil); errors.As(err, &damaged) {
		err, saved = nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if known, err = alarm.ActiveIn(unit, saved); err != nil {
		a.Log.Error("the saved alarms cannot be read; alarms begin anew", "unit", unit, "err", err)
		return nil, nil, nil
	}
	return saved, known, nil
}

func (s *site) takeOver(u *unit, saved []byte, known []alarm.Active) {
	s.recorder.writing.Lock()
	defer s.recorder.writing.Unlock()
	u.turn.Lock()
	defer u.turn.Unlock()
	waits := s.recorder.match(u.cfg.Name, known)
	u.mu.Lock()
	if u.state.Text(ups.Serial) == "" { // it has not said yet who it is
		u.alarms.Recall(saved)
		u.owner = u.owners.was(u.alarms)
	}
	out := join(u.alarms, known, waits, ups.Event{Unit: u.cfg.Name, Device: u.owner.Device, At: time.Now()})
	out.owner = u.owner
	u.mu.Unlock()
	s.recorder.add(u.cfg.Name, out)
}

func (o *own) takeOver(known []alarm.Active) {
	o.recorder.writing.Lock() // before mu: a write that fails is told while it is held
	defer o.recorder.writing.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	waits := o.recorder.match("", known)
	o.recorder.add("", join(o.alarms, known, waits, ups.Event{At: time.Now()}))
}

// engine is what unit and agent have in common.
type engine interface {
	Active() []alarm.Active
	Adopt(alarm.Active) bool
	State() (blob []byte, changed bool)
}

// join joins what a store knows of alarms with what has been seen since, of which waits is still to be written: what it says is
// active is not raised again, and what is over by now is cleared. What is active and was never told to it is raised. Events are
// made after the pattern of like.
func join(e engine, known []alarm.Active, waits map[alarmKey]bool, like ups.Event) (out outcome) {
	tell := func(a alarm.Active, kind ups.EventKind, detail string) {
		v := like
		v.ID, v.Group, v.Kind, v.Severity, v.Text = a.ID, a.Group, kind, a.Severity, ups.AlarmByID(a.ID).Text
		v.Detail, v.Inferred = detail, true
		out.events = append(out.events, v)
	}
	active := e.Active()
	for _, a := range known {
		if k := (alarmKey{a.ID, a.Group}); !waits[k] && !holds(active, k) && !e.Adopt(a) {
			tell(a, ups.Clear, "")
		}
	}
	for _, a := range active {
		if k := (alarmKey{a.ID, a.Group}); !waits[k] && !holds(known, k) {
			tell(a, ups.Raise, "told again: the database was lost")
		}
	}
	out.saved, _ = e.State()
	return out
}

// An alarmKey names an alarm of a unit.
type alarmKey struct {
	id    ups.AlarmID
	group ups.Group
}

func holds(as []alarm.Active, k alarmKey) bool {
	for _, a := range as {
		if (alarmKey{a.ID, a.Group}) == k {
			return true
		}
	}
	return false
}

// match takes from what waits of a unit the raises of alarms that are known to be raised, and returns of which alarms something
// waits or waited. The caller holds writing.
func (r *recorder) match(unit string, known []alarm.Active) map[alarmKey]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[alarmKey]bool{}
	for i := range r.queue {
		e := &r.queue[i]
		if e.unit != unit {
			continue
		}
		for n := 0; n < len(e.events); n++ {
			ev := &e.events[n]
			k := alarmKey{ev.ID, ev.Group}
			again := ev.Kind == ups.Raise && !seen[k] && holds(known, k)
			seen[k] = seen[k] || ev.Kind != ups.Moment
			if again {
				r.withdraw(e, n)
				n--
			}
		}
	}
	return seen
}

// withdraw takes an event out of an entry. Its picture stays with what led up to the other events, if there are any.
func (r *recorder) withdraw(e *entry, n int) {
	e.events = append(e.events[:n:n], e.events[n+1:]...)
	r.events--
	switch {
	case e.of > n:
		e.of--
	case e.of == n && e.pictured():
		e.picture, e.encoded, e.of = nil, nil, 0
		r.pictures--
	}
}
