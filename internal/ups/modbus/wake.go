package modbus

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An alarmClock sleeps to within a tenth of a millisecond. A Go timer wakes up to a millisecond late, because the runtime
// waits in whole milliseconds; a nanosleep of the rest keeps the runtime's monitor thread running beside it, which costs
// more than the exchange. A timerfd in the runtime's poller does neither.
type alarmClock struct {
	file *os.File
	fd   int
	buf  [8]byte
}

func newAlarmClock() (*alarmClock, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timerfd: %w", err)
	}
	return &alarmClock{file: os.NewFile(uintptr(fd), "timerfd"), fd: fd}, nil
}

// sleepUntil returns at t. It cannot be interrupted.
func (a *alarmClock) sleepUntil(t time.Time) error {
	left := time.Until(t)
	if left <= 0 {
		return nil
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(left.Nanoseconds())}
	if err := unix.TimerfdSettime(a.fd, 0, &spec, nil); err != nil {
		return fmt.Errorf("timerfd: %w", err)
	}
	_, err := a.file.Read(a.buf[:])
	if err == nil && binary.NativeEndian.Uint64(a.buf[:]) == 0 {
		return fmt.Errorf("timerfd: woke without an expiration")
	}
	return err
}

func (a *alarmClock) Close() error { return a.file.Close() }
