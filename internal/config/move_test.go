package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAUnitMovesAndKeepsWhatElseIsWrittenOfIt: another port, another kind of line, another slave address; thresholds and comments stay.
func TestAUnitMovesAndKeepsWhatElseIsWrittenOfIt(t *testing.T) {
	serial := Unit{Name: "b", Serial: &Serial{"/dev/serial/by-id/x", 9600, "none"}, UnitID: 1}
	slow := Unit{Name: "b", Serial: &Serial{"/dev/ttyS1", 19200, "even"}, UnitID: 7}
	network := Unit{Name: "b", TCP: &TCP{"192.0.2.9:502", true}, UnitID: 1}
	const first = "units:\n  # by the door\n  - {name: a, serial: {device: /dev/ttyUSB9}}\n\n"
	for name, row := range map[string]struct {
		before string
		to     Unit
		after  string
	}{
		"another port": {
			first + "  - name: b # red\n    serial: {device: /dev/ttyUSB0} # left\n    unit_id: 1\n    thresholds: {load: 70}\n", serial,
			first + "  - name: b # red\n    serial: {device: /dev/serial/by-id/x} # left\n    unit_id: 1\n    thresholds: {load: 70}\n",
		},
		"to the network": {
			first + "  - name: b\n    serial:\n      device: /dev/ttyUSB0\n      baud: 9600\n    poll: {live: 5s}\nlog: {}\n", network,
			first + "  - name: b\n    tcp: {address: '192.0.2.9:502', via: card}\n    poll: {live: 5s}\nlog: {}\n",
		},
		"the place first, another slave": {
			first + "  - tcp: {address: 192.0.2.1}\n    name: b\n    unit_id: 3 # of the menu\n", slow,
			first + "  - serial: {device: /dev/ttyS1, baud: 19200, parity: even}\n    name: b\n    unit_id: 7 # of the menu\n",
		},
		"in one line": {
			"# top\nunits:\n  - {name: b, serial: {device: /dev/ttyUSB0}, thresholds: {load: 70}} # one\n", slow,
			"# top\nunits:\n  - {name: b, serial: {device: /dev/ttyS1, baud: 19200, parity: even}, thresholds: {load: 70}, unit_id: 7} # one\n",
		},
		"where it is": {first + "  - name: b\n    serial:  {device: /dev/serial/by-id/x}\n", serial, first + "  - name: b\n    serial:  {device: /dev/serial/by-id/x}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "agent.yaml")
			if err := os.WriteFile(path, []byte(row.before), 0o640); err != nil {
				t.Fatal(err)
			}
			changed, err := Apply(path, Change{Move: []Unit{row.to}})
			if err != nil || changed != (row.before != row.after) {
				t.Fatalf("%v, %v", changed, err)
			}
			got, err := os.ReadFile(path)
			if d := cmp.Diff(row.after, string(got)); d != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte(first), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, to := range []Unit{serial, {Name: "a", Serial: &Serial{"/dev/ttyS1", 9600, "none"}, UnitID: 250}} {
		if _, err := Apply(path, Change{Move: []Unit{to}}); err == nil {
			t.Errorf("%+v was moved", to)
		}
	}
}
