package upssim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// A PTY is a serial port for others: they open Path, the simulation reads and writes the PTY. It has one owner.
type PTY struct {
	*os.File // the master; reads, writes and deadlines

	slave *os.File
	link  string
}

// OpenPTY makes a pseudo terminal in raw mode and a symbolic link to it at path. A link that is there already is replaced;
// anything else there is an error. An empty path makes no link.
func OpenPTY(path string) (*PTY, error) {
	p := &PTY{link: path}
	if err := p.open(); err != nil {
		return nil, err
	}
	if err := p.makeLink(); err != nil {
		p.link = ""
		p.Close()
		return nil, err
	}
	return p, nil
}

// open makes the terminal.
func (p *PTY) open() error {
	master, slave, err := pty.Open()
	if err != nil {
		return fmt.Errorf("open a pseudo terminal: %w", err)
	}
	file, err := pollable(master)
	if err != nil {
		return fmt.Errorf("open a pseudo terminal: %w", errors.Join(err, master.Close(), slave.Close()))
	}
	if err := raw(int(slave.Fd())); err != nil {
		return fmt.Errorf("set %s to raw mode: %w", slave.Name(), errors.Join(err, file.Close(), slave.Close()))
	}
	p.File, p.slave = file, slave
	return nil
}

// Serve answers requests as ServeSerial does. When a fault pulls the cable, readers get a hang-up and the link goes; once no
// unit has that fault any more, the port is back under another name, and the link points to it.
func (p *PTY) Serve(ctx context.Context, o SerialOptions, units map[uint8]*Unit) error {
	for {
		if err := ServeSerial(ctx, p.File, o, units); !errors.Is(err, ErrPulled) {
			return err
		}
		if err := p.replug(ctx, units); err != nil {
			return err
		}
	}
}

// lookForCable is how often it is looked whether a cable is still pulled.
const lookForCable = 20 * time.Millisecond

// replug hangs up and opens another terminal when the cable is back. The old name stays taken until then, so that the new one
// is another.
func (p *PTY) replug(ctx context.Context, units map[uint8]*Unit) error {
	old := p.slave
	defer old.Close()
	err := errors.Join(p.unlink(), p.File.Close())
	pulled := func() bool {
		for _, u := range units {
			if u.faults.Lasts(Pull) {
				return true
			}
		}
		return false
	}
	for pulled() && ctx.Err() == nil {
		_ = wait(ctx, lookForCable)
	}
	if err := errors.Join(err, p.open()); err != nil {
		return err
	}
	return p.makeLink()
}

// unlink takes the link away, unless it is somebody else's by now.
func (p *PTY) unlink() error {
	if p.link == "" {
		return nil
	}
	if to, err := os.Readlink(p.link); err != nil || to != p.slave.Name() {
		return nil
	}
	return os.Remove(p.link)
}

// Path returns what a reader opens.
func (p *PTY) Path() string {
	if p.link != "" {
		return p.link
	}
	return p.slave.Name()
}

// Close unplugs the cable: the link goes, readers get a hang-up.
func (p *PTY) Close() error {
	return errors.Join(p.unlink(), p.slave.Close(), p.File.Close())
}

func (p *PTY) makeLink() error {
	if p.link == "" {
		return nil
	}
	if info, err := os.Lstat(p.link); err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("link %s to a pseudo terminal: %w", p.link, fs.ErrExist)
	}
	fresh := fmt.Sprintf("%s.%d", p.link, os.Getpid())
	if err := os.Symlink(p.slave.Name(), fresh); err != nil {
		return err
	}
	return os.Rename(fresh, p.link)
}

// pollable returns the same terminal as a file with deadlines, and closes f. Whoever calls Fd, as creack/pty does for its
// ioctls, puts a file into blocking mode, where a Read cannot be ended.
func pollable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), f.Close()
}

// raw passes bytes through as they are, as cfmakeraw does. The slave stays open here, so its settings stay too.
func raw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CLOCAL | unix.CREAD
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
