package testenv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Broker is a mosquitto process on one loopback port with one data directory, both kept over restarts. Its methods
// are for one goroutine at a time.
type Broker struct {
	Addr string // host:port, the same for the life of the test
	Dir  string // its configuration, log and, with "persistence true", what it stored

	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone; nil while none was started
}

// acceptWithin is how long a broker may take until it accepts. It takes some 10 ms; a loaded machine takes what it takes.
const acceptWithin = 20 * time.Second

// Mosquitto starts a broker and returns when it accepts connections; it is killed when the test ends. conf is appended
// to the configuration right behind the listener, so that its TLS options (cafile, certfile, require_certificate)
// concern that listener. Anonymous clients are welcome unless conf says otherwise. Skips like Command.
func Mosquitto(t testing.TB, conf string) *Broker {
	t.Helper()
	b := &Broker{Dir: t.TempDir(), t: t}
	t.Cleanup(b.Kill)
	// Another process may take the port between our look and mosquitto's bind: then it exits and we look again.
	var err error
	for range 3 {
		b.Addr = freeAddr(t)
		b.writeConfig(conf)
		if err = b.start(); err == nil {
			return b
		}
		b.Kill()
	}
	t.Fatalf("start mosquitto: %v", err)
	return nil
}

// Start starts the broker again, after Stop or Kill, and returns when it accepts.
func (b *Broker) Start() {
	b.t.Helper()
	if err := b.start(); err != nil {
		b.t.Fatalf("restart mosquitto: %v", err)
	}
}

// Stop asks the broker to end (SIGTERM: it says goodbye to its clients and saves its state) and waits until it has.
func (b *Broker) Stop() { b.end(syscall.SIGTERM) }

// Kill ends the broker at once (SIGKILL, as a power cut does) and waits until it is gone.
func (b *Broker) Kill() { b.end(syscall.SIGKILL) }

func (b *Broker) end(sig syscall.Signal) {
	if b.done == nil {
		return
	}
	_ = b.cmd.Process.Signal(sig) // fails only when it is gone already
	<-b.done
	b.done = nil
}

// Log returns what the broker has written so far.
func (b *Broker) Log() string {
	text, _ := os.ReadFile(b.logPath())
	return string(text)
}

func (b *Broker) logPath() string { return filepath.Join(b.Dir, "mosquitto.log") }

func (b *Broker) writeConfig(conf string) {
	b.t.Helper()
	_, port, _ := net.SplitHostPort(b.Addr)
	lines := []string{
		"user root", // read by root only: it would become the user mosquitto, who cannot write to a test's directory
		"persistence_location " + b.Dir + "/",
		"log_dest stderr",
		"listener " + port + " 127.0.0.1",
	}
	if !strings.Contains(conf, "allow_anonymous") {
		lines = append(lines, "allow_anonymous true")
	}
	text := strings.Join(append(lines, conf), "\n") + "\n"
	if err := os.WriteFile(filepath.Join(b.Dir, "mosquitto.conf"), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *Broker) start() error {
	b.t.Helper()
	if b.done != nil {
		return errors.New("it runs already")
	}
	log, err := os.OpenFile(b.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	b.cmd = Command(b.t, "mosquitto", "-c", filepath.Join(b.Dir, "mosquitto.conf"))
	b.cmd.Stdout, b.cmd.Stderr = log, log
	if b.done, err = Bound(b.cmd); err != nil {
		return err
	}
	return b.awaitAccept()
}

// Bound starts cmd so that it also ends when the test binary dies without cleaning up (a panic, go test's time
// limit). The kernel ties that to the thread that started it, which therefore stays with the process until its end. done is
// closed when the process is gone and cmd.Wait has returned.
func Bound(cmd *exec.Cmd) (done chan struct{}, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	done = make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return done, nil
}

func (b *Broker) awaitAccept() error {
	deadline := time.Now().Add(acceptWithin)
	for time.Now().Before(deadline) {
		conn, err := net.Dial("tcp", b.Addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-b.done:
			return fmt.Errorf("it exited:\n%s", b.Log())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not accept within %v:\n%s", b.Addr, acceptWithin, b.Log())
}

// freeAddr returns a loopback address on which nobody listens, below 32768, where Linux begins to hand out ports of
// outgoing connections: a client dialling a stopped broker could otherwise be given its port, and talk to itself.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("100 loopback ports tried between 20000 and 32000, none is free")
	return ""
}
