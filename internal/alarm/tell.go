package alarm

import (
	"time"

	"upsedge/internal/ups"
)

func (e *Engine) raise(k key, detail string, raw []ups.RawValue) {
	e.raiseAt(activeAlarm{ID: k.id, Group: k.group, Severity: ups.AlarmByID(k.id).Severity}, e.look.at, detail, raw)
}

func (e *Engine) raiseAt(a activeAlarm, at time.Time, detail string, raw []ups.RawValue) {
	a.heldFor = e.now
	e.active.add(a)
	e.emit(ups.Event{ID: a.ID, Group: a.Group, Kind: ups.Raise, Severity: a.Severity, At: at, Detail: detail, Raw: raw})
}

// clear ends an active alarm, with the severity it was raised with.
func (e *Engine) clear(k key, at time.Time, detail string, raw []ups.RawValue) {
	a := *e.active.find(k)
	e.active.remove(k)
	if a.Held { // nobody knows that it was there
		e.dirty, e.restless = true, e.set.all
		return
	}
	e.emit(ups.Event{ID: k.id, Group: k.group, Kind: ups.Clear, Severity: a.Severity, At: at, Detail: detail, Raw: raw})
}

func (e *Engine) moment(k key, at time.Time, detail string, raw []ups.RawValue) {
	e.emit(ups.Event{ID: k.id, Group: k.group, Kind: ups.Moment, Severity: ups.AlarmByID(k.id).Severity, At: at, Detail: detail, Raw: raw})
}

// emit takes note of an event and tells it, unless it comes too often. What other rules look at, the active alarms among it, has
// changed with it.
func (e *Engine) emit(v ups.Event) {
	e.remember(&v)
	e.dirty, e.restless = true, e.set.all
	if v.Kind != ups.Clear {
		e.came[v.ID]++
	}
	switch {
	case v.Kind == ups.Clear || !e.holdBack(v.ID):
		e.tell(v)
	case v.Kind == ups.Raise:
		e.active.find(key{v.ID, v.Group}).Held = true
	}
}

func (e *Engine) tell(v ups.Event) {
	v.Unit, v.Device, v.Text, v.Inferred, v.Unconfirmed = e.unit, e.device, ups.AlarmByID(v.ID).Text, e.inferring, e.doubting
	if v.Group != ups.NoGroup && e.look.st != nil {
		v.GroupName = e.look.st.Text(v.Group.NamePoint())
	}
	e.events = append(e.events, v)
	e.dirty = true
}
