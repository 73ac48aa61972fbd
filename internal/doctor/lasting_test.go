package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// usbBox is a box with USB adapters, each as vendor, serial number and its ports. What udev has linked is told by the test.
func usbBox(t *testing.T, adapters [][]string, links map[string]string) Root {
	t.Helper()
	files := map[string]string{"dev/ttyS1": "", "sys/devices/pnp/tty/ttyS1/dev": "", "sys/class/tty/ttyS1": "-> ../../devices/pnp/tty/ttyS1"}
	for i, a := range adapters {
		at := fmt.Sprintf("devices/usb1/1-%d", i)
		files["sys/"+at+"/idVendor"], files["sys/"+at+"/idProduct"] = a[0]+"\n", "6001\n"
		if a[1] != "" {
			files["sys/"+at+"/serial"] = a[1] + "\n"
		}
		for n, port := range a[2:] {
			tty := fmt.Sprintf("%s/1-%d:1.%d/%s/tty/%s", at, i, n, port, port)
			files["sys/"+tty+"/dev"], files["sys/class/tty/"+port], files["dev/"+port] = "", "-> ../../"+tty, ""
		}
	}
	for name, port := range links {
		files["dev/serial/"+name] = "-> ../../" + port
	}
	return box(t, files)
}

var usbSite = [][]string{
	{"0403", "A5", "ttyUSB0"}, {"0403", "A6", "ttyUSB1"}, // each with a number of its own
	{"1a86", "", "ttyUSB2"}, {"1a86", "", "ttyUSB3"}, // without
	{"10c4", "0001", "ttyUSB4"}, {"10c4", "0001", "ttyUSB5"}, // all of this make have the same
	{"067b", "", "ttyUSB6"}, {"0404", "", "ttyUSB7"}, // the only ones of their kind, the last unknown to udev
	{"0403", "Q4", "ttyUSB8", "ttyUSB9"}, // two ports of one adapter
}

func usbLinks() map[string]string {
	links := map[string]string{
		"by-id/usb-FTDI_A5-port0": "ttyUSB0", "by-id/usb-FTDI_A6-port0": "ttyUSB1", "by-id/usb-1a86-port0": "ttyUSB3", "by-id/usb-CP2102_0001-port0": "ttyUSB4",
		"by-id/usb-Prolific-port0": "ttyUSB6", "by-id/usb-Quad_Q4-if00-port0": "ttyUSB8", "by-id/usb-Quad_Q4-if01-port0": "ttyUSB9",
	}
	for n := range 7 {
		links[fmt.Sprintf("by-path/pci-usb-%d", n)] = fmt.Sprintf("ttyUSB%d", n)
	}
	return links
}

// By who the adapter is, where that tells it from every other; else by the socket it is in.
func TestAPortIsNamedAsUdevFindsItAgain(t *testing.T) {
	r := usbBox(t, usbSite, usbLinks())
	for port, want := range map[string]string{
		"ttyUSB0": "serial/by-id/usb-FTDI_A5-port0", "ttyUSB1": "serial/by-id/usb-FTDI_A6-port0",
		"ttyUSB2": "serial/by-path/pci-usb-2", "ttyUSB3": "serial/by-path/pci-usb-3",
		"ttyUSB4": "serial/by-path/pci-usb-4", "ttyUSB5": "serial/by-path/pci-usb-5",
		"ttyUSB6": "serial/by-id/usb-Prolific-port0", "ttyUSB7": "ttyUSB7",
		"ttyUSB8": "serial/by-id/usb-Quad_Q4-if00-port0", "ttyUSB9": "serial/by-id/usb-Quad_Q4-if01-port0",
		"ttyS1": "ttyS1", "ttyUSB77": "ttyUSB77",
	} {
		if got, want := r.Lasting(r.path("dev", port)), r.path("dev", want); got != want {
			t.Errorf("%s is called %s, want %s", port, got, want)
		}
	}
	if err := os.RemoveAll(r.path("dev/serial/by-path")); err != nil {
		t.Fatal(err)
	}
	if got := r.Lasting(r.path("dev/ttyUSB4")); filepath.Base(got) != "usb-CP2102_0001-port0" {
		t.Errorf("where udev has no names by sockets it is %s", got)
	}
}

// A name that two adapters share is the one of the adapter that was plugged in last: the agent may read another unit after the next start.
func TestANameThatTwoAdaptersShare(t *testing.T) {
	r := usbBox(t, usbSite, usbLinks())
	if f := r.unsure(r.path("dev/serial/by-id/usb-CP2102_0001-port0")); f == nil || f.Level != Note {
		t.Errorf("two share it: %v", f)
	} else {
		is(t, "two share it", []Finding{*f}, Note, "calls itself the same", r.path("dev/serial/by-path/pci-usb-4"))
	}
	if f := r.unsure(r.path("dev/ttyUSB4")); f == nil {
		t.Error("a name by number is sure")
	} else {
		is(t, "by number", []Finding{*f}, Note, "another adapter may have this name", r.path("dev/serial/by-path/pci-usb-4"))
	}
	for _, sure := range []string{"dev/serial/by-id/usb-FTDI_A5-port0", "dev/serial/by-path/pci-usb-4", "dev/ttyS1", "dev/ttyUSB7"} {
		if f := r.unsure(r.path(sure)); f != nil {
			t.Errorf("%s: %v", sure, *f)
		}
	}
}
