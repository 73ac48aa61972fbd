package notify

import (
	"slices"
	"strconv"
	"strings"

	"upsedge/internal/cloud"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

// Silence is the code of "no communication": nothing was heard of the agent for three heartbeats, or it has gone (TIME-4).
const Silence = "no_communication"

// A Step is which end of something is told.
type Step string

// The steps.
const (
	Raised  Step = "raised"
	Cleared Step = "cleared"
	Moment  Step = "moment" // it has no end
)

// A Selection says what a policy tells of: every event of a severity from Least on, and those of Events whatever their severity.
type Selection struct {
	Least   ups.Severity // 0: none by its severity
	Events  []string     // ids of docs/events.md, "101", and classes
	Raised  bool         // when it begins; moments, too
	Cleared bool         // when it is over
	Silence bool         // when there is no communication
}

// eventsMax bounds Events.
const eventsMax = 64

// Classes are the sections of docs/events.md that units have.
var Classes = []string{"input", "battery", "output", "hardware", "tests", "outlets", "orders", "communication"}

// classOf says in which section of docs/events.md an id stands; "" for those of the agent itself.
func classOf(id ups.AlarmID) string {
	switch {
	case id.OfAgent():
		return ""
	case id >= 620 && id < 700 || id == 841:
		return "orders"
	case id >= 100 && id < 700:
		return Classes[id/100-1]
	case id >= 700:
		return "communication"
	}
	return ""
}

// check refuses what selects nothing or names what is none.
func (s *Selection) check() error {
	if s.Least == 0 && len(s.Events) == 0 && !s.Silence {
		return cloud.RefuseField(policy.Malformed, "events", "the policy tells of nothing: least_severity, events or no_communication is needed")
	}
	if !s.Raised && !s.Cleared {
		return cloud.RefuseField(policy.Malformed, "raised", "the policy tells of nothing: raised, cleared or both are needed")
	}
	if len(s.Events) > eventsMax {
		return cloud.RefuseField(policy.Malformed, "events", "at most %d", eventsMax)
	}
	for _, e := range s.Events {
		if id, err := strconv.ParseUint(e, 10, 16); slices.Contains(Classes, e) || err == nil && strconv.FormatUint(id, 10) == e && classOf(ups.AlarmID(id)) != "" && ups.AlarmByID(ups.AlarmID(id)).ID != 0 {
			continue
		}
		return cloud.RefuseField(policy.Malformed, "events", "%.40q is neither the id of an event of a unit nor one of %s", e, strings.Join(Classes, ", "))
	}
	slices.Sort(s.Events)
	s.Events = slices.Compact(s.Events)
	return nil
}

// wants reports whether something is told.
func (s *Selection) wants(code string, severity ups.Severity, step Step) bool {
	if step == Cleared && !s.Cleared || step != Cleared && !s.Raised {
		return false
	}
	if code == Silence {
		return s.Silence
	}
	if s.Least != 0 && severity >= s.Least {
		return true
	}
	id, _ := strconv.ParseUint(code, 10, 16)
	return slices.Contains(s.Events, code) || slices.Contains(s.Events, classOf(ups.AlarmID(id)))
}

// selectionColumns are those of notification_policies that a Selection is made of.
const selectionColumns = `p.least, p.events, p.raised, p.cleared, p.silence`

// A selectionRow is where they are scanned to.
type selectionRow struct {
	least, raised, cleared, silence int64
	events                          string
}

func (r *selectionRow) into() []any {
	return []any{&r.least, &r.events, &r.raised, &r.cleared, &r.silence}
}

func (r *selectionRow) selection() Selection {
	return Selection{ups.Severity(r.least), strings.Fields(r.events), r.raised != 0, r.cleared != 0, r.silence != 0}
}
