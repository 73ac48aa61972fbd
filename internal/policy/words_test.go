package policy

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// TestMain lets the tests judge another table than the one that ships: internal/mutate flips one cell and looks which of them go red.
func TestMain(m *testing.M) {
	if text := os.Getenv("UPSEDGE_TEST_MATRIX"); text != "" {
		matrix = mustParse(text)
	}
	os.Exit(m.Run())
}

// What the rules say of actions and roles in words, and matrix.csv in letters. Nothing here is read from the table: a letter that is
// changed there breaks one of the sentences in the tests beside this file.

// ordered are the actions that rules, section 2 marks as commands.
var ordered = []Action{
	ConfigureDevice, AlarmMute, AlarmAck, DiagnosticsRun, SupportBundle, OrderCancel, FirmwareUpgrade, RebootUPS, RebootGroup, ControlOutlet,
}

// advancedOnly need the highest plan (PERM-6).
var advancedOnly = []Action{RebootGroup, ControlOutlet}

// ownersAlone are what nobody else may, on no plan: the life of devices and boxes, whom they are shared with, who the partners are.
var ownersAlone = []Action{
	ShareInvite, ShareRevoke, DeviceRegister, DeviceDelete, PartnerAdd, PartnerGrant, PartnerRevoke, AgentEnroll, AgentRemove,
}

// onBasic is what an owner and shared users keep on Basic (PLAN-4, D-3, D-5, D-6).
var onBasic = []Action{InventoryRead, MonitorStatus, IncidentRead, EventLogRead, ConfigureLabel, LicenceApply, ReportInventory}

// aboutData is what there is to read of a device itself (PRIV-1).
var aboutData = []Action{InventoryRead, MonitorStatus, MonitorHistory, IncidentRead, AssessmentRead}

var (
	partners  = []Role{PartnerRO, PartnerAdmin, PartnerAPI}
	customers = []Role{Owner, Shared}
)

func has[T comparable](list []T, one T) bool { return slices.Contains(list, one) }

// may is the table's answer, a second factor given.
func may(a Action, r Role, p Plan) bool { return Decide(a, r, p, true).Allowed }

// eachCell calls fn for every action, role and plan.
func eachCell(fn func(a Action, r Role, p Plan)) {
	for _, a := range Actions() {
		for _, r := range Roles {
			for _, p := range Plans {
				fn(a, r, p)
			}
		}
	}
}

// holds fails the test where the table allows what the rule does not, or refuses what it gives.
func holds(t *testing.T, a Action, r Role, p Plan, want bool) {
	t.Helper()
	if got := may(a, r, p); got != want {
		t.Errorf("%s by %s on %s: %s, the rule says %s", a, r, p, word(got), word(want))
	}
}

func word(allowed bool) string {
	return map[bool]string{true: "allowed", false: "refused"}[allowed]
}

// refused fails the test unless it is refused with this reason.
func refused(t *testing.T, a Action, r Role, p Plan, mfa bool, want Reason) {
	t.Helper()
	if d := Decide(a, r, p, mfa); d != (Decision{Reason: want}) {
		t.Errorf("%s by %s on %s, second factor %v: %+v, want %s", a, r, p, mfa, d, want)
	}
}

func TestWordsNameWhatThereIs(t *testing.T) {
	for _, list := range [][]Action{ordered, advancedOnly, ownersAlone, onBasic, aboutData} {
		for _, a := range list {
			if matrix[a] == nil {
				t.Errorf("%s is no row of the matrix", a)
			}
		}
	}
	if len(Actions()) != 36 {
		t.Errorf("%d actions: rules, section 2 has 36; say in a test what the new one's rule is", len(Actions()))
	}
	for _, a := range Actions() {
		if a.Command() != has(ordered, a) {
			t.Error(fmt.Sprint(a, " is a command for one and none for the other"))
		}
	}
}
