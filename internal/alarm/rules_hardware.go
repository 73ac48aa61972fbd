package alarm

import "upsedge/internal/ups"

// Hardware: event catalogue, section 5; READ-11: bits that some headers call reserved are taken as they are.
var hardwareRules = []rule{
	bitRule(401, ups.GeneralError, ups.GSiteWiring),
	bitRule(402, ups.GeneralError, ups.GEEPROM),
	bitRule(403, ups.GeneralError, ups.GADConverter),
	bitRule(404, ups.GeneralError, ups.GLogicPower),
	bitRule(405, ups.GeneralError, ups.GInternalComm),
	bitRule(406, ups.GeneralError, ups.GUIButton),
	bitRule(407, ups.GeneralError, ups.GFirmwareMismatch),
	bitRule(408, ups.GeneralError, ups.GOscillator),
	bitRule(409, ups.GeneralError, ups.GMeasurements),
	bitRule(410, ups.GeneralError, ups.GSubsystem),
	bitRule(411, ups.PowerError, ups.POvertemperature),
	bitRule(412, ups.PowerError, ups.PBackfeedRelay),
	bitRule(413, ups.PowerError, ups.PAVRRelay),
	bitRule(414, ups.PowerError, ups.PInputRelay),
	bitRule(415, ups.PowerError, ups.POutputRelay),
	bitRule(416, ups.PowerError, ups.PBypassRelay),
	bitRule(417, ups.PowerError, ups.PFan),
	bitRule(418, ups.PowerError, ups.PPFC),
	bitRule(419, ups.PowerError, ups.PDCBusOvervoltage),
	bitRule(420, ups.PowerError, ups.PInverter),
	bitRule(421, ups.PowerError, ups.PTransformerDC),
	{
		id:    422,
		raise: []test{{on: onErrors, is: unexplainedFault, polls: 2}},
		clear: []test{{on: onErrors, is: not(unexplainedFault), polls: 2}},
		raw:   []ups.Point{ups.StatusFlags, ups.GeneralError, ups.PowerError, ups.BatteryError},
	},
	{
		// Judged with the status block, after the alarms that may explain it, and not with each status word: those words come in
		// two blocks, and the reason later than the alert.
		id:    423,
		raise: []test{{on: onErrors, is: unexplainedAlert, polls: 2, only: ups.SMT}},
		clear: []test{{on: onErrors, is: not(unexplainedAlert), polls: 2}},
		raw:   []ups.Point{ups.StatusFlags},
	},
	causeMoment(424, causedBy(ups.CauseErrorCleared)),
}

// unexplainedFault: a fault, and no error word says which.
func unexplainedFault(x *look) bool {
	return x.u(ups.UFault) && !x.bits(ups.GeneralError, all) && !x.bits(ups.PowerError, all) && !x.bits(ups.BatteryError, all)
}

// unexplainedAlert: an alert, and no alarm that comes from a word of the unit about a lasting condition says why: of the
// battery (204 to 213, 215 to 217) or of the hardware.
func unexplainedAlert(x *look) bool {
	return x.u(ups.UInfoAlert) && !x.active.any(204, 213) && !x.active.any(215, 217) && !x.active.any(401, 422)
}
