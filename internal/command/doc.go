// Package command carries out what the cloud orders, at most once (design, section 7; rules, section 13). It owns the journal of
// orders, orders.db in the state directory: the ids that are known and how they ended, the highest counter, which devices are bound
// under which epoch, plan and grants, and when loads were dropped. Whether an order is signed for this agent, package trust has
// found out before it gets here; what a unit can do and how it is seen, a Unit knows.
//
// The order of checks is fixed: id known, action and its parameters, device and epoch, nonce and age, counter, ended grants, role,
// second factor, plan, local policy, rate, busy; then the unit is asked, the rights are judged once more (PERM-10), `accepted` and
// `running` go to disk, and only then something is written to the unit. Doing twice is worse than not doing (R6): what was running
// when the agent ended is judged from the unit's registers and never begun again.
//
// No decision rests on the wall clock (R4): the age of an order is measured on the monotonic clock from the announcement of the
// nonce that it carries, how long something is kept in time the agent has run. The wall clock can only refuse: orders.hours, and
// the end of a plan.
//
// An Executor is safe for concurrent use.
package command
