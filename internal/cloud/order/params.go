package order

import (
	"errors"
	"maps"
	"slices"

	"upsedge/internal/cloud"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// targetParam names the order that an order.cancel cancels.
const targetParam = "order"

// checkParams returns the parameters of an action, complete. What is unknown, missing or of no known value is refused: MALFORMED, with
// the parameter as its field.
func checkParams(action policy.Action, given map[string]string) (map[string]string, error) {
	var wrong *ups.ParamError
	switch _, ofUnit := ups.ParamsOf(string(action)); {
	case ofUnit || action == policy.SupportBundle: // which has none
		params, err := ups.CheckParams(string(action), given)
		if errors.As(err, &wrong) {
			return nil, cloud.RefuseField(policy.Malformed, "params."+cut(wrong.Param, 32), "%s", wrong.Why)
		}
		return params, err
	case action == policy.OrderCancel:
		return checkCancel(given)
	}
	return nil, cloud.RefuseField(policy.Unsupported, "action", "%s cannot be ordered yet", action)
}

// checkCancel is for order.cancel, which has the id of an order and nothing else.
func checkCancel(given map[string]string) (map[string]string, error) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if name != targetParam {
			return nil, cloud.RefuseField(policy.Malformed, "params."+cut(name, 32), "%s has no such parameter", policy.OrderCancel)
		}
	}
	var id wire.ID
	if text := given[targetParam]; id.UnmarshalText([]byte(text)) != nil || id.String() != text {
		return nil, cloud.RefuseField(policy.Malformed, "params."+targetParam, "it is not the id of an order")
	}
	return given, nil
}

// cut shortens a text to at most n bytes.
func cut(s string, n int) string { return s[:min(len(s), n)] }
