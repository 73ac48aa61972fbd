package agent

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"upsedge/internal/metrics"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

// TestEveryReasonOfARefusalIsALabel: what the executor refuses with, what the matrix answers, what trust and the units say; and no label is
// of nothing.
func TestEveryReasonOfARefusalIsALabel(t *testing.T) {
	text, err := os.ReadFile("../policy/reason.go")
	if err != nil {
		t.Fatal(err)
	}
	value := map[string]string{}
	for _, m := range regexp.MustCompile(`(\w+)\s+Reason = "(\w+)"`).FindAllStringSubmatch(string(text), -1) {
		value[m[1]] = m[2]
	}
	given := map[string]bool{
		"BAD_SIGNATURE":      true, // trust
		ups.ReasonSafetyLock: true, ups.ReasonUPSRefused: true, ups.ReasonUnreachable: true, ups.ReasonUnsupported: true, ups.ReasonBusy: true,
		"other": true, // of a newer part
	}
	files, err := filepath.Glob("../command/*.go")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`refuse\(policy\.(\w+)`).FindAllStringSubmatch(string(text), -1) {
			if m[1] != "Cancelled" { // ends as cancelled, which is no refusal
				given[value[m[1]]] = true
			}
		}
	}
	for _, a := range policy.Actions() {
		for _, r := range append(policy.Roles[:], "root") {
			for _, p := range append(policy.Plans[:], "platinum") {
				for _, mfa := range []bool{false, true} {
					if d := policy.Decide(a, r, p, mfa); a.Command() && !d.Allowed {
						given[string(d.Reason)] = true
					}
				}
			}
		}
	}
	for r := range given {
		if !slices.Contains(metrics.OrderReasons[:], r) {
			t.Errorf("%s is no value of reason", r)
		}
	}
	for _, r := range metrics.OrderReasons {
		if !given[r] {
			t.Errorf("%s is a value of reason, and nothing is refused with it", r)
		}
	}
}
