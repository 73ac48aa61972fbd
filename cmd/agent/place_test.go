package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/ups/upssim"
)

// patience is how long an event may take that has to come. It is never waited for where it does come; a loaded machine takes
// what it takes.
const patience = 60 * time.Second

// until asks again and again until ok, and fails the test when that takes longer than patience. explain may be nil.
func until(t testing.TB, what string, ok func() bool, explain func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			if explain != nil {
				what += "\n" + explain()
			}
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// A standing clock moves only when it is told to, and with it a simulated unit: its registers stay as they are.
type standing struct{ at atomic.Int64 }

func newStanding() *standing {
	s := new(standing)
	s.at.Store(time.Now().UnixNano())
	return s
}

func (s *standing) now() time.Time          { return time.Unix(0, s.at.Load()) }
func (s *standing) advance(d time.Duration) { s.at.Add(int64(d)) }

// A cable is a simulated unit on a pseudo terminal at the real pace, until it is unplugged or the test ends.
type cable struct {
	t      testing.TB
	port   *upssim.PTY
	stop   context.CancelFunc
	served chan error
	stats  upssim.Stats
}

// plug puts units on a new terminal with a link to it at path.
func plug(t testing.TB, path string, units map[uint8]*upssim.Unit) *cable {
	t.Helper()
	port, err := upssim.OpenPTY(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &cable{t: t, port: port, stop: stop, served: make(chan error, 1)}
	o := upssim.SerialOptions{Turnaround: 5 * time.Millisecond, Stats: &c.stats}
	go func() { c.served <- upssim.ServeSerial(ctx, port, o, units) }()
	t.Cleanup(c.unplug)
	return c
}

func (c *cable) unplug() {
	if c.stop == nil {
		return
	}
	c.stop()
	c.stop = nil
	if err := <-c.served; err != nil {
		c.t.Errorf("ServeSerial: %v", err)
	}
	if err := c.port.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		c.t.Errorf("close the terminal: %v", err)
	}
}

// listen serves units on a TCP port of loopback until the test ends and returns its address.
func listen(t testing.TB, units map[uint8]*upssim.Unit) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- upssim.ServeTCP(ctx, l, units, upssim.TCPOptions{Turnaround: 2 * time.Millisecond}) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("ServeTCP: %v", err)
		}
	})
	return l.Addr().String()
}

func one(u *upssim.Unit) map[uint8]*upssim.Unit { return map[uint8]*upssim.Unit{1: u} }

// hasty takes the second away that a program with the race detector sleeps at its end.
const hasty = "GORACE=atexit_sleep_ms=0"

// A place is an installed agent: a directory with its configuration, its state and its socket.
type place struct {
	t    testing.TB
	dir  string
	file string // the configuration
}

// newPlace writes a configuration. Whatever has a default that another agent on this machine could want is set.
func newPlace(t testing.TB, text string) *place {
	t.Helper()
	dir := t.TempDir()
	p := &place{t: t, dir: dir, file: filepath.Join(dir, "agent.yaml")}
	p.write(text)
	return p
}

// write replaces the configuration.
func (p *place) write(text string) {
	p.t.Helper()
	text = fmt.Sprintf("state_dir: %s/state\nlocal: {listen: \"\", socket: %s/agent.sock}\n", p.dir, p.dir) + text
	if !strings.Contains(text, "metrics:") {
		text += "\nmetrics: {listen: \"127.0.0.1:0\"}\n"
	}
	if err := os.WriteFile(p.file, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// upsagent runs a command to its end.
func (p *place) upsagent(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), testenv.Build(p.t, "./cmd/agent"), append([]string{"--config", p.file}, args...)...)
	cmd.Env = append(os.Environ(), hasty)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return out.String(), words.String(), cmd.ProcessState.ExitCode()
}

// A process is a running agent.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	log   *notes
	gone  chan struct{}
	addr  string    // of /metrics
	began time.Time // when the process was started
}

// notes collect what a process writes.
type notes struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.Write(b)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.String()
}

var metricsAddr = regexp.MustCompile(`agent started.* metrics=(\S+)`)

// launch starts the agent and returns at once.
func (p *place) launch() *process {
	p.t.Helper()
	d := &process{t: p.t, log: new(notes), gone: make(chan struct{}), began: time.Now()}
	d.cmd = exec.CommandContext(p.t.Context(), testenv.Build(p.t, "./cmd/agent"), "--config", p.file, "run")
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.Env = append(os.Environ(), hasty)
	// It ends with this process, whatever way that goes. The kernel ties that to the thread that started it.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := d.cmd.Start()
		started <- err
		if err == nil {
			_ = d.cmd.Wait() // how it ended is in its state
		}
		close(d.gone)
	}()
	if err := <-started; err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		d.kill()
		if strings.Contains(d.log.String(), "DATA RACE") {
			p.t.Error("the agent has a data race")
		}
		if p.t.Failed() {
			p.t.Logf("the agent of %s said:\n%s", d.began.Format("15:04:05.000"), d.log)
		}
	})
	return d
}

// start starts the agent and returns when it is ready.
func (p *place) start() *process {
	p.t.Helper()
	d := p.launch()
	d.await("agent started")
	if m := metricsAddr.FindStringSubmatch(d.log.String()); m != nil {
		d.addr = m[1]
	}
	return d
}

// await returns when the agent has logged words.
func (d *process) await(words string) {
	d.t.Helper()
	ended := false
	until(d.t, "the agent says "+words, func() bool {
		if strings.Contains(d.log.String(), words) {
			return true
		}
		if ended {
			d.t.Fatalf("the agent ended (%v) without saying %q", d.cmd.ProcessState, words)
		}
		select {
		case <-d.gone:
			ended = true // look once more: it may have said it last
		default:
		}
		return false
	}, nil)
}

func (d *process) signal(s syscall.Signal) { _ = d.cmd.Process.Signal(s) } // fails only when it is gone already

// stop asks the agent to end and returns its exit code.
func (d *process) stop() int {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	return d.code()
}

// code waits for the agent's end and returns its exit code, -1 if a signal ended it.
func (d *process) code() int {
	d.t.Helper()
	select {
	case <-d.gone:
	case <-time.After(patience):
		d.signal(syscall.SIGABRT) // what its goroutines do goes into the log
		<-d.gone
		d.t.Errorf("the agent did not end within %v", patience)
	}
	return d.cmd.ProcessState.ExitCode()
}

// kill ends the agent as a power cut does.
func (d *process) kill() {
	d.signal(syscall.SIGKILL)
	<-d.gone
}

// get asks the agent on its metrics port.
func (d *process) get(path string) (status int, body string) {
	d.t.Helper()
	resp, err := http.Get("http://" + d.addr + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// series returns the value of a series as /metrics shows it, "" if it is not there.
func (d *process) series(name string) string {
	d.t.Helper()
	family, _, _ := strings.Cut(name, "{") // only this is asked for: all 2000 series every 10 ms are most of the work of a test
	asked := url.Values{"name[]": {family}}
	for _, part := range []string{"_bucket", "_count", "_sum"} {
		if of, ok := strings.CutSuffix(family, part); ok {
			asked.Add("name[]", of)
		}
	}
	_, body := d.get("/metrics?" + asked.Encode())
	for line := range strings.Lines(body) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// showing waits until a series has a value.
func (d *process) showing(name, value string) {
	d.t.Helper()
	got := ""
	until(d.t, fmt.Sprintf("%s %s", name, value), func() bool { got = d.series(name); return got == value },
		func() string { return fmt.Sprintf("it is %q", got) })
}

// replace changes words of the configuration.
func (p *place) replace(old, words string) {
	p.t.Helper()
	text, err := os.ReadFile(p.file)
	if err == nil {
		err = os.WriteFile(p.file, bytes.ReplaceAll(text, []byte(old), []byte(words)), 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// TestMain lets more tests run at once than there are processors: they wait for lines and brokers nearly all the time.
func TestMain(m *testing.M) {
	flag.Parse()
	together := flag.Lookup("test.parallel")
	if n, err := strconv.Atoi(together.Value.String()); err == nil && n == runtime.GOMAXPROCS(0) {
		_ = together.Value.Set("8") // fails for no number
	}
	os.Exit(m.Run())
}
