package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A box is a directory that looks like one: files by their path, and "-> target" for a link.
func box(t testing.TB, files map[string]string) Root {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		to, link := strings.CutPrefix(text, "-> ")
		err := error(nil)
		if link {
			err = os.Symlink(to, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return Root(dir)
}

func with(base map[string]string, more ...string) map[string]string {
	out := map[string]string{}
	for k, v := range base {
		out[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// is fails unless there is a finding of that level with all words in it, in what it says or in what to do.
func is(t *testing.T, name string, all []Finding, level Level, has ...string) {
	t.Helper()
	for _, f := range all {
		ok := f.Level == level
		for _, h := range has {
			ok = ok && strings.Contains(f.What+" | "+f.Do, h)
		}
		if ok && (level == OK || f.Do != "") {
			return
		}
	}
	t.Errorf("%s: no %s with %q and something to do in\n%s", name, level, has, words(all))
}

var systemd = map[string]string{
	"run/systemd/system/.keep":                    "",
	"proc/uptime":                                 "1000.00 900.00\n",
	"usr/lib/systemd/system/upsagent.service":     "[Service]\nUser=upsagent\nSupplementaryGroups=dialout\n",
	"etc/systemd/system/m.wants/upsagent.service": "-> /usr/lib/systemd/system/upsagent.service",
	"etc/passwd":                                  "root:x:0:0::/:/bin/sh\nupsagent:x:991:992::/:/bin/false\n",
	"etc/group":                                   "root:x:0:\ndialout:x:20:\nupsagent:x:992:\nups:x:77:bob,upsagent\n",
}

func TestWhoRunsTheAgent(t *testing.T) {
	r := box(t, with(systemd, "proc/7/status", "Name:\tx\nUid:\t0\t991\t0\t0\nGid:\t5\t992\t5\t5\nGroups:\t20 77 \n"))
	if p, ok := r.Service(r.Unit()); !ok || p.Name != "upsagent" || p.UID != 991 || len(p.Groups) != 3 || p.Groups[0] != 992 || p.Groups[1] != 20 || p.Groups[2] != 77 {
		t.Errorf("by the unit: %+v, %v", p, ok)
	}
	if p, ok := r.Process(7); !ok || p.Name != "upsagent" || p.UID != 991 || len(p.Groups) != 3 {
		t.Errorf("by the process: %+v, %v", p, ok)
	}
	if _, ok := r.Process(8); ok {
		t.Error("a process that is not there")
	}
	other := box(t, with(systemd, "etc/systemd/system/upsagent.service.d/u.conf", "[Service]\nUser=ups\nSupplementaryGroups=\n", "etc/passwd", "ups:x:5:6:\n"))
	if p, ok := other.Service(other.Unit()); !ok || p.Name != "ups" || p.UID != 5 || len(p.Groups) != 1 {
		t.Errorf("by a drop-in: %+v, %v", p, ok)
	}
	if _, ok := box(t, with(systemd, "etc/passwd", "")).Service(nil); ok {
		t.Error("a user that is not there")
	}
	if p, ok := r.Owner(string(r)); os.Geteuid() == 0 && (!ok || p.Name != "root" || p.UID != 0) {
		t.Errorf("by a file: %+v, %v", p, ok)
	}
	if me := Root("/").Myself(); int(me.UID) != os.Geteuid() || me.Name == "" {
		t.Errorf("I am %+v", me)
	}
}

func TestTheService(t *testing.T) {
	stopped, mine := Agent{}, Agent{PID: 7, Age: 900}
	procs := "sys/fs/cgroup/system.slice/upsagent.service/cgroup.procs"
	without := func(name string) map[string]string {
		m := with(systemd)
		delete(m, name)
		return m
	}
	const unit, wants = "usr/lib/systemd/system/upsagent.service", "etc/systemd/system/m.wants/upsagent.service"
	for name, c := range map[string]struct {
		files      map[string]string
		agent      Agent
		configured bool
		level      Level
		has        string
	}{
		"runs":                     {systemd, mine, true, OK, "process 7"},
		"runs and is silent":       {systemd, Agent{Silent: true}, true, OK, "it runs"},
		"runs, without socket":     {with(systemd, procs, "7\n"), stopped, true, OK, "it runs"},
		"was started anew":         {systemd, Agent{PID: 7, Age: 20}, true, Note, "journalctl -u upsagent"},
		"was started just now":     {systemd, Agent{PID: 7, Age: 20, Expected: true}, true, OK, "process 7"},
		"not enabled":              {without(wants), mine, true, Note, "sudo systemctl enable upsagent"},
		"does not run":             {systemd, stopped, true, Problem, "sudo systemctl start upsagent"},
		"neither":                  {without(wants), stopped, true, Problem, "enable --now"},
		"masked":                   {with(without(unit), "etc/systemd/system/upsagent.service", "-> /dev/null"), stopped, true, Problem, "unmask"},
		"no unit":                  {without(unit), stopped, true, Problem, "install the package"},
		"by hand":                  {without(unit), mine, true, Note, "not as a service"},
		"no systemd":               {nil, stopped, true, Note, "no systemd"},
		"no systemd, but an agent": {nil, mine, true, OK, "no systemd"},
		"not configured":           {systemd, stopped, false, OK, "waits"},
	} {
		is(t, name, box(t, c.files).LookAtService(c.agent, c.configured), c.level, c.has)
	}
	r := box(t, map[string]string{"proc/uptime": "1000.00 1\n", "proc/7/stat": "7 (up) s) S 1 1 1 0 -1 4 1 0 0 0 0 0 0 0 20 0 9 0 98000 1 1"})
	if age := r.Age(7); age != 20 {
		t.Errorf("the process is %v s old, want 20", age)
	}
	if names := box(t, map[string]string{"proc/9/comm": "chronyd\n", "proc/8/comm": "bash\n"}).TimeServices(); names != "chronyd" {
		t.Errorf("time services %q", names)
	}
}

func TestTheMemory(t *testing.T) {
	const group = "sys/fs/cgroup/system.slice/upsagent.service/"
	well := map[string]string{"proc/meminfo": "MemTotal: 900000 kB\nMemAvailable:  500000 kB\n", group + "memory.current": "30000000\n", group + "memory.max": "268435456\n", group + "memory.events": "oom 0\noom_kill 0\n"}
	is(t, "well", box(t, well).LookAtMemory(), OK, "488 MiB")
	is(t, "no limit", box(t, with(well, group+"memory.max", "max\n")).LookAtMemory(), OK, "488 MiB")
	is(t, "killed", box(t, with(well, group+"memory.events", "oom 2\noom_kill 2\n")).LookAtMemory(), Problem, "2 times", "MemoryMax")
	is(t, "near its limit", box(t, with(well, group+"memory.current", "260000000")).LookAtMemory(), Note, "247 MiB of the 256 MiB")
	is(t, "much of it pages of files", box(t, with(well, group+"memory.current", "260000000", group+"memory.stat", "anon 20000000\nfile 230000000\n")).LookAtMemory(), OK)
	is(t, "a full box", box(t, with(well, "proc/meminfo", "MemAvailable:  9000 kB\n")).LookAtMemory(), Problem, "8 MiB")
}

func TestTheDisk(t *testing.T) {
	well := disk{dir: "/d", free: 9 << 30, size: 20 << 30, freeFiles: 9000, files: 10000, most: 1 << 30}
	is(t, "well", well.judge(), OK, "9.0 GiB of 20 GiB")
	for name, c := range map[string]struct {
		break_ func(d *disk)
		level  Level
		has    string
	}{
		"read-only":    {func(d *disk) { d.readOnly = true }, Problem, "read-only"},
		"errors":       {func(d *disk) { d.errors = 3 }, Problem, "3 errors"},
		"full":         {func(d *disk) { d.free = 5 << 20 }, Problem, "5 MiB of 20 GiB"},
		"no inodes":    {func(d *disk) { d.freeFiles = 3 }, Problem, "3 more files"},
		"worn":         {func(d *disk) { d.life = 10 }, Note, "90 to 100 %"},
		"no life told": {func(d *disk) { d.state = 2 }, Note, "says that it is worn"},
		"near its end": {func(d *disk) { d.life, d.state = 2, 3 }, Note, "worn"},
		"in memory":    {func(d *disk) { d.inMemory = true }, Note, "in memory"},
		"small":        {func(d *disk) { d.free, d.spool = 200<<20, 100<<20 }, Note, "spool.max_bytes: 150MiB"},
	} {
		d := well
		c.break_(&d)
		is(t, name, d.judge(), c.level, c.has)
	}
	if worn := (disk{free: 9 << 30, state: 3}).judge(); strings.Contains(worn[0].What, "%") {
		t.Errorf("of a life that is not told: %s", words(worn))
	}
	is(t, "a file system without inodes", func() []Finding { d := well; d.files, d.freeFiles = 0, 0; return d.judge() }(), OK)
	dir := t.TempDir()
	is(t, "this one", Root("/").LookAtDisk(filepath.Join(dir, "to", "be", "made"), 16<<20), OK, "are free")
	if found := Root("/").LookAtDisk(dir, 1<<60); worst(found) != Note {
		t.Errorf("a quota beyond the disk: %s", words(found))
	}
	if fi, err := os.Stat("/dev/shm"); err == nil && fi.IsDir() {
		is(t, "memory", Root("/").LookAtDisk("/dev/shm", 0), Note, "in memory")
	}
}
