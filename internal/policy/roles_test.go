package policy

import "testing"

// TestROLE1TheOwnerMayAllButWhatIsNotForOwners: there is one owner, and on Advanced nothing is kept from them but the acts of those who
// have a share or are partners, and a transfer, which nobody has (DEV-4).
func TestROLE1TheOwnerMayAllButWhatIsNotForOwners(t *testing.T) {
	notTheirs := []Action{ShareLeave, PartnerLeave, DeviceTransfer}
	for _, a := range Actions() {
		holds(t, a, Owner, Advanced, !has(notTheirs, a))
	}
}

// TestROLE2ASharedUserHasNothingOfWhatIsTheOwners on no plan, and never the facts about the owner's box (PRIV-8) nor the list of the
// other shared users (SHARE-12).
func TestROLE2ASharedUserHasNothingOfWhatIsTheOwners(t *testing.T) {
	kept := append([]Action{SupportBundle, ShareList, DeviceTransfer, PartnerLeave}, ownersAlone...)
	for _, a := range Actions() {
		for _, p := range Plans {
			if has(kept, a) {
				refused(t, a, Shared, p, false, OwnerOnly)
			}
		}
		holds(t, a, Shared, Advanced, !has(kept, a))
	}
}

func TestROLE3APartnerReadsByDefaultAndNothingElse(t *testing.T) {
	for _, a := range Actions() {
		for _, p := range Plans {
			if !has(aboutData, a) && a != PartnerLeave {
				holds(t, a, PartnerRO, p, false)
			}
		}
	}
}

// TestROLE4AnAdministratorIsNoOwner, however much may be done.
func TestROLE4AnAdministratorIsNoOwner(t *testing.T) {
	for _, a := range append([]Action{ShareLeave, DeviceTransfer}, ownersAlone...) {
		for _, p := range Plans {
			refused(t, a, PartnerAdmin, p, true, OwnerOnly)
		}
	}
}

// TestROLE5TheAPIIsAGrantOfItsOwn, neither implied by an administrator's nor implying it.
func TestROLE5TheAPIIsAGrantOfItsOwn(t *testing.T) {
	for _, p := range Plans {
		holds(t, APIRead, PartnerAdmin, p, false)
		holds(t, APIRead, PartnerRO, p, false)
		holds(t, APIRead, PartnerAPI, p, p != Basic)
		for _, a := range []Action{ConfigureLabel, EventLogRead, LicenceApply, ReportInventory, ReportOperational, NotifyAddDevice, NotifyReceive, ShareList} {
			holds(t, a, PartnerAPI, p, false)
		}
	}
}

// TestROLE3To5PartnersAloneGiveUpWhatPartnersHave: on each plan, whichever of the three it is.
func TestROLE3To5PartnersAloneGiveUpWhatPartnersHave(t *testing.T) {
	for _, r := range Roles {
		for _, p := range Plans {
			holds(t, PartnerLeave, r, p, r.Partner())
		}
	}
}

// TestROLE6AndPERM9NobodyMayNothingAndLearnsNothing: one answer for whatever is asked, with a second factor or without, and for a role
// that is not known.
func TestROLE6AndPERM9NobodyMayNothingAndLearnsNothing(t *testing.T) {
	for _, a := range Actions() {
		for _, p := range append([]Plan{"", "platinum"}, Plans[:]...) {
			for _, r := range []Role{Nobody, "", "support", "OWNER"} {
				refused(t, a, r, p, true, NotFound)
				refused(t, a, r, p, false, NotFound)
			}
		}
	}
}

func TestDEV4NobodyTransfersADevice(t *testing.T) {
	for _, r := range Roles {
		for _, p := range Plans {
			holds(t, DeviceTransfer, r, p, false)
		}
	}
}

// TestSHARE6OnlyTheOwnerInvitesAndRevokes and a shared user asks in vain.
func TestSHARE6OnlyTheOwnerInvitesAndRevokes(t *testing.T) {
	for _, a := range []Action{ShareInvite, ShareRevoke} {
		for _, r := range Roles {
			for _, p := range Plans {
				if r != Owner {
					holds(t, a, r, p, false)
				}
			}
		}
		refused(t, a, Shared, Advanced, true, OwnerOnly)
	}
}

func TestSHARE7TheOwnerRevokesOnAnyPlan(t *testing.T) {
	for _, p := range Plans {
		holds(t, ShareRevoke, Owner, p, true)
	}
}

// TestSHARE8ASharedUserAndNobodyElseLeaves, on any plan.
func TestSHARE8ASharedUserAndNobodyElseLeaves(t *testing.T) {
	for _, r := range Roles {
		for _, p := range Plans {
			holds(t, ShareLeave, r, p, r == Shared)
		}
	}
}

func TestSHARE9ASharedUserDeletesNothing(t *testing.T) {
	for _, p := range Plans {
		refused(t, DeviceDelete, Shared, p, true, OwnerOnly)
	}
}

// TestSHARE12SharesAreListedForTheOwner, and for who is administrator of all the owner has, but not for the others who share.
func TestSHARE12SharesAreListedForTheOwner(t *testing.T) {
	for _, r := range Roles {
		for _, p := range Plans {
			holds(t, ShareList, r, p, r == Owner || r == PartnerAdmin)
		}
	}
}

// TestLIC1OwnerAndSharedUsersApplyLicences; of partners the administrator.
func TestLIC1OwnerAndSharedUsersApplyLicences(t *testing.T) {
	for _, r := range Roles {
		for _, p := range Plans {
			holds(t, LicenceApply, r, p, r == Owner || r == Shared || r == PartnerAdmin)
		}
	}
}

// TestNOTE1OwnerAndSharedUsersHavePolicies: what is put in one, and what comes of it, go together.
func TestNOTE1OwnerAndSharedUsersHavePolicies(t *testing.T) {
	for _, a := range []Action{NotifyAddDevice, NotifyReceive} {
		for _, r := range Roles {
			for _, p := range Plans {
				holds(t, a, r, p, (r == Owner || r == Shared || r == PartnerAdmin) && p != Basic)
			}
		}
	}
}
