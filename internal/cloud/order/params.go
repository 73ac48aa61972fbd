package order

import (
	"maps"
	"slices"

	"upsedge/internal/cloud"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// targetParam names the order that an order.cancel cancels.
const targetParam = "order"

// A param is one parameter of an action.
type param struct {
	values   []string // it is one of these; nil: the id of an order
	fallback string   // what it is where it is not given; "": it must be given
}

// offered are the actions that can be ordered, with all their parameters.
var offered = map[policy.Action]map[string]param{
	policy.RebootUPS:      {ups.ParamDelay: {[]string{ups.DelayConfigured, ups.DelayNone}, ups.DelayConfigured}},
	policy.DiagnosticsRun: {ups.ParamTest: {[]string{ups.TestSelf}, ""}},
	policy.OrderCancel:    {targetParam: {}},
}

// checkParams returns the parameters of an action, complete. What is unknown, missing or of no known value is refused: MALFORMED, with
// the parameter as its field.
func checkParams(action policy.Action, given map[string]string) (map[string]string, error) {
	want, ok := offered[action]
	if !ok {
		return nil, cloud.RefuseField(policy.Unsupported, "action", "%s cannot be ordered yet", action)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := want[name]; !ok {
			return nil, cloud.RefuseField(policy.Malformed, "params."+cut(name, 32), "%s has no such parameter", action)
		}
	}
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		p := want[name]
		value, ok := given[name]
		if !ok {
			value = p.fallback
		}
		if !p.takes(value) {
			return nil, cloud.RefuseField(policy.Malformed, "params."+name, "%.70q is not one of %q", value, p.values)
		}
		out[name] = value
	}
	return out, nil
}

func (p param) takes(value string) bool {
	if p.values == nil {
		var id wire.ID
		return id.UnmarshalText([]byte(value)) == nil && id.String() == value
	}
	return slices.Contains(p.values, value)
}

// cut shortens a text to at most n bytes.
func cut(s string, n int) string { return s[:min(len(s), n)] }
