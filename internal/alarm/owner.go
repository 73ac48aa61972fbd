package alarm

import (
	"time"

	"upsedge/internal/ups"
)

// Alarms belong to the owner of a device, whom the engine knows by the epoch alone. What is active is told once in each epoch; of what
// was active of another device nothing is told at all (rules, DEV-4, DEV-5).

// Told returns the epoch in which what is active was told, 0 for none. It survives a restart.
func (e *Engine) Told() uint32 { return e.told }

// Answered reports whether the unit that answered last, in this run or before it, is the one with this serial number.
func (e *Engine) Answered(serial string) bool {
	return serial != "" && e.answering == fingerprint(serial)
}

// Knows reports whether a unit has ever answered here.
func (e *Engine) Knows() bool { return e.answering != "" }

// TellAnew raises every active alarm once more, in another epoch. The events are valid as those of Observe are.
func (e *Engine) TellAnew(at time.Time, epoch uint32) []ups.Event {
	e.begin(at)
	if e.told = epoch; epoch != 0 {
		for _, a := range e.active {
			if a.Held || a.ID == 714 || a.ID == 807 {
				continue
			}
			e.inferring, e.doubting = true, a.unconfirmed
			e.tell(ups.Event{ID: a.ID, Group: a.Group, Kind: ups.Raise, Severity: a.Severity, At: at, Detail: "active when the unit was registered"})
			e.inferring, e.doubting = false, false
		}
	}
	e.dirty = true
	return e.events
}

// Untell makes what is active untold: who was told of it is gone, and whoever comes may have the same epoch.
func (e *Engine) Untell() {
	if e.told != 0 {
		e.told, e.dirty = 0, true
	}
}

// Vacate forgets what is active without a word: another device is here now, whose owner has nothing to do with it.
func (e *Engine) Vacate() {
	e.active, e.floods, e.told, e.dirty, e.restless = nil, nil, 0, true, e.set.all
}

// Register makes the unit with this serial number the one that belongs here, because its owner says so: 714 is over, without a word,
// since who was told of it is somebody else.
func (e *Engine) Register(serial string) {
	if is := fingerprint(serial); e.registered != is {
		e.registered, e.dirty = is, true
	}
	if another := (key{id: 714}); e.active.find(another) != nil {
		e.active.remove(another)
		e.dirty, e.restless = true, e.set.all
	}
}

// Unowned notes whether the unit is nobody's on a box that has a cloud (807). The events are valid as those of Observe are.
func (e *Engine) Unowned(at time.Time, is bool) []ups.Event {
	e.begin(at)
	k := key{id: 807}
	switch active := e.active.find(k) != nil; {
	case is && !active:
		e.raiseAt(activeAlarm{ID: 807, Severity: ups.AlarmByID(807).Severity}, at, "", nil)
	case !is && active:
		e.clear(k, at, "", nil)
	}
	return e.events
}
