package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"upsedge/internal/rules"
)

const (
	policyDir  = "internal/policy"
	matrixFile = policyDir + "/matrix.csv"
	// matrixEnv is read by the tests of package policy, and by no program.
	matrixEnv = "UPSEDGE_TEST_MATRIX"
)

// A flip is the matrix with one letter more or less.
type flip struct {
	action, role, what string // what: "basic", "standard", "advanced" or "projection"
	from, to           string // the cell
	table              string
}

// flips returns each change of one plan, and of each mark of the projection, in a table.
func flips(table string) (out []flip) {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	roles := strings.Split(lines[0], ",")
	for i, line := range lines[1:] {
		cells := strings.Split(line, ",")
		for j := 1; j < len(cells); j++ {
			for _, what := range []string{"basic", "standard", "advanced", "projection"} {
				to := flipped(cells[j], what)
				if to == cells[j] {
					continue // no projection of nothing
				}
				changed := slices.Clone(cells)
				changed[j] = to
				all := slices.Clone(lines)
				all[i+1] = strings.Join(changed, ",")
				out = append(out, flip{cells[0], roles[j], what, cells[j], to, strings.Join(all, "\n") + "\n"})
			}
		}
	}
	return out
}

// flipped is a cell with one thing changed.
func flipped(cell, what string) string {
	rest, projected := strings.CutPrefix(cell, "p")
	if what == "projection" {
		if cell == "-" {
			return cell
		}
		projected = !projected
	}
	out := ""
	for letter, plan := range map[string]string{"B": "basic", "S": "standard", "A": "advanced"} {
		if strings.Contains(rest, letter) != (plan == what) {
			out += letter
		}
	}
	switch out = ordered(out); {
	case out == "":
		return "-"
	case projected:
		return "p" + out
	}
	return out
}

func ordered(letters string) (out string) {
	for _, l := range "BSA" {
		if strings.ContainsRune(letters, l) {
			out += string(l)
		}
	}
	return out
}

// cells has the tests of package policy judge every n-th flip, and returns how many none has noticed that is named after a rule.
func (w *workshop) cells(ctx context.Context, n int) (survivors int, err error) {
	table, err := os.ReadFile(filepath.Join(w.root, matrixFile))
	if err != nil {
		return 0, err
	}
	binary := filepath.Join(w.dir, "policy.test")
	if text, err := w.command(ctx, "go", "test", "-c", "-vet=off", "-o", binary, "./"+policyDir).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the tests of package policy: %w\n%s", err, text)
	}
	red, err := w.redCells(ctx, binary, string(table))
	if err != nil || len(red) > 0 {
		return 0, fmt.Errorf("with the table as it stands these fail: %v, %v", red, err)
	}
	fmt.Fprintln(w.out, "action | role | flipped | cell | red tests")
	all := flips(string(table))
	for i := 0; i < len(all); i += n {
		f := all[i]
		if red, err = w.redCells(ctx, binary, f.table); err != nil {
			return survivors, err
		}
		mark := strings.Join(red, " ")
		if len(red) == 0 {
			mark = "SURVIVES"
			survivors++
		}
		fmt.Fprintf(w.out, "%s | %s | %s | %s to %s | %s\n", f.action, f.role, f.what, f.from, f.to, mark)
	}
	fmt.Fprintf(w.out, "%d of %d flips of the matrix, %d survive\n\n", (len(all)+n-1)/n, len(all), survivors)
	return survivors, nil
}

// redCells returns the tests named after rules that fail with a table.
func (w *workshop) redCells(ctx context.Context, binary, table string) ([]string, error) {
	cmd := w.command(ctx, binary, "-test.v")
	cmd.Dir = filepath.Join(w.root, policyDir)
	cmd.Env = append(os.Environ(), matrixEnv+"="+table)
	text, err := cmd.CombinedOutput()
	if _, failed := err.(*exec.ExitError); err != nil && !failed || ctx.Err() != nil {
		return nil, err
	}
	red := failures(string(text))
	if err != nil && len(red) == 0 {
		return nil, fmt.Errorf("the tests of package policy: %w\n%s", err, text)
	}
	return slices.DeleteFunc(red, func(name string) bool { return rules.Of(name) == nil }), nil
}
