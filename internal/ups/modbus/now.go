package modbus

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What follows are system calls that return at once, made without telling the runtime. An ordinary one does tell it, so that
// other goroutines can have the processor should the call block, and thereby wakes the runtime's monitor thread out of its
// sleep, several times for every exchange: measured, that cost more than all these calls together. None of them may wait:
// the descriptor is non-blocking.

// readNow reads what is waiting at fd. Nothing there is EAGAIN.
func readNow(fd int, p []byte) (int, error) { return moveNow(unix.SYS_READ, fd, p) }

// writeNow writes what fd takes at once of p. No room is EAGAIN.
func writeNow(fd int, p []byte) (int, error) { return moveNow(unix.SYS_WRITE, fd, p) }

func moveNow(call uintptr, fd int, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
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
