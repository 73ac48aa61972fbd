package internal

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// asvs says how many items of level 1 and 2 each section of ASVS 5.0.0 has; in each of these sections they are numbered from 1 without a hole.
const asvs = `1.1:2 1.2:9 1.3:11 1.4:3 1.5:2 2.1:3 2.2:3 2.3:4 2.4:1 3.2:2 3.3:4 3.4:6 3.5:5 3.7:2 4.1:3 4.2:1 4.3:2 4.4:4 5.1:1 5.2:3 5.3:2 5.4:3
	6.1:3 6.2:12 6.3:4 6.4:4 6.5:5 6.6:3 6.8:4 7.1:3 7.2:4 7.3:2 7.4:5 7.5:2 7.6:2 8.1:2 8.2:3 8.3:1 8.4:1 9.1:3 9.2:4 10.1:2 10.2:2 10.3:4 10.4:11
	10.5:5 10.6:2 10.7:3 11.1:2 11.2:3 11.3:3 11.4:4 11.5:1 11.6:1 12.1:3 12.2:2 12.3:4 13.1:1 13.2:5 13.3:2 13.4:5 14.1:2 14.2:4 14.3:3 15.1:3 15.2:3
	15.3:7 16.1:1 16.2:5 16.3:4 16.4:3 16.5:3 17.1:1 17.2:4 17.3:2`

var asvsRow = regexp.MustCompile(`(?m)^\| ((?:\d+\.\d+\.\d+(?:, )?)+) \| [^|]+ \| (\w+) \| ([^|]+) \|$`)

// TestTheReviewHasEveryItem: each once, with a state, and with a test's name where a test is said to show it. That the names exist,
// TestDocumentsLeadSomewhere holds.
func TestTheReviewHasEveryItem(t *testing.T) {
	text, err := os.ReadFile("../docs/asvs.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, section := range strings.Fields(asvs) {
		name, number, _ := strings.Cut(section, ":")
		var n int
		if _, err := fmt.Sscan(number, &n); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			want[fmt.Sprintf("%s.%d", name, i+1)] = true
		}
	}
	if len(want) != 253 {
		t.Fatalf("%d items, want 253", len(want))
	}
	for _, m := range asvsRow.FindAllStringSubmatch(string(text), -1) {
		for _, id := range strings.Split(m[1], ", ") {
			if !want[id] {
				t.Errorf("%s is no item, or stands there twice", id)
			}
			delete(want, id)
		}
		switch m[2] {
		case "test":
			if !strings.Contains(m[3], "`Test") && !strings.Contains(m[3], "`Fuzz") {
				t.Errorf("%s names no test", m[1])
			}
		case "read", "none", "open":
		default:
			t.Errorf("%s is %q", m[1], m[2])
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", slices.Sorted(maps.Keys(want)))
	}
}
