package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.bug.st/serial/enumerator"
)

// TestSetupStartsTheServiceOnceAndForEveryBoot: what systemctl is told, by what it says of the unit, and what is said where it fails.
func TestSetupStartsTheServiceOnceAndForEveryBoot(t *testing.T) {
	failed := errors.New("exit status 1")
	for name, row := range map[string]struct {
		fails   map[string]error
		calls   []string
		service string
		says    string // of an error
	}{
		"fresh":       {map[string]error{"is-active": failed, "is-enabled": failed}, []string{"is-active", "is-enabled", "enable", "restart"}, serviceStarted, ""},
		"stopped":     {map[string]error{"is-active": failed}, []string{"is-active", "is-enabled", "restart"}, serviceStarted, ""},
		"not at boot": {map[string]error{"is-enabled": failed}, []string{"is-active", "is-enabled", "enable", "reload"}, serviceReloaded, ""},
		"runs":        {nil, []string{"is-active", "is-enabled", "reload"}, serviceReloaded, ""},
		"does not start": {
			map[string]error{"is-active": failed, "restart": failed},
			[]string{"is-active", "is-enabled", "restart", "status"},
			serviceLeft, "systemctl restart upsagent.service: exit status 1: said of restart; journalctl -u upsagent -n 30 says why",
		},
		"masked": {map[string]error{"is-active": failed, "is-enabled": failed, "enable": failed}, []string{"is-active", "is-enabled", "enable"}, serviceLeft, "systemctl enable upsagent.service: exit status 1"},
		"no systemctl": {
			map[string]error{"is-active": exec.ErrNotFound, "is-enabled": exec.ErrNotFound, "enable": &exec.Error{Name: "systemctl", Err: exec.ErrNotFound}},
			[]string{"is-active", "is-enabled", "enable"},
			serviceLeft, "systemctl is not there",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var calls []string
			var words bytes.Buffer
			p := newPlace(t, "units: []\n")
			s := &setup{cli: &common{Config: p.file}, words: &words, setupCmd: &setupCmd{step: func(string) {}, service: serviceManager{
				config: p.file, there: func() bool { return true },
				do: func(_ context.Context, args ...string) (string, error) {
					calls = append(calls, args[0])
					return "said of " + args[0] + "\nand more", row.fails[args[0]]
				},
			}}}
			if err := s.load(); err != nil {
				t.Fatal(err)
			}
			err := s.start(t.Context())
			if !slices.Equal(calls, row.calls) || s.done.Service != row.service {
				t.Errorf("%v, service %s; want %v, %s", calls, s.done.Service, row.calls, row.service)
			}
			if (err != nil) != (row.says != "") || err != nil && !strings.Contains(err.Error(), row.says) {
				t.Errorf("it says %v, want %q", err, row.says)
			}
			if slices.Contains(calls, "status") && !strings.Contains(words.String(), "said of status\nand more") {
				t.Errorf("what the service said is not shown: %q", words.String())
			}
		})
	}
}

// TestAPortIsNamedAsUdevFindsItAgain: by who the adapter is, where that tells it from every other; else by the socket it is in.
func TestAPortIsNamedAsUdevFindsItAgain(t *testing.T) {
	dir := t.TempDir()
	link := func(kind, name, port string) string {
		path := filepath.Join(dir, "serial", kind, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.Symlink(filepath.Join(dir, port), path)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	usb := func(n int, vid, number string) *enumerator.PortDetails {
		name := filepath.Join(dir, fmt.Sprint("ttyUSB", n))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return &enumerator.PortDetails{Name: name, IsUSB: true, VID: vid, PID: "1", SerialNumber: number}
	}
	all := []*enumerator.PortDetails{
		usb(0, "ftdi", "A5"), usb(1, "ftdi", "A6"), // each with a number of its own
		usb(2, "ch340", ""), usb(3, "ch340", ""), // alike: by-id names the one that was plugged in last
		usb(4, "pl2303", ""), // the only one of its kind
		usb(5, "none", ""),   // udev knows nothing of it
		{Name: "/dev/ttyS1"},
	}
	want := []string{
		link("by-id", "usb-ftdi_A5-port0", "ttyUSB0"), link("by-id", "usb-ftdi_A6-port0", "ttyUSB1"),
		link("by-path", "pci-0-usb-1", "ttyUSB2"), link("by-path", "pci-0-usb-2", "ttyUSB3"),
		link("by-id", "usb-pl2303-port0", "ttyUSB4"), filepath.Join(dir, "ttyUSB5"), "/dev/ttyS1",
	}
	link("by-id", "usb-ch340-port0", "ttyUSB3")
	link("by-path", "pci-0-usb-3", "ttyUSB0")
	for i, p := range all {
		if got := lasting(p, all, filepath.Join(dir, "serial")); got != want[i] {
			t.Errorf("%s is called %s, want %s", p.Name, got, want[i])
		}
	}
}
