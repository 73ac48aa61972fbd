package upssim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

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
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("open a pseudo terminal: %w", err)
	}
	p := &PTY{File: master, slave: slave, link: path}
	if p.File, err = pollable(master); err != nil {
		p.File = master
		p.Close()
		return nil, fmt.Errorf("open a pseudo terminal: %w", err)
	}
	if err := raw(int(slave.Fd())); err != nil {
		p.Close()
		return nil, fmt.Errorf("set %s to raw mode: %w", slave.Name(), err)
	}
	if err := p.makeLink(); err != nil {
		p.link = ""
		p.Close()
		return nil, err
	}
	return p, nil
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
	var err error
	if p.link != "" {
		if to, e := os.Readlink(p.link); e == nil && to == p.slave.Name() {
			err = os.Remove(p.link)
		}
	}
	return errors.Join(err, p.slave.Close(), p.File.Close())
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
