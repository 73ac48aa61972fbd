package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/testenv"
)

// blocks are the lines of the README that somebody copies, in their order.
var blocks = regexp.MustCompile("(?s)<!-- run: demo -->\n```sh\n(.*?)```")

// TestTheLinesOfTheReadmeDoWhatItSays runs the demonstration and the lines as they stand in the README, but for ports and directories.
func TestTheLinesOfTheReadmeDoWhatItSays(t *testing.T) {
	t.Parallel()
	curl := testenv.Command(t, "curl")
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, m := range blocks.FindAllStringSubmatch(string(readme), -1) {
		lines.WriteString(m[1])
	}
	if n := strings.Count(lines.String(), "\n"); n < 20 {
		t.Fatalf("only %d lines in the README", n)
	}
	agent, cloud, demo := testenv.Build(t, "./cmd/agent"), testenv.Build(t, "./cmd/cloud"), testenv.Build(t, "./internal/demo")
	dir, ports := filepath.Join(t.TempDir(), "demo"), freePorts(t, 5)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	site := exec.CommandContext(ctx, demo, "-agent", agent, "-cloud", cloud, "-dir", dir, "-failures", "1h", "-https", ports[0], "-mqtt", ports[1],
		"-cloud-metrics", "127.0.0.1:"+ports[2], "-metrics", "127.0.0.1:"+ports[3], "-page", "127.0.0.1:"+ports[4])
	var said strings.Builder
	site.Stdout, site.Stderr = &said, &said
	site.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	site.Cancel = func() error { return site.Process.Signal(syscall.SIGTERM) }
	site.WaitDelay = 30 * time.Second
	if err := site.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for !ready(ctx, "http://127.0.0.1:"+ports[2]+"/readyz") {
		select {
		case <-ctx.Done():
			t.Fatalf("the cloud is not ready:\n%s", said.String())
		case <-time.After(50 * time.Millisecond): // a condition of another process
		}
	}
	t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
	script := strings.NewReplacer(".cache/demo", dir, ".cache/bin/demo", demo+" -dir "+dir, "bin/upsagent", agent, "bin/upscloud", cloud, "localhost:8443", "localhost:"+ports[0]).Replace(lines.String())
	// When the token was there, and when the first value.
	script = strings.Replace(script, "TOKEN=$(", "echo \"token at $(date +%s.%N)\"; TOKEN=$(", 1)
	script = strings.Replace(script, "/status | grep -q input_voltage; do sleep 1; done", "/status | grep -q input_voltage; do sleep 0.2; done; echo \"value at $(date +%s.%N)\"", 1)
	shell := exec.CommandContext(ctx, "bash", "-eu", "-c", script)
	shell.Env = curl.Env // where curl and its libraries are
	out, err := shell.CombinedOutput()
	cancel()
	_ = site.Wait()
	if err != nil {
		t.Fatalf("%v\n%s\n--- demo:\n%s", err, out, said.String())
	}
	text := string(out)
	t.Logf("what the lines print:\n%s", text)
	for want, times := range map[string]int{
		`"email":"ann@example.org"`: 2, `the running agent connects now`: 1, `"unit":"rack-a"`: 1, `"serial":"AS2130000001"`: 1,
		`"input_voltage":{"value":`: 1, `"point":"battery_charge"`: 1, `"state":"done"`: 7, `"action":"device.register"`: 1, `"action":"reboot.ups"`: 1, `nothing was altered`: 1,
	} {
		if n := strings.Count(text, want); n < times {
			t.Errorf("%q stands %d times in what the lines print, want %d or more", want, n, times)
		}
	}
	refused(t, text)
	var token, value float64
	for _, line := range strings.Split(text, "\n") {
		_, _ = fmt.Sscanf(line, "token at %f", &token)
		_, _ = fmt.Sscanf(line, "value at %f", &value)
	}
	t.Logf("from the token to the first stored sample: %.1f s", value-token)
	if t.Failed() {
		t.Logf("the demo:\n%s", said.String())
	}
}

// refused holds the refusals among what the lines print against the story: to a stranger there is no such device, before and after; on Basic the
// cloud refuses both, and the site what the cloud was led to sign; what waited for the site when the share ended is not carried out.
func refused(t *testing.T, text string) {
	t.Helper()
	story := []string{"NOT_FOUND", "PLAN_BASIC", "PLAN_BASIC", "PLAN_BASIC by the agent", "GRANT_STALE", "NOT_FOUND"}
	var told []string
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, `"warnings":`) // of an order that was taken: what the unit showed a moment ago
		m := regexp.MustCompile(`"reason":"([A-Z_]+)"`).FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if strings.Contains(line, `"decided":"agent"`) {
			m[1] += " by the agent"
		}
		told = append(told, m[1])
	}
	if !slices.Equal(told, story) {
		t.Errorf("refused were %q, want %q", told, story)
	}
}

// freePorts returns ports of loopback that nobody had a moment ago.
func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports
}
