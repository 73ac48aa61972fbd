package alarm

import (
	"fmt"
	"slices"
	"time"

	"upsedge/internal/ups"
)

// TIMING-4: an id that is not critical and comes more than ten times in ten minutes is counted and no longer told. 834 says so
// once, and every ten minutes how often it came. That ends an hour after it last came.
const (
	mostOften   = 10
	oftenWithin = 10 * time.Minute
	quietFor    = time.Hour
	// lasting is when a raise that was held back is told after all: what stays for a minute does not come ten times in ten. An
	// outage must not go unheard because there were ten short ones before it.
	lasting = time.Minute
)

// A flood is an id that comes too often.
type flood struct {
	id     ups.AlarmID
	count  int           // held back since the last report
	last   time.Duration // when it came last, on the engine's time line
	report time.Duration // when the count is told next
}

// A recent is when an id came the last ten times.
type recent struct {
	at   [mostOften]time.Duration
	next int
	full bool
}

// add notes that it came and reports whether it did so more than ten times in ten minutes.
func (r *recent) add(now time.Duration) bool {
	often := r.full && now-r.at[r.next] <= oftenWithin
	r.at[r.next] = now
	if r.next++; r.next == mostOften {
		r.next, r.full = 0, true
	}
	return often
}

// holdBack counts a raise or a moment and reports whether it is counted only.
func (e *Engine) holdBack(id ups.AlarmID) bool {
	if id == 834 || ups.AlarmByID(id).Severity == ups.Critical {
		return false
	}
	if e.recent[id] == nil {
		if e.recent == nil {
			e.recent = map[ups.AlarmID]*recent{}
		}
		e.recent[id] = &recent{}
	}
	often := e.recent[id].add(e.now)
	i := slices.IndexFunc(e.floods, func(f flood) bool { return f.id == id })
	if i < 0 && !often {
		return false
	}
	if i < 0 {
		i = len(e.floods)
		e.floods = append(e.floods, flood{id: id, report: e.now + oftenWithin})
		e.tellFlood(fmt.Sprintf("%d came more than %d times in %s", id, mostOften, oftenWithin))
	}
	e.floods[i].count++
	e.floods[i].last, e.dirty = e.now, true
	return true
}

// tellFlood raises 834, or adds to it.
func (e *Engine) tellFlood(detail string) {
	a := activeAlarm{ID: 834, Severity: ups.AlarmByID(834).Severity}
	if e.active.has(834) {
		e.emit(ups.Event{ID: a.ID, Kind: ups.Moment, Severity: a.Severity, At: e.wall, Detail: detail})
		return
	}
	e.raiseAt(a, e.wall, detail, nil)
}

// passFloods tells what is due of what is held back.
func (e *Engine) passFloods() {
	if len(e.floods) == 0 {
		return
	}
	for i := range e.active {
		if a := &e.active[i]; a.Held && e.now-a.heldFor >= lasting {
			a.Held = false
			e.tell(ups.Event{ID: a.ID, Group: a.Group, Kind: ups.Raise, Severity: a.Severity, At: e.wall, Detail: "held back for " + lasting.String()})
		}
	}
	for i := range e.floods {
		f := &e.floods[i]
		if e.now < f.report {
			continue
		}
		if f.count > 0 {
			e.tellFlood(fmt.Sprintf("%d came %s in %s", f.id, ups.Count(f.count, "time"), oftenWithin))
		}
		f.count, f.report = 0, f.report+oftenWithin
	}
	n := len(e.floods)
	e.floods = slices.DeleteFunc(e.floods, func(f flood) bool { return e.now-f.last >= quietFor })
	if e.dirty = e.dirty || n != len(e.floods); len(e.floods) == 0 {
		e.clear(key{id: 834}, e.wall, "", nil)
	}
}

// A savedFlood is a flood as it is kept.
type savedFlood struct {
	ID    ups.AlarmID `json:"id"`
	Count int         `json:"count,omitempty"`
	Ago   int64       `json:"ago"` // ms
}

func (e *Engine) saveFloods() (out []savedFlood) {
	for _, f := range e.floods {
		out = append(out, savedFlood{f.id, f.count, min(max(e.now-f.last, 0), longest).Milliseconds()})
	}
	return out
}

// loadFloods refuses what could not have been saved beside these active alarms.
func loadFloods(saved []savedFlood, active activeSet) (out []flood, err error) {
	for _, s := range saved {
		row := ups.AlarmByID(s.ID)
		if row.ID == 0 || row.ID == 834 || row.Severity == ups.Critical || s.Count < 0 || s.Ago < 0 || s.Ago > longest.Milliseconds() ||
			slices.ContainsFunc(out, func(f flood) bool { return f.id == s.ID }) {
			return nil, fmt.Errorf("flood %+v", s)
		}
		out = append(out, flood{id: s.ID, count: s.Count, last: -time.Duration(s.Ago) * time.Millisecond, report: oftenWithin})
	}
	held := slices.ContainsFunc(active, func(a activeAlarm) bool { return a.Held })
	if active.has(834) != (len(out) > 0) || held && len(out) == 0 {
		return nil, fmt.Errorf("834 and %d floods, held back: %v", len(out), held)
	}
	return out, nil
}
