package main

const (
	roleGo      = "internal/cloud/device/role.go"
	grantGo     = "internal/cloud/device/grant.go"
	shareGo     = "internal/cloud/device/share.go"
	planGo      = "internal/cloud/device/plan.go"
	createGo    = "internal/cloud/order/create.go"
	deliverGo   = "internal/cloud/order/deliver.go"
	cancelGo    = "internal/cloud/order/cancel.go"
	readGo      = "internal/cloud/order/read.go"
	acceptGo    = "internal/cloud/invitation/accept.go"
	inviteGo    = "internal/cloud/invitation/invite.go"
	manageGo    = "internal/cloud/invitation/manage.go"
	invitations = "internal/cloud/invitation/invitation.go"
	applyGo     = "internal/cloud/licence/apply.go"
	judgeGo     = "internal/cloud/notify/judge.go"
	memberGo    = "internal/cloud/notify/member.go"
	policyGo    = "internal/cloud/notify/policy.go"
	spreadGo    = "internal/cloud/notify/spread.go"
	sinkGo      = "internal/cloud/notify/sink.go"
)

// ofDevices are the checks of who is what to a device.
var ofDevices = []mutant{
	{"ROLE-6 PERM-9", roleGo, `	if len(all) == 0 {
		return right, ErrNone
	}`, `	if len(all) == 0 {
		return right, nil
	}`, "internal/cloud/device internal/cloud/order internal/cloud/api", "who is nobody"},
	{"ROLE-1 PERM-1 ROLE-7", roleGo, `	if !decision.Allowed {
		return right, cloud.Refuse(`, `	if false {
		return right, cloud.Refuse(`, "internal/cloud/device internal/cloud/order internal/cloud/api", "the matrix"},
	{"ROLE-7", roleGo, `		if decision.Allowed {
			return s, decision
		}
`, ``, "", "any of several roles"},
	{"ROLE-1", roleGo, `return []Standing{{Role: policy.Owner}}, nil`, `return nil, nil`, "", "the owner"},
	{"SHARE-7 SHARE-8 PERM-10 NOTE-2", roleGo, "`device = $1 AND account = $2 AND ended_at IS NULL`, id", "`device = $1 AND account = $2`, id", "internal/cloud/device internal/cloud/order internal/cloud/notify", "a grant that has ended"},
	{"LOG-7 SHARE-12", roleGo, `	if s.Role == policy.Shared {
		right.Since`, `	if false {
		right.Since`, "internal/cloud/device internal/cloud/order internal/cloud/api", "nothing from before the own share"},
	{"ROLE-7", grantGo, `	if account == d.Owner {
		return nil, cloud.Refuse(policy.SelfShare`, `	if false {
		return nil, cloud.Refuse(policy.SelfShare`, "", "the owner is no shared user"},
	{"SHARE-2", grantGo, `if len(shares) >= MaxShares {`, `if false {`, "", "at most five"},
	{"SHARE-10 SHARE-2 SHARE-8", grantGo, `if slices.ContainsFunc(shares, func(g Grant) bool { return g.Account == account }) {`, `if slices.ContainsFunc(shares, func(g Grant) bool { return false }) {`, "", "one share for each"},
	{"SHARE-6", shareGo, `policy.ShareRevoke, r.now())`, `policy.InventoryRead, r.now())`, "internal/cloud/device internal/cloud/api", "only the owner revokes"},
	{"SHARE-6 SHARE-7", shareGo, "`id = $1 AND device = $2 AND role", "`id = $1 AND (device = $2 OR 1 = 1) AND role", "internal/cloud/device internal/cloud/api", "a share of this device"},
	{"SHARE-8", shareGo, `policy.ShareLeave, r.now())`, `policy.InventoryRead, r.now())`, "internal/cloud/device internal/cloud/api", "who leaves"},
	{"PLAN-9", planGo, `	case now.Before(t.AdvancedUntil):`, `	case !t.AdvancedUntil.IsZero():`, "", "Advanced ends by itself"},
	{"PLAN-9", planGo, `	case now.Before(t.StandardUntil):
		return policy.Standard
	}
	return policy.Basic`, `	case !t.StandardUntil.IsZero():
		return policy.Standard
	}
	return policy.Basic`, "", "Standard ends by itself"},
	{"PLAN-7", planGo, `	if d.PlanAt(now) == policy.Basic {
		return time.Time{}
	}
`, ``, "", "paid since"},
}

// ofOrders are those of orders in the cloud.
var ofOrders = []mutant{
	{"PERM-1", createGo, `if !action.Command() && right.Role != policy.Nobody {`, `if false {`, "", "an action that is no command"},
	{"T-07 PERM-1", createGo, `		if err := actor.StepUp(now); err != nil {
			return nil, err
		}`, ``, "", "a fresh second factor"},
	{"T-07", createGo, `	if err := b.limits.check(ctx, tx, o); err != nil {
		return nil, err
	}`, ``, "", "limits"},
	{"PERM-10", deliverGo, `		return nil, cloud.Refuse(policy.NotBound, "the device is not registered any more")`, `		d, err = &device.Device{Epoch: o.Epoch, Agent: o.Agent, Serial: o.Serial, Owner: o.Actor.Account}, nil`, "", "the device at delivery"},
	{"PERM-10", deliverGo, `d.Epoch != o.Epoch || `, ``, "", "its epoch"},
	{"PERM-10", deliverGo, `|| d.Agent != o.Agent `, ``, "", "its agent"},
	{"PERM-10 TIME-1 PLAN-8 PLAN-9", deliverGo, `	right, err := mayOrder(ctx, tx, o.Actor, d, o.Action, now)
`, `	right, err := device.Right{Role: o.Role, Plan: o.Plan}, error(nil)
`, "", "all rights once more"},
	{"PERM-2", cancelGo, `target.Actor.Ref != actor && role != policy.Owner`, `false`, "", "one's own order or the owner any"},
	{"LOG-7", readGo, `	if o.RequestedAt.Before(since) {
		return nil, since, errNoOrder // LOG-7
	}`, ``, "internal/cloud/order internal/cloud/api", "orders before the own share"},
}

// ofInvitations are those of sharing by invitation.
var ofInvitations = []mutant{
	{"INV-1", inviteGo, `len(devices) == 0 || len(devices) > MaxDevices || `, ``, "", "how many devices"},
	{"INV-5", inviteGo, `	at, err := account.ParseAddress(email)
	if err != nil {
		return nil, nil, err
	}`, `	at, _ := account.ParseAddress(email)
	var err error`, "", "one address"},
	{"SHARE-6 PLAN-2 PERM-9", inviteGo, `		return err // NOT_FOUND, OWNER_ONLY (SHARE-6), PLAN_BASIC (PLAN-2)
`, ``, "", "who invites, and on which plan"},
	{"SHARE-11", inviteGo, `if keyOf(owner) == i.key {`, `if false {`, "", "nobody with themselves"},
	{"INV-8", inviteGo, `	if shared != nil {`, `	if false {`, "", "who has the share"},
	{"INV-7", inviteGo, `if len(open) > 0 {`, `if false {`, "", "who has an invitation"},
	{"SHARE-2 SHARE-3", inviteGo, `if free < 1 {`, `if false {`, "", "five places"},
	{"SHARE-3", invitations, `return device.MaxShares - shares - open, err`, `return device.MaxShares - shares, err`, "", "open invitations take places"},
	{"SHARE-2 SHARE-3", invitations, `return device.MaxShares - shares - open, err`, `return device.MaxShares - open, err`, "", "shares take places"},
	{"T-85", inviteGo, `	if err := limit.Spend(ctx, tx, now, lettersBy.Of(i.owner), lettersTo.Of(i.key)); err != nil {
		return nil, nil, err
	}`, ``, "", "how many letters"},
	{"INV-12", acceptGo, `	if err := limit.Reached(ctx, tx, s.Now(), s.wrongOf(who, a)...); err != nil {
		return a, nil, err
	}`, ``, "", "wrong codes an hour"},
	{"INV-3 INV-13", acceptGo, "`email_key = $1 AND state <> 'cancelled' ORDER", "`(email_key = $1 OR 1 = 1) AND state <> 'cancelled' ORDER", "", "the address"},
	{"INV-13 INV-14", acceptGo, ` AND state <> 'cancelled' ORDER`, ` ORDER`, "", "one that was cancelled"},
	{"INV-3 INV-13", acceptGo, `onetime.Fits(i.sealed, code, onetime.Mail) && meant == nil`, `meant == nil`, "", "the code"},
	{"INV-12", acceptGo, `case i.State == Locked:`, `case false:`, "", "one that is locked"},
	{"INV-11", acceptGo, `i.State == Open && i.over(s.Now())`, `false`, "", "seven days"},
	{"INV-11", acceptGo, `case i.State != Open:`, `case false:`, "", "once"},
	{"INV-12", acceptGo, `if err == nil && i.tries >= codeTries {`, `if false {`, "", "five wrong codes"},
	{"INV-16", acceptGo, `d.Epoch != item.epoch || `, ``, "", "the same epoch"},
	{"INV-16", acceptGo, `|| d.Owner != i.owner`, ``, "", "the inviter is still the owner"},
	{"ROLE-7 INV-16", acceptGo, `if a.ID == d.Owner {`, `if false {`, "", "the owner accepts nothing"},
	{"PLAN-6 INV-16", acceptGo, `d.PlanAt(s.Now()), true); !decision.Allowed {`, `d.PlanAt(s.Now()), true); false && decision.Allowed {`, "", "the plan"},
	{"PLAN-6", acceptGo, `if refused.Reason != policy.PlanBasic {`, `if true {`, "", "on Basic it waits"},
	{"INV-16", acceptGo, `	if g != nil {
		return nil, cloud.Refuse(policy.AlreadyShared`, `	if false {
		return nil, cloud.Refuse(policy.AlreadyShared`, "", "who has the share already"},
	{"INV-14", manageGo, "`id = $1 AND owner = $2`", "`id = $1 AND (owner = $2 OR 1 = 1)`", "", "whose invitation it is"},
	{"INV-14", manageGo, `i == nil || i.State != Open || i.over(s.Now())`, `i == nil`, "", "one that is open"},
	{"INV-14", manageGo, `resendsOften.Of(i.ID), `, ``, "", "once a minute"},
	{"INV-14", manageGo, `resendsDay.Of(i.ID), `, ``, "", "five times a day"},
	{"INV-14 PLAN-2", manageGo, `if len(items) == 0 && first != nil {`, `if false {`, "", "sent again on Standard or better"},
}

// ofLicences are those of activation codes.
var ofLicences = []mutant{
	{"LIC-1 PERM-1", applyGo, `policy.LicenceApply, now)`, `policy.ReportInventory, now)`, "internal/cloud/licence", "who applies"},
	{"INV-12", applyGo, `	if err := limit.Reached(ctx, tx, now, counts(actor)...); err != nil {
		return nil, Use{}, err
	}`, ``, "", "wrong codes an hour"},
	{"LIC-2", applyGo, `if !onetime.Fits(sealed, code, onetime.Licence) {`, `if none {`, "", "the whole code"},
	{"LIC-2", applyGo, `err != nil || before != nil {
		return d, deref(before), err
	}`, `err != nil || false {
		return d, deref(before), err
	}`, "", "one device once"},
	{"LIC-2", applyGo, `case !l.Revoked.IsZero():`, `case false:`, "", "one that was withdrawn"},
	{"LIC-2", applyGo, `!l.Expires.IsZero() && !now.Before(l.Expires)`, `false`, "", "its end"},
	{"LIC-2", applyGo, `AND used < uses`, ``, "", "how often"},
}

// ofNotices are those of notifications.
var ofNotices = []mutant{
	{"NOTE-1", policyGo, `if p.Account != actor.Account {`, `if false {`, "", "whose policy it is"},
	{"NOTE-1 PERM-1 PERM-4", memberGo, `policy.NotifyAddDevice, s.Now())`, `policy.InventoryRead, s.Now())`, "", "who adds a device, and on which plan"},
	{"NOTE-2 PERM-10", judgeGo, `		return nil, whyRight, nil`, `		d, err = device.Get(ctx, tx, dev)
		return d, "", err`, "", "the right at the moment of sending"},
	{"PERM-10 NOTE-2", judgeGo, `	if n == 0 {
		return whyMember, nil
	}`, ``, "", "a device that left the policy"},
	{"PERM-10", judgeGo, `	if n == 0 {
		return whyPolicy, nil
	}`, ``, "", "a policy that is off"},
	{"PERM-10", judgeGo, `	if n == 0 {
		return whyRecipient, nil
	}`, ``, "", "a recipient that is off"},
	{"PLAN-7", judgeGo, `if s.onBasic(unit, d.happened, true) {`, `if false {`, "", "what happened on Basic, before sending"},
	{"PLAN-7", spreadGo, `if s.onBasic(d, e.at, e.certain) {`, `if false {`, "", "what happened on Basic, when it is spread"},
	{"PERM-10", spreadGo, `		if why != "" {`, `		if false {`, "", "the right when it is spread"},
	{"PERM-4 PLAN-7", sinkGo, `	if d.PlanAt(s.Now()) == policy.Basic { // nobody`, `	if false { // nobody`, "", "what happens on Basic"},
}
