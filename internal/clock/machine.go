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
// called by any goroutine and answer at once.
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
	return Machine{Boot: boot, Mono: bootTime, Wall: time.Now, Service: published}, nil
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

// timesyncMark is what systemd-timesyncd touches whenever it has set the clock. It lies on a file system in memory, so it is of
// this boot.
const timesyncMark = "/run/systemd/timesync/synchronized"

// published asks the kernel, which every time service (chrony with rtcsync, ntpd, systemd-timesyncd) tells that it has set the
// clock. The kernel takes that back when someone else sets it, and when nobody has confirmed it for so long that its bound of
// the error reaches 16 s (adjtimex(2): STA_UNSYNC, maxerror). Where the kernel may not be asked, or has lost the flag, systemd's
// mark still says that the clock was set in this boot.
func published() Service {
	var s Service
	var tx unix.Timex
	if state, err := unix.Adjtimex(&tx); err == nil && state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0 {
		s.Set, s.Error = true, max(time.Duration(tx.Maxerror)*time.Microsecond, time.Millisecond)
		return s
	}
	_, err := os.Stat(timesyncMark)
	s.Was = err == nil
	return s
}
