package main

const (
	roleGo    = "internal/cloud/device/role.go"
	grantGo   = "internal/cloud/device/grant.go"
	shareGo   = "internal/cloud/device/share.go"
	planGo    = "internal/cloud/device/plan.go"
	createGo  = "internal/cloud/order/create.go"
	deliverGo = "internal/cloud/order/deliver.go"
	cancelGo  = "internal/cloud/order/cancel.go"
	readGo    = "internal/cloud/order/read.go"
	applyGo   = "internal/cloud/licence/apply.go"
	judgeGo   = "internal/cloud/notify/judge.go"
	memberGo  = "internal/cloud/notify/member.go"
	policyGo  = "internal/cloud/notify/policy.go"
	spreadGo  = "internal/cloud/notify/spread.go"
	sinkGo    = "internal/cloud/notify/sink.go"
	offlineGo = "internal/cloud/order/offline.go"
	endedGo   = "internal/cloud/order/withdraw.go"
	limitsGo  = "internal/cloud/order/limits.go"
	askJobGo  = "internal/cloud/job/request.go"
	turnGo    = "internal/cloud/job/step.go"
	readJobGo = "internal/cloud/job/read.go"
	stopJobGo = "internal/cloud/job/cancel.go"
	keptGo    = "internal/cloud/api/idempotency.go"
)

// ofDevices are the checks of who is what to a device.
var ofDevices = []mutant{
	{"ROLE-6 PERM-9", roleGo, `	if len(all) == 0 {
		return right, ErrNone
	}`, `	if len(all) == 0 {
		return right, nil
	}`, "internal/cloud/device internal/cloud/order", "who is nobody"},
	{"ROLE-1 PERM-1 ROLE-7", roleGo, `	if !decision.Allowed {
		return right, cloud.Refuse(`, `	if false {
		return right, cloud.Refuse(`, "internal/cloud/device internal/cloud/order", "the matrix"},
	{"ROLE-7", roleGo, `		if decision.Allowed {
			return s, decision
		}
`, ``, "", "any of several roles"},
	{"ROLE-1", roleGo, `return []Standing{{Role: policy.Owner}}, nil`, `return nil, nil`, "", "the owner"},
	{"SHARE-7 SHARE-8 PERM-10 NOTE-2", roleGo, "`device = $1 AND account = $2 AND ended_at IS NULL`, id", "`device = $1 AND account = $2`, id", "internal/cloud/device internal/cloud/order internal/cloud/notify", "a grant that has ended"},
	{"LOG-7 SHARE-12", roleGo, `	if s.Role == policy.Shared {
		right.Since`, `	if false {
		right.Since`, "internal/cloud/device internal/cloud/order", "nothing from before the own share"},
	{"ROLE-7", grantGo, `	if account == d.Owner {
		return nil, cloud.Refuse(policy.SelfShare`, `	if false {
		return nil, cloud.Refuse(policy.SelfShare`, "", "the owner is no shared user"},
	{"SHARE-2", grantGo, `if len(shares) >= MaxShares {`, `if false {`, "", "at most five"},
	{"SHARE-10 SHARE-2 SHARE-8", grantGo, `if slices.ContainsFunc(shares, func(g Grant) bool { return g.Account == account }) {`, `if slices.ContainsFunc(shares, func(g Grant) bool { return false }) {`, "", "one share for each"},
	{"SHARE-6", shareGo, `policy.ShareRevoke, r.now())`, `policy.InventoryRead, r.now())`, "", "only the owner revokes"},
	{"SHARE-6 SHARE-7", shareGo, "`id = $1 AND device = $2 AND role", "`id = $1 AND (device = $2 OR 1 = 1) AND role", "", "a share of this device"},
	{"SHARE-8 PERM-1", shareGo, `policy.ShareLeave, r.now())`, `policy.InventoryRead, r.now())`, "internal/cloud/device internal/cloud/api", "who leaves"},
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
	}`, ``, "internal/cloud/order", "orders before the own share"},
}

// ofJobs are those of orders to many devices, and of agents that are away.
var ofJobs = []mutant{
	{"LOG-4", "internal/cloud/order/result.go", `	if r.Actor == wire.OnSite || r.Role == wire.OnSite {`, `	if false {`, "", "an order made here that is told of as local"},
	{"T-07 ROLE-6", "internal/cloud/order/site.go", `	d, right, err := b.may(ctx, tx, actor, r.Device, r.Action, now)
	if err != nil { // who may not is told nothing of the site
		return all, doubt(err)
	}`, `	d, right, err := b.may(ctx, tx, actor, r.Device, r.Action, now)
	if d == nil {
		return all, doubt(err)
	}`, "", "who may be told why a site would refuse"},
	{"T-07", limitsGo, `[]any{o.Actor.Ref}, o.Job != "", "orders of yours in a minute"}`, `[]any{o.Actor.Ref}, false, "orders of yours in a minute"}`, "internal/cloud/job", "a job beside the limits of its actor"},
	{"EDGE-11", offlineGo, `	if err == nil && !there {`, `	if err == nil && !there && false {`, "internal/cloud/order internal/cloud/api", "an order that is not to wait"},
	{"EDGE-11", offlineGo, `	return b.left(ctx, tx, agent)`, `	return nil`, "", "the agent leaves"},
	{"PLAN-8", endedGo, `AND o.sent_grant <> d.grant_version`, `AND 1 = 0`, "", "what waits is judged again"},
	{"T-07", askJobGo, `		if err := actor.StepUp(now); err != nil {
			return nil, nil, err
		}`, ``, "", "a fresh second factor"},
	{"T-07", askJobGo, `	if open >= l.Open {`, `	if false {`, "", "jobs at work"},
	{"T-07", askJobGo, `		if n+int64(j.Devices) > int64(w.most) {`, `		if false {`, "", "devices in a day"},
	{"LOG-1", askJobGo, `		if err := d.orders.Refused(ctx, tx, actor, one, why); err != nil {
			return err
		}`, `		_, _ = one, why`, "", "what came to nothing is logged"},
	{"T-07", turnGo, `	s.gone = who == nil`, `	_ = who`, "", "an account that is gone"},
	{"EDGE-4", turnGo, `!now.Before(j.StartUntil) || `, ``, "", "the start window"},
	{"EDGE-4", turnGo, ` || j.RequestedAt.After(now.Add(clockSlack))`, ``, "", "a clock that was set back"},
	{"PERM-9", readJobGo, `WHERE id = $1 AND account = $2`, `WHERE id = $1 AND (account = $2 OR 1 = 1)`, "internal/cloud/job internal/cloud/api", "one's own"},
	{"PERM-10", readJobGo, `*i = Item{Number: i.Number, Device: i.Device, State: Withheld, At: j.RequestedAt}`, `_ = right`, "", "of a device behind the end of a right"},
	{"PERM-10", readJobGo, `right.Since.After(j.RequestedAt)`, `right.Since.IsZero() && false`, "", "nothing from before a new right"},
	{"PERM-10", stopJobGo, `jd.state = 'waiting' ORDER BY j.id`, `jd.state = 'none' ORDER BY j.id`, "", "a right that ends while a device waits for its turn"},
	{"T-07", stopJobGo, "WHERE account = $1 AND ended_at = 0 AND state = 'running'", "WHERE account = $1 AND ended_at = 0 AND state = 'none'", "internal/cloud/job internal/cloud/api", "all sessions of an account end"},
	{"PERM-10", keptGo, `err == nil && role == policy.Nobody {`, `err == nil && role == "none" {`, "internal/cloud/api", "a kept answer"},
}

// ofLicences are those of activation codes.
var ofLicences = []mutant{
	{"LIC-1 PERM-5", applyGo, `policy.LicenceApply, now)`, `policy.ShareInvite, now)`, "internal/cloud/licence", "who applies"},
	{"INV-12", applyGo, `	if err := limit.Reached(ctx, tx, now, counts(actor)...); err != nil {
		return nil, Use{}, err
	}`, ``, "", "wrong codes an hour"},
	{"LIC-2", applyGo, `if !onetime.Fits(sealed, code, onetime.Licence) {`, `if none && sealed != nil {`, "", "the whole code"},
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
	}`, `	_ = n`, "", "a device that left the policy"},
	{"PERM-10", judgeGo, `	if n == 0 {
		return whyPolicy, nil
	}`, ``, "", "a policy that is off"},
	{"PERM-10", judgeGo, `	if n == 0 {
		return whyRecipient, nil
	}`, ``, "", "a recipient that is off"},
	{"PLAN-7", judgeGo, `if s.onBasic(unit, d.happened, true) {`, `if unit == nil {`, "", "what happened on Basic, before sending"},
	{"PLAN-7", spreadGo, `if s.onBasic(d, e.at, e.certain) {`, `if false {`, "", "what happened on Basic, when it is spread"},
	{"PERM-10", spreadGo, `		if why != "" {`, `		if why == "none" {`, "", "the right when it is spread"},
	{"PERM-4 PLAN-7", sinkGo, `	if d.PlanAt(s.Now()) == policy.Basic { // nobody`, `	if d == nil { // nobody`, "", "what happens on Basic"},
}
