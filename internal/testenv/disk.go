package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Filesystems are those a Disk can have: what gateways keep their state on, and one with another way of writing.
var Filesystems = []string{"ext4", "xfs"}

// A Disk is a file system of its own whose power can be cut. It lies on a loop device over a sparse file in memory, so that a
// flush costs little and the cuts are many.
type Disk struct {
	Dir string // where it is mounted

	t      testing.TB
	fs     string
	image  string
	device *os.File // open as long as the disk exists: the kernel detaches the device with its last user
	fence  *os.File // what the shutdown is asked through
}

// A Cut says what a file system may still write when its power goes.
type Cut uint32

// The cuts, as the file systems number them (EXT4_GOING_FLAGS_…, XFS_FSOP_GOING_FLAGS_…).
const (
	CutLogged Cut = 1 // its journal, as far as it is in memory: what was renamed or grown a moment ago may be there without its data
	CutHard   Cut = 2 // nothing: only what was flushed before is there
)

// shutdownFS is EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN, _IOR('X', 125, __u32). The number of the direction is the same on all
// architectures the tests run on.
const shutdownFS = 2<<30 | 4<<16 | 'X'<<8 | 125

// NewDisk makes a file system of the kind fs, empty but for what mkfs leaves, and mounts it until the test ends. Without
// the right to mount the test is skipped.
func NewDisk(t testing.TB, fs string) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system on a loop device")
	}
	d := &Disk{Dir: t.TempDir(), t: t, fs: fs, image: sparseFile(t, 300<<20)} // mkfs.xfs makes none below 300 MiB
	args := map[string][]string{"ext4": {"-q", "-F"}, "xfs": {"-q", "-f"}}[fs]
	if out, err := Command(t, "mkfs."+fs, append(args, d.image)...).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.%s: %v\n%s", fs, err, out)
	}
	if err := d.attach(); err != nil {
		t.Skipf("needs loop devices: %v", err)
	}
	t.Cleanup(func() { _ = d.device.Close() })
	if err := d.mount(); err != nil {
		t.Skipf("needs the right to mount %s: %v", fs, err)
	}
	t.Cleanup(func() {
		_ = d.fence.Close()
		if err := unix.Unmount(d.Dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", d.Dir, err)
		}
	})
	return d
}

// sparseFile makes an empty file of the given length, in memory where the system has such a place.
func sparseFile(t testing.TB, size int64) string {
	t.Helper()
	f, err := os.CreateTemp("/dev/shm", "upsedge-disk")
	if err != nil {
		f, err = os.Create(filepath.Join(t.TempDir(), "disk"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(f.Name()) })
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// attach puts the image on a free loop device.
func (d *Disk) attach() error {
	image, err := os.OpenFile(d.image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer image.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	for range 100 { // another may take the free one first
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return err
		}
		if d.device, err = os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0); err != nil {
			return err
		}
		config := unix.LoopConfig{Fd: uint32(image.Fd())}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		err = unix.IoctlLoopConfigure(int(d.device.Fd()), &config)
		if err == nil {
			return nil
		}
		_ = d.device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	return unix.EBUSY
}

func (d *Disk) mount() (err error) {
	if err := unix.Mount(d.device.Name(), d.Dir, d.fs, 0, ""); err != nil {
		return err
	}
	d.fence, err = os.Open(d.Dir)
	return err
}

// Cut shuts the file system down at once: every later call on it fails, and what c does not let it write is lost.
func (d *Disk) Cut(c Cut) {
	d.t.Helper()
	if err := unix.IoctlSetPointerInt(int(d.fence.Fd()), shutdownFS, int(c)); err != nil {
		d.t.Fatalf("shut %s down: %v", d.Dir, err)
	}
}

// PowerUp mounts the disk after a Cut; the file system recovers from its journal. Whoever had files open must have ended.
func (d *Disk) PowerUp() {
	d.t.Helper()
	_ = d.fence.Close()
	err := unix.Unmount(d.Dir, 0)
	for end := time.Now().Add(10 * time.Second); errors.Is(err, unix.EBUSY) && time.Now().Before(end); {
		// A process being started elsewhere in this program holds copies of all descriptors for a moment.
		time.Sleep(time.Millisecond)
		err = unix.Unmount(d.Dir, 0)
	}
	if err != nil {
		d.t.Fatalf("unmount %s after a cut: %v", d.Dir, err)
	}
	// The device anew: its cache outlives an unmount as long as anybody has it open, and ext4 would find in it what it never wrote, beside
	// what was there before, and call itself corrupt.
	_ = d.device.Close()
	if err := d.attach(); err != nil {
		d.t.Fatalf("attach %s after a cut: %v", d.image, err)
	}
	if err := d.mount(); err != nil {
		d.t.Fatalf("mount %s after a cut: %v", d.Dir, err)
	}
	if n := d.errors(); n != "0" {
		d.t.Fatalf("%s on %s has found %s errors of its own: nothing on it proves anything", d.fs, d.Dir, n)
	}
}

// errors is how many the file system has found in itself, since it was made; of xfs, which refuses to be mounted then, always none.
func (d *Disk) errors() string {
	b, err := os.ReadFile("/sys/fs/ext4/" + filepath.Base(d.device.Name()) + "/errors_count")
	if err != nil {
		return "0"
	}
	return strings.TrimSpace(string(b))
}
