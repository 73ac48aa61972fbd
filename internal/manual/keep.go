package manual

import (
	"os"
	"strings"
	"testing"
)

// made separates what people write at the top of a document from what is made below it.
const made = "<!-- made by a test: do not edit below -->\n"

// Keep compares what is below the mark of a document with what it should be, or writes it there.
func Keep(t testing.TB, document, want string, update bool) {
	t.Helper()
	data, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	by, have, ok := strings.Cut(string(data), made)
	switch {
	case !ok:
		t.Fatalf("%s has no line %s", document, made)
	case have == want:
	case update:
		if err := os.WriteFile(document, []byte(by+made+want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what it should be: run this test with -update and look at the difference", document)
	}
}
