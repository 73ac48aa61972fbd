package clock

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A floor is the earliest that it can be now (T-27): the newest of when this program was built, what the cloud has signed, and
// when a time service last said that the clock was right. The first two only rise. Time services can be wrong, or made to lie:
// of theirs the last one counts, so that a day in 2038 is over when the next one sets the clock.
type floor struct {
	path  string // "": not kept
	built time.Time
	kept  times
	disk  times         // what is on disk
	wrote time.Duration // when it was last tried, on the monotonic clock
	below bool          // the time service claims a time below the floor; said once
}

type times struct{ sync, sign time.Time }

const (
	floorFile = "clock"
	// saveEvery bounds how often the floor is written, for the sake of flash: a day is enough to tell 1970 from today.
	saveEvery = 24 * time.Hour
	// notOften bounds it where the clock jumps about or the disk fails.
	notOften = time.Minute
)

// oldest is when this program was begun.
var oldest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newFloor() floor { return floor{built: oldest} }

// Remember lets the Clock know when the program was built, and what earlier runs in that state directory knew of the time; it
// keeps there what it learns. A file that is damaged is an error, and as good as none.
func (c *Clock) Remember(stateDir string, built time.Time) error {
	path := filepath.Join(stateDir, floorFile)
	kept, err := readTimes(path)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floor = floor{path: path, built: latest(built, oldest), kept: kept, disk: kept}
	return err
}

// Certificates returns the instant at which the dates of a certificate are to be judged. sure says that it is now; else it is
// the earliest that it can be, and what is valid only later may well be valid now (T-17).
func (c *Clock) Certificates() (t time.Time, sure bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookIfOld()
	mono := c.m.Mono()
	if offset, ok := c.known.at(mono); ok {
		return wall(offset, mono), true
	}
	return latest(c.floor.certain(), c.floor.kept.sync), false
}

// certain is the earliest that it can be, whatever time services say.
func (f *floor) certain() time.Time { return latest(f.built, f.kept.sign) }

func (f *floor) signed(now time.Time) { f.kept.sign = latest(f.kept.sign, now) }

// due says whether what is known is worth a write.
func (f *floor) due(mono time.Duration) bool {
	late := func(kept, disk time.Time) bool { return kept.Sub(disk) >= saveEvery || kept.Before(disk) }
	return f.path != "" && (late(f.kept.sync, f.disk.sync) || late(f.kept.sign, f.disk.sign)) &&
		(f.wrote == 0 || mono-f.wrote >= notOften)
}

// save writes the floor when it is due. It is called by one goroutine. That a disk fails others tell; here it is tried again.
func (c *Clock) save() {
	c.mu.Lock()
	f, mono := c.floor, c.m.Mono()
	due := f.due(mono)
	if due {
		c.floor.wrote = mono
	}
	c.mu.Unlock()
	if !due || writeTimes(f.path, f.kept) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floor.disk = f.kept
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

const timesFormat = "sync %s\nsigned %s\n"

func (t times) text() string {
	body := fmt.Sprintf(timesFormat, t.sync.UTC().Format(time.RFC3339), t.sign.UTC().Format(time.RFC3339))
	return fmt.Sprintf("%scrc %08x\n", body, crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)))
}

func readTimes(path string) (t times, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return times{}, nil
	} else if err != nil {
		return times{}, fmt.Errorf("last known time: %w", err)
	}
	var sync, sign string
	if _, err := fmt.Sscanf(string(b), timesFormat, &sync, &sign); err == nil {
		t.sync, _ = time.Parse(time.RFC3339, sync)
		t.sign, _ = time.Parse(time.RFC3339, sign)
	}
	if t.text() != string(b) {
		return times{}, fmt.Errorf("last known time: %s is damaged", path)
	}
	return t, nil
}

// writeTimes makes the file whole or not at all.
func writeTimes(path string, t times) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(t.text())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Wall is what the clock of the machine says, whether that is right or not.
func (c *Clock) Wall() time.Time { return c.m.Wall() }

// Floor is the earliest that it can be, whatever time services have said.
func (c *Clock) Floor() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.floor.certain()
}
