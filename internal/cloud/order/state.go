package order

import (
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// The states of an order that only the cloud knows. All others are those of results (package wire).
const (
	Pending wire.OrderState = "pending" // not delivered yet
	Sent    wire.OrderState = "sent"    // delivered, or lost on the way; not answered
)

// Who decided what stands in an order and in the Event Log (LOG-2).
const (
	ByCloud = "cloud"
	ByAgent = "agent"
)

// Times of an order. Its life is EDGE-4's, counted from the request.
const (
	shortLife    = time.Minute
	mediumLife   = 10 * time.Minute
	firmwareLife = 24 * time.Hour

	// AnswerTime is how long a sent order without any answer is waited for behind the end of its life: a box that lost power with the
	// order on its disk is up again by then.
	AnswerTime = 10 * time.Minute
	// OutcomeTime is how long the end of an answered order is waited for, from what was told last.
	OutcomeTime = 24 * time.Hour
)

// Life returns how long after its request an order of the action may begin (EDGE-4).
func Life(a policy.Action) time.Duration {
	switch a {
	case policy.FirmwareUpgrade:
		return firmwareLife
	case policy.DiagnosticsRun, policy.SupportBundle, policy.ConfigureDevice, policy.AlarmMute, policy.AlarmAck:
		return mediumLife
	}
	return shortLife
}

// rank orders the states: an order moves to higher ranks only, and stays where it is final.
func rank(s wire.OrderState) int {
	switch s {
	case Pending:
		return 0
	case Sent:
		return 1
	case wire.OrderReceived:
		return 2
	case wire.OrderAccepted:
		return 3
	case wire.OrderRunning:
		return 4
	}
	return 5
}

// A step is what a report means for an order.
type step int

const (
	stale    step = iota // the order has moved on: it is noted, and changes nothing
	repeated             // it says what is known
	forward              // the order takes the state
)

// judge says what a report of a state means for an order that is in another one.
func judge(now, told wire.OrderState, progress, toldProgress int) step {
	switch {
	case now == told && (told != wire.OrderRunning || toldProgress == progress):
		return repeated
	case now.Final():
		return stale
	case now == wire.OrderRunning && told == wire.OrderRunning && toldProgress > progress:
		return forward
	case rank(told) > rank(now):
		return forward
	}
	return stale
}

// maxAge is how old the nonce may be when the command begins: as old as it is now, and the rest of the order's life on top (EDGE-4), in
// whole seconds, rounded down. The agent counts from the announcement, which was before we heard it: it ends a moment earlier there. 0:
// too little is left.
func maxAge(nonce, rest time.Duration) time.Duration {
	if rest < time.Second || nonce < 0 {
		return 0
	}
	return min((nonce + rest).Truncate(time.Second), mostAge)
}

// mostAge is what a command may say. A nonce is renewed every quarter of an hour, so that firmware's day fits.
const mostAge = 25 * time.Hour
