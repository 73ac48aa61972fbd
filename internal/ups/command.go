package ups

import "fmt"

// A Command is something a unit can be told to do (rules, section 2). Who may ask for it was judged before it gets here.
type Command struct {
	Action string            // one of the actions below
	Params map[string]string // by action, see [CheckParams]
}

// The actions a unit carries out, by the name orders carry.
const (
	// ActionReboot switches everything the unit feeds off and on again. ParamDelay says with which delays.
	ActionReboot = "reboot.ups"
	// ActionRebootGroup does that to the outlet groups that ParamGroup names.
	ActionRebootGroup = "reboot.group"
	// ActionOutlet switches the outlet groups that ParamGroup names, as ParamTo says.
	ActionOutlet = "control.outlet"
	// ActionDiagnostics starts or aborts, as ParamDo says, the test that ParamTest names.
	ActionDiagnostics = "diagnostics.run"
	// ActionMute silences the beeper, or lets it sound again, as ParamMute says.
	ActionMute = "alarm.mute"
	// ActionAck acknowledges the alarms that ParamAlarm names in the unit.
	ActionAck = "alarm.ack"
	// ActionConfigure writes one setting: ParamSetting names it, ParamValue is what it is to be.
	ActionConfigure = "configure.device"
)

// An OutcomeState is how a command ended (rules, EDGE-9).
type OutcomeState uint8

// The ends of a command. None is the zero value.
const (
	Done      OutcomeState = iota + 1 // the unit's status registers showed that it happened
	Failed                            // the unit refused it, or its status registers showed that it went wrong
	Cancelled                         // it was taken back, at the unit or by order, before it had an effect that lasts
	Unknown                           // it was written, or may have been, and how it ended could not be seen
	Refused                           // nothing was written
	Left                              // the way to the unit was taken away while it was followed: who finds the unit again asks how it ended
)

var outcomeNames = [...]string{"", "done", "failed", "cancelled", "unknown", "refused", "left"}

// String returns the state as results carry it, "done" for instance.
func (s OutcomeState) String() string {
	if int(s) < len(outcomeNames) {
		return outcomeNames[s]
	}
	return ""
}

// AlreadySo begins the detail of a command that is Done because the unit was as it asks for: nothing was written.
const AlreadySo = "already so"

// An Outcome says how a command ended and what that was seen from.
type Outcome struct {
	State  OutcomeState
	Reason string     // a reason code where State is not Done, "" where none fits
	Detail string     // one line for people: states, registers, limits; never an address or a serial number
	Raw    []RawValue // the registers that decided it, as last read
}

// The reason codes a unit's driver gives (rules, section 14; design, section 7).
const (
	ReasonSafetyLock  = "SAFETY_LOCK"     // a state of the unit forbids it now; the detail names the state
	ReasonBusy        = "BUSY"            // something is pending or running in the unit
	ReasonUnsupported = "UNSUPPORTED"     // this unit, or this driver, cannot do it
	ReasonUnreachable = "UPS_UNREACHABLE" // the unit does not answer
	ReasonUPSRefused  = "UPS_REFUSED"     // the unit itself said no
	ReasonCancelled   = "CANCELLED"
)

// A Refusal is the error of a command that must not go to the unit now. Nothing was written.
type Refusal struct {
	Reason string // one of the reason codes
	Detail string // one line for people, as Outcome.Detail
}

func (r *Refusal) Error() string {
	if r.Detail == "" {
		return r.Reason
	}
	return fmt.Sprintf("%s: %s", r.Reason, r.Detail)
}
