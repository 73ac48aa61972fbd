package alarm

import (
	"encoding/json"
	"fmt"
	"slices"
)

// ActiveIn returns the alarms that are active, and told, in a state that State returned of a unit, or of the agent itself for the
// unit ""; none for nil.
func ActiveIn(unit string, blob []byte) ([]Active, error) {
	if blob == nil {
		return nil, nil
	}
	var s saved
	if err := json.Unmarshal(blob, &s); err != nil {
		return nil, fmt.Errorf("saved alarm state: %w", err)
	}
	if s.V < 1 || s.V > savedVersion {
		return nil, fmt.Errorf("saved alarm state: version %d, want at most %d", s.V, savedVersion)
	}
	rules := theRules
	if unit == "" {
		rules = ownRules
	}
	set, err := rules.checkActive(s.Active)
	if err != nil {
		return nil, fmt.Errorf("saved alarm state: %w", err)
	}
	set = slices.DeleteFunc(set, func(a activeAlarm) bool { return a.Held })
	return (&Engine{active: set}).Active(), nil
}

// Adopt makes an alarm active that an earlier run has raised, as New does with those of a saved state, in an engine that began
// without it. It reports whether the alarm can be active beside those that are; if not, it is over.
func (e *Engine) Adopt(a Active) bool {
	all := append(activeSet{{ID: a.ID, Group: a.Group, Severity: a.Severity}}, e.active...)
	if _, err := e.set.checkActive(all); err != nil {
		return false
	}
	e.active.add(activeAlarm{ID: a.ID, Group: a.Group, Severity: a.Severity, inherited: true, unconfirmed: !aboutLink(a.ID), heldFor: e.now})
	e.dirty, e.restless = true, e.set.all
	return true
}

// Recall takes from a state that State returned in an earlier run whose the unit is: which one belongs here, which one answered last, and
// in which epoch what is active was told. It is for an engine that began without the state and that no unit has answered yet; of another
// one, and by what is no state, nothing changes.
func (e *Engine) Recall(blob []byte) {
	var s saved
	if e.answering != "" || blob == nil || json.Unmarshal(blob, &s) != nil || s.V < 1 || s.V > savedVersion {
		return
	}
	e.registered, e.answering, e.told, e.dirty = s.Registered, s.Answering, s.Told, true
}

// Adopt is that of Engine.
func (s *Self) Adopt(a Active) bool { return s.e.Adopt(a) }
