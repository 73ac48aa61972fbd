package doctor

import (
	"os"
	"path/filepath"
	"strings"
)

// Lasting is the name under which udev finds the port of a USB adapter again after it was plugged in anew: by who the adapter is, where no
// other here calls itself the same, else by the socket it is in. Other ports, and those that udev knows no such name of, keep their names.
func (r Root) Lasting(device string) string {
	port, err := filepath.EvalSymlinks(device)
	if err != nil {
		return device
	}
	kinds := []string{"by-id"}
	if adapter := r.adapter(filepath.Base(port)); adapter != "" {
		kinds = []string{"by-id", "by-path"}
		if r.hasTwin(adapter) { // by-id names the one of them that was plugged in last
			kinds = []string{"by-path", "by-id"}
		}
	}
	for _, kind := range kinds {
		links, _ := filepath.Glob(r.path("dev/serial", kind, "*"))
		for _, l := range links {
			if to, err := filepath.EvalSymlinks(l); err == nil && to == port {
				return l
			}
		}
	}
	return device
}

// adapter is the directory in which the kernel tells of the USB device that has a port, "" where none has. A device may have several ports.
func (r Root) adapter(tty string) string {
	dir, err := filepath.EvalSymlinks(r.path("sys/class/tty", tty))
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, "idVendor")) {
			return dir
		}
	}
	return ""
}

// hasTwin reports whether another adapter calls itself what this one does: many have no serial number, or all the same.
func (r Root) hasTwin(adapter string) bool {
	self := func(dir string) string {
		var words []string
		for _, name := range []string{"idVendor", "idProduct", "serial"} {
			text, _ := os.ReadFile(filepath.Join(dir, name))
			words = append(words, strings.TrimSpace(string(text)))
		}
		return strings.Join(words, "/")
	}
	ports, _ := filepath.Glob(r.path("sys/class/tty/tty*"))
	for _, p := range ports {
		if other := r.adapter(filepath.Base(p)); other != "" && other != adapter && self(other) == self(adapter) {
			return true
		}
	}
	return false
}
