// Package rules knows which test shows which rule, by their names: TestINV7… shows INV-7, TestROLE6AndPERM9… both, TestINV11To13… three.
// The ids are those of docs/rules.md. It is for tests and tools; no program imports it.
package rules

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// families are the beginnings of ids. "T" is of threats (docs/threats.md); Section-14 is all of that section, whose reason codes have no ids.
const families = `Section|PERM|PLAN|ROLE|LIC|REP|NOTE|SHARE|INV|LOG|DEV|DEL|REG|ORG|PART|PRIV|EDGE|ERASE|TIME|T`

var (
	named = regexp.MustCompile(`^(?:Test|Fuzz)(?:Soak)?((?:` + families + `)[0-9]+(?:(?:And|To)(?:(?:` + families + `)?[0-9]+))*)`)
	parts = regexp.MustCompile(`(And|To)?(` + families + `)?([0-9]+)`)
	// funcs finds the tests of a file.
	funcs = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
)

// Of returns the ids of the rules that a test is named after, in the order of its name; none for most tests.
func Of(test string) (ids []string) {
	m := named.FindStringSubmatch(test)
	if m == nil {
		return nil
	}
	family, last := "", 0
	for _, p := range parts.FindAllStringSubmatch(m[1], -1) {
		if p[2] != "" {
			family = p[2]
		}
		n, _ := strconv.Atoi(p[3])
		from := n
		if p[1] == "To" {
			from = last + 1
		}
		for i := from; i <= n; i++ {
			ids = append(ids, id(family, i))
		}
		last = n
	}
	return ids
}

// id is how documents write it: T-07, and PERM-7.
func id(family string, n int) string {
	if family == "T" {
		return fmt.Sprintf("T-%02d", n)
	}
	return family + "-" + strconv.Itoa(n)
}

// A Test is a test that is named after rules.
type Test struct {
	Name string
	Dir  string // of its package, below the root
	IDs  []string
}

// Soak reports whether it runs only when asked for.
func (t Test) Soak() bool { return strings.HasPrefix(t.Name, "TestSoak") }

// Tests returns the tests of the tree at root that are named after rules, by directory and name.
func Tests(root string) (out []Test, err error) {
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(p))
		for _, m := range funcs.FindAllStringSubmatch(string(text), -1) {
			if ids := Of(m[1]); ids != nil {
				out = append(out, Test{m[1], filepath.ToSlash(dir), ids})
			}
		}
		return err
	})
	slices.SortFunc(out, func(a, b Test) int { return strings.Compare(a.Dir+" "+a.Name, b.Dir+" "+b.Name) })
	return out, err
}

// Root returns the directory of go.mod at or above the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is in no module", dir)
		}
	}
}
