// Package policy is the permission matrix and the decision taken from it (rules, sections 2 and 3). Agent and cloud link the same
// table, matrix.csv, and so decide alike; where what they know differs, the stricter decision holds (PERM-11).
//
// It is pure: no clock, no I/O. Who has which role on a device, and which plan is in force now, the caller knows.
package policy

// A Role is what somebody is to one device (rules, section 1). One that is not listed has no rights.
type Role string

// The roles, the columns of the matrix.
const (
	Owner        Role = "owner"
	Shared       Role = "shared"
	PartnerRO    Role = "partner_ro"
	PartnerAdmin Role = "partner_admin"
	PartnerAPI   Role = "partner_api"
	Nobody       Role = "nobody"
)

// Roles lists the roles in the order of the matrix.
var Roles = [...]Role{Owner, Shared, PartnerRO, PartnerAdmin, PartnerAPI, Nobody}

// Partner reports whether the role is one of a partner.
func (r Role) Partner() bool { return r == PartnerRO || r == PartnerAdmin || r == PartnerAPI }

// A Plan is what was paid for, of one device (rules, section 4). One that is not listed gives no rights.
type Plan string

// The plans, the least first.
const (
	Basic    Plan = "basic"
	Standard Plan = "standard"
	Advanced Plan = "advanced"
)

// Plans lists the plans, the least first.
var Plans = [...]Plan{Basic, Standard, Advanced}

// Lesser returns the plan of the two that gives less; of one that is not known, that one.
func Lesser(a, b Plan) Plan {
	if rank(a) <= rank(b) {
		return a
	}
	return b
}

// rank is -1 for a plan that is not known.
func rank(p Plan) int {
	for i, known := range Plans {
		if p == known {
			return i
		}
	}
	return -1
}

// A Decision is the answer to: may this role do this now?
type Decision struct {
	Allowed   bool
	Reason    Reason // why not; "" when it is allowed
	Projected bool   // of what is read, only the partner projection may be shown (rules, section 12)
}

// Decide answers from the matrix. What it does not allow is refused (PERM-1), with the first reason in the order that is fixed
// for all sides: role, then second factor, then plan. mfa says that a second factor was given.
func Decide(action Action, role Role, plan Plan, mfa bool) Decision {
	row, ok := matrix[action]
	if !ok {
		return Decision{Reason: UnknownAction}
	}
	c := row[role] // of a role that is not known: never
	if c.plans == 0 {
		return Decision{Reason: refusedRole(action, role)}
	}
	if role.Partner() && !mfa {
		return Decision{Reason: MFARequired}
	}
	if r := rank(plan); r < 0 || c.plans&(1<<r) == 0 {
		return Decision{Reason: c.lacks(r)}
	}
	return Decision{Allowed: true, Projected: c.projected}
}

// refusedRole is the reason for a role that never may, on no plan.
func refusedRole(action Action, role Role) Reason {
	switch {
	case role == PartnerRO, role == PartnerAPI:
		if action.Command() {
			return RoleReadOnly // PERM-8
		}
		return OwnerOnly
	case role == Owner, role == Shared, role == PartnerAdmin:
		return OwnerOnly
	}
	return NotFound // ROLE-6: whatever the truth
}

// A cell is one entry of the matrix.
type cell struct {
	plans     uint8 // bit of each plan's rank
	projected bool
}

// lacks is the reason for a plan of a rank that does not do. On Basic it is always PLAN_BASIC, whatever would be needed (PERM-4).
func (c cell) lacks(r int) Reason {
	if r == rank(Standard) {
		return PlanStandard
	}
	return PlanBasic
}
