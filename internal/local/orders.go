package local

import (
	"fmt"
	"strings"
	"time"

	"upsedge/internal/ups"
)

// Orders is what somebody on site is told of orders, who has no account: what may be ordered from afar, what is in hand, what became of what
// was and why. Nobody is named.
type Orders struct {
	Remote   bool        `json:"remote"`          // there is a cloud that could give some
	Allow    []string    `json:"allow"`           // groups, orders.allow of the configuration
	Hours    string      `json:"hours,omitempty"` // orders.hours; "": any
	InHand   []OrderStep `json:"in_hand"`         // what was told last of orders that have not ended
	Ended    []Order     `json:"ended"`           // the latest first, at most 50; kept over restarts
	Rejected Rejected    `json:"rejected"`
}

// An Order is one that ended.
type Order struct {
	Time    *time.Time `json:"time,omitempty"` // nil while the box does not know it
	Unit    string     `json:"unit,omitempty"` // "": none here
	Action  string     `json:"action"`
	Role    string     `json:"role"`
	Outcome string     `json:"outcome"`
	Reason  string     `json:"reason,omitempty"` // a code
	Detail  string     `json:"detail,omitempty"`
}

// Rejected counts the messages that were no order of the cloud to this agent, since the start.
type Rejected struct {
	Count  uint64     `json:"count"`
	Reason string     `json:"reason,omitempty"` // of the last one, a code
	Time   *time.Time `json:"time,omitempty"`   // of the last one
}

// A Plan is the plan of a unit as the agent has stored it.
type Plan struct {
	Plan  string    `json:"plan"`
	Until time.Time `json:"until"`
	Ended bool      `json:"ended"` // it counts as basic
}

// reasons are the codes an agent ends orders with, in words.
var reasons = map[string]string{
	"MALFORMED": "it is not what an order looks like", "BAD_SIGNATURE": "the cloud has not signed it",
	"NOT_BOUND": "the cloud has not stated, in this connection, that the unit is its to order about", "EXPIRED": "it came too late, or for another connection",
	"OUT_OF_ORDER": "a later one had come before it", "GRANT_STALE": "who ordered it has no right to the unit any more",
	"UNKNOWN_ACTION": "no such action passes through the agent", "NOT_FOUND": "there is no such order, or who ordered it has no right to the unit",
	"OWNER_ONLY": "only the owner may", "ROLE_READ_ONLY": "who ordered it may only read", "MFA_REQUIRED": "a partner ordered it without a second factor",
	"PLAN_BASIC": "the plan Basic has no remote control", "PLAN_STANDARD": "it needs the plan Advanced",
	"LOCAL_POLICY": "this site does not allow it, or cannot write it down", "RATE_LIMIT": "too many, or too soon after the last one",
	"BUSY": "something else is under way at the unit", "SAFETY_LOCK": "the unit is in a state in which it must not", "UPS_REFUSED": "the unit refused",
	"UPS_UNREACHABLE": "the unit did not answer", "UNSUPPORTED": "the unit, or this version, cannot do it", "CANCELLED": "somebody took it back",
}

// InWords says why an order ended so, with what the agent noted of it.
func InWords(reason, detail string) string {
	words := reasons[reason]
	if words == "" {
		words = strings.ToLower(strings.ReplaceAll(reason, "_", " "))
	}
	switch {
	case words == "":
		return detail
	case detail == "":
		return words
	}
	return words + " (" + detail + ")"
}

// When is a time on site, in the box's zone.
func When(t *time.Time) string {
	if t == nil {
		return "time not known"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// Allowed says what may be ordered.
func (o *Orders) Allowed() string {
	if len(o.Allow) == 0 {
		return "nothing: orders.allow is empty"
	}
	out := strings.Join(o.Allow, ", ")
	if o.Hours != "" {
		out += ", from " + strings.Replace(o.Hours, "-", " to ", 1)
	}
	return out
}

// String says it in a line; "" where there were none.
func (r Rejected) String() string {
	if r.Count == 0 {
		return ""
	}
	verb := "were no orders"
	if r.Count == 1 {
		verb = "was no order"
	}
	return fmt.Sprintf("%s since the start %s of the cloud to this agent; the last, %s: %s", ups.Count(r.Count, "message"), verb, When(r.Time), InWords(r.Reason, ""))
}

// PlanWords are the plan of a unit, or why none is known: whose it is the cloud says by its serial number.
func (u *Unit) PlanWords() string {
	if u.Plan == nil && u.Serial == "" {
		return "not known before the unit has answered: no order is obeyed"
	}
	return u.Plan.String()
}

// String is the plan with its end.
func (p *Plan) String() string {
	if p == nil {
		return "none stated: no order is obeyed"
	}
	until := p.Until.Local().Format("2006-01-02 15:04")
	if p.Ended {
		return p.Plan + ", ended " + until + ": counts as basic"
	}
	return p.Plan + " until " + until
}
