package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"upsedge/internal/wire"
)

// written is what the agent's store makes a block device write in a day at the default flush interval: data, the file system's
// own and its journal.
type written struct {
	Units     int     `json:"units"`
	Connected bool    `json:"connected"` // and the cloud acknowledges at once; otherwise everything stays
	Bytes     float64 `json:"bytes_per_day"`
	Requests  float64 `json:"writes_per_day"`
	Failed    string  `json:"failed,omitempty"`
}

// deviceWrites counts on ext4 on a loop device.
func (b *bench) deviceWrites(ctx context.Context) (out []written, err error) {
	flushes := 2160 // six hours, and several turns of the log
	if b.quick {
		flushes = 30
	}
	if os.Geteuid() != 0 {
		return []written{{Failed: "a loop device needs root"}}, nil
	}
	for _, row := range []written{{Units: 1, Connected: true}, {Units: 1}, {Units: 16, Connected: true}} {
		if err := b.countWrites(ctx, &row, flushes); err != nil {
			return nil, fmt.Errorf("device writes: %w", err)
		}
		out = append(out, row)
	}
	return out, nil
}

func (b *bench) countWrites(ctx context.Context, row *written, flushes int) (err error) {
	blocks, err := b.bodies(ctx, "noisy")
	if err != nil {
		return err
	}
	d, err := attachLoop(ctx, filepath.Join(b.dir, "device"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.detach()) }()
	s, err := b.open(ctx, filepath.Join(d.dir, "state"), fullSpool)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }() // before the device goes
	f := &filler{store: s, blocks: blocks, boot: wire.ID{1}, units: row.Units}
	bytes, requests, err := d.written()
	if err != nil {
		return err
	}
	for i := range flushes {
		err := f.put(ctx, 1)
		if row.Connected && err == nil {
			err = s.Ack(ctx, wire.Samples, s.Stats().Samples.Last)
		}
		if i%3 == 2 { // dirty pages are written after 30 s (vm.dirty_expire_centisecs), whoever asks for it or not
			err = errors.Join(err, d.sync())
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	if err := d.sync(); err != nil {
		return err
	}
	bytesAfter, requestsAfter, err := d.written()
	day := 24 * time.Hour.Seconds() / (float64(flushes) * flushEvery.Seconds())
	row.Bytes, row.Requests = float64(bytesAfter-bytes)*day, float64(requestsAfter-requests)*day
	return err
}

// A loop is a mounted file system on a file.
type loop struct{ dir, device string }

func attachLoop(ctx context.Context, dir string) (*loop, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	image := filepath.Join(dir, "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 256<<20)); err != nil {
		return nil, err
	}
	l := &loop{dir: filepath.Join(dir, "mounted")}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return nil, err
	}
	// Nothing left to be initialised in the background: it would be counted.
	if err := execute(ctx, "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image); err != nil {
		return nil, err
	}
	text, err := exec.CommandContext(ctx, "losetup", "-f", "--show", image).Output()
	if err != nil {
		return nil, fmt.Errorf("losetup: %w", err)
	}
	l.device = strings.TrimSpace(string(text))
	if err := execute(ctx, "mount", l.device, l.dir); err != nil {
		return nil, errors.Join(err, execute(context.WithoutCancel(ctx), "losetup", "-d", l.device))
	}
	return l, nil
}

func (l *loop) detach() error {
	ctx := context.Background()
	err := errors.Join(execute(ctx, "umount", l.dir), execute(ctx, "losetup", "-d", l.device))
	return errors.Join(err, os.RemoveAll(filepath.Dir(l.dir)))
}

func (l *loop) sync() error {
	f, err := os.Open(l.dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// written returns bytes and requests since the device exists. Source: Linux' Documentation/block/stat.rst.
func (l *loop) written() (bytes, requests int64, err error) {
	text, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(l.device), "stat"))
	if err != nil {
		return 0, 0, err
	}
	f := strings.Fields(string(text))
	if len(f) < 7 {
		return 0, 0, fmt.Errorf("statistics of %s: %q", l.device, text)
	}
	requests, err = strconv.ParseInt(f[4], 10, 64)
	sectors, err2 := strconv.ParseInt(f[6], 10, 64)
	return 512 * sectors, requests, errors.Join(err, err2)
}

func execute(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (x written) print(w io.Writer) {
	if x.Failed != "" {
		fmt.Fprintf(w, "Writes of the device: not measured, %s.\n", x.Failed)
		return
	}
	fmt.Fprintf(w, "A device with ext4 writes %.0f MiB in %.0f requests a day, %d unit(s), %s.\n", x.Bytes/(1<<20), x.Requests, x.Units,
		map[bool]string{true: "all of it acknowledged at once", false: "nothing acknowledged"}[x.Connected])
}
