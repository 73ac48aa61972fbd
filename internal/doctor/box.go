package doctor

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ThisBox is the gateway this runs on. What the service unit keeps the agent from seeing is left out, and said.
func ThisBox(stateDir string) (b Box, left []string) {
	b.Processors = runtime.NumCPU()
	b.Name, _ = os.Hostname()
	b.System = systemName(string(read("/etc/os-release")))
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		b.Kernel = unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		b.UpSeconds = int64(info.Uptime)
		b.MemoryBytes = uint64(info.Totalram) * uint64(info.Unit)
		b.MemoryFree = uint64(info.Freeram) * uint64(info.Unit)
		for _, l := range info.Loads {
			b.Load = append(b.Load, float64(uint64(l)*100>>16)/100) // 16 bits behind the point
		}
	} else {
		left = append(left, fileBox+": memory and load cannot be asked for")
	}
	if free := memoryAvailable(string(read("/proc/meminfo"))); free > 0 {
		b.MemoryFree = free
	}
	var fs unix.Statfs_t
	if unix.Statfs(stateDir, &fs) == nil {
		b.DiskBytes, b.DiskFree = fs.Blocks*uint64(fs.Bsize), fs.Bavail*uint64(fs.Bsize)
		b.DiskReadOnly = fs.Flags&unix.ST_RDONLY != 0
	} else {
		left = append(left, fileBox+": the disk of the state directory cannot be asked")
	}
	if b.Interfaces = interfaces("/sys/class/net"); b.Interfaces == nil {
		left = append(left, fileBox+": the network interfaces cannot be listed")
	}
	return b, left
}

// systemName is PRETTY_NAME of os-release(5).
func systemName(text string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return plain(strings.Trim(strings.TrimSpace(v), `"'`))
		}
	}
	return ""
}

// memoryAvailable is MemAvailable of /proc/meminfo in bytes: what sysinfo calls free leaves out caches.
func memoryAvailable(text string) uint64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemAvailable:" {
			n, _ := strconv.ParseUint(f[1], 10, 54)
			return n << 10
		}
	}
	return 0
}

const maxInterfaces = 64

// interfaces are the box's own, as the kernel shows them: no address is asked for, and no neighbour (PRIV-4).
func interfaces(dir string) (out []Interface) {
	names, _ := filepath.Glob(filepath.Join(dir, "*", "operstate"))
	for _, name := range names[:min(len(names), maxInterfaces)] {
		if i := filepath.Base(filepath.Dir(name)); i != "lo" {
			out = append(out, Interface{Name: plain(i), Up: strings.TrimSpace(string(read(name))) == "up"})
		}
	}
	return out
}

// ThisBuild is the program that runs. changed and started are zero where they are not known.
func ThisBuild(version string, changed, started time.Time) Build {
	return Build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Changed: instant(changed), Started: instant(started)}
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}
