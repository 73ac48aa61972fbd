package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"upsedge/internal/ups"
)

// leastMemory is below what an agent of a few units needs beside the rest of the box, in bytes.
const leastMemory = 48 << 20

// LookAtMemory says whether the box, and the service within its own limit, has memory left.
func (r Root) LookAtMemory() []Finding {
	group := func(name string) string { return string(read(r.path("sys/fs/cgroup/system.slice", serviceName, name))) }
	used, limit := bytesOf(group("memory.current")), bytesOf(group("memory.max"))
	used = max(0, used-statOf(group("memory.stat"), "file")) // pages of its files count as well, and are given back when they are wanted
	killed := statOf(group("memory.events"), "oom_kill")
	free := int64(memoryAvailable(string(read(r.path("proc/meminfo"))))) //nolint:gosec // far below 2^63
	switch {
	case killed > 0:
		return []Finding{{
			Level: Problem, What: "the kernel has ended the agent " + ups.Count(killed, "time") + " for want of memory",
			Do: "journalctl -u upsagent -k | grep -i oom; with very many units: sudo systemctl edit upsagent, [Service] MemoryMax=512M",
		}}
	case limit > 0 && used > limit-limit/10:
		return []Finding{{
			Level: Note, What: fmt.Sprintf("the agent uses %s of the %s that its service may have", size(used), size(limit)),
			Do: "with very many units: sudo systemctl edit upsagent, [Service] MemoryMax=512M",
		}}
	case free > 0 && free < leastMemory:
		return []Finding{{Level: Problem, What: fmt.Sprintf("the box has %s of memory left", size(free)), Do: "the largest programs: ps axo pid,rss,comm --sort -rss | head"}}
	case free > 0:
		return []Finding{{Level: OK, What: size(free) + " are available"}}
	}
	return []Finding{{Level: Note, What: "the kernel does not say how much memory is left"}}
}

// statOf is a number of a file of names and numbers; 0 where it is not there.
func statOf(text, name string) (n int64) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			n = bytesOf(f[1])
		}
	}
	return n
}

func bytesOf(text string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSpace(text), 10, 64) // "max" is no number, and no limit
	return n
}
