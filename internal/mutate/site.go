package main

const (
	checkGo  = "internal/command/check.go"
	bindGo   = "internal/command/bind.go"
	executor = "internal/command/executor.go"
	localGo  = "internal/command/local.go"
	recallGo = "internal/command/recall.go"
	verifier = "internal/trust/verifier.go"
)

// ofSite are the checks of the agent.
var ofSite = []mutant{
	{"PERM-1", checkGo, `	if !known {
		return refuse(policy.UnknownAction`, `	if !known && false {
		return refuse(policy.UnknownAction`, "", "an action that is no command"},
	{"EDGE-3 EDGE-10", checkGo, `case b == nil || b.Epoch == 0:
		return nil, refuse(policy.NotBound, "the device is bound to nobody")`, `case b == nil:
		b = &bind{Bind: Bind{Device: c.Device, Epoch: c.Epoch, Plan: policy.Advanced, ValidUntil: time.Now().Add(time.Hour)}}`, "", "never bound"},
	{"EDGE-3 SHARE-14", checkGo, `case b.Epoch != c.Epoch:`, `case false:`, "", "the epoch"},
	{"EDGE-5", checkGo, `case x.session != o.Session:`, `case false:`, "", "a statement of this session"},
	{"EDGE-5 EDGE-10", checkGo, `case !x.named[c.Device]:`, `case false:`, "", "a statement that names the device"},
	{"EDGE-4", checkGo, `		return refuse(policy.Expired, "it is for another session")`, `		at = time.Now()`, "", "a nonce of this session"},
	{"EDGE-4", checkGo, `age < 0 || age > o.Command.MaxAge`, `age < 0`, "", "the age"},
	{"EDGE-6", checkGo, `if x.j != nil && at.Before(x.j.born) {`, `if false {`, "", "older than the journal"},
	{"T-04", checkGo, `c <= x.counter {`, `c <= x.counter && false {`, "", "the counter"},
	{"EDGE-5 SHARE-10", checkGo, `if b.stale(c.Actor, c.GrantVersion) {`, `if false {`, "", "an ended grant"},
	{"EDGE-10", checkGo, `if c.GrantVersion > b.GrantVersion {`, `if false {`, "", "a grant that was never stated"},
	{"EDGE-2 PERM-4", checkGo, `e.plan = policy.Lesser(x.planOf(b, now), policy.Plan(c.Plan))`, `e.plan = policy.Plan(c.Plan)`, "", "the plan that is stored"},
	{"EDGE-2 PERM-4", checkGo, `e.plan = policy.Lesser(x.planOf(b, now), policy.Plan(c.Plan))`, `e.plan = x.planOf(b, now)`, "", "the plan in the command"},
	{"PLAN-9", checkGo, `return b.plan(x.o.Clock.Time(now), x.signed(now))`, `return b.Plan`, "", "a plan that has ended"},
	{"EDGE-2 PERM-8 PERM-4", checkGo, `policy.Role(c.Role), e.plan, c.MFA); !d.Allowed {`, `policy.Role(c.Role), e.plan, c.MFA); false {`, "", "the matrix"},
	{"EDGE-7", checkGo, `policy.Role(c.Role), e.plan, c.MFA)`, `policy.Role(c.Role), e.plan, true)`, "", "the second factor"},
	{"PERM-11", checkGo, `	x.differs(b, o.Command)
`, ``, "", "a difference is told"},
	{"PERM-11", checkGo, `	case !own.Allowed:`, `	case true:`, "", "and one that a change explains is not"},
	{"PERM-10", checkGo, `if detail := x.policy.refusal(group, x.o.Clock.Time(now)); detail != "" {`, `if detail := x.policy.refusal(group, x.o.Clock.Time(now)); false {`, "", "what the site allows"},
	{"PERM-10", checkGo, `	b, r := x.boundTo(o, e)
	if r != nil {
		return r
	}
	if r := x.fresh(o); r != nil {
		return r
	}
	return x.mayStill(b, o, e)`, `	return nil`, "", "all of it once more before the write"},
	{"T-07", checkGo, `case last >= 0 && last < x.policy.MinInterval:`, `case false:`, "", "the pause between two"},
	{"T-07", localGo, `	if r := x.tooOften(c); r != nil {`, `	if r := x.tooOften(c); false {`, "", "the limits of local orders"},
	{"EDGE-8", localGo, `	if h != nil {
		return refuse(policy.Busy`, `	if false {
		return refuse(policy.Busy`, "", "a local order beside another"},
	{"ERASE-5", localGo, `func (e *entry) private() bool { return e.local && !e.bound }`, `func (e *entry) private() bool { return false }`, "", "a local order of a unit that nobody owns"},
	{"PLAN-11", recallGo, `if h.e.local || h.phase`, `if h.phase`, "", "no cloud takes back a local order"},
	{"T-07", checkGo, `case today >= x.policy.DailyMax:`, `case false:`, "", "how many a day"},
	{"EDGE-8", checkGo, `if x.hands[o.Command.Device] != nil {`, `if false {`, "", "another one in hand"},
	{"PERM-2", checkGo, `t.Actor == c.Actor || c.Role == string(policy.Owner)`, `true`, "", "one's own order or the owner any"},
	{"PERM-2", checkGo, `t.Actor == c.Actor || c.Role == string(policy.Owner)`, `t.Actor == c.Actor`, "", "the owner cancels any"},
	{"EDGE-5 SHARE-10", bindGo, `return version < b.over[actor] || version < b.floor`, `return version < b.floor`, "", "actors whose grant ended"},
	{"EDGE-5", bindGo, `return version < b.over[actor] || version < b.floor`, `return version < b.over[actor]`, "", "those that were forgotten"},
	{"EDGE-5 SHARE-10", bindGo, `version < b.over[actor] ||`, `b.over[actor] > 0 ||`, "", "a grant that began anew"},
	{"EDGE-3 SHARE-14", bindGo, `e.Bind.Epoch < b.Epoch, `, ``, "", "an epoch before"},
	{"EDGE-3", bindGo, `e.Bind.Epoch == b.Epoch && e.Bind.GrantVersion <= b.GrantVersion`, `false`, "", "a grant version before"},
	{"EDGE-3", bindGo, `case e.Bind.Epoch <= b.gone, `, `case `, "", "an epoch that is to be erased"},
	{"PERM-3 SHARE-9", bindGo, `|| !mayErase(e.Role)`, ``, "", "who had it erased"},
	{"PLAN-9", bindGo, `return !now.IsZero() && !now.Before(b.ValidUntil)`, `return false`, "", "the end of the plan"},
	{"PLAN-9", executor, `x.told.IsZero() || s.Time.After(x.told.Add(at-x.toldAt))`, `true`, "", "a statement's time that goes back"},
	{"PERM-3", executor, `	x.foreignErasures(s)
`, ``, "", "a foreign erasure is told"},
	{"EDGE-5", bindGo, `if len(e.Bind.Ended) == trust.MaxEnded {`, `if false {`, "", "a list of ended grants that was cut"},
	{"PLAN-11 PERM-10", recallGo, `h.why = x.lost(h.e.cmd); h.why == ""`, `true`, "", "what waits when the right to it ends"},
	{"PLAN-11", recallGo, ` || !actions[policy.Action(h.e.cmd.Action)].waits`, ``, "", "a test that runs is finished"},
	{"PLAN-11 PERM-10", recallGo, `	if b.stale(c.Actor, c.GrantVersion) {
		return policy.GrantStale
	}
`, ``, "", "a grant that ends while it waits"},
	{"PLAN-11 PERM-10", recallGo, `	if b == nil || b.Epoch != c.Epoch {`, `	if b == nil {`, "", "an owner who changes while it waits"},
	{"EDGE-5", verifier, `	if !ok {
		return nil, expired("a statement for another session")
	}`, `	_ = ok`, "", "a statement for this session"},
	{"EDGE-5", verifier, `age < 0 || age > MaxAge`, `age < 0`, "", "a statement's age"},
	{"EDGE-5", verifier, `	if agent != v.agent {
		return nil, notForUs("a statement`, `	if false {
		return nil, notForUs("a statement`, "", "a statement for this agent"},
	{"EDGE-1", verifier, `	key, err := keys.For(e.kid, ForCommand)
	if err != nil {
		return nil, err
	}
	if err := e.verify(key); err != nil {
		return nil, err
	}`, `	_ = keys`, "", "the signature of a command"},
	{"T-02", verifier, `	if err := e.verify(key); err != nil {
		return nil, err
	}
	agent, nonce, err`, `	_ = key
	agent, nonce, err`, "", "the signature of a statement"},
	{"T-10", verifier, `case v.keys != nil && keys.Version < v.keys.Version:`, `case false:`, "", "a list of keys of before"},
	{"EDGE-1", verifier, `case v.keys == nil:
		return nil, wrongKey`, `case false:
		return nil, wrongKey`, "", "a command before any list of keys"},
}
