package doctor

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What the service's own files keep it from, whoever it runs as: see systemd.exec(5) and systemd.resource-control(5).

// shutOut says why the service may not open a device though its user may, "" where nothing is known against it.
func (r Root) shutOut(device string, fi fs.FileInfo) (what, do string) {
	u := r.Unit()
	st, ok := fi.Sys().(*syscall.Stat_t)
	if u == nil || !ok {
		return "", ""
	}
	if slices.Contains([]string{"yes", "true", "on", "1"}, u.last("PrivateDevices")) {
		return "the service is shut off from all devices, as by the drop-in for units on the network alone", "sudo rm /etc/systemd/system/upsagent.service.d/network-only.conf; sudo systemctl daemon-reload; sudo systemctl restart upsagent"
	}
	if policy := u.last("DevicePolicy"); policy != "closed" && policy != "strict" && len(u.values["DeviceAllow"]) == 0 {
		return "", ""
	}
	port, _ := filepath.EvalSymlinks(device)
	driver := r.driver(unix.Major(uint64(st.Rdev))) //nolint:unconvert // 32 bits on some platforms
	for _, allowed := range u.values["DeviceAllow"] {
		name, _, _ := strings.Cut(allowed, " ")
		class, isClass := strings.CutPrefix(name, "char-")
		if fits, _ := path.Match(class, driver); isClass && fits || name == device || name == port || driver == "" {
			return "", ""
		}
	}
	return fmt.Sprintf("the service may open no port of the driver %s (DeviceAllow of its unit)", driver),
		fmt.Sprintf("sudo systemctl edit upsagent, there [Service] and DeviceAllow=char-%s rw; then sudo systemctl restart upsagent", driver)
}

// driver is the name that the kernel has for a major number of character devices, "" where it has none. Pseudo terminals are always allowed.
func (r Root) driver(major uint32) string {
	name := ""
	for line := range strings.Lines(string(read(r.path("proc/devices")))) {
		f := strings.Fields(line)
		if len(f) > 0 && f[0] == "Block" {
			break
		}
		if len(f) == 2 && f[0] == strconv.FormatUint(uint64(major), 10) {
			name = path.Base(f[1]) // of several the last: 4 is tty and ttyS
		}
	}
	if name == "pts" {
		return ""
	}
	return name
}

// walledOff says whether the service's own files keep it from writing below a directory.
func (r Root) walledOff(dir string) bool {
	u := r.Unit()
	if u == nil || u.last("ProtectSystem") != "strict" {
		return false
	}
	var open []string
	for _, name := range strings.Fields(strings.Join(u.values["StateDirectory"], " ")) {
		open = append(open, r.path("var/lib", name))
	}
	for _, name := range strings.Fields(strings.Join(u.values["ReadWritePaths"], " ")) {
		open = append(open, filepath.Clean(strings.TrimLeft(name, "-+")))
	}
	return !slices.ContainsFunc(open, func(o string) bool { return dir == o || strings.HasPrefix(dir, o+"/") })
}
