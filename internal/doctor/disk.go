package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"upsedge/internal/ups"
)

const (
	leastFree   = 32 << 20 // bytes: below it the database has no room for its log
	leastInodes = 64
	tmpfs       = 0x01021994 // statfs(2)
	ramfs       = 0x858458f6
	wornOut     = 9 // of eMMC, in tenths of its life: 80 to 90 % are used (JEDEC JESD84-B51, 7.4.8)
)

// LookAtDisk says whether the disk of the state directory takes what the agent keeps: most is the quota of the spool in bytes.
func (r Root) LookAtDisk(stateDir string, most int64) []Finding {
	dir := stateDir
	for !exists(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return []Finding{{Level: Problem, What: fmt.Sprintf("the disk of %s cannot be asked: %v", dir, err), Do: "sudo upsagent doctor"}}
	}
	d := diskOf(dir, &s)
	if names, _ := filepath.Glob(filepath.Join(stateDir, "store.db*")); len(names) > 0 {
		for _, n := range names {
			if fi, err := os.Stat(n); err == nil {
				d.spool += fi.Size()
			}
		}
	}
	d.most = most
	r.health(dir, &d)
	return d.judge()
}

// A disk is what is known of one.
type disk struct {
	dir                 string
	free, size          int64
	freeFiles, files    int64
	readOnly, inMemory  bool
	spool, most         int64
	errors, life, state int64 // of the file system; of eMMC, in tenths used and pre-end-of-life state
}

func diskOf(dir string, s *unix.Statfs_t) disk {
	block := int64(s.Bsize)
	return disk{
		dir: dir, free: int64(s.Bavail) * block, size: int64(s.Blocks) * block, freeFiles: int64(s.Ffree), files: int64(s.Files), //nolint:gosec // far below 2^63
		readOnly: s.Flags&unix.ST_RDONLY != 0, inMemory: uint32(s.Type) == tmpfs || uint32(s.Type) == ramfs, //nolint:gosec // magic numbers have 32 bits
	}
}

// judge says what is wrong with it, the worst first, one line.
func (d disk) judge() []Finding {
	find := "largest directories: sudo du -xh / | sort -h | tail; old logs: sudo journalctl --vacuum-size=100M"
	switch {
	case d.readOnly:
		return []Finding{{Level: Problem, What: "the disk of " + d.dir + " is mounted read-only: nothing can be kept", Do: "sudo dmesg | grep -i -e ext4 -e mmc -e i/o says why; a worn card has to be replaced"}}
	case d.errors > 0:
		return []Finding{{
			Level: Problem, What: "the file system of " + d.dir + " has counted " + ups.Count(d.errors, "error"),
			Do: "it is checked at the next start: sudo touch /forcefsck and reboot; if they come again, replace the disk",
		}}
	case d.free < leastFree:
		return []Finding{{Level: Problem, What: fmt.Sprintf("the disk of %s is full: %s of %s are free", d.dir, size(d.free), size(d.size)), Do: find}}
	case d.files > 0 && d.freeFiles < leastInodes:
		return []Finding{{Level: Problem, What: "the disk of " + d.dir + " has room for " + ups.Count(d.freeFiles, "more file") + " and no others", Do: "directory with the most files: sudo du -x --inodes / | sort -n | tail"}}
	case d.life >= wornOut || d.state > 1:
		what := "the flash memory under " + d.dir + " says that it is worn"
		if d.life > 0 { // 0: it does not say how much
			what += fmt.Sprintf(": %d to %d %% of its life are used", 10*(d.life-1), 10*d.life)
		}
		return []Finding{{Level: Note, What: what, Do: "replace the box, or its memory, before it fails"}}
	case d.inMemory:
		return []Finding{{Level: Note, What: d.dir + " is in memory: what waits for the cloud is gone when the box restarts", Do: "state_dir on a disk"}}
	case d.free+d.spool < d.most:
		return []Finding{{
			Level: Note, What: fmt.Sprintf("%s are free, and what waits for the cloud may need up to %s (spool.max_bytes)", size(d.free), size(d.most)),
			Do: fmt.Sprintf("spool.max_bytes: %dMiB, or more room", max(16, (d.free+d.spool)>>21)),
		}}
	}
	return []Finding{{Level: OK, What: fmt.Sprintf("%s of %s are free", size(d.free), size(d.size))}}
}

// size is a number of bytes as people say it.
func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// health asks what the kernel knows of the disk itself: errors that ext4 has counted, and how worn an eMMC says it is.
func (r Root) health(dir string, d *disk) {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return
	}
	at, err := filepath.EvalSymlinks(r.path("sys/dev/block", fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev))))) //nolint:unconvert // 32 bits on some platforms
	if err != nil {
		return
	}
	d.errors, _ = strconv.ParseInt(strings.TrimSpace(string(read(r.path("sys/fs/ext4", filepath.Base(at), "errors_count")))), 10, 64)
	for _, of := range []string{at, filepath.Dir(at)} { // a partition lies below its disk
		for _, f := range strings.Fields(string(read(filepath.Join(of, "device/life_time")))) {
			n, _ := strconv.ParseInt(f, 0, 64)
			d.life = max(d.life, n)
		}
		n, _ := strconv.ParseInt(strings.TrimSpace(string(read(filepath.Join(of, "device/pre_eol_info")))), 0, 64)
		d.state = max(d.state, n)
	}
}
