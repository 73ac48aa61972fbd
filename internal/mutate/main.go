// Command mutate shows that each rule has a test that can fail (make mutate). It flips each cell of the permission matrix, takes away each
// check that keeps a rule, one at a time, and looks which tests go red. Only a test that is named after the rule counts. What no test
// notices survives, is printed as such, and makes the exit code 1.
//
// Nothing is written into the tree: cells are handed to the tests of package policy by an environment variable, changed files to the
// compiler by -overlay. Tests run on SQLite alone here; make test runs them on both databases.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"upsedge/internal/rules"
)

func main() {
	only := flag.String("only", "", "rules, files or names of checks to look at, with commas between: SHARE-3,INV-7 or internal/command/check.go; MATRIX for the cells alone")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	flag.Parse()
	survivors, err := run(ctx, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	if survivors > 0 {
		os.Exit(1)
	}
}

// run prints both tables and returns how many changes no test has noticed.
func run(ctx context.Context, only string) (survivors int, err error) {
	root, err := rules.Root()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "upsedge-mutate-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	w := &workshop{root: root, dir: dir, out: os.Stdout}
	if w.tests, err = rules.Tests(root); err != nil {
		return 0, err
	}
	began := time.Now()
	if only == "" || strings.Contains(only, "MATRIX") {
		n, err := w.cells(ctx, 1)
		if err != nil {
			return survivors, err
		}
		survivors += n
	}
	n, err := w.checks(ctx, chosen(only))
	survivors += n
	fmt.Fprintf(w.out, "\n%d survived, %v\n", survivors, time.Since(began).Round(time.Second))
	return survivors, err
}

// chosen are the mutants of some rules or files; of "" all.
func chosen(only string) (out []mutant) {
	for _, m := range mutants() {
		for _, want := range strings.Split(only, ",") {
			if want == "" || strings.HasPrefix(m.file, want) || strings.Contains(" "+m.rules+" ", " "+want+" ") || m.name == want {
				out = append(out, m)
				break
			}
		}
	}
	return out
}
