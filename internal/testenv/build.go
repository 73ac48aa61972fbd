package testenv

import (
	"cmp"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// builds holds one result per command for the life of this test binary.
var builds sync.Map // of string to func() (string, error)

// RaceFlags is the environment variable with which `make` says how it builds under the race detector, so that programs share the build
// of every dependency with the tests. Without it: -race.
const RaceFlags = "UPSEDGE_RACE"

// Build compiles a command of this module, such as "./cmd/agent", and returns the path of the program. The first call
// of a test binary pays, later ones get the same file. Under the race detector the program has it too.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	root := ModuleRoot(t)
	build, _ := builds.LoadOrStore(pkg, sync.OnceValues(func() (string, error) { return compile(root, pkg) }))
	program, err := build.(func() (string, error))()
	if err != nil {
		t.Fatalf("build %s: %v", pkg, err)
	}
	return program
}

// compileError carries what the compiler printed, which says more than its exit code.
type compileError struct {
	err    error
	output []byte
}

func (e *compileError) Error() string { return e.err.Error() + "\n" + string(e.output) }

func compile(root, pkg string) (string, error) {
	dir, err := programDir(root)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, path.Base(pkg))
	args := []string{"build", "-o", program}
	if raceEnabled {
		args = append(args, strings.Fields(cmp.Or(os.Getenv(RaceFlags), "-race"))...)
	}
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &compileError{err, out}
	}
	return program, nil
}

// programDir makes a directory for the programs of this process. Nothing tells a package that its test binary ends, so
// the directories of processes that are gone are removed here, by the next one.
func programDir(root string) (string, error) {
	all := filepath.Join(root, ".cache", "test-programs")
	entries, _ := os.ReadDir(all) // absent on the first run
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			_ = os.RemoveAll(filepath.Join(all, e.Name()))
		}
	}
	dir := filepath.Join(all, strconv.Itoa(os.Getpid()))
	return dir, os.MkdirAll(dir, 0o755)
}

// Race tells whether the race detector is at work: everything takes several times as long then.
const Race = raceEnabled
