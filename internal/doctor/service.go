package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const serviceName = "upsagent.service"

// A ServiceUnit is what the files of a service say, drop-ins included. nil has nothing.
type ServiceUnit struct {
	Path   string
	values map[string][]string
}

// Unit reads the service's files; nil where there is none.
func (r Root) Unit() *ServiceUnit {
	var u *ServiceUnit
	places := []string{"etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"}
	for _, dir := range places {
		if path := r.path(dir, serviceName); u == nil && exists(path) {
			u = &ServiceUnit{Path: path, values: map[string][]string{}}
			u.take(string(read(path)))
		}
	}
	if u == nil {
		return nil
	}
	for _, dir := range slices.Backward(places) {
		drops, _ := filepath.Glob(r.path(dir, serviceName+".d", "*.conf"))
		for _, d := range drops {
			u.take(string(read(d)))
		}
	}
	return u
}

// take adds what a file says. An empty value takes back what was said before, as systemd has it.
func (u *ServiceUnit) take(text string) {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case !ok || strings.HasPrefix(key, "#") || strings.HasPrefix(key, ";"):
		case value == "":
			u.values[key] = nil
		default:
			u.values[key] = append(u.values[key], value)
		}
	}
}

func (u *ServiceUnit) last(key string) string {
	if u == nil || len(u.values[key]) == 0 {
		return ""
	}
	return u.values[key][len(u.values[key])-1]
}

// all are the values of a key that takes many: each line adds to those before.
func (u *ServiceUnit) all(key string) []string {
	if u == nil {
		return nil
	}
	return u.values[key]
}

// masked: systemctl mask leads it nowhere.
func (u *ServiceUnit) masked() bool {
	to, err := os.Readlink(u.Path)
	return err == nil && to == "/dev/null"
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Managed reports whether systemd runs this box.
func (r Root) Managed() bool { return exists(r.path("run/systemd/system")) }

// enabled reports whether the service starts with the box.
func (r Root) enabled() bool {
	wants, _ := filepath.Glob(r.path("etc/systemd/system", "*.wants", serviceName))
	return len(wants) > 0
}

// serviceProcesses are those that systemd counts as the service's.
func (r Root) serviceProcesses() []string {
	return strings.Fields(string(read(r.path("sys/fs/cgroup/system.slice", serviceName, "cgroup.procs"))))
}

// ServiceRuns reports whether systemd has a process of the service, whether that answers or not.
func (r Root) ServiceRuns() bool { return len(r.serviceProcesses()) > 0 }

// An Agent is what is known of the one that runs.
type Agent struct {
	PID      int     // 0: none answers
	Silent   bool    // one has the socket, and this user may not ask it
	Age      float64 // since it started, in seconds
	Expected bool    // somebody is known to have started it just now
	Version  string
}

// LookAtService says whether the agent runs, will run after the next start of the box, and has just been started anew.
func (r Root) LookAtService(a Agent, configured bool) []Finding {
	const log = "journalctl -u upsagent -n 30 says why"
	unit := r.Unit()
	running := a.PID != 0 || a.Silent || r.ServiceRuns()
	by := fmt.Sprintf("it runs (process %d)", a.PID)
	if a.PID == 0 {
		by = "it runs"
	}
	switch {
	case !configured:
		return []Finding{{Level: OK, What: "it waits for a configuration"}}
	case !r.Managed() && running:
		return []Finding{{Level: OK, What: by + "; no systemd here looks after it"}}
	case !r.Managed():
		return []Finding{{Level: Note, What: "the agent does not run, and no systemd here would start it", Do: "upsagent run, by whatever starts programs on this box"}}
	case unit == nil && running:
		return []Finding{{Level: Note, What: by + ", but not as a service: nothing starts it with the box", Do: "install the package, which brings upsagent.service"}}
	case unit == nil:
		return []Finding{{Level: Problem, What: "there is no upsagent.service on this box", Do: "install the package; or upsagent run by hand"}}
	case unit.masked():
		return []Finding{{Level: Problem, What: "the service is masked: it can not be started", Do: "sudo systemctl unmask upsagent; sudo systemctl enable --now upsagent"}}
	case !running && r.enabled():
		return []Finding{{Level: Problem, What: "the service does not run", Do: "sudo systemctl start upsagent; " + log}}
	case !running:
		return []Finding{{Level: Problem, What: "the service does not run, and does not start with the box", Do: "sudo systemctl enable --now upsagent"}}
	case !r.enabled():
		return []Finding{{Level: Note, What: by + ", but does not start with the box", Do: "sudo systemctl enable upsagent"}}
	case a.PID != 0 && a.Age < 120 && r.uptime() > 600 && !a.Expected:
		return []Finding{{Level: Note, What: fmt.Sprintf("%s for %.0f s", by, a.Age), Do: "if nobody started it just now, it ended and was started anew: journalctl -u upsagent -n 50"}}
	}
	return []Finding{{Level: OK, What: by + ", and starts with the box"}}
}

// uptime is for how long the box runs, in seconds.
func (r Root) uptime() float64 {
	f := strings.Fields(string(read(r.path("proc/uptime"))))
	if len(f) == 0 {
		return 0
	}
	s, _ := strconv.ParseFloat(f[0], 64)
	return s
}

// Age is for how long a process runs, in seconds. Source: proc_pid_stat(5), field 22, in hundredths of a second on every Linux that Go knows.
func (r Root) Age(pid int) float64 {
	stat := string(read(r.path("proc", strconv.Itoa(pid), "stat")))
	f := strings.Fields(stat[strings.LastIndex(stat, ")")+1:]) // the name of the process may have blanks and brackets
	if len(f) < 20 {
		return 0
	}
	since, _ := strconv.ParseFloat(f[19], 64)
	return max(0, r.uptime()-since/100)
}

// timeServices set clocks.
var timeServices = []string{"chronyd", timesyncd, "ntpd", "ntpd-rs", "openntpd", "ptp4l", "phc2sys"}

// timesyncd is the name of systemd-timesyncd, of which the kernel keeps 15 characters.
const timesyncd = "systemd-timesyn"

// TimeServices names those that run.
func (r Root) TimeServices() string {
	var out []string
	comms, _ := filepath.Glob(r.path("proc/[0-9]*/comm"))
	for _, c := range comms {
		if name := strings.TrimSpace(string(read(c))); slices.Contains(timeServices, name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return strings.ReplaceAll(strings.Join(out, ", "), timesyncd, "systemd-timesyncd")
}
