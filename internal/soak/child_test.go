package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"upsedge/internal/agent"
	"upsedge/internal/config"
	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

// roleEnv makes this test binary another program: what is in it is a role in JSON.
const roleEnv = "UPSEDGE_SOAK_ROLE"

// A role is what a child process does.
type role struct {
	Config   string    // of the agent, a file
	MaxBytes int64     `json:",omitempty"` // of the spool, below what a configuration may say; 0: as configured
	Fails    []stretch `json:",omitempty"` // calls of the database that fail
	Clock    watch     `json:",omitempty"` // the wall clock; none: the machine's
	Boot     *boot     `json:",omitempty"` // of the box; nil: the machine's

	Receiver *receiverRole `json:",omitempty"` // another process: the receiver
}

func TestMain(m *testing.M) {
	if text := os.Getenv(roleEnv); text != "" {
		var r role
		err := json.Unmarshal([]byte(text), &r)
		if err == nil {
			err = r.play()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// reports is the descriptor on which a child tells what its store accepted.
const reports = 3

// A report is one line: records that one commit put, or that the agent is ready.
type report struct {
	Records []wire.Record `json:"r,omitempty"`
	Ready   bool          `json:"ready,omitempty"`
}

// play runs what the role says until SIGTERM.
func (r role) play() error {
	pipe := os.NewFile(reports, "reports")
	var mu sync.Mutex
	say := func(what report) {
		line, err := json.Marshal(what)
		if err != nil {
			panic(err)
		}
		mu.Lock()
		defer mu.Unlock()
		_, _ = pipe.Write(append(line, '\n')) // nobody reads any more: the parent is gone, and so are we
	}
	if r.Receiver != nil {
		return receive(*r.Receiver, func() { say(report{Ready: true}) })
	}
	return r.agent(say)
}

// agent runs the agent. What a Put accepted is on the pipe before that Put returns: a kill takes none of it back.
func (r role) agent(say func(report)) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := config.Load(r.Config)
	if err != nil {
		return err
	}
	o := agent.Options{
		Config: cfg, Version: "soak", Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.Log.Level})),
		Accepted: func(records []wire.Record) { say(report{Records: records}) },
		Ready:    func() { say(report{Ready: true}) },
	}
	if r.MaxBytes > 0 {
		cfg.Spool.MaxBytes = r.MaxBytes
	}
	var ground agent.Trial
	if len(r.Fails) > 0 {
		registerFailing(r.Fails)
		ground.Driver = failingDriver
	}
	if len(r.Clock) > 0 || r.Boot != nil {
		ground.Clock = r.newClock
	}
	return agent.Run(ctx, o.On(ground))
}

// A process is a child that runs, or ran.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	ready chan struct{} // closed when it said so
	gone  chan struct{} // closed when it ended and all it said was read
}

// launch starts a child in a role. hear gets every report, also those that it had written when it was killed.
func launch(t testing.TB, r role, log string, hear func(report)) *process {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self(t))
	cmd.Env = append(os.Environ(), roleEnv+"="+string(text))
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, []*os.File{to}
	p := &process{t: t, cmd: cmd, ready: make(chan struct{}), gone: make(chan struct{})}
	done, err := testenv.Bound(cmd)
	_, _ = out.Close(), to.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.gone)
		defer from.Close()
		var once sync.Once
		in := bufio.NewReader(from)
		for {
			line, err := in.ReadBytes('\n')
			var said report
			if err != nil || json.Unmarshal(line, &said) != nil {
				break // the end, or a line that a kill cut short: that Put did not return
			}
			if said.Ready {
				once.Do(func() { close(p.ready) }) // again when it began anew on a fresh database
			}
			if hear != nil {
				hear(said)
			}
		}
		<-done
	}()
	return p
}

func self(t testing.TB) string {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Clean(exe)
}

// kill ends the child as a power cut of its process would, and waits until all it said is read.
func (p *process) kill() { p.end(syscall.SIGKILL) }

// stop asks the child to end, waits until it has, and returns its exit code.
func (p *process) stop() int {
	p.end(syscall.SIGTERM)
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) end(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // fails only when it is gone already
	<-p.gone
}

func (p *process) over() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}
