package modbus

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An alarmClock sleeps to within a tenth of a millisecond. A Go timer wakes up to a millisecond late, because the runtime
// waits in whole milliseconds; a nanosleep of the rest keeps the runtime's monitor thread running beside it, which costs
// more than the exchange. A timerfd in the runtime's poller does neither.
//
// The descriptor is never read: the poller reports the edge of every expiration, and setting it anew takes the old one back.
type alarmClock struct {
	file *os.File
	raw  syscall.RawConn
	arm  func(fd uintptr) bool // sets the clock to until; true when that is over or the clock failed

	until time.Time
	spec  unix.ItimerSpec
	err   error
}

func newAlarmClock() (*alarmClock, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timerfd: %w", err)
	}
	a := &alarmClock{file: os.NewFile(uintptr(fd), "timerfd")}
	if a.raw, err = a.file.SyscallConn(); err != nil {
		a.file.Close()
		return nil, fmt.Errorf("timerfd: %w", err)
	}
	a.arm = a.set // made once: a closure for each sleep would be an allocation
	return a, nil
}

// sleepUntil returns at t. It cannot be interrupted.
func (a *alarmClock) sleepUntil(t time.Time) error {
	a.until, a.err = t, nil
	if err := a.raw.Read(a.arm); err != nil {
		return fmt.Errorf("timerfd: %w", err)
	}
	return a.err
}

func (a *alarmClock) set(fd uintptr) bool {
	left := time.Until(a.until)
	if left <= 0 {
		return true
	}
	a.spec.Value = unix.NsecToTimespec(left.Nanoseconds())
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&a.spec)), 0, 0, 0)
	if errno != 0 {
		a.err = fmt.Errorf("timerfd: %w", errno)
	}
	return errno != 0
}

func (a *alarmClock) Close() error { return a.file.Close() }
