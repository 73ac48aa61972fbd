package modbus

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What follows are system calls that return at once, made without telling the runtime. An ordinary one does tell it, so that
// other goroutines can have the processor should the call block, and thereby wakes the runtime's monitor thread out of its
// sleep, several times for every exchange: measured, that cost more than all these calls together. None of them may wait:
// the descriptor is non-blocking.

// readNow reads what is waiting at fd, 0 bytes if that is nothing or an error.
func readNow(fd int, p []byte) int {
	if len(p) == 0 {
		return 0
	}
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return 0
	}
	return int(n)
}

// writeNow writes what fd takes at once of p, 0 bytes if that is nothing or an error.
func writeNow(fd int, p []byte) int {
	if len(p) == 0 {
		return 0
	}
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return 0
	}
	return int(n)
}

// pollNow is poll(2) without waiting.
func pollNow(fd *unix.PollFd) error {
	var atOnce unix.Timespec
	_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(fd)), 1, uintptr(unsafe.Pointer(&atOnce)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
