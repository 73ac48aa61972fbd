package testenv

import (
	"cmp"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An endRecorder stands in for the test that asks for a program: it notes how that test would have ended first.
type endRecorder struct {
	testing.TB
	ended string
}

func (r *endRecorder) Helper()               {}
func (r *endRecorder) Skipf(string, ...any)  { r.ended = cmp.Or(r.ended, "skipped") }
func (r *endRecorder) Fatalf(string, ...any) { r.ended = cmp.Or(r.ended, "failed") }

func TestMissingProgramSkipsUnlessAllAreNeeded(t *testing.T) {
	for _, row := range []struct{ needAll, want string }{{"", "skipped"}, {"0", "skipped"}, {"1", "failed"}} {
		t.Setenv(NeedAll, row.needAll)
		r := &endRecorder{TB: t}
		Command(r, "no-such-program-anywhere")
		if r.ended != row.want {
			t.Errorf("%s=%q: the test %s, want %s", NeedAll, row.needAll, r.ended, row.want)
		}
	}
}

func TestFindsUnpackedProgramsAfterThoseOfThePath(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"usr/sbin/upsedge-unpacked", "usr/bin/sh"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if path, unpacked := find("upsedge-unpacked", root); path != filepath.Join(root, "usr/sbin/upsedge-unpacked") || !unpacked {
		t.Errorf("find = %q, unpacked %v, want the file below usr/sbin", path, unpacked)
	}
	if path, unpacked := find("sh", root); strings.HasPrefix(path, root) || unpacked {
		t.Errorf("find(sh) = %q, unpacked %v, want the system's own", path, unpacked)
	}
	if path, _ := find("upsedge-absent", root); path != "" {
		t.Errorf("find = %q for a program that is nowhere", path)
	}
}

func TestUnpackedLibrariesGoBeforeWhatIsSet(t *testing.T) {
	root := t.TempDir()
	lib := filepath.Join(root, "usr/lib/x86_64-linux-gnu")
	if err := os.MkdirAll(lib, 0o755); err != nil {
		t.Fatal(err)
	}
	env := fetchedEnv([]string{"LD_LIBRARY_PATH=/opt/lib", "HOME=/root"}, root)
	want := "LD_LIBRARY_PATH=" + filepath.Join(root, "usr/lib") + ":" + lib + ":/opt/lib"
	if !slices.Contains(env, want) {
		t.Errorf("environment %q\nlacks %q", env, want)
	}
}

func TestBuildsACommandOnce(t *testing.T) {
	first := Build(t, "./internal/testenv/testdata/hello")
	if out, err := exec.Command(first).Output(); err != nil || string(out) != "hello\n" {
		t.Fatalf("%s printed %q, %v", first, out, err)
	}
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	second := Build(t, "./internal/testenv/testdata/hello")
	after, err := os.Stat(second)
	if err != nil || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("built again: %s, then %s (%v)", first, second, err)
	}
}

func TestBrokerComesBackOnItsPort(t *testing.T) {
	b := Mosquitto(t, "persistence true")
	for _, end := range []func(){b.Kill, b.Stop} {
		end()
		if conn, err := net.Dial("tcp", b.Addr); err == nil {
			conn.Close()
			t.Fatalf("%s still accepts after its end", b.Addr)
		}
		b.Start()
		conn, err := net.Dial("tcp", b.Addr)
		if err != nil {
			t.Fatalf("after the restart: %v", err)
		}
		conn.Close()
	}
}

func TestRetainedMessageSurvivesAStopOfTheBroker(t *testing.T) {
	b := Mosquitto(t, "persistence true")
	host, port, _ := net.SplitHostPort(b.Addr)
	pub := Command(t, "mosquitto_pub", "-h", host, "-p", port, "-q", "1", "-r", "-t", "kept", "-m", "still here")
	if out, err := pub.CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub: %v\n%s", err, out)
	}
	b.Stop()
	b.Start()
	sub := Command(t, "mosquitto_sub", "-h", host, "-p", port, "-C", "1", "-W", "20", "-t", "kept")
	if out, err := sub.Output(); err != nil || string(out) != "still here\n" {
		t.Errorf("mosquitto_sub printed %q, %v\n%s", out, err, b.Log())
	}
}

func TestBrokerThatCannotStartSaysWhy(t *testing.T) {
	b := &Broker{Dir: t.TempDir(), t: t, Addr: freeAddr(t)}
	b.writeConfig("no_such_option 1")
	err := b.start()
	if err == nil || !strings.Contains(err.Error(), "no_such_option") {
		t.Errorf("start = %v, want mosquitto's own words about no_such_option", err)
	}
	b.Kill()
}
