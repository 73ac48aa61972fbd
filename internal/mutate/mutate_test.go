package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"upsedge/internal/rules"
)

func shop(t *testing.T) *workshop {
	t.Helper()
	root, err := rules.Root()
	if err != nil {
		t.Fatal(err)
	}
	w := &workshop{root: root, dir: t.TempDir(), out: io.Discard}
	if w.tests, err = rules.Tests(root); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestEveryMutantIsThere: its snippet stands in its file exactly once, and each rule it is of has a test where it is looked for. So that nobody
// moves a check away from under its proof.
func TestEveryMutantIsThere(t *testing.T) {
	w := shop(t)
	for _, m := range mutants() {
		text, err := m.mutated(w.root)
		if err != nil {
			t.Errorf("%s, %s: %v", m.file, m.name, err)
		}
		if was, _ := os.ReadFile(filepath.Join(w.root, m.file)); err == nil && string(was) == text {
			t.Errorf("%s, %s: it changes nothing", m.file, m.name)
		}
		if !slices.ContainsFunc(w.tests, m.shows) {
			t.Errorf("%s, %s: no test of %v is named after %s", m.file, m.name, m.dirs(), m.rules)
		}
	}
}

// TestCellsOfTheMatrixAreNoticed flips some; make mutate flips all.
func TestCellsOfTheMatrixAreNoticed(t *testing.T) {
	w := shop(t)
	var text strings.Builder
	w.out = &text
	if n, err := w.cells(t.Context(), 23); err != nil || n > 0 {
		t.Errorf("%d survive, %v\n%s", n, err, text.String())
	}
}

func TestFlips(t *testing.T) {
	for _, c := range [][3]string{
		{"BSA", "basic", "SA"},
		{"SA", "basic", "BSA"},
		{"-", "standard", "S"},
		{"A", "advanced", "-"},
		{"pA", "advanced", "-"},
		{"pSA", "projection", "SA"},
		{"BSA", "projection", "pBSA"},
		{"-", "projection", "-"},
		{"pSA", "basic", "pBSA"},
		{"BSA", "standard", "BA"},
	} {
		if got := flipped(c[0], c[1]); got != c[2] {
			t.Errorf("%s, %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
	if got := flips("action,owner,nobody\na,SA,-\n"); len(got) != 7 || got[0].table != "action,owner,nobody\na,BSA,-\n" {
		t.Errorf("%+v", got)
	}
}

func TestFailuresAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"=== RUN   TestA\n--- FAIL: TestA (0.0s)\n    --- FAIL: TestA/x (0.0s)\n--- PASS: TestB (0s)\nFAIL\n":                                  "TestA",
		"=== RUN   TestA\n--- PASS: TestA (0s)\n=== RUN   TestB\npanic: boom\n\ngoroutine 7\n":                                                 "TestB",
		"=== RUN   TestA\npanic: test timed out after 3m0s\n\trunning tests:\n\t\tTestA (3m0s)\n\t\tTestA/sqlite (2m59s)\n\ngoroutine 1 []:\n": "TestA",
		"ok": "",
	} {
		if got := strings.Join(failures(text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
