package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A words is a buffer that can be waited on: the program's stderr.
type words struct {
	mu   sync.Mutex
	cond *sync.Cond
	buf  bytes.Buffer
}

func newWords() *words {
	w := new(words)
	w.cond = sync.NewCond(&w.mu)
	return w
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.cond.Broadcast()
	return w.buf.Write(b)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// wait returns when s was written; a program that never does runs into the test's own deadline.
func (w *words) wait(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !strings.Contains(w.buf.String(), s) {
		w.cond.Wait()
	}
}

// A program is a run in the background.
type program struct {
	t              *testing.T
	ready          string
	stdin          io.WriteCloser
	stdout, stderr *words
	cancel         context.CancelFunc
	ended          chan error
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	in, stdin := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{t: t, stdin: stdin, stdout: newWords(), stderr: newWords(), cancel: cancel, ended: make(chan error, 1)}
	t.Cleanup(func() { cancel(); stdin.Close() })
	go func() { p.ended <- run(ctx, args, in, p.stdout, p.stderr) }()
	p.stdout.wait("\n")
	p.ready, _ = bufio.NewReader(strings.NewReader(p.stdout.String())).ReadString('\n')
	return p
}

func (p *program) say(line, answer string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
	p.stderr.wait(answer)
}

// end waits for the program.
func (p *program) end() {
	p.t.Helper()
	if err := <-p.ended; err != nil {
		p.t.Errorf("run: %v", err)
	}
}

// addresses returns what follows "tcp=" in the ready line.
func (p *program) addresses() (out []string) {
	for _, f := range strings.Fields(p.ready) {
		if a, ok := strings.CutPrefix(f, "tcp="); ok {
			out = append(out, a)
		}
	}
	return out
}

// status reads UPSStatus_BF of the unit at addr.
func status(t *testing.T, addr string) uint32 {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte{0, 1, 0, 0, 0, 6, 5, 3, 0, 0, 0, 2}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 13)
	if _, err := io.ReadFull(conn, b); err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint32(b[9:])
}

func TestUnitsObeyWords(t *testing.T) {
	p := start(t, "--tcp", "127.0.0.1:0", "--units", "3", "--unit-id", "5", "--turnaround", "0s", "--stats")
	addrs := p.addresses()
	if len(addrs) != 3 {
		t.Fatalf("ready line %q", p.ready)
	}
	p.say("2:mains-fail", "ok mains-fail")
	for i, want := range []uint32{0x2002, 0x244, 0x2002} {
		if got := status(t, addrs[i]); got != want {
			t.Errorf("unit %d: status %#x, want %#x", i+1, got, want)
		}
	}
	p.say("show", "StateOnBattery|InputBad|PendingOutputOff")
	p.say("nonsense", `unknown word "nonsense"`)
	p.say("4:mains-fail", "there is no unit 4")
	p.say("load=2", "not a number from 0 to 1.5")
	p.say("help", "mains-return")
	p.say("stats", "tcp requests=3 answered=3")
	if _, err := io.WriteString(p.stdin, "quit\n"); err != nil {
		t.Fatal(err)
	}
	p.end()
	if out := p.stdout.String(); !strings.Contains(out, "tcp requests=3 answered=3") {
		t.Errorf("stdout at the end: %q", out)
	}
}

// TestAnSMCHasNoModbusTCP, but through a card it has.
func TestAnSMCHasNoModbusTCP(t *testing.T) {
	p := start(t, "--model", "SMC1500IC", "--tcp", "127.0.0.1:0", "--unit-id", "5")
	if conn, err := net.Dial("tcp", p.addresses()[0]); err == nil {
		conn.Close()
		t.Error("connected")
	}
	p.cancel()
	p.end()
	p = start(t, "--model", "SMC1500IC", "--via", "card", "--tcp", "127.0.0.1:0", "--unit-id", "5", "--variant", "no-six")
	if got := status(t, p.addresses()[0]); got != 0x2002 {
		t.Errorf("status through a card %#x", got)
	}
	p.cancel()
	p.end()
}

func TestStepsHappen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scenario")
	if err := os.WriteFile(file, []byte("# a bad day\n\n0s mains-fail\n10ms load=0.8 # heavy\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--tcp", "127.0.0.1:0", "--unit-id", "5", "--scenario", file, "--at", "20ms=poke=2:7")
	p.stderr.wait("20ms poke=2:7")
	if got := status(t, p.addresses()[0]); got != 0x244 {
		t.Errorf("status %#x", got)
	}
	p.cancel() // as a signal does
	p.end()
}

func TestSerialPortCanBeUnplugged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ups")
	p := start(t, "--pty", path)
	if p.ready != "ready pty="+path+"\n" {
		t.Errorf("ready line %q", p.ready)
	}
	exists := func() bool { _, err := os.Stat(path); return err == nil }
	if !exists() {
		t.Error("no port")
	}
	p.say("unplug", "ok unplug")
	if exists() {
		t.Error("a port after unplug")
	}
	p.say("plug", "ok plug")
	if !exists() {
		t.Error("no port after plug")
	}
	p.cancel()
	p.end()
	if exists() {
		t.Error("a port after the end")
	}
}

func TestExitCodes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		args string
		want int
		says string
	}{
		{"--help", 0, ""},
		{"", 2, "--pty or --tcp"},
		{"--bogus", 2, "--bogus"},
		{"--tcp 127.0.0.1:0 --unit-id 0", 2, "1 to 223"},
		{"--tcp 127.0.0.1:0 --unit-id 224", 2, "1 to 223"},
		{"--tcp 127.0.0.1:0 --model XYZ", 2, "XYZ"},
		{"--tcp 127.0.0.1:0 --variant XYZ", 2, "XYZ"},
		{"--tcp 127.0.0.1:0 --via XYZ", 2, "XYZ"},
		{"--tcp 127.0.0.1:0 --at soon=mains-fail", 2, "soon"},
		{"--tcp 127.0.0.1:0 --at 3s=fly", 2, "fly"},
		{"--tcp 127.0.0.1:0 --scenario /nowhere", 2, "/nowhere"},
		{"--tcp 127.0.0.1:0 --hurry 0.5", 2, "1 to 100"},
		{"--tcp 127.0.0.1:0 --boot=-1s", 2, "negative"},
		{"--tcp 127.0.0.1:0 --feed main", 2, "GROUP=COMMAND"},
		{"--tcp 127.0.0.1:0 --feed main=", 2, "GROUP=COMMAND"},
		{"--tcp 127.0.0.1:0 --feed sog2=/bin/true", 2, "main, sog0"},
		{"--tcp 127.0.0.1:0 --feed 2:main=/bin/true", 2, "no unit 2"},
		{"--tcp 127.0.0.1:0 --feed x:main=/bin/true", 2, "number of a unit"},
		{"--tcp 127.0.0.1:0 --feed main=/nowhere/box", 2, "/nowhere/box"},
		{"--tcp 127.0.0.1:65530 --units 10", 2, "10 ports"},
		{"--tcp 127.0.0.1:0 --tcp 127.0.0.1:0 --units 2", 2, "exactly one --tcp"},
		{"--pty /nowhere/ups", 1, "/nowhere/ups"},
		{"--tcp " + taken.Addr().String(), 1, "in use"},
	} {
		var stdout, stderr bytes.Buffer
		got := exitCode(run(t.Context(), strings.Fields(c.args), nil, &stdout, &stderr), &stderr)
		if got != c.want || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%s: exit code %d, want %d; stderr %q", c.args, got, c.want, stderr.String())
		}
		if c.args == "--help" && !strings.Contains(stdout.String(), "mains-fail") {
			t.Errorf("help: %q", stdout.String())
		}
	}
}
