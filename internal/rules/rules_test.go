package rules

import (
	"strings"
	"testing"
)

func TestATestIsOfTheRulesItsNameHas(t *testing.T) {
	for name, want := range map[string]string{
		"TestINV7OfTwentyInvitationsAtOnceOneIsSent": "INV-7",
		"TestINV11To13TheEndsOfAnInvitation":         "INV-11 INV-12 INV-13",
		"TestINV10AndLOG10NothingThatIsSecret":       "INV-10 LOG-10",
		"TestROLE6AndPERM9NobodyMayNothing":          "ROLE-6 PERM-9",
		"TestPLAN3And5AndSHARE7To8Much":              "PLAN-3 PLAN-5 SHARE-7 SHARE-8",
		"TestSoakPERM9TimeTellsNobody":               "PERM-9",
		"TestT80EveryRoute":                          "T-80",
		"TestEDGE1AndT02NoAlteredByte":               "EDGE-1 T-02",
		"TestSection14EachReasonHasItsStatus":        "Section-14",
		"TestDEV15":                                  "DEV-15",
		"TestTIMING4Counts":                          "",
		"TestEveryRouteOfPERM9":                      "",
		"FuzzEDGE1Anything":                          "EDGE-1",
	} {
		if got := strings.Join(Of(name), " "); got != want {
			t.Errorf("%s is of %q, want %q", name, got, want)
		}
	}
}

func TestTheTestsOfThisTree(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	tests, err := Tests(root)
	if err != nil || len(tests) < 80 {
		t.Fatalf("%d tests are named after rules, %v", len(tests), err)
	}
}
