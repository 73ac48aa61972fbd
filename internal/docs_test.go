package internal

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	linkForm    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headingForm = regexp.MustCompile(`(?m)^#{1,6} +(.+)$`)
	codeForm    = regexp.MustCompile("(?s)```.*?```")
	testForm    = regexp.MustCompile(`(-run )?\b((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9_]*)(…?)`)
	testName    = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	idForm      = regexp.MustCompile(`\b((?:T|READ|TIMING)-[0-9]+)\b|[(,] ?(R[0-9])\)`)
	pathForm    = regexp.MustCompile(`\b(?:docs|configs|internal|cmd|packaging|tools)/[\w./-]*\w\.(?:md|yaml|yml|go|conf)\b`)
)

// Documents that name bits of registers, some of which look like tests.
var bits = []string{"internal/wire/POINTS.md", "docs/families.md"}

// TestDocumentsLeadSomewhere: every link of a document has its file and its heading, every path of this tree that one names is
// there, and so is every test.
func TestDocumentsLeadSomewhere(t *testing.T) {
	docs, tests := documents(t, ".."), testNames(t, "..")
	if len(docs) < 20 || len(tests) < 500 {
		t.Fatalf("only %d documents and %d tests found", len(docs), len(tests))
	}
	for name := range docs {
		for _, complaint := range lost(docs, tests, name) {
			t.Errorf("%s: %s", name, complaint)
		}
	}
}

func TestDocumentsThatLeadNowhereAreNoticed(t *testing.T) {
	docs := map[string]string{
		"README.md": "# Of it\n## One, *two* `three`\n",
		"docs/a.md": "[a](../README.md#one-two-three) [b](b.md) [c](../README.md#four) [d](#here) [e](https://example.org/x.md)\n" +
			"`TestGood…` `go test -run TestGood` `TestGood` internal/none.go internal/docs_test.go",
	}
	want := []string{"link b.md", "link ../README.md#four", "link #here", "test TestGood", "path internal/none.go"}
	if got := lost(docs, []string{"TestGoodThings"}, "docs/a.md"); !slices.Equal(got, want) {
		t.Errorf("complaints %q, want %q", got, want)
	}
}

// TestEveryPackageIsInTheArchitecture: in the table of packages, by its path below internal, or as a command.
func TestEveryPackageIsInTheArchitecture(t *testing.T) {
	_, packages := readImports(t, "..")
	text := documents(t, "..")["ARCHITECTURE.md"]
	for _, p := range packages {
		name := strings.TrimPrefix(p, "internal/")
		if p == "internal" || strings.HasPrefix(name, "bench/") {
			continue
		}
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("ARCHITECTURE.md does not name %s", name)
		}
	}
}

// TestRulesAndThreatsThatCodeNamesAreListed: by their ids, in the two documents that say what they are.
func TestRulesAndThreatsThatCodeNamesAreListed(t *testing.T) {
	docs := documents(t, "..")
	listed := docs["docs/rules.md"] + docs["docs/threats.md"]
	named, known := 0, map[string]bool{}
	walk(t, "..", ".go", func(path, text string) {
		for _, m := range idForm.FindAllStringSubmatch(text, -1) {
			id := m[1] + m[2]
			if named++; known[id] {
				continue
			}
			if known[id] = regexp.MustCompile(`(?m)^\| [^|]*\b` + id + `\b`).MatchString(listed); !known[id] {
				t.Errorf("%s names %s", path, id)
			}
		}
	})
	if named < 100 {
		t.Errorf("only %d ids found", named)
	}
}

// lost returns what a document points to and is not there.
func lost(docs map[string]string, tests []string, name string) (complaints []string) {
	text := codeForm.ReplaceAllString(docs[name], "")
	for _, m := range linkForm.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(m[1], "://") && !leads(docs, name, m[1]) {
			complaints = append(complaints, "link "+m[1])
		}
	}
	for _, m := range testForm.FindAllStringSubmatch(text, -1) {
		begins := m[1] != "" || m[3] != "" // of several, or of one that is long
		if !slices.Contains(bits, name) && !slices.ContainsFunc(tests, func(s string) bool {
			return s == m[2] || begins && strings.HasPrefix(s, m[2])
		}) {
			complaints = append(complaints, "test "+m[2])
		}
	}
	for _, p := range pathForm.FindAllString(text, -1) {
		if _, err := os.Stat(filepath.Join("..", p)); err != nil {
			complaints = append(complaints, "path "+p)
		}
	}
	return complaints
}

// leads reports whether a link of the document from has its file and, with a fragment, its heading.
func leads(docs map[string]string, from, link string) bool {
	file, heading, _ := strings.Cut(link, "#")
	target := from
	if file != "" {
		target = filepath.ToSlash(filepath.Join(filepath.Dir(from), file))
	}
	text, isDoc := docs[target]
	if !isDoc {
		_, err := os.Stat(filepath.Join("..", target))
		return err == nil && heading == ""
	}
	return heading == "" || slices.Contains(anchors(text), heading)
}

// anchors returns the names of a document's headings, as the places that show such documents make them.
func anchors(text string) (names []string) {
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, m := range headingForm.FindAllStringSubmatch(codeForm.ReplaceAllString(text, ""), -1) {
		names = append(names, strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return names
}

// documents returns every document of the tree by its path.
func documents(t *testing.T, root string) map[string]string {
	docs := make(map[string]string)
	walk(t, root, ".md", func(path, text string) { docs[path] = text })
	return docs
}

func testNames(t *testing.T, root string) (names []string) {
	walk(t, root, "_test.go", func(_, text string) {
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
	})
	return names
}

// walk calls fn with every file of the tree whose name ends so; what is hidden or built is no part of it.
func walk(t *testing.T, root, end string, fn func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "dist"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, end):
			return nil
		}
		text, err := os.ReadFile(p)
		rel, _ := filepath.Rel(root, p)
		fn(filepath.ToSlash(rel), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
