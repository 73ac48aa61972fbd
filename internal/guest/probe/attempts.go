package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An attempt is one thing that is tried. It takes back what it was given.
type attempt struct {
	name string
	do   func() error
}

// The first ones are what the agent needs, and must be given; the test says which.
var attempts = []attempt{
	{"own state", func() error { return write("/var/lib/upsagent/probe") }},
	{"own runtime directory", func() error { return write("/run/upsagent/probe") }},
	{"serial port", func() error { return open("/dev/ttyS1", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK) }},
	{"boot id", func() error { _, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); return err }},
	{"network", func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			_ = l.Close()
		}
		return err
	}},

	{"set the clock", setClock},
	{"ask the kernel about the clock", func() error { _, err := unix.Adjtimex(&unix.Timex{}); return err }},
	{"reboot", func() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) }}, // as much as to reboot for the kernel, and harmless
	{"mount", func() error {
		if err := unix.Mount("none", "/run/upsagent", "tmpfs", 0, ""); err != nil {
			return err
		}
		return unix.Unmount("/run/upsagent", 0)
	}},
	{"load a module", loadModule},
	{"set the host name", func() error {
		var u unix.Utsname
		if err := unix.Uname(&u); err != nil {
			return err
		}
		return unix.Sethostname([]byte(unix.ByteSliceToString(u.Nodename[:])))
	}},
	{"read the kernel's log", func() error { _, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, make([]byte, 64)); return err }},

	{"raw socket", func() error { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) }},
	{"packet socket", func() error { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0) }},
	{"netlink socket", func() error { return socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE) }},

	{"/dev/mem", func() error { return open("/dev/mem", unix.O_RDONLY) }},
	{"the disk", func() error { return open("/dev/vda", unix.O_RDWR) }},
	{"write to /dev/kmsg", func() error { return open("/dev/kmsg", unix.O_WRONLY) }},
	{"another terminal", func() error { return open("/dev/tty2", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK) }},
	{"make a device of the disk", makeDevice},

	{"write to /etc", func() error { return write("/etc/probe") }},
	{"write to /usr", func() error { return write("/usr/probe") }},
	{"read a home", func() error { _, err := os.ReadFile("/root/probe"); return err }},
	{"write to a home", func() error { return write("/root/written") }},
	{"see others' /tmp", func() error { _, err := os.Stat("/tmp/probe"); return err }},
	{"write to /dev/shm", func() error { return write("/dev/shm/probe") }},
	{"write where everybody may", func() error { return write("/run/lock/probe") }},
	{"write to /proc/sys", func() error { return rewrite("/proc/sys/vm/swappiness") }},
	{"write to /sys", func() error { return rewrite("/sys/kernel/mm/transparent_hugepage/enabled") }},
	{"make a control group", func() error {
		if err := os.Mkdir("/sys/fs/cgroup/probe", 0o700); err != nil {
			return err
		}
		return os.Remove("/sys/fs/cgroup/probe")
	}},

	{"see other processes", func() error { _, err := os.ReadFile("/proc/1/status"); return err }},
	{"trace a process of the same user", trace},

	{"execute another program", func() error { return exec.Command("/bin/sh", "-c", ":").Run() }},
	{"execute a file of its own", executeOwn},
	{"execute memory as a file", executeMemory},
	{"writable memory that is executed", func() error {
		b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		return unix.Munmap(b)
	}},
	{"a file with the set-uid bit", setUID},
	{"become root by a set-uid program", becomeRoot},
	{"a user namespace", func() error {
		cmd := exec.Command("/proc/self/exe", "nothing")
		cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
		return cmd.Run()
	}},
	{"realtime", func() error {
		return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: 1, Priority: 1}, 0) // SCHED_FIFO
	}},
	{"another personality", func() error {
		if _, _, errno := unix.Syscall(unix.SYS_PERSONALITY, 0x0040000, 0, 0); errno != 0 { // ADDR_NO_RANDOMIZE
			return errno
		}
		return nil
	}},
	{"a hundred processes", hundred},
}

func setClock() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return err
	}
	return call(unix.SYS_CLOCK_SETTIME, unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(&now)), 0)
}

func call(nr, a, b, c uintptr) error {
	if _, _, errno := unix.Syscall(nr, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

func open(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func socket(family, kind, protocol int) error {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func write(path string) error {
	if err := os.WriteFile(path, []byte("probe"), 0o600); err != nil {
		return err
	}
	return os.Remove(path)
}

func rewrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func loadModule() error {
	f, err := os.Open(filepath.Join(os.Getenv("PROBE_FILES"), "module.ko"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
		return err
	}
	return unix.DeleteModule(os.Getenv("PROBE_MODULE"), 0)
}

func makeDevice() error {
	var disk unix.Stat_t
	if err := unix.Stat("/dev/vda", &disk); err != nil {
		disk.Rdev = unix.Mkdev(254, 0)
	}
	const path = "/run/upsagent/disk"
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(disk.Rdev)); err != nil {
		return err
	}
	return os.Remove(path)
}

func trace() error {
	pid, err := strconv.Atoi(os.Getenv("PROBE_PEER"))
	if err != nil {
		return err
	}
	if err := unix.PtraceAttach(pid); err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		return err
	}
	return unix.PtraceDetach(pid)
}

func self() ([]byte, error) { return os.ReadFile("/proc/self/exe") }

func executeOwn() error {
	text, err := self()
	if err != nil {
		return err
	}
	const path = "/var/lib/upsagent/program"
	if err := os.WriteFile(path, text, 0o700); err != nil {
		return err
	}
	defer os.Remove(path)
	return exec.Command(path, "nothing").Run()
}

func executeMemory() error {
	text, err := self()
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("program", 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "program")
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	return exec.Command(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd), "nothing").Run()
}

func setUID() error {
	const path = "/var/lib/upsagent/suid"
	if err := os.WriteFile(path, nil, 0o700); err != nil {
		return err
	}
	defer os.Remove(path)
	return unix.Chmod(path, 0o4700)
}

func becomeRoot() error {
	if os.Geteuid() == 0 {
		return errors.New("it is root")
	}
	out, err := exec.Command("/usr/local/bin/probe-suid", "who").Output()
	if err != nil {
		return err
	}
	if string(out) != "0" {
		return fmt.Errorf("it became %s", out)
	}
	return nil
}

// hundred makes a hundred processes that only wait, and ends them. They are forked without Go's runtime, whose threads would count, too.
func hundred() error {
	var began []int
	defer func() {
		for _, pid := range began {
			_ = unix.Kill(pid, unix.SIGKILL)
			_, _ = unix.Wait4(pid, nil, 0, nil)
		}
	}()
	for range 100 {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		for pid == 0 {
			_, _, _ = unix.RawSyscall(unix.SYS_PAUSE, 0, 0, 0)
		}
		began = append(began, int(pid))
	}
	return nil
}
