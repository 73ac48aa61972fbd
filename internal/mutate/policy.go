package main

// ofPolicy are the checks of the decision itself.
var ofPolicy = []mutant{
	{"PERM-1", "internal/policy/policy.go", `if !ok {`, `if !ok && false {`, "", "an action that is not listed"},
	{"PERM-1", "internal/policy/policy.go", `if c.plans == 0 {
		return`, `if false {
		return`, "", "a role that never may"},
	{"EDGE-7", "internal/policy/policy.go", `if role.Partner() && !mfa {`, `if false {`, "", "a partner without a second factor"},
	{"EDGE-7", "internal/policy/policy.go", `r == PartnerAdmin || `, ``, "", "an administrator is a partner"},
	{"PLAN-9", "internal/policy/policy.go", `r < 0 || c.plans&(1<<r) == 0`, `r >= 0 && c.plans&(1<<r) == 0`, "", "a plan that is not known"},
	{"PERM-4", "internal/policy/policy.go", `r < 0 || c.plans&(1<<r) == 0`, `r < 0`, "", "a plan that does not do"},
	{"PERM-8", "internal/policy/policy.go", `		if action.Command() {
			return RoleReadOnly // PERM-8
		}
`, ``, "", "who reads is told so"},
	{"ROLE-6 PERM-9", "internal/policy/policy.go", `return NotFound // ROLE-6`, `return OwnerOnly // ROLE-6`, "", "nobody learns nothing"},
	{"PERM-6", "internal/policy/policy.go", `if r == rank(Standard) {`, `if false {`, "", "which plan is wanting"},
	{"PERM-4", "internal/policy/policy.go", `if r == rank(Standard) {`, `if true {`, "", "on Basic it is Basic that is wanting"},
	{"PRIV-1", "internal/policy/policy.go", `Projected: c.projected}`, `}`, "", "the projection"},
	{"PERM-11", "internal/policy/policy.go", `if rank(a) <= rank(b) {`, `if rank(a) >= rank(b) {`, "", "the lesser of two plans"},
}
