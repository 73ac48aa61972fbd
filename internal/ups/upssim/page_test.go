package upssim

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const page = "../../../docs/simulator.md"

// fillIn puts text between a mark and the next end mark.
func fillIn(doc, mark, text string) string {
	before, rest, ok := strings.Cut(doc, "<!-- "+mark+" -->\n")
	_, after, ended := strings.Cut(rest, "<!-- end -->\n")
	if !ok || !ended {
		return doc
	}
	return before + "<!-- " + mark + " -->\n```text\n" + text + "```\n<!-- end -->\n" + after
}

// TestThePageListsWordsAndVariants keeps docs/simulator.md as the program is.
func TestThePageListsWordsAndVariants(t *testing.T) {
	is, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var variants strings.Builder
	for _, v := range Variants {
		fmt.Fprintf(&variants, "  %-16s %s\n", v.Name, v.Help)
	}
	want := fillIn(fillIn(string(is), "words", Words()), "variants", variants.String())
	if !strings.Contains(want, "  mains-fail ") || !strings.Contains(want, "  no-six ") {
		t.Fatal("the page has no place for words and variants")
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(is) {
		t.Error("docs/simulator.md is not what upssim does: run the test with -update")
	}
}
