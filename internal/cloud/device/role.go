package device

import (
	"context"
	"slices"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A Standing is one role that somebody has on a device, and since when; of the owner that is zero.
type Standing struct {
	Role  policy.Role
	Since time.Time
}

// strength is the order in which the roles of one account are asked: whoever may as the first of them does it as that.
var strength = []policy.Role{policy.Owner, policy.PartnerAdmin, policy.Shared, policy.PartnerAPI, policy.PartnerRO}

// Standings returns what an actor is to a device now (PERM-10), the strongest role first; none of who is nobody, and that is to be answered with
// ErrNone, whatever the truth (ROLE-6). The owner is nothing else beside it (ROLE-7).
func Standings(ctx context.Context, tx *store.Tx, actor cloud.Actor, d *Device) (out []Standing, err error) {
	if actor.Account == "" || !d.EndedAt.IsZero() {
		return nil, nil
	}
	if actor.Account == d.Owner {
		return []Standing{{Role: policy.Owner}}, nil
	}
	found, err := held(ctx, tx, actor, d.ID)
	for i := range found {
		out = append(out, Standing{found[i].Role, found[i].Since})
	}
	slices.SortStableFunc(out, func(x, y Standing) int { return slices.Index(strength, x.Role) - slices.Index(strength, y.Role) })
	return out, err
}

// held returns the grants that an actor has on a device now.
func held(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) ([]Grant, error) {
	return grants(ctx, tx, `device = $1 AND account = $2 AND ended_at IS NULL`, id, actor.Account)
}

// Role is the strongest role of an actor on a device now.
func Role(ctx context.Context, tx *store.Tx, actor cloud.Actor, d *Device) (policy.Role, error) {
	all, err := Standings(ctx, tx, actor, d)
	if err != nil || len(all) == 0 {
		return policy.Nobody, err
	}
	return all[0].Role, nil
}

// Judge asks whether an actor may do something with a device now, in any of its roles (ROLE-7). The Right says in which; the error why not:
// ErrNone for nobody, else a reason of the matrix.
func Judge(ctx context.Context, tx *store.Tx, actor cloud.Actor, d *Device, action policy.Action, now time.Time) (Right, error) {
	all, err := Standings(ctx, tx, actor, d)
	if err != nil {
		return Right{Role: policy.Nobody}, err
	}
	right := Right{Role: policy.Nobody, Plan: d.PlanAt(now)}
	if len(all) == 0 {
		return right, ErrNone
	}
	s, decision := decide(all, action, right.Plan, actor.MFA)
	right.Role, right.Projected = s.Role, decision.Projected
	if s.Role == policy.Shared {
		right.Since = s.Since // LOG-7
	}
	if !decision.Allowed {
		return right, cloud.Refuse(decision.Reason, "%s as %s on the plan %s", action, s.Role, right.Plan)
	}
	return right, nil
}

// decide asks the matrix for each role in turn: the first that may decides. Where none may, the reason is that of the role that came furthest:
// one that the plan or a second factor lacks says more than one that never may.
func decide(all []Standing, action policy.Action, plan policy.Plan, mfa bool) (Standing, policy.Decision) {
	first, refused := all[0], policy.Decide(action, all[0].Role, plan, mfa)
	for _, s := range all {
		decision := policy.Decide(action, s.Role, plan, mfa)
		if decision.Allowed {
			return s, decision
		}
		if never(refused.Reason) && !never(decision.Reason) {
			first, refused = s, decision
		}
	}
	return first, refused
}

// never reports whether a reason is of a role that may not on any plan.
func never(r policy.Reason) bool { return r == policy.OwnerOnly || r == policy.RoleReadOnly }
