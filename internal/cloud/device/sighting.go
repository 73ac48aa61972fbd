package device

import (
	"time"

	"upsedge/internal/ups"
)

// A Sighting is what an agent says of one of its units.
type Sighting struct {
	Agent, Unit, Serial, Model, Firmware string
	Condition                            []string      // names of states (design, section 10)
	Alarms, Unconfirmed                  []ups.AlarmID // active ones, and those of them that the unit has not confirmed since it was lost
	Epoch                                uint32        // what the agent has confirmed; 0: no owner
	PlanVersion, GrantVersion            uint64        // confirmed
	FirstSeen, LastSeen                  time.Time     // LastSeen: arrival of the last full state that had it
	Ended                                string        // why the last full state does not have it; "": it does
}
