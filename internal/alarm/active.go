package alarm

import (
	"slices"
	"time"

	"upsedge/internal/ups"
)

// A key names an alarm that can be active: of the whole unit, or of one outlet group of it. Each group has its own.
type key struct {
	id    ups.AlarmID
	group ups.Group
}

func (k key) compare(o key) int {
	if k.id != o.id {
		return int(k.id) - int(o.id)
	}
	return int(k.group) - int(o.group)
}

// An activeAlarm is an alarm that was raised and not yet cleared.
type activeAlarm struct {
	ID       ups.AlarmID  `json:"id"`
	Group    ups.Group    `json:"group,omitempty"`
	Severity ups.Severity `json:"severity"`
	// Since is of 801 and 802 the last good poll, or the first attempt if there was none.
	Since time.Time `json:"since,omitzero"`

	// Held: it came too often, and its raise has not been told (TIMING-4).
	Held    bool          `json:"held,omitempty"`
	heldFor time.Duration // since when, on the engine's time line

	unconfirmed bool // the unit has not been heard about it since communication was lost or the program began (READ-8)
	inherited   bool // raised before the program began
}

func (a *activeAlarm) key() key { return key{a.ID, a.Group} }

// An activeSet is in ascending order of ids and groups. It is nearly always empty.
type activeSet []activeAlarm

func (s activeSet) find(k key) *activeAlarm {
	for i := range s {
		if s[i].key() == k {
			return &s[i]
		}
	}
	return nil
}

// has reports whether the alarm of the whole unit is active.
func (s activeSet) has(id ups.AlarmID) bool { return s.find(key{id: id}) != nil }

// any reports whether one with an id from least to most is active.
func (s activeSet) any(least, most ups.AlarmID) bool {
	return slices.ContainsFunc(s, func(a activeAlarm) bool { return a.ID >= least && a.ID <= most })
}

func (s *activeSet) add(a activeAlarm) {
	i, _ := slices.BinarySearchFunc(*s, a.key(), func(b activeAlarm, k key) int { return b.key().compare(k) })
	*s = slices.Insert(*s, i, a)
}

func (s *activeSet) remove(k key) {
	*s = slices.DeleteFunc(*s, func(a activeAlarm) bool { return a.key() == k })
}

// confirm notes that the unit has said again that the alarm is active.
func (s activeSet) confirm(k key) {
	if a := s.find(k); a != nil {
		a.unconfirmed = false
	}
}

// doubt marks all alarms that come from the unit's own words; those about the communication are ours and are known.
func (s activeSet) doubt() {
	for i := range s {
		s[i].unconfirmed = !aboutLink(s[i].ID) && s[i].ID != 834 && s[i].ID != 807
	}
}

// An Active is an active alarm as others are told of it.
type Active struct {
	ID          ups.AlarmID
	Group       ups.Group // NoGroup: the whole unit
	Severity    ups.Severity
	Unconfirmed bool // the unit has not been heard about it since communication was lost or the agent began (READ-8)
}
