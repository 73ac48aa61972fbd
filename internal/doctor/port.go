package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"upsedge/internal/config"
)

// devices are the serial ports of a configuration, each once, with the units on it.
func devices(units []config.Unit) (names []string, on map[string][]string) {
	on = map[string][]string{}
	for _, u := range units {
		if u.Serial == nil {
			continue
		}
		if on[u.Serial.Device] == nil {
			names = append(names, u.Serial.Device)
		}
		on[u.Serial.Device] = append(on[u.Serial.Device], u.Name)
	}
	return names, on
}

// LookAtPorts says of each serial port whether it is there, whether who runs the agent may open it, and whether its name lasts.
func (r Root) LookAtPorts(units []config.Unit, who Person) (out []Finding) {
	names, _ := devices(units)
	for _, device := range names {
		f := r.lookAtPort(device, who)
		f.Of, f.At = device, "serial:"+device
		out = append(out, f)
	}
	if len(names) == 0 {
		out = append(out, Finding{Level: OK, What: "no unit is on a serial port"})
	}
	return out
}

func (r Root) lookAtPort(device string, who Person) Finding {
	fi, err := os.Stat(device)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Finding{Level: Problem, What: "there is no such port now", Do: "plug the adapter in, or name the right port in the configuration; " + r.present()}
	case errors.Is(err, fs.ErrPermission):
		return Finding{Level: Note, What: "this user may not even look at it", Do: "sudo upsagent doctor"}
	case err != nil:
		return Finding{Level: Problem, What: err.Error(), Do: r.present()}
	case fi.Mode()&fs.ModeCharDevice == 0 || r.otherDevice(fi):
		return Finding{Level: Problem, What: "this is no serial port", Do: r.present()}
	}
	if at, err := who.blocked(device, mayRead|mayWrite); err == nil && at != "" {
		return r.forbidden(at, who)
	}
	if what, do := r.shutOut(device, fi); what != "" {
		return Finding{Level: Problem, What: what, Do: do}
	}
	if f := r.unsure(device); f != nil {
		return *f
	}
	return Finding{Level: OK, What: fmt.Sprintf("it is there, and user %s may open it", who.Name)}
}

// otherDevice reports whether the kernel says that a character device is something else than a terminal line.
func (r Root) otherDevice(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	number := fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))) //nolint:unconvert // 32 bits on some platforms
	of, err := os.Readlink(r.path("sys/dev/char", number, "subsystem"))
	return err == nil && filepath.Base(of) != "tty"
}

func (r Root) forbidden(at string, who Person) Finding {
	f := Finding{Level: Problem, What: fmt.Sprintf("user %s, who runs the agent, may not open it (%s is of %s)", who.Name, at, r.owned(at))}
	fi, err := os.Stat(at)
	if group := r.groupOf(at); err == nil && group != "" && group != "root" && fi.Mode().Perm()&0o060 == 0o060 {
		f.Do = fmt.Sprintf("sudo usermod -aG %s %s; sudo systemctl restart upsagent", group, who.Name)
		return f
	}
	f.Do = "a udev rule gives it to a group: KERNEL==\"" + filepath.Base(at) + "\", GROUP=\"dialout\", MODE=\"0660\" in /etc/udev/rules.d/70-upsagent.rules, then sudo udevadm trigger"
	return f
}

func (r Root) groupOf(path string) string {
	owner, _, _ := strings.Cut(r.owned(path), ",")
	_, group, _ := strings.Cut(owner, ":")
	return group
}

// numbered names are given in the order in which adapters are found.
var numbered = []string{"/dev/ttyUSB*", "/dev/ttyACM*"}

// unsure says of a name that it may be another adapter's tomorrow; nil where it is sure, or there is no better one.
func (r Root) unsure(device string) *Finding {
	short := strings.TrimPrefix(device, strings.TrimSuffix(string(r), "/"))
	what := "it is there, but another adapter may have this name after the next start of the box"
	switch byID := strings.HasPrefix(short, "/dev/serial/by-id/"); {
	case byID:
		what = "it is there, but another adapter here calls itself the same: the name is that of whichever was plugged in last"
	case !slices.ContainsFunc(numbered, func(n string) bool { ok, _ := filepath.Match(n, short); return ok }):
		return nil
	}
	better := r.Lasting(device)
	if better == device || filepath.Dir(better) == filepath.Dir(device) {
		return nil
	}
	return &Finding{Level: Note, What: what, Do: "in the configuration: serial: {device: " + better + "}"}
}

// present names the ports that there are.
func (r Root) present() string {
	var names []string
	for _, pattern := range []string{"dev/serial/by-id/*", "dev/ttyUSB*", "dev/ttyACM*", "dev/ttyAMA*"} {
		if found, _ := filepath.Glob(r.path(pattern)); len(names) == 0 {
			names = found
		}
	}
	if len(names) == 0 {
		return "no adapter is plugged in that this box knows (sudo dmesg | tail, lsusb)"
	}
	return "there are " + strings.Join(names, ", ") + " (upsagent probe asks them all)"
}

// A Holder is a process that has a port open.
type Holder struct{ PID, Name string }

func (h Holder) String() string { return fmt.Sprintf("%s (process %s)", h.Name, h.PID) }

// Holders are the processes that have a port open, but for this one and as far as this user may look.
func (r Root) Holders(device string) (all []Holder) {
	port, err := filepath.EvalSymlinks(device)
	if err != nil {
		return nil
	}
	self := fmt.Sprint(os.Getpid())
	open, _ := filepath.Glob(r.path("proc/[0-9]*/fd/*"))
	for _, fd := range open {
		if to, err := os.Readlink(fd); err != nil || to != port {
			continue
		}
		dir := filepath.Dir(filepath.Dir(fd))
		pid := filepath.Base(dir)
		if farEnd(dir, port) {
			continue
		}
		if pid != self && !slices.ContainsFunc(all, func(h Holder) bool { return h.PID == pid }) {
			all = append(all, Holder{pid, strings.TrimSpace(string(read(filepath.Join(dir, "comm"))))})
		}
	}
	return all
}

// farEnd reports whether a process has the other end of a pseudo terminal, too: it plays the device, a simulator for instance.
func farEnd(process, port string) bool {
	index, ok := strings.CutPrefix(port, "/dev/pts/")
	if !ok {
		return false
	}
	ends, _ := filepath.Glob(filepath.Join(process, "fd/*"))
	return slices.ContainsFunc(ends, func(fd string) bool {
		to, _ := os.Readlink(fd)
		info := string(read(filepath.Join(process, "fdinfo", filepath.Base(fd))))
		return strings.HasSuffix(to, "/ptmx") && strings.Contains(info, "tty-index:\t"+index+"\n")
	})
}

// known programs use serial ports on their own account; what they are, and how each is kept from it.
var known = []struct {
	names string // of processes, with blanks around each
	what  string
	do    string // PORT is the name of the port without /dev/
	wants bool   // it takes ports that nobody gave it
}{
	{" upsagent ", "another upsagent", "sudo systemctl stop upsagent, or end the other one; the running agent can be asked: upsagent status", false},
	{" apcupsd ", "apcupsd", "sudo systemctl disable --now apcupsd", true},
	{
		" upsd upsdrvctl apcsmart apc_modbus genericups nutdrv_qx usbhid-ups ", "NUT",
		"sudo systemctl disable --now nut-server nut-driver.target, and take the port out of /etc/nut/ups.conf", true,
	},
	{" ModemManager ", "ModemManager, which looks for modems at serial ports", "sudo systemctl disable --now ModemManager", true},
	{" agetty getty login ", "a console on this port", "sudo systemctl disable --now serial-getty@PORT, and take console=PORT out of the kernel's command line", false},
	{" brltty ", "brltty, which takes serial adapters for braille displays", "sudo apt remove brltty", true},
	{" minicom picocom screen cu tio microcom ", "a terminal program", "close it", false},
}

// holder says who has a port and how it is got back.
func holder(h Holder, device string) Finding {
	f := Finding{Level: Problem, What: h.String() + " has the port, and one at a time may", Do: fmt.Sprintf("end it: sudo kill %s; and keep it from being started again", h.PID)}
	for _, k := range known {
		if strings.Contains(k.names, " "+h.Name+" ") {
			f.What = fmt.Sprintf("%s has the port (process %s), and one at a time may", k.what, h.PID)
			f.Do = strings.ReplaceAll(k.do, "PORT", filepath.Base(device))
		}
	}
	return f
}

// mostHolders are told of.
const mostHolders = 4

// LookAtMasters says who else is at the serial ports, or may get there. agent is the process of the running agent, 0 without one.
func (r Root) LookAtMasters(units []config.Unit, agent int) (out []Finding) {
	names, _ := devices(units)
	own := r.serviceProcesses() // it may have no socket, or none yet
	for _, device := range names {
		if !exists(device) {
			continue
		}
		clean := true
		for i, h := range r.Holders(device) {
			if h.PID == fmt.Sprint(agent) || slices.Contains(own, h.PID) || i >= mostHolders {
				continue
			}
			f := holder(h, device)
			f.Of, f.At = device, "serial:"+device
			out, clean = append(out, f), false
		}
		if clean && os.Geteuid() == 0 {
			out = append(out, Finding{Level: OK, Of: device, At: "serial:" + device, What: "nobody else has it"})
		} else if clean {
			out = append(out, Finding{Level: OK, Of: device, At: "serial:" + device, What: "nobody else of this user has it; who runs as somebody else, root alone sees: sudo upsagent doctor"})
		}
	}
	if len(names) == 0 {
		return []Finding{{Level: OK, What: "no unit is on a serial port"}}
	}
	return append(out, r.restless(out, names)...)
}

// restless are programs that run here and take serial ports when they like, and have none now.
func (r Root) restless(told []Finding, devices []string) (out []Finding) {
	comms, _ := filepath.Glob(r.path("proc/[0-9]*/comm"))
	said := map[string]bool{}
	for _, c := range comms {
		name := strings.TrimSpace(string(read(c)))
		for _, k := range known {
			if !k.wants || said[k.what] || !strings.Contains(k.names, " "+name+" ") || isTold(told, k.what) {
				continue
			}
			if name == "ModemManager" && !slices.ContainsFunc(devices, r.forModems) {
				continue
			}
			said[k.what] = true
			out = append(out, Finding{Level: Note, Of: name, What: k.what + " runs on this box and may take the port", Do: k.do})
		}
	}
	return out
}

// forModems reports whether ModemManager may ask a port: the package's udev rule keeps it from adapters that are hardly ever modems.
func (r Root) forModems(device string) bool {
	var st unix.Stat_t
	if unix.Stat(device, &st) != nil {
		return true
	}
	number := fmt.Sprintf("c%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))) //nolint:unconvert // 32 bits on some platforms
	return !strings.Contains(string(read(r.path("run/udev/data", number))), "E:ID_MM_DEVICE_IGNORE=1\n")
}

func isTold(told []Finding, what string) bool {
	for i := range told {
		if strings.HasPrefix(told[i].What, what) {
			return true
		}
	}
	return false
}
