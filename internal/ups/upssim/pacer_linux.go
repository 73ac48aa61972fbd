package upssim

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A pacer sleeps until instants of the monotonic clock on the operating system's own absolute timer. Go's timers are up to
// a millisecond late, a whole byte at 9600 baud.
type pacer struct {
	start time.Time // both at the same moment
	mono  time.Duration
}

// newPacer ties the calling goroutine to its thread until release is called.
func newPacer() (p *pacer, release func()) {
	runtime.LockOSThread()
	// The kernel may let timers of ordinary threads slip by 50 µs; this one says 1 ns. Without it we are merely later.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	// On a busy machine the thread should not queue behind others; it sleeps nearly all the time. Needs a privilege, and
	// is merely later without. Measured at a load of 4 on two processors: the worst of 60 replies 3 ms late instead of 87.
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err == nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -15)
	}
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail with this clock
	return &pacer{start: time.Now(), mono: time.Duration(ts.Nano())}, func() {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // 0 is the default again
		if err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 20-nice) // Getpriority gives 20 less the nice value
		}
		runtime.UnlockOSThread()
	}
}

// coarse is how long a sleep must be at least for its greater part to be left to Go's timers, which ctx can end.
const coarse = 50 * time.Millisecond

// sleepUntil returns at t, at once if that is past, or with ctx's error.
func (p *pacer) sleepUntil(ctx context.Context, t time.Time) error {
	if d := time.Until(t); d > coarse {
		timer := time.NewTimer(d - coarse/2)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ts := unix.NsecToTimespec(int64(p.mono + t.Sub(p.start)))
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
		if ctx.Err() != nil {
			break
		}
	}
	return ctx.Err()
}
