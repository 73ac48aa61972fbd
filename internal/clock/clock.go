// Package clock turns instants into stamps: always on the monotonic clock of this boot of the operating system, and on the
// wall clock when that can be trusted. The box may have no battery-backed clock, so wall time is only attached once the time
// service has published that the clock is set (design, section 5).
//
// A Clock is safe for concurrent use.
package clock

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"upsedge/internal/wire"
)

// A Clock stamps instants. Use New.
type Clock struct {
	boot    wire.ID
	anchor  time.Time     // an instant of this process ...
	mono    time.Duration // ... and the same instant since the boot of the operating system
	trusted func() bool
	seen    atomic.Bool // a clock once set by the time service stays set for this boot
}

// New returns the clock of this machine. It fails where the kernel tells no boot id.
func New() (*Clock, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return nil, fmt.Errorf("read the boot clock: %w", err)
	}
	return Of(boot, time.Now(), time.Duration(ts.Nano()), kernelSynchronised), nil
}

// Of returns the clock of another machine than this one: it was booted as boot, and at the instant anchor that was mono ago.
// trusted says whether its wall clock, time.Now, has been set.
func Of(boot wire.ID, anchor time.Time, mono time.Duration, trusted func() bool) *Clock {
	return &Clock{boot: boot, anchor: anchor, mono: mono, trusted: trusted}
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

// Boot returns the id of this boot.
func (c *Clock) Boot() wire.ID { return c.boot }

// Mono returns t on the monotonic clock of this boot. t must come from this process and carry the monotonic clock.
func (c *Clock) Mono(t time.Time) time.Duration { return c.mono + t.Sub(c.anchor) }

// Stamp returns t as a stamp. The wall time is attached while the clock is trusted, and computed from the present relation of
// the two clocks, so that a clock set after t corrects t, too.
func (c *Clock) Stamp(t time.Time) wire.Stamp {
	return c.Complete(wire.Stamp{BootID: c.boot, Mono: c.Mono(t)})
}

// Complete attaches the wall time to a stamp of this boot that has none, if the clock is trusted by now.
func (c *Clock) Complete(s wire.Stamp) wire.Stamp {
	if !s.Wall.IsZero() || s.BootID != c.boot || !c.Trusted() {
		return s
	}
	now := time.Now()
	s.Wall = now.Round(0).Add(s.Mono - c.Mono(now)).UTC()
	return s
}

// Trusted reports whether the wall clock has been set by a time service since the boot.
func (c *Clock) Trusted() bool {
	if !c.seen.Load() && c.trusted() {
		c.seen.Store(true)
	}
	return c.seen.Load()
}

// kernelSynchronised asks the kernel, which every time service (chrony, ntpd, systemd-timesyncd) tells that it has set the
// clock, and systemd's own mark, which also survives a kernel that lost the flag.
func kernelSynchronised() bool {
	var tx unix.Timex
	if state, err := unix.Adjtimex(&tx); err == nil && state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0 {
		return true
	}
	_, err := os.Stat("/run/systemd/timesync/synchronized")
	return err == nil
}
