package policy

import "testing"

// TestPLAN2SharingIsStartedOnStandardOrAdvanced.
func TestPLAN2SharingIsStartedOnStandardOrAdvanced(t *testing.T) {
	for _, p := range Plans {
		holds(t, ShareInvite, Owner, p, p != Basic)
	}
	refused(t, ShareInvite, Owner, Basic, true, PlanBasic)
}

// TestPLAN3OnBasicADeviceStaysWithWhomItIsSharedWith: still visible to them, and theirs to leave.
func TestPLAN3OnBasicADeviceStaysWithWhomItIsSharedWith(t *testing.T) {
	for _, a := range []Action{InventoryRead, MonitorStatus, ShareLeave} {
		holds(t, a, Shared, Basic, true)
	}
}

// TestPLAN4WhatIsKeptAndLostOnBasic by the owner and by shared users. Beside what both keep, the owner's own acts need no plan but for an
// invitation.
func TestPLAN4WhatIsKeptAndLostOnBasic(t *testing.T) {
	for _, a := range Actions() {
		ofOwners := has(ownersAlone, a) && a != ShareInvite || a == ShareList
		holds(t, a, Owner, Basic, has(onBasic, a) || ofOwners)
		holds(t, a, Shared, Basic, has(onBasic, a) || a == ShareLeave)
	}
	for _, a := range []Action{MonitorHistory, ConfigureDevice, DiagnosticsRun, FirmwareUpgrade, RebootUPS, NotifyReceive, NotifyAddDevice} {
		refused(t, a, Owner, Basic, false, PlanBasic)
		refused(t, a, Shared, Basic, false, PlanBasic)
	}
}

// TestPLAN5AHigherPlanGivesBackEverything: what anybody may on a plan, they may on a higher one, and on Advanced nothing is wanting for its plan.
func TestPLAN5AHigherPlanGivesBackEverything(t *testing.T) {
	for _, a := range Actions() {
		for _, r := range Roles {
			for i, p := range Plans[1:] {
				if may(a, r, Plans[i]) && !may(a, r, p) {
					t.Errorf("%s by %s is allowed on %s and not on %s", a, r, Plans[i], p)
				}
			}
			if d := Decide(a, r, Advanced, true); d.Reason == PlanBasic || d.Reason == PlanStandard {
				t.Errorf("%s by %s on advanced: %s", a, r, d.Reason)
			}
		}
	}
}

// TestPLAN7NothingIsToldOnBasic.
func TestPLAN7NothingIsToldOnBasic(t *testing.T) {
	for _, r := range customers {
		for _, a := range []Action{NotifyAddDevice, NotifyReceive} {
			refused(t, a, r, Basic, false, PlanBasic)
			holds(t, a, r, Standard, true)
		}
	}
}

// TestPLAN8AdvancedAddsGroupsToStandardAndNothingElse, for every role.
func TestPLAN8AdvancedAddsGroupsToStandardAndNothingElse(t *testing.T) {
	for _, a := range Actions() {
		for _, r := range Roles {
			if s, adv := may(a, r, Standard), may(a, r, Advanced); s != adv && !has(advancedOnly, a) || s && has(advancedOnly, a) {
				t.Errorf("%s by %s: standard %s, advanced %s", a, r, word(s), word(adv))
			}
		}
	}
}

// TestPLAN9APlanThatIsNotKnownGivesNothing, whoever asks.
func TestPLAN9APlanThatIsNotKnownGivesNothing(t *testing.T) {
	for _, a := range Actions() {
		for _, r := range Roles {
			for _, p := range []Plan{"", "platinum", "Advanced", "BSA"} {
				holds(t, a, r, p, false)
			}
		}
	}
}
