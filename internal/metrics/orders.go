package metrics

import (
	"slices"

	"upsedge/internal/wire"
)

// OrderActions are the values of the label action of upsagent_orders_total: what passes through an agent (rules, section 2).
var OrderActions = [...]string{
	"alarm.ack", "alarm.mute", "configure.device", "control.outlet", "diagnostics.run", "firmware.upgrade", "order.cancel", "reboot.group", "reboot.ups",
	"support.bundle", otherAction,
}

// otherAction stands for whatever else an order, or a message that is none, calls itself.
const otherAction = "other"

// OrderReasons are the values of the label reason of upsagent_orders_refused_total: the codes an agent refuses with.
var OrderReasons = [...]string{
	"MALFORMED", "BAD_SIGNATURE", "NOT_BOUND", "EXPIRED", "OUT_OF_ORDER", "GRANT_STALE", "UNKNOWN_ACTION", "NOT_FOUND", "OWNER_ONLY", "ROLE_READ_ONLY", "MFA_REQUIRED",
	"PLAN_BASIC", "PLAN_STANDARD", "LOCAL_POLICY", "RATE_LIMIT", "BUSY", "SAFETY_LOCK", "UPS_REFUSED", "UPS_UNREACHABLE", "UNSUPPORTED", otherReason,
}

const otherReason = "other"

// OrderEnded counts an order that ended. reason is the code of a refusal.
func (a *Agent) OrderEnded(action string, state wire.OrderState, reason string) {
	if !slices.Contains(OrderActions[:], action) {
		action = otherAction
	}
	a.Orders.WithLabelValues(action, string(state)).Inc()
	if state != wire.OrderRefused {
		return
	}
	if !slices.Contains(OrderReasons[:], reason) {
		reason = otherReason
	}
	a.OrdersRefused.WithLabelValues(reason).Inc()
}

// showOrders makes the series of every action and every reason, so that a first one shows as an increase.
func (a *Agent) showOrders() {
	for _, action := range OrderActions {
		for _, s := range wire.OrderStates {
			if s.Final() {
				a.Orders.WithLabelValues(action, string(s))
			}
		}
	}
	for _, r := range OrderReasons {
		a.OrdersRefused.WithLabelValues(r)
	}
}
