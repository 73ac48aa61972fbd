package modbus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"upsedge/internal/ups"
)

// A cable is a serial line with a node that can be unplugged: a pty whose slave a link points to.
type cable struct {
	node   string
	master *os.File
	wg     sync.WaitGroup
}

// plug makes a pty pair at node and serves p behind it, nothing if p is nil.
func plug(t testing.TB, node string, p *peer) *cable {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
		t.Fatal(err)
	}
	master = interruptible(t, master)
	os.Remove(node)
	if err := os.Symlink(slave.Name(), node); err != nil {
		t.Fatal(err)
	}
	c := &cable{node: node, master: master}
	if p != nil {
		// The slave stays open as long as the peer, or the master would see the end before the line has opened it.
		c.wg.Go(func() { defer slave.Close(); p.serve(master) })
	} else {
		c.wg.Go(func() { slave.Close() })
	}
	t.Cleanup(c.unplug)
	return c
}

// interruptible returns f with a Read that Close ends. creack/pty leaves its descriptors in blocking mode.
func interruptible(t testing.TB, f *os.File) *os.File {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	return os.NewFile(uintptr(fd), f.Name())
}

func (c *cable) unplug() {
	os.Remove(c.node)
	c.master.Close()
	c.wg.Wait()
}

func serialConfig(node string) Config {
	return Config{Name: "test", Baud: 115200, Open: OpenSerial(node, 115200, "none")}
}

func TestReadsOverASerialPort(t *testing.T) {
	c := plug(t, filepath.Join(t.TempDir(), "tty"), &peer{answer: registersAt(RTU)})
	line, _ := start(t, serialConfig(c.node))
	for addr := range uint16(5) {
		got, err := line.ReadHolding(t.Context(), Background, 1, addr, 125, make([]uint16, 125))
		if err != nil {
			t.Fatal(err)
		}
		if got[0] != addr || got[124] != addr+124 {
			t.Errorf("read at %d begins with %d and ends with %d", addr, got[0], got[124])
		}
	}
}

func TestSurvivesUnplugAndReplug(t *testing.T) {
	node := filepath.Join(t.TempDir(), "tty")
	c := plug(t, node, &peer{answer: registersAt(RTU)})
	line, _ := start(t, serialConfig(node))
	read := func() error {
		_, err := line.ReadHolding(t.Context(), Background, 1, 0, 3, make([]uint16, 3))
		return err
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	c.unplug()
	err := read()
	var lost *LinkError
	if !errors.As(err, &lost) || ups.FailureOf(err) != ups.FailureUnreachable {
		t.Fatalf("read while unplugged: %v (%v), want a LinkError, unreachable", err, ups.FailureOf(err))
	}
	plug(t, node, &peer{answer: registersAt(RTU)})
	within(t, 20*time.Second, "a read after the cable is back", func() bool { return read() == nil })
}

func TestUnplugEndsARunningRead(t *testing.T) {
	asked := make(chan struct{}, 1)
	c := plug(t, filepath.Join(t.TempDir(), "tty"), &peer{answer: func([]byte) []byte { asked <- struct{}{}; return nil }})
	cfg := serialConfig(c.node)
	cfg.Timeout = time.Minute
	line, _ := start(t, cfg)
	go func() { <-asked; c.unplug() }()
	_, err := line.ReadHolding(t.Context(), Background, 1, 0, 3, make([]uint16, 3))
	if ups.FailureOf(err) != ups.FailureUnreachable {
		t.Errorf("read cut by unplugging: %v, want unreachable at once", err)
	}
}

func TestTwoLinesCannotShareAPort(t *testing.T) {
	c := plug(t, filepath.Join(t.TempDir(), "tty"), &peer{answer: registersAt(RTU)})
	first, err := OpenSerial(c.node, 9600, "none")(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenSerial(c.node, 9600, "none")(t.Context())
	if err == nil || !strings.Contains(err.Error(), c.node+" is in use by another program") {
		t.Errorf("second open: %v, want it to say that the port is in use", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	again, err := OpenSerial(c.node, 9600, "even")(t.Context())
	if err != nil {
		t.Fatalf("open after the first was closed: %v", err)
	}
	again.Close()
}

func TestOpenErrorsHelp(t *testing.T) {
	if got := openError("/dev/ttyS0", &os.PathError{Op: "open", Path: "/dev/ttyS0", Err: unix.EACCES}).Error(); !strings.Contains(got, "dialout") {
		t.Errorf("permission denied: %q does not name the group", got)
	}
	plain := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for device, want := range map[string]string{plain: "not a serial port", plain + "2": "no such file"} {
		if _, err := OpenSerial(device, 9600, "")(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open %s: %v, want %q", device, err, want)
		}
	}
	if _, err := OpenSerial(plain, 9600, "mark")(t.Context()); err == nil || !strings.Contains(err.Error(), "parity") {
		t.Errorf("parity mark: %v, want an error about it", err)
	}
}

// A pty whose far end does not read takes some thousand bytes and then blocks, as a port does with an adapter that has stopped.
func TestABlockedWriteEndsAndReleasesThePort(t *testing.T) {
	c := plug(t, filepath.Join(t.TempDir(), "tty"), nil)
	link, err := OpenSerial(c.node, 9600, "none")(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := link.(*serialLink)
	request := make([]byte, 251) // an odd size, so that the last write finds some room, but too little
	begin := time.Now()
	for i := 0; ; i++ {
		s.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err = s.Write(request); err != nil {
			break
		}
		if i > 10000 {
			t.Fatal("the pty takes everything: no write ever blocks")
		}
	}
	if !errors.Is(err, errBlocked) {
		t.Errorf("blocked write: %v, want %v", err, errBlocked)
	}
	t.Logf("blocked after %v, stuck %v", time.Since(begin), s.stuck)
	err = s.Close()
	if s.stuck != (err != nil) {
		t.Errorf("stuck %v, Close = %v", s.stuck, err)
	}
	again, err := OpenSerial(c.node, 9600, "none")(t.Context())
	if err != nil {
		t.Fatalf("open after a blocked write: %v", err)
	}
	again.Close()
}

func TestStopsWithinASecondWhileTheUnitIsDeaf(t *testing.T) {
	asked := make(chan struct{}, 1)
	c := plug(t, filepath.Join(t.TempDir(), "tty"), &peer{answer: func([]byte) []byte { asked <- struct{}{}; return nil }})
	cfg := serialConfig(c.node)
	cfg.Timeout = time.Minute
	line, stop := start(t, cfg)
	result := make(chan error, 1)
	go func() {
		_, err := line.ReadHolding(context.Background(), Background, 1, 0, 3, make([]uint16, 3))
		result <- err
	}()
	<-asked
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 10*time.Second { // 100 ms when nothing else runs; a minute if it waited for the unit
		t.Errorf("stopped after %v", took)
	}
	if err := <-result; !errors.Is(err, ErrClosed) {
		t.Errorf("read cut by the stop: %v, want ErrClosed", err)
	}
}

// within polls for something that another process or the kernel brings about.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no %s within %v", what, limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
