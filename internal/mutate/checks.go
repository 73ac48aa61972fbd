package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"upsedge/internal/rules"
)

// A mutant is a file with one check less.
type mutant struct {
	rules string // ids with spaces between: a test named after one of them must go red
	file  string // below the root
	old   string // what stands there exactly once
	with  string // what stands there instead
	in    string // directories of the tests, with spaces between; "": that of the file
	name  string // which check it was
}

// dirs are the directories of its tests.
func (m *mutant) dirs() []string {
	if m.in == "" {
		return []string{path.Dir(m.file)}
	}
	return strings.Fields(m.in)
}

// shows reports whether a test is one that must notice the mutant.
func (m *mutant) shows(t rules.Test) bool {
	return !t.Soak() && slices.Contains(m.dirs(), t.Dir) &&
		slices.ContainsFunc(t.IDs, func(id string) bool { return slices.Contains(strings.Fields(m.rules), id) })
}

// A workshop runs tests on changed files.
type workshop struct {
	root, dir string
	out       io.Writer
	tests     []rules.Test
}

// testTime is for one package's tests of one rule; what hangs is red.
const testTime = 90 * time.Second

func (w *workshop) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.WaitDelay = w.root, 10*time.Second
	cmd.Env = append(os.Environ(), "UPSEDGE_TEST_DATABASES=sqlite", "CGO_ENABLED=0")
	return cmd
}

// checks takes each check away and returns how many are missed by no test.
func (w *workshop) checks(ctx context.Context, list []mutant) (survivors int, err error) {
	if err := w.baseline(ctx, list); err != nil {
		return 0, err
	}
	fmt.Fprintln(w.out, "rule | check that was taken away | red tests")
	for _, m := range list {
		red, err := w.red(ctx, &m)
		if ctx.Err() != nil {
			return survivors, ctx.Err()
		}
		mark := strings.Join(red, " ")
		if len(red) == 0 {
			mark = "SURVIVES"
			survivors++
		}
		if err != nil { // it does not compile: nothing is shown by it either
			mark += fmt.Sprintf(" %v", err)
		}
		fmt.Fprintf(w.out, "%s | %s: %s | %s\n", m.rules, m.file, m.name, mark)
	}
	fmt.Fprintf(w.out, "%d checks\n", len(list))
	return survivors, nil
}

// baseline makes sure that the tests pass while nothing is changed.
func (w *workshop) baseline(ctx context.Context, list []mutant) error {
	names := map[string][]string{}
	for i := range list {
		for _, t := range w.tests {
			if list[i].shows(t) && !slices.Contains(names[t.Dir], t.Name) {
				names[t.Dir] = append(names[t.Dir], t.Name)
			}
		}
	}
	for dir, tests := range names {
		if red, text, err := w.test(ctx, dir, tests); err != nil || len(red) > 0 {
			return fmt.Errorf("%s as it stands: %v fail, %v\n%s", dir, red, err, text)
		}
	}
	return nil
}

// red returns the tests that notice a mutant.
func (w *workshop) red(ctx context.Context, m *mutant) (red []string, err error) {
	text, err := m.mutated(w.root)
	if err != nil {
		return nil, err
	}
	changed, overlay := filepath.Join(w.dir, "changed.go"), filepath.Join(w.dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(w.root, m.file): changed}})
	if err == nil {
		err = os.WriteFile(changed, []byte(text), 0o600)
	}
	if err == nil {
		err = os.WriteFile(overlay, replace, 0o600)
	}
	if err != nil {
		return nil, err
	}
	for _, dir := range m.dirs() {
		var names []string
		for _, t := range w.tests {
			if t.Dir == dir && m.shows(t) {
				names = append(names, t.Name)
			}
		}
		if len(names) == 0 {
			continue
		}
		failed, text, err := w.test(ctx, dir, names, "-overlay", overlay)
		if err != nil {
			return nil, fmt.Errorf("%w\n%s", err, text)
		}
		red = append(red, failed...)
	}
	return red, nil
}

// mutated is the file with the change.
func (m *mutant) mutated(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return "", fmt.Errorf("%q stands there %d times", m.old, n)
	}
	return strings.Replace(string(text), m.old, m.with, 1), nil
}

// test runs tests of one package and returns those that fail. The error says that they could not be run.
func (w *workshop) test(ctx context.Context, dir string, names []string, flags ...string) (red []string, text string, err error) {
	args := append([]string{"test", "-vet=off", "-count=1", "-v", "-timeout", testTime.String(), "-run", "^(" + strings.Join(names, "|") + ")$"}, flags...)
	out, err := w.command(ctx, "go", append(args, "./"+dir)...).CombinedOutput()
	red = slices.DeleteFunc(failures(string(out)), func(name string) bool { return !slices.Contains(names, name) })
	if err != nil && len(red) == 0 {
		return nil, string(out), fmt.Errorf("%s: the tests did not run: %w", dir, err)
	}
	return red, string(out), nil
}

var (
	failedTest  = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)
	runningTest = regexp.MustCompile(`(?m)^\s*((?:Test|Fuzz)\w+)[^\s]* \([\d.hms]+\)$`) // of a time-out
	begunTest   = regexp.MustCompile(`(?m)^=== RUN +((?:Test|Fuzz)\w+)$`)
)

// failures returns the tests that fail by what they have printed; of a fault or a time-out the one that ran.
func failures(text string) (names []string) {
	add := func(all [][]string) {
		for _, m := range all {
			if !slices.Contains(names, m[1]) {
				names = append(names, m[1])
			}
		}
	}
	add(failedTest.FindAllStringSubmatch(text, -1))
	if _, after, hung := strings.Cut(text, "panic: test timed out"); hung {
		add(runningTest.FindAllStringSubmatch(after, -1))
	} else if begun := begunTest.FindAllStringSubmatch(text, -1); strings.Contains(text, "\npanic: ") && len(begun) > 0 && len(names) == 0 {
		add(begun[len(begun)-1:])
	}
	return names
}
