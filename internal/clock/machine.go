package clock

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"upsedge/internal/wire"
)

// A Machine is what a Clock asks of the box: the one seam for tests, which never touch the machine's clocks. The functions are
// called by one goroutine at a time and answer at once.
type Machine struct {
	Boot    wire.ID              // of this boot of the operating system
	Mono    func() time.Duration // since the boot, asleep or awake
	Wall    func() time.Time     // what the machine's clock says, whoever set it
	Service func() Service
}

// Service is what the time service of the machine has published.
type Service struct {
	Set   bool          // it sets the clock, and says that it is right now
	Error time.Duration // bound of the error it claims
	Was   bool          // it has set the clock at some time in this boot
}

// measure returns the monotonic clock, and how far the wall clock is ahead of it, of one instant.
func (m *Machine) measure() (mono time.Duration, offset int64) {
	for range 3 {
		before := m.Mono()
		w := m.Wall().UnixNano()
		after := m.Mono()
		mono, offset = after, w-int64(before+(after-before)/2)
		if after-before < time.Millisecond {
			break // else we were interrupted in between
		}
	}
	return mono, offset
}

// ThisMachine returns the machine that this program runs on.
func ThisMachine() (Machine, error) {
	boot, err := bootID()
	if err != nil {
		return Machine{}, err
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return Machine{}, fmt.Errorf("read the boot clock: %w", err)
	}
	p := &publication{ask: kernel, mark: timesync, wall: time.Now, mono: bootTime}
	return Machine{Boot: boot, Mono: bootTime, Wall: time.Now, Service: p.service}, nil
}

func bootTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // it worked when the Clock was made
	return time.Duration(ts.Nano())
}

// bootID returns the id of this boot of the operating system, made by the kernel at each start.
func bootID() (wire.ID, error) {
	const file = "/proc/sys/kernel/random/boot_id"
	b, err := os.ReadFile(file)
	if err != nil {
		return wire.ID{}, fmt.Errorf("read the boot id: %w", err)
	}
	var id wire.ID
	text := strings.ReplaceAll(string(bytes.TrimSpace(b)), "-", "")
	if n, err := hex.Decode(id[:], []byte(text)); err != nil || n != len(id) {
		return wire.ID{}, fmt.Errorf("%s holds %q, not an id", file, text)
	}
	return id, nil
}

// timesyncMark is what systemd-timesyncd touches whenever it has set the clock, and whenever a look at its server has confirmed it: every
// 34 minutes at least (timesyncd.conf(5), PollIntervalMaxSec). It lies on a file system in memory, so it is of this boot.
const timesyncMark = "/run/systemd/timesync/synchronized"

// A publication reads what time services publish. Its method is called by one goroutine at a time: a Clock holds its lock.
type publication struct {
	ask  func() (Service, bool) // the kernel; false: it may not be asked, or knows nothing of a time service
	mark func() (time.Time, bool)
	wall func() time.Time
	mono func() time.Duration

	marked time.Time // the mark as it was seen last
	offset int64     // of the wall clock when it was new
}

// service asks the kernel, which every time service (chrony with rtcsync, ntpd, systemd-timesyncd) tells that it has set the
// clock. Where the kernel may not be asked, as in a service under ProtectClock=yes, systemd's mark says it in its place.
func (p *publication) service() Service {
	if s, ok := p.ask(); ok {
		return s
	}
	at, ok := p.mark()
	if !ok {
		return Service{}
	}
	now := p.wall()
	offset := now.UnixNano() - int64(p.mono())
	if !at.Equal(p.marked) {
		p.marked, p.offset = at, offset
	}
	age := now.Sub(at)
	switch bound := age / 1e6 * drift; {
	case age < -time.Second, bound > kernelMost: // set back behind it, or nobody has confirmed it for hours
	case time.Duration(offset-p.offset).Abs() > step+age/1e6*drift: // set by somebody else since
	default:
		return Service{Set: true, Error: max(bound, time.Millisecond), Was: true}
	}
	return Service{Was: true}
}

// The kernel takes the word of a time service back when nobody has confirmed it for so long that the error may be 16 s, NTP's
// NTP_PHASE_LIMIT (adjtimex(2): maxerror), which at 500 ppm is after nine hours. The mark is held to the same.
const kernelMost = 16 * time.Second

// kernel asks the kernel. It takes the word back when someone else than the time service sets the clock.
func kernel() (Service, bool) {
	var tx unix.Timex
	if state, err := unix.Adjtimex(&tx); err == nil && state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0 {
		return Service{Set: true, Error: max(time.Duration(tx.Maxerror)*time.Microsecond, time.Millisecond)}, true
	} else if err == nil {
		_, was := timesync()
		return Service{Was: was}, true
	}
	return Service{}, false
}

func timesync() (time.Time, bool) {
	fi, err := os.Stat(timesyncMark)
	if err != nil {
		return time.Time{}, false
	}
	return fi.ModTime(), true
}
