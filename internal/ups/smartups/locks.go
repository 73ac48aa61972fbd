package smartups

import (
	"fmt"

	"upsedge/internal/ups"
)

// locked is why no command may go now, whatever was asked for (EDGE-8; T-12): the interlocks of this program, stricter than a unit's.
func locked(s *ups.State, p profile) error {
	if err := forbidden(s, false); err != nil {
		return err
	}
	return underWay(s, p)
}

// forbidden are the states in which nothing may be switched, but for what turns the output on: it may be off then.
func forbidden(s *ups.State, turnsOn bool) error {
	u, test, cal := s.Flags(ups.StatusFlags), s.Flags(ups.BatteryTest), s.Flags(ups.Calibration)
	for _, lock := range []struct {
		on   bool
		what string
	}{
		{u&ups.UTest != 0 || test&(ups.TPending|ups.TInProgress) != 0, "a self-test runs"},
		{cal&(ups.TPending|ups.TInProgress) != 0, "a runtime calibration runs"},
		{u&ups.UOnBattery != 0, "on battery"},
		{u&ups.UBypass != 0, "in bypass"},
		{u&ups.UOutputOff != 0 && !turnsOn, "the output is off"},
		{u&ups.UInputBad != 0 || s.Flags(ups.Signalling)&ups.SPowerFailure != 0, "the input power is bad"},
		{u&ups.UFaultState != 0, "in a fault state"},
		{u&ups.UFaultRecovery != 0, "recovering from a fault"},
		{u&ups.UOverload != 0 || s.Flags(ups.PowerError)&ups.POverload != 0, "overloaded"},
		{s.Flags(ups.GeneralError)&ups.GEPOActive != 0, "emergency power off is active"},
		// The fault bit alone can be a latched battery condition while the power path is well (section 6.1, FIELD).
		{u&ups.UFault != 0 && s.Flags(ups.PowerError) != 0, "a fault of the power system"},
	} {
		if lock.on {
			return &ups.Refusal{Reason: ups.ReasonSafetyLock, Detail: fmt.Sprintf("%s (status 0x%08X)", lock.what, u)}
		}
	}
	return nil
}

// underWay tells of something that the unit is about to do already.
func underWay(s *ups.State, p profile) error {
	u := s.Flags(ups.StatusFlags)
	if u&(ups.UPendingOff|ups.UPendingOn) != 0 || s.Flags(ups.Signalling)&ups.SShutdownImminent != 0 {
		return &ups.Refusal{Reason: ups.ReasonBusy, Detail: fmt.Sprintf("the unit is about to turn its output off or on (status 0x%08X)", u)}
	}
	for i, g := range ups.Groups {
		if o := s.Flags(g.Outlet()); p.groups&(1<<i) != 0 && o&outletBusy != 0 {
			return &ups.Refusal{Reason: ups.ReasonBusy, Detail: fmt.Sprintf("something is pending on group %s (0x%04X)", g, o)}
		}
	}
	return nil
}

// outletBusy are the bits of a group to which something will happen or happens (section 6.3); a pending load shed counts (7.3, rule 4).
const outletBusy = outletProcess | ups.OLoadShed

// outletProcess are those of a command.
const outletProcess = ups.OReboot | ups.OShutdown | ups.OSleep | ups.OOnDelay | ups.OOffDelay | ups.OOnMains | ups.OOnMinRuntime
