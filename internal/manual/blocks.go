package manual

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A Block is a fenced block of a document. On the line above it may stand, in a comment, who runs it (run: demo), that nobody does and why
// (shown: …), or what it is (is: agent).
type Block struct {
	Document string // README.md, docs/install.md
	Line     int    // of its first line of content
	Language string
	Run      string // "" where nobody does
	Shown    string // why nobody does
	Is       string // of data: who reads such a file
	Text     string
}

func (b Block) String() string { return fmt.Sprintf("%s:%d", b.Document, b.Line) }

var (
	markForm  = regexp.MustCompile(`^<!-- (run|shown|is): (.+) -->$`)
	fenceForm = regexp.MustCompile("^( *)```(.*)$")
)

// Blocks returns the fenced blocks of a document, and complaints: a fence that does not end, code by indentation, which can have no mark.
func Blocks(document, text string) (blocks []Block, complaints []string) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		m := fenceForm.FindStringSubmatch(lines[i])
		if m == nil {
			if strings.HasPrefix(lines[i], "    ") && i > 0 && lines[i-1] == "" {
				complaints = append(complaints, fmt.Sprintf("%s:%d: code by indentation: put it between fences, with its language", document, i+1))
			}
			continue
		}
		b := Block{Document: document, Line: i + 2, Language: m[2]}
		if i > 0 {
			b.mark(strings.TrimSpace(lines[i-1]))
		}
		end := slices.Index(lines[i+1:], m[1]+"```")
		if end < 0 {
			return blocks, append(complaints, fmt.Sprintf("%s:%d: a fence without an end", document, i+1))
		}
		for _, line := range lines[i+1 : i+1+end] {
			b.Text += strings.TrimPrefix(line, m[1]) + "\n"
		}
		blocks = append(blocks, b)
		i += end + 1
	}
	return blocks, complaints
}

func (b *Block) mark(line string) {
	m := markForm.FindStringSubmatch(line)
	if m == nil {
		return
	}
	switch m[1] {
	case "run":
		b.Run = m[2]
	case "shown":
		b.Shown = m[2]
	case "is":
		b.Is = m[2]
	}
}

// Documents returns what people read to install, run and build on it, by its path in the tree: README.md and docs/*.md. Decisions and formats of
// packages speak to who changes them.
func Documents(t testing.TB, root string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	for _, name := range append(names, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(root, name)
		docs[filepath.ToSlash(rel)] = string(text)
	}
	if len(docs) < 10 {
		t.Fatalf("only %d documents below %s", len(docs), root)
	}
	return docs
}

// Script is what a document has for one runner: its blocks, in their order.
func Script(t testing.TB, root, document, runner string) (blocks []Block) {
	t.Helper()
	all, _ := Blocks(document, Documents(t, root)[document])
	for _, b := range all {
		if b.Run == runner {
			blocks = append(blocks, b)
		}
	}
	return blocks
}
