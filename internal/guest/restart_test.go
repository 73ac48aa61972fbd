package guest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"upsedge/internal/store"
	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

// limit is how long anything may take in a machine that is emulated on a busy one: the watchdog's minute is the longest of it.
const limit = 6 * time.Minute

// kept reads every record of a state directory that was copied out of the machine.
func kept(t *testing.T, g *Guest, dir string) (records []wire.Record) {
	t.Helper()
	g.Must("tar -C " + dir + " -czf /root/state.tar.gz .")
	out := t.TempDir()
	if err := os.Chmod(out, 0o700); err != nil {
		t.Fatal(err)
	}
	tar := exec.Command("tar", "-C", out, "-xzf", "-", "--no-same-owner")
	tar.Stdin = bytes.NewReader(g.Get("/root/state.tar.gz"))
	if words, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, words)
	}
	s, err := store.Open(context.Background(), out, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, lane := range wire.Lanes {
		for after := uint64(0); ; {
			more, err := s.Next(context.Background(), lane, after, 1000, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if len(more) == 0 {
				break
			}
			for _, r := range more {
				if r.Seq != after+1 && after != 0 {
					t.Errorf("lane %v: after %d comes %d", lane, after, r.Seq)
				}
				after = r.Seq
			}
			records = append(records, more...)
		}
	}
	return records
}

// lost tells which records of before are not there afterwards, byte for byte.
func lost(before, after []wire.Record) (n int) {
	type id struct {
		stream wire.ID
		lane   wire.Lane
		seq    uint64
	}
	has := map[id][]byte{}
	for _, r := range after {
		has[id{r.Stream, r.Lane, r.Seq}] = r.Payload
	}
	for _, r := range before {
		if p, ok := has[id{r.Stream, r.Lane, r.Seq}]; !ok || !bytes.Equal(p, r.Payload) {
			n++
		}
	}
	return n
}

var listening = regexp.MustCompile(`127\.0\.0\.1:(\d+)`)

// unitOnTheNetwork starts upssim and returns its port, on this machine's loopback.
func unitOnTheNetwork(t *testing.T) string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(testenv.Build(t, "./cmd/upssim"), "--tcp", "127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = out, out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	done, err := testenv.Bound(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Process.Kill(); <-done })
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		text, _ := os.ReadFile(log)
		if m := listening.FindSubmatch(text); m != nil {
			return string(m[1])
		}
	}
	text, _ := os.ReadFile(log)
	t.Fatalf("upssim does not listen: %s", text)
	return ""
}

// TestT65AStoppedAgentAndOneOfTooMuchMemoryComeBack: the real agent in the shipped unit, with systemd's own watchdog and the kernel's limit. What it had
// on disk when it ended is there afterwards, and what it had not is told by a gap.
func TestT65AStoppedAgentAndOneOfTooMuchMemoryComeBack(t *testing.T) {
	g := serve(t, "./cmd/agent")
	r := g.Run("systemctl start upsagent; systemctl is-active upsagent; systemctl is-failed upsagent; journalctl --no-pager -o cat -u upsagent")
	if !strings.Contains(r.Out, "not configured yet: run upsagent setup") || strings.Contains(r.Out, "\nactive") {
		t.Errorf("not configured, and: %v", r)
	}
	t.Logf("not configured: %s", r.Out)
	port := unitOnTheNetwork(t)
	config := fmt.Sprintf("units:\n  - name: rack-a\n    tcp: {address: \"10.0.2.2:%s\"}\n    unit_id: 1\n", port)
	g.Put([]byte(config), "/etc/upsagent/agent.yaml", 0o640)
	g.Must("chgrp upsagent /etc/upsagent/agent.yaml; systemctl start upsagent")
	up := func() {
		t.Helper()
		g.Await(limit, `systemctl is-active -q upsagent && curl -fsS http://127.0.0.1:9811/readyz && curl -fsS http://127.0.0.1:9811/metrics | grep -F 'ups_up{ups="rack-a"} 1'`)
		g.Await(limit, `curl -fsS http://127.0.0.1:9811/metrics | grep -E 'upsagent_spool_records\{lane="samples"\} [1-9]'`)
	}
	// since is the journal of one step, with its times.
	since := func(what string) {
		t.Helper()
		// Without the stacks of all goroutines, which are what a Go program says when the watchdog ends it.
		t.Logf("== %s\n%s", what, g.Must(`journalctl --no-pager -o short-precise -u upsagent --after-cursor="$(cat /root/cursor)" | grep -e 'systemd\[1\]' -e 'time=' -e 'agent.yaml' -e 'SIGABRT'; systemctl show upsagent -p NRestarts,Result`))
	}
	mark := func() { g.Must(`journalctl -n 0 --show-cursor -q | sed -n 's/^-- cursor: //p' >/root/cursor`) }
	up()

	mark()
	before := g.Must("systemctl show -P MainPID upsagent")
	g.Must("systemctl reload upsagent")
	g.Put([]byte("units: ["+config), "/etc/upsagent/agent.yaml", 0o640)
	if r := g.Run("systemctl reload upsagent"); r.Code == 0 {
		t.Error("to reload a wrong configuration succeeds")
	}
	g.Put([]byte(config), "/etc/upsagent/agent.yaml", 0o640)
	g.Must("systemctl reload upsagent")
	up()
	if now := g.Must("systemctl show -P MainPID upsagent"); now != before {
		t.Errorf("process %s was reloaded, and now %s runs", before, now)
	}
	since("reload: right, wrong, right")

	mark()
	g.Must("kill -STOP $(systemctl show -P MainPID upsagent); sleep 1; cp -a /var/lib/upsagent /root/stopped")
	g.Await(limit, "test $(systemctl show -P NRestarts upsagent) -ge 1")
	up()
	since("stopped by SIGSTOP, ended by the watchdog, started again")

	mark()
	// Nothing runs between the copy and the end: a frozen process is ended by the kernel as soon as its share is smaller than what it has.
	g.Must("systemctl freeze upsagent && cp -a /var/lib/upsagent /root/frozen")
	g.Run("systemctl set-property --runtime upsagent MemoryMax=4M; systemctl thaw upsagent")
	g.Await(limit, "journalctl --no-pager -o cat -u upsagent --after-cursor=\"$(cat /root/cursor)\" | grep -e oom-kill")
	g.Must("systemctl set-property --runtime upsagent MemoryMax=256M")
	up()
	since("more memory than its share, ended by the kernel, started again")

	g.Must("systemctl stop upsagent")
	last := kept(t, g, "/var/lib/upsagent")
	for _, dir := range []string{"/root/stopped", "/root/frozen"} {
		was := kept(t, g, dir)
		if n := lost(was, last); n != 0 || len(was) == 0 {
			t.Errorf("%s: of %d records on disk at the end, %d are lost", dir, len(was), n)
		}
		t.Logf("%s: %d records on disk at the end, %d of them lost; %d now", dir, len(was), lost(was, last), len(last))
	}
	gaps := 0
	for _, r := range last {
		if r.Lane == wire.Events && strings.Contains(string(r.Payload), `"crash"`) {
			gaps++
			t.Logf("events %d: %s", r.Seq, r.Payload)
		}
	}
	if gaps != 2 {
		t.Errorf("%d gaps tell of the samples that were not yet on disk, want 2", gaps)
	}
}
