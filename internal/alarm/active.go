package alarm

import (
	"slices"
	"time"

	"upsedge/internal/ups"
)

// An activeAlarm is an alarm that was raised and not yet cleared.
type activeAlarm struct {
	ID       ups.AlarmID  `json:"id"`
	Severity ups.Severity `json:"severity"`
	// Since is of 801 and 802 the last good poll, or the first attempt if there was none.
	Since time.Time `json:"since,omitzero"`

	// unconfirmed: the unit has not been heard about it since communication was lost or the program began (READ-8).
	unconfirmed bool
}

// An activeSet is in ascending order of ids. It is nearly always empty.
type activeSet []activeAlarm

func (s activeSet) find(id ups.AlarmID) *activeAlarm {
	for i := range s {
		if s[i].ID == id {
			return &s[i]
		}
	}
	return nil
}

func (s activeSet) has(id ups.AlarmID) bool { return s.find(id) != nil }

func (s *activeSet) add(a activeAlarm) {
	i, _ := slices.BinarySearchFunc(*s, a.ID, func(b activeAlarm, id ups.AlarmID) int { return int(b.ID) - int(id) })
	*s = slices.Insert(*s, i, a)
}

func (s *activeSet) remove(id ups.AlarmID) {
	*s = slices.DeleteFunc(*s, func(a activeAlarm) bool { return a.ID == id })
}

// confirm notes that the unit has said again that the alarm is active.
func (s activeSet) confirm(id ups.AlarmID) {
	if a := s.find(id); a != nil {
		a.unconfirmed = false
	}
}

// doubt marks all alarms that come from the unit's own words; those about the communication are ours and are known.
func (s activeSet) doubt() {
	for i := range s {
		s[i].unconfirmed = !aboutLink(s[i].ID)
	}
}
