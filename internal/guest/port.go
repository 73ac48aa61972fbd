package guest

import (
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A port is the wire between the machine's serial port, a socket of QEMU, and a pseudo terminal. What the machine sends into a wire that leads nowhere is
// lost, as on a real one.
type port struct {
	path string

	mu   sync.Mutex
	qemu net.Conn // nil: the machine is off
	pty  *os.File // nil: nothing is plugged in
	wait sync.WaitGroup
}

func newPort(path string) *port { return &port{path: path} }

// start takes up the machine's end. QEMU listens by then.
func (p *port) start() {
	conn, err := net.Dial("unix", p.path)
	if err != nil {
		return // QEMU is gone, and its end is told
	}
	p.mu.Lock()
	p.qemu = conn
	p.mu.Unlock()
	p.wait.Go(func() {
		buf := make([]byte, 512)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			p.mu.Lock()
			if p.pty != nil {
				_, _ = p.pty.Write(buf[:n]) // fails when the other end is gone
			}
			p.mu.Unlock()
		}
	})
}

func (p *port) stop() {
	p.mu.Lock()
	if p.qemu != nil {
		_ = p.qemu.Close()
		p.qemu = nil
	}
	p.mu.Unlock()
	if p.pty == nil {
		p.wait.Wait()
	}
}

func (p *port) join(path string) error {
	p.part()
	pty, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if err := raw(pty); err != nil {
		pty.Close()
		return err
	}
	p.mu.Lock()
	p.pty = pty
	p.mu.Unlock()
	go func() {
		_, _ = io.Copy(toMachine{p}, pty) // ends when either end is pulled
	}()
	return nil
}

func (p *port) joined() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pty != nil
}

func (p *port) part() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pty != nil {
		_ = p.pty.Close()
		p.pty = nil
	}
}

// toMachine writes to whatever machine is on.
type toMachine struct{ p *port }

func (w toMachine) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if w.p.qemu != nil {
		_, _ = w.p.qemu.Write(b)
	}
	return len(b), nil
}

// raw has the terminal pass every byte as it is.
func raw(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if err != nil {
			failed = err
			return
		}
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B9600
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		failed = unix.IoctlSetTermios(int(fd), unix.TCSETS, t)
	})
	if err != nil {
		return err
	}
	return failed
}
