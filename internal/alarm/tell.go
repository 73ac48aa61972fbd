package alarm

import (
	"time"

	"upsedge/internal/ups"
)

func (e *Engine) raise(k key, detail string, raw []ups.RawValue) {
	e.raiseAt(activeAlarm{ID: k.id, Group: k.group, Severity: ups.AlarmByID(k.id).Severity}, e.look.at, detail, raw)
}

func (e *Engine) raiseAt(a activeAlarm, at time.Time, detail string, raw []ups.RawValue) {
	e.active.add(a)
	e.emit(ups.Event{ID: a.ID, Group: a.Group, Kind: ups.Raise, Severity: a.Severity, At: at, Detail: detail, Raw: raw})
}

// clear ends an active alarm, with the severity it was raised with.
func (e *Engine) clear(k key, at time.Time, detail string, raw []ups.RawValue) {
	severity := e.active.find(k).Severity
	e.active.remove(k)
	e.emit(ups.Event{ID: k.id, Group: k.group, Kind: ups.Clear, Severity: severity, At: at, Detail: detail, Raw: raw})
}

func (e *Engine) moment(k key, at time.Time, detail string, raw []ups.RawValue) {
	e.emit(ups.Event{ID: k.id, Group: k.group, Kind: ups.Moment, Severity: ups.AlarmByID(k.id).Severity, At: at, Detail: detail, Raw: raw})
}

// emit adds an event. What other rules look at, the active alarms among it, has changed with it.
func (e *Engine) emit(v ups.Event) {
	v.Unit, v.Device, v.Text, v.Inferred, v.Unconfirmed = e.unit, e.device, ups.AlarmByID(v.ID).Text, e.inferring, e.doubting
	if v.Group != ups.NoGroup && e.look.st != nil {
		v.GroupName = e.look.st.Text(v.Group.NamePoint())
	}
	e.remember(&v)
	e.events = append(e.events, v)
	e.dirty = true
	e.restless = e.set.all
}
