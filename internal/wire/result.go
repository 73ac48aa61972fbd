package wire

import (
	"fmt"
	"slices"
	"strings"

	"upsedge/internal/ups"
)

// An OrderState is what has become of an order (design, section 7).
type OrderState string

// The states. All behind OrderRunning are final, and so is OrderRefused: an order gets one of them, once.
const (
	OrderReceived  OrderState = "received"
	OrderRefused   OrderState = "refused"
	OrderAccepted  OrderState = "accepted"
	OrderRunning   OrderState = "running"
	OrderDone      OrderState = "done"
	OrderFailed    OrderState = "failed"
	OrderCancelled OrderState = "cancelled"
	OrderExpired   OrderState = "expired"
	OrderUnknown   OrderState = "unknown" // it was begun, and whether it came to an end could not be seen
)

// OrderStates lists the states.
var OrderStates = [...]OrderState{
	OrderReceived, OrderRefused, OrderAccepted, OrderRunning, OrderDone, OrderFailed, OrderCancelled, OrderExpired, OrderUnknown,
}

// Final reports whether no other state follows.
func (s OrderState) Final() bool {
	switch s {
	case OrderRefused, OrderDone, OrderFailed, OrderCancelled, OrderExpired, OrderUnknown:
		return true
	}
	return false
}

// OnSite is actor and role of an order that somebody gave at the box (LOG-4). No command has them.
const OnSite = "local"

// A Result tells of one state that an order has taken.
type Result struct {
	Order    ID
	Device   string // serial number, as in the command
	Unit     string // name in the agent's configuration; "" where the device is not known
	Action   string
	State    OrderState
	Reason   string // code; always there with OrderRefused
	Progress int    // 1 to 100 of OrderRunning; 0: not told
	Detail   string
	Actor    string // opaque
	Role     string
	Plan     string // that the agent judged by; "" where it did not come to that
	Raw      []ups.RawValue
	Repeated bool // the command came again, and this is the journal's answer
}

func (r *Result) check() error {
	switch {
	case r.Order == ID{}:
		return fmt.Errorf("result without an order")
	case !slices.Contains(OrderStates[:], r.State):
		return fmt.Errorf("result with the state %.40q", r.State)
	case r.State == OrderRefused && r.Reason == "":
		return fmt.Errorf("result of a refusal without a reason")
	case r.Device == "" || r.Action == "" || r.Actor == "" || r.Role == "":
		return fmt.Errorf("result without device, action, actor or role")
	case r.Progress < 0 || r.Progress > 100:
		return fmt.Errorf("result with a progress of %d", r.Progress)
	}
	for name, s := range map[string]string{
		"device": r.Device, "unit": r.Unit, "action": r.Action, "reason": r.Reason, "actor": r.Actor, "role": r.Role, "plan": r.Plan,
	} {
		if len(s) > maxName {
			return fmt.Errorf("result with a %s of %d characters, want at most %d", name, len(s), maxName)
		}
	}
	return nil
}

// EncodeResult returns the stored body of r, the payload of a Record of ClassResult.
func EncodeResult(r Result) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	var b builder
	b.open()
	b.put("order", r.Order)
	b.put("device", r.Device)
	b.putText("unit", r.Unit)
	b.put("action", r.Action)
	b.put("state", string(r.State))
	b.putText("reason", r.Reason)
	if r.Progress != 0 {
		b.put("progress", uint64(r.Progress))
	}
	b.putText("detail", strings.ToValidUTF8(r.Detail, "\uFFFD"))
	b.put("actor", r.Actor)
	b.put("role", r.Role)
	b.putText("plan", r.Plan)
	if len(r.Raw) > 0 {
		b.name("raw")
		b.putRaw(r.Raw)
	}
	b.putTrue("repeated", r.Repeated)
	b.close()
	if len(b.buf) > maxBody {
		return nil, fmt.Errorf("result of %d bytes, want at most %d", len(b.buf), maxBody)
	}
	return b.buf, b.err
}

// DecodeResult reads the body of a Record of ClassResult.
func DecodeResult(body []byte) (Result, error) {
	o, err := parseObject(body)
	if err != nil {
		return Result{}, fmt.Errorf("result: %w", err)
	}
	return o.result()
}

func (o *object) result() (r Result, err error) {
	o.want("order", &r.Order)
	o.want("device", &r.Device)
	o.may("unit", &r.Unit)
	o.want("action", &r.Action)
	o.want("state", &r.State)
	o.may("reason", &r.Reason)
	o.may("progress", &r.Progress)
	o.may("detail", &r.Detail)
	o.want("actor", &r.Actor)
	o.want("role", &r.Role)
	o.may("plan", &r.Plan)
	o.may("repeated", &r.Repeated)
	if raw, ok := o.get("raw"); ok {
		if r.Raw, err = parseRaw(raw); err != nil {
			o.fail(fmt.Errorf("field %q: %w", "raw", err))
		}
	}
	if o.err == nil {
		o.fail(r.check())
	}
	if o.err != nil {
		return Result{}, fmt.Errorf("result: %w", o.err)
	}
	return r, nil
}
