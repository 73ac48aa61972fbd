package policy

import "testing"

func TestPERM1WhatIsNotListedIsRefused(t *testing.T) {
	for _, c := range []struct {
		action Action
		role   Role
		plan   Plan
		want   Reason
	}{
		{"reboot.everything", Owner, Advanced, UnknownAction},
		{"", Owner, Advanced, UnknownAction},
		{"reboot.everything", Nobody, Advanced, UnknownAction},
		{RebootUPS, "root", Advanced, NotFound},
		{RebootUPS, "", Advanced, NotFound},
		{RebootUPS, Owner, "platinum", PlanBasic},
		{RebootUPS, Owner, "", PlanBasic},
		{MonitorStatus, Owner, "", PlanBasic},
		{RebootUPS, Nobody, Advanced, NotFound},
		{DeviceTransfer, Owner, Advanced, OwnerOnly},
	} {
		refused(t, c.action, c.role, c.plan, true, c.want)
	}
}

// TestPERM1EachRefusalHasItsReason: of a role that never may, and of a plan that does not do.
func TestPERM1EachRefusalHasItsReason(t *testing.T) {
	eachCell(func(a Action, r Role, p Plan) {
		if may(a, r, p) {
			return
		}
		want := PlanBasic
		switch {
		case r == Nobody:
			want = NotFound
		case !may(a, r, Advanced) && (r == PartnerRO || r == PartnerAPI) && has(ordered, a):
			want = RoleReadOnly
		case !may(a, r, Advanced):
			want = OwnerOnly
		case has(advancedOnly, a) && p != Basic:
			want = PlanStandard
		}
		refused(t, a, r, p, true, want)
	})
}

// TestPERM2SharedUsersAreOwnersForEveryCommand and for all they see, on each plan; but the facts about the box are the owner's (PRIV-8).
func TestPERM2SharedUsersAreOwnersForEveryCommand(t *testing.T) {
	for _, a := range append(append([]Action{ConfigureLabel, EventLogRead, APIRead, ReportInventory, ReportOperational}, aboutData...), ordered...) {
		for _, p := range Plans {
			if a == SupportBundle {
				continue
			}
			if o, s := Decide(a, Owner, p, false), Decide(a, Shared, p, false); o != s {
				t.Errorf("%s on %s: owner %+v, shared %+v", a, p, o, s)
			}
		}
	}
	for _, a := range []Action{FirmwareUpgrade, DiagnosticsRun, RebootUPS, ConfigureDevice, MonitorHistory} {
		holds(t, a, Shared, Standard, true)
		holds(t, a, Shared, Advanced, true)
	}
}

// TestPERM3OnlyTheOwnerRegistersOrDeletes, devices and the boxes in front of them, on every plan.
func TestPERM3OnlyTheOwnerRegistersOrDeletes(t *testing.T) {
	for _, a := range []Action{DeviceRegister, DeviceDelete, AgentEnroll, AgentRemove} {
		for _, r := range Roles {
			for _, p := range Plans {
				holds(t, a, r, p, r == Owner)
			}
		}
	}
}

// TestPERM4NoCommandAndNoNotificationOnBasic for any role, the owner included; and who may on a higher plan is told that it is the plan.
func TestPERM4NoCommandAndNoNotificationOnBasic(t *testing.T) {
	for _, a := range append([]Action{NotifyAddDevice, NotifyReceive}, ordered...) {
		for _, r := range Roles {
			holds(t, a, r, Basic, false)
		}
		refused(t, a, Owner, Basic, true, PlanBasic)
	}
}

func TestPERM5ALicenceIsAppliedOnBasicToo(t *testing.T) {
	for _, r := range customers {
		holds(t, LicenceApply, r, Basic, true)
	}
}

// TestPERM6GroupsNeedAdvancedAndTheWholeUnitStandard: whoever may reboot the unit may, on Advanced, reboot a group and switch it.
func TestPERM6GroupsNeedAdvancedAndTheWholeUnitStandard(t *testing.T) {
	for _, r := range []Role{Owner, Shared, PartnerAdmin} {
		for _, p := range Plans {
			holds(t, RebootUPS, r, p, p != Basic)
			holds(t, RebootGroup, r, p, p == Advanced)
			holds(t, ControlOutlet, r, p, p == Advanced)
		}
		refused(t, RebootGroup, r, Standard, true, PlanStandard)
		refused(t, ControlOutlet, r, Standard, true, PlanStandard)
	}
}

// TestPERM7AnAdministratorHasTheOwnersRightsOverDataAndControl on each plan, and none of what is the owner's alone. The facts about the box
// are for no partner (PRIV-8), and the API is another grant (ROLE-5).
func TestPERM7AnAdministratorHasTheOwnersRightsOverDataAndControl(t *testing.T) {
	apart := append([]Action{SupportBundle, APIRead, ShareLeave, PartnerLeave, DeviceTransfer}, ownersAlone...)
	for _, a := range Actions() {
		for _, p := range Plans {
			if !has(apart, a) {
				holds(t, a, PartnerAdmin, p, may(a, Owner, p))
			} else if a != PartnerLeave {
				holds(t, a, PartnerAdmin, p, false)
			}
		}
	}
}

func TestPERM8WhoReadsSendsNoCommand(t *testing.T) {
	for _, a := range ordered {
		for _, r := range []Role{PartnerRO, PartnerAPI} {
			for _, p := range Plans {
				refused(t, a, r, p, true, RoleReadOnly)
				refused(t, a, r, p, false, RoleReadOnly) // the role is told before the second factor
			}
		}
	}
}

// TestPERM10ADecisionRemembersNothing: asked again after the plan has changed it is another one, and asked as before the same.
func TestPERM10ADecisionRemembersNothing(t *testing.T) {
	for range 2 {
		holds(t, RebootUPS, Shared, Standard, true)
		holds(t, RebootUPS, Nobody, Standard, false)
		holds(t, RebootUPS, Shared, Basic, false)
	}
}

// TestPERM11TheStricterPlanCounts, and a plan that is not known is the strictest.
func TestPERM11TheStricterPlanCounts(t *testing.T) {
	for _, c := range [][3]Plan{{Basic, Advanced, Basic}, {Advanced, Standard, Standard}, {"x", Basic, "x"}, {Basic, "", ""}, {Advanced, Advanced, Advanced}} {
		if got := Lesser(c[0], c[1]); got != c[2] {
			t.Errorf("Lesser(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// TestEDGE7AndPART7APartnerWithoutASecondFactorGetsNothing of what the role may.
func TestEDGE7AndPART7APartnerWithoutASecondFactorGetsNothing(t *testing.T) {
	for _, a := range Actions() {
		for _, r := range partners {
			for _, p := range Plans {
				if may(a, r, Advanced) {
					refused(t, a, r, p, false, MFARequired)
				}
			}
		}
		for _, r := range customers {
			for _, p := range Plans {
				if d := Decide(a, r, p, false); d != Decide(a, r, p, true) {
					t.Errorf("%s by %s on %s: %+v without a second factor", a, r, p, d)
				}
			}
		}
	}
}

// TestReasonsComeInTheirOrder: role before second factor before plan (rules, section 14).
func TestReasonsComeInTheirOrder(t *testing.T) {
	refused(t, RebootUPS, PartnerRO, Basic, false, RoleReadOnly)
	refused(t, RebootUPS, PartnerAdmin, Basic, false, MFARequired)
	refused(t, RebootUPS, PartnerAdmin, Basic, true, PlanBasic)
	refused(t, DeviceDelete, PartnerAdmin, Basic, false, OwnerOnly)
}
