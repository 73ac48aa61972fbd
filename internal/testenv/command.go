package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// NeedAll is the environment variable that turns "missing, so skipped" into "missing, so failed" when it is "1".
// The Makefile sets it where tools/system-packages has fetched every program.
const NeedAll = "UPSEDGE_TESTS_NEED_ALL"

// moduleRoot is the directory of go.mod, "" outside the source tree. It is looked up before any test changes directory.
var moduleRoot = findModuleRoot()

func findModuleRoot() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// ModuleRoot returns the directory of go.mod. The test fails when it does not run inside the source tree.
func ModuleRoot(t testing.TB) string {
	t.Helper()
	if moduleRoot == "" {
		t.Fatal("no go.mod above the directory this test started in")
	}
	return moduleRoot
}

// Command prepares program name with args, found in $PATH, in the system's sbin directories or in the unpacked
// packages. The process is killed when the test ends, if it still runs then; waiting for it is the caller's.
// Without the program the test is skipped, or fails under NeedAll.
func Command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, root := "", ""
	for _, group := range fetchedGroups {
		in, unpacked := find(name, group())
		if path == "" && in != "" {
			path = in
			if unpacked {
				root = group()
			}
		}
	}
	if path == "" {
		missing(t, name)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	if root != "" {
		cmd.Env = fetchedEnv(os.Environ(), root)
	}
	return cmd
}

func missing(t testing.TB, name string) {
	t.Helper()
	const advice = "%s is not installed: `make test` fetches it on Debian and Ubuntu (tools/system-packages)"
	if os.Getenv(NeedAll) == "1" {
		t.Fatalf(advice, name)
	}
	t.Skipf(advice, name)
}

// fetchedRoot is where tools/system-packages unpacks.
func fetchedRoot() string { return filepath.Join(moduleRoot, ".cache", "debian", "root") }

// fetchedGroups are where it unpacks each group of packages.
var fetchedGroups = []func() string{fetchedRoot, func() string { return fetchedRoot() + "-guest" }, func() string { return fetchedRoot() + "-packages" }}

// find returns the path of a program, "" when there is none, and whether it lies below root.
func find(name, root string) (path string, unpacked bool) {
	if path, err := exec.LookPath(name); err == nil {
		return path, false
	}
	// Daemons live in sbin, which is not in the $PATH of an ordinary Debian user.
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, false
		}
	}
	for _, dir := range fetchedPath(root) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, true
		}
	}
	return "", false
}

func fetchedPath(root string) []string {
	return []string{filepath.Join(root, "usr/bin"), filepath.Join(root, "usr/sbin"), filepath.Join(root, "bin"), filepath.Join(root, "sbin")}
}

// fetchedEnv adds the unpacked programs and libraries to an environment. Only libraries that the system lacks are
// unpacked, so that none of the system's own is shadowed.
func fetchedEnv(env []string, root string) []string {
	libs := []string{filepath.Join(root, "usr/lib")}
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // fails on a bad pattern only
		libs = append(libs, found...)
	}
	env = prepend(env, "LD_LIBRARY_PATH", libs)
	if modules, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*/qemu")); modules != nil {
		env = append(env, "QEMU_MODULE_DIR="+modules[0])
	}
	return prepend(env, "PATH", fetchedPath(root))
}

// prepend puts dirs before what a list variable holds. The last of two settings of one variable counts (os/exec).
func prepend(env []string, key string, dirs []string) []string {
	list := strings.Join(dirs, ":")
	for _, kv := range env {
		if old, ok := strings.CutPrefix(kv, key+"="); ok && old != "" {
			list = strings.Join(dirs, ":") + ":" + old
		}
	}
	return append(env[:len(env):len(env)], key+"="+list)
}
