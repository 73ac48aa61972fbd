package smartups

import (
	"context"
	"fmt"

	"upsedge/internal/ups"
)

// A deed is one kind of command to a unit: how it is prepared, what may stand in its way, how its end is seen and how it is taken back.
// Its methods keep nothing: what they need to know later is in the evidence.
type deed interface {
	// plan chooses the write, by what the unit is and the parameters, which are complete. It may read what is set in the unit. The
	// error is a *ups.Refusal: this unit cannot do it.
	plan(ctx context.Context, c *Control, e *eye, params map[string]string, ev *evidence) error
	// looks are the reads that say whether it may go, and later how it ended: the status block, with more where that does not tell.
	looks(e *eye, ev *evidence) []*read
	// may answers whether it may go in the state the unit is in (EDGE-8), nil or a *ups.Refusal, and notes what its judging needs.
	may(ev *evidence, s *ups.State, p profile) error
	// follow returns what looks at the readings behind the write.
	follow(ev *evidence) step
	// shown are the points that tell how it ended, besides the status and its cause.
	shown(ev *evidence) []ups.Point
	// back is the write that takes it back in the state the unit is in, or a *ups.Refusal.
	back(ev *evidence, s *ups.State) (order, error)
}

// The deeds, by the name evidence carries: it stays in journals, and never changes its meaning.
const (
	deedSetting     = "setting"
	deedReboot      = "reboot"
	deedRebootGroup = "reboot-group"
	deedOn          = "outlet-on"
	deedOff         = "outlet-off"
	deedShutdown    = "outlet-shutdown"
	deedTakeBack    = "outlet-cancel"

	deedSelfTest         = "self-test"
	deedAbortSelfTest    = "self-test-abort"
	deedCalibration      = "calibration"
	deedAbortCalibration = "calibration-abort"
	deedPanel            = "panel"
	deedEndPanel         = "panel-abort"
	deedMute             = "mute"
	deedUnmute           = "unmute"
	deedAckBattery       = "ack-battery"
	deedAckWiring        = "ack-wiring"
)

var deeds map[string]deed

func init() { // not in the declaration: what follows a deed looks here
	deeds = map[string]deed{
		deedSetting:     settingDeed{},
		deedReboot:      rebootDeed{},
		deedRebootGroup: rebootGroupDeed{},
		deedOn:          onDeed{},
		deedOff:         offDeed{},
		deedShutdown:    shutdownDeed{},
		deedTakeBack:    takeBackDeed{},

		deedSelfTest:         selfTestDeed{},
		deedAbortSelfTest:    selfTest.abortDeed(),
		deedCalibration:      calibrationDeed{},
		deedAbortCalibration: calibration.abortDeed(),
		deedPanel:            panelDeed{},
		deedEndPanel:         endPanelDeed,
		deedMute:             muteDeed,
		deedUnmute:           unmuteDeed,
		deedAckBattery:       ackBatteryDeed,
		deedAckWiring:        ackWiringDeed,
	}
}

// deedOf returns which deed a command is, "" where there is none; params are complete.
func deedOf(action string, params map[string]string) string {
	switch action {
	case ups.ActionReboot:
		return deedReboot
	case ups.ActionConfigure:
		return deedSetting
	case ups.ActionRebootGroup:
		return deedRebootGroup
	case ups.ActionOutlet:
		return map[string]string{ups.ToOn: deedOn, ups.ToOff: deedOff, ups.ToShutdown: deedShutdown, ups.ToCancel: deedTakeBack}[params[ups.ParamTo]]
	case ups.ActionDiagnostics:
		return map[string]string{
			ups.TestSelf + ups.DoStart: deedSelfTest, ups.TestSelf + ups.DoAbort: deedAbortSelfTest,
			ups.TestCalibration + ups.DoStart: deedCalibration, ups.TestCalibration + ups.DoAbort: deedAbortCalibration,
			ups.TestPanel + ups.DoStart: deedPanel, ups.TestPanel + ups.DoAbort: deedEndPanel,
		}[params[ups.ParamTest]+params[ups.ParamDo]]
	case ups.ActionMute:
		return map[string]string{ups.MuteOn: deedMute, ups.MuteOff: deedUnmute}[params[ups.ParamMute]]
	case ups.ActionAck:
		return map[string]string{ups.AlarmBattery: deedAckBattery, ups.AlarmWiring: deedAckWiring}[params[ups.ParamAlarm]]
	}
	return ""
}

// plan reads the unit and returns what is to be written and what was seen, or a *ups.Refusal.
func (c *Control) plan(ctx context.Context, e *eye, cmd ups.Command) (*evidence, error) {
	params, err := ups.CheckParams(cmd.Action, cmd.Params)
	if err != nil {
		return nil, unsupported("%v", err)
	}
	ev := &evidence{Version: evidenceVersion, Action: cmd.Action, Deed: deedOf(cmd.Action, params)}
	d, ok := deeds[ev.Deed]
	if !ok {
		return nil, unsupported("this program cannot do %q to a unit", cmd.Action)
	}
	if err := d.plan(ctx, c, e, params, ev); err != nil {
		return nil, err
	}
	s, err := e.look(ctx, d.looks(e, ev)) // last of all: it is what the command goes by
	if err != nil {
		return nil, unreachable(err)
	}
	ev.Status, ev.Test = s.Flags(ups.StatusFlags), s.Flags(ups.BatteryTest)
	ev.Cause, _ = s.Raw(ups.StatusCause)
	return ev, d.may(ev, s, e.about.profile)
}

func unsupported(format string, args ...any) error {
	return &ups.Refusal{Reason: ups.ReasonUnsupported, Detail: fmt.Sprintf(format, args...)}
}

// family tells why commands to a unit of this family are not certain to do what they say, nil where they are.
func (e *eye) family() error {
	switch e.about.profile.family {
	case smt, srt:
		return nil
	case surtd:
		return unsupported("SURTD is read-only through Modbus")
	}
	return unsupported("no document says which commands a unit of this family takes")
}

// port is the source bit of the port in use (section 7.3, rule 3; D11).
func (c *Control) port(e *eye) uint32 {
	switch {
	case e.about.profile.card:
		return fromCard
	case e.d.timing().ByteTime > 0:
		return fromSerial
	}
	return fromTCP
}
