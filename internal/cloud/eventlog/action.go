package eventlog

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"upsedge/internal/policy"
)

// Seen says who may see the entries of an action.
type Seen uint8

// Who may see them.
const (
	ByReaders Seen = iota // whoever may read the device's log; of an organisation's entries, its members
	ByOwner               // of these readers, the owner (and an admin of the owner's choosing) alone
	ByActor               // of an organisation's entries: who did it, alone
)

// declaration is what may be said of an action.
type declaration struct {
	seen   Seen
	params []string
}

var (
	declared   = map[string]declaration{}
	actionName = regexp.MustCompile(`^[a-z_]{1,24}\.[a-z_]{1,32}$`)
	paramName  = regexp.MustCompile(`^[a-z_]{1,32}$`)
)

// Declare makes an action known, once, while the program starts: a variable of the package that logs it. Params are the names of what may
// be said beside the action; a value that is secret, or is a person's name or address, has no place among them (LOG-10). It returns the name.
func Declare(action string, seen Seen, params ...string) string {
	if _, twice := declared[action]; twice || !actionName.MatchString(action) {
		panic(fmt.Sprintf("eventlog: action %q is declared twice, or is no noun.verb", action))
	}
	for _, p := range params {
		if !paramName.MatchString(p) {
			panic(fmt.Sprintf("eventlog: parameter %q of %s", p, action))
		}
	}
	declared[action] = declaration{seen, params}
	return action
}

// Allowed returns those of params that may be logged with the action: for what somebody outside has named.
func Allowed(action string, params map[string]string) map[string]string {
	out := maps.Clone(params)
	maps.DeleteFunc(out, func(name, _ string) bool { return !slices.Contains(declared[action].params, name) })
	return out
}

// Known reports whether the action is declared. Ask before Append with what somebody outside has named.
func Known(action string) bool {
	_, ok := declared[action]
	return ok
}

// notSeen lists the actions that only those above the level see.
func notSeen(level Seen) (names []string) {
	for name, d := range declared {
		if d.seen > level {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// The actions of the matrix are declared here: several packages refuse them, one of them does each. The parameter "device" is what was
// asked for where the one asking has no right on it: such a refusal stands in the organisation of who asked (PERM-9).
func init() {
	params := map[policy.Action][]string{
		policy.ConfigureLabel:  {"field", "old", "new"},
		policy.ConfigureDevice: {"order", "job", "setting", "old", "new"},
		policy.AlarmMute:       {"order", "job", "alarm"},
		policy.AlarmAck:        {"order", "job", "alarm"},
		policy.DiagnosticsRun:  {"order", "job", "test"},
		policy.SupportBundle:   {"order", "job"},
		policy.OrderCancel:     {"order", "job"},
		policy.FirmwareUpgrade: {"order", "job", "version", "old", "downgrade"},
		policy.RebootUPS:       {"order", "job", "delay"},
		policy.RebootGroup:     {"order", "job", "delay", "group"},
		policy.ControlOutlet:   {"order", "job", "delay", "group", "state"},
		policy.LicenceApply:    {"licence", "plan", "days", "old", "valid_until"},
		policy.ShareInvite:     {"invitation"},
		policy.ShareRevoke:     {"share", "user"}, // user: the reference of whose it was
		policy.ShareLeave:      {"share", "user"},
		policy.DeviceRegister:  {"serial", "agent", "model", "plan", "valid_until", "epoch"},
		policy.DeviceDelete:    {"serial", "epoch"},
		policy.AgentEnroll:     {"agent", "name"},
		policy.AgentRemove:     {"agent", "name"},
		policy.EventLogRead:    {"format"},
		policy.NotifyAddDevice: {"policy"},
	}
	for _, action := range policy.Actions() {
		Declare(string(action), ByReaders, append(params[action], "device")...)
	}
}
