package testenv

import (
	"bufio"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// chromiumFlags are of a browser that shows nothing, asks nobody and remembers nothing. It needs no sandbox of its own, which root has
// not: it is shown pages of ours alone.
var chromiumFlags = []string{
	"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-extensions", "--no-proxy-server", "--no-pings",
	"--metrics-recording-only", "--password-store=basic", "--use-mock-keychain", "--hide-scrollbars", "--force-device-scale-factor=1",
	"--force-renderer-accessibility", "--remote-debugging-port=0",
}

// browserWithin is how long a browser may take until it listens: it takes half a second, and a loaded machine takes what it takes.
const browserWithin = 60 * time.Second

// Chromium starts a browser without a window, with a new profile, and returns the address at which it takes orders
// (chromedp's package remote, NewAllocator with NoModifyURL); it is gone when the test ends. flags are added to ours. Skips like Command.
func Chromium(t testing.TB, flags ...string) (address string) {
	t.Helper()
	cmd := chromiumCommand(t)
	profile := t.TempDir()
	cmd.Args = append(append(append(cmd.Args, chromiumFlags...), "--user-data-dir="+profile), flags...)
	cmd.Args = append(cmd.Args, "about:blank")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it is many processes
	said, tell := io.Pipe()
	cmd.Stderr = tell
	done, err := Bound(cmd)
	if err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	go func() {
		<-done
		tell.Close()
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // fails only when it is gone already
		<-done
	})
	found, log := make(chan string, 1), &strings.Builder{}
	go func() {
		defer close(found)
		lines := bufio.NewScanner(said)
		for lines.Scan() {
			if at, ok := strings.CutPrefix(lines.Text(), "DevTools listening on "); ok {
				found <- strings.TrimSpace(at)
				break
			}
			log.WriteString(lines.Text() + "\n")
		}
		_, _ = io.Copy(io.Discard, said) // what it says later must not hold it up
	}()
	select {
	case at, ok := <-found:
		if !ok {
			t.Fatalf("chromium ended at its start:\n%s", log)
		}
		return at
	case <-time.After(browserWithin):
		t.Fatalf("chromium does not listen within %v", browserWithin)
	}
	return ""
}

// chromiumCommand is the program of the system, or the unpacked one past Debian's shell script, which would look for it in /usr/lib.
func chromiumCommand(t testing.TB) *exec.Cmd {
	t.Helper()
	if path, unpacked := find("chromium", fetchedRoot()); path != "" && !unpacked {
		return Command(t, "chromium")
	}
	return Command(t, filepath.Join(fetchedRoot(), "usr/lib/chromium/chromium"))
}
