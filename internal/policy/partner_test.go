package policy

import "testing"

// TestPART1ThePartnersAreTheCustomersChoice: the owner adds them, and a partner adds nobody, itself least of all.
func TestPART1ThePartnersAreTheCustomersChoice(t *testing.T) {
	for _, r := range Roles {
		for _, p := range Plans {
			holds(t, PartnerAdd, r, p, r == Owner)
		}
	}
}

// TestPART2APartnerReads what there is to read of a device; on Basic the inventory alone (D-8).
func TestPART2APartnerReads(t *testing.T) {
	for _, a := range Actions() {
		for _, p := range Plans {
			want := has(aboutData, a) && (p != Basic || a == InventoryRead)
			holds(t, a, PartnerRO, p, want || a == PartnerLeave)
		}
	}
}

func TestPART3TheSwitchesAreTheCustomers(t *testing.T) {
	for _, r := range Roles {
		for _, p := range Plans {
			holds(t, PartnerGrant, r, p, r == Owner)
		}
	}
}

func TestPART4TheCustomerRevokesOnAnyPlan(t *testing.T) {
	for _, r := range Roles {
		for _, p := range Plans {
			holds(t, PartnerRevoke, r, p, r == Owner)
		}
	}
}

// TestPART9TheAPIGivesDataOnAPlanThatCoversIt: on Basic nothing, not even the inventory (D-8).
func TestPART9TheAPIGivesDataOnAPlanThatCoversIt(t *testing.T) {
	for _, a := range Actions() {
		for _, p := range Plans {
			want := (has(aboutData, a) || a == APIRead) && p != Basic
			holds(t, a, PartnerAPI, p, want || a == PartnerLeave)
		}
	}
}

// TestPART11OnBasicAnAdministratorIsBoundLikeTheOwner.
func TestPART11OnBasicAnAdministratorIsBoundLikeTheOwner(t *testing.T) {
	for _, a := range Actions() {
		if a != PartnerLeave && may(a, PartnerAdmin, Basic) && !may(a, Owner, Basic) {
			t.Errorf("%s on basic is refused to the owner and allowed to an administrator", a)
		}
	}
	for _, a := range ordered {
		holds(t, a, PartnerAdmin, Basic, false)
	}
}

// TestPRIV1WhoReadsSeesTheProjection: the partner who reads, and the API, all of what they read and nobody else anything; to leave is no
// reading.
func TestPRIV1WhoReadsSeesTheProjection(t *testing.T) {
	eachCell(func(a Action, r Role, p Plan) {
		want := (r == PartnerRO || r == PartnerAPI) && a != PartnerLeave
		if d := Decide(a, r, p, true); d.Allowed && d.Projected != want {
			t.Errorf("%s by %s on %s: %+v", a, r, p, d)
		}
		if d := Decide(a, r, p, true); !d.Allowed && d.Projected {
			t.Errorf("%s by %s on %s: refused, and yet %+v", a, r, p, d)
		}
	})
}

func TestPRIV8FactsAboutTheBoxAreForItsOwner(t *testing.T) {
	for _, r := range Roles {
		for _, p := range Plans {
			holds(t, SupportBundle, r, p, r == Owner && p != Basic)
		}
	}
}

// TestPRIV9PartnersWhoReadAreToldOfNoPeople: no actions of users, no shares, no recipients.
func TestPRIV9PartnersWhoReadAreToldOfNoPeople(t *testing.T) {
	for _, r := range []Role{PartnerRO, PartnerAPI} {
		for _, p := range Plans {
			for _, a := range []Action{EventLogRead, ShareList, NotifyAddDevice, NotifyReceive} {
				holds(t, a, r, p, false)
			}
		}
	}
}

// TestLOG7WhoReadsTheLog, on each plan: D-3.
func TestLOG7WhoReadsTheLog(t *testing.T) {
	for _, r := range Roles {
		for _, p := range Plans {
			holds(t, EventLogRead, r, p, r == Owner || r == Shared || r == PartnerAdmin)
		}
	}
}
