package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The added unit, as it is written.
const added = `- name: new
  tcp: {address: '192.0.2.30:502', via: card}
  unit_id: 2
`

func TestAppendedUnitsTouchNothingElse(t *testing.T) {
	unit := []Unit{{Name: "new", TCP: &TCP{"192.0.2.30:502", true}, UnitID: 2}}
	indented := indent(added, 2)
	for _, c := range []struct{ name, before, after string }{
		{
			"a list in the middle",
			"# site\n\nunits:\n\n  # by the door\n  - name: old   # red\n    serial:   {device: /dev/ttyUSB0}\n\n\n# the log\nlog: {level: debug}\n",
			"# site\n\nunits:\n\n  # by the door\n  - name: old   # red\n    serial:   {device: /dev/ttyUSB0}\n" + indented + "\n\n# the log\nlog: {level: debug}\n",
		},
		{
			"not indented, no end of the last line",
			"units:\n- name: old\n  serial: {device: /dev/ttyUSB0}",
			"units:\n- name: old\n  serial: {device: /dev/ttyUSB0}\n" + added,
		},
		{
			"on several lines",
			"units:\n    - {name: old,\n       serial: {device: /dev/ttyUSB0\n       }\n      }\nlog: {level: debug}\n",
			"units:\n    - {name: old,\n       serial: {device: /dev/ttyUSB0\n       }\n      }\n" + indent(added, 4) + "log: {level: debug}\n",
		},
		{
			"from Windows",
			"units:\r\n  - name: old\r\n    serial: {device: /dev/ttyUSB0}\r\n\r\nlog: {level: debug}\r\n",
			"units:\r\n  - name: old\r\n    serial: {device: /dev/ttyUSB0}\r\n" + strings.ReplaceAll(indented, "\n", "\r\n") + "\r\nlog: {level: debug}\r\n",
		},
		{"empty", "log: {level: debug}\nunits: []   # none yet\n\nspool: {flush: 5s}\n", "log: {level: debug}\nunits: # none yet\n" + indented + "\nspool: {flush: 5s}\n"},
		{"nothing", "units:\nlog: {level: debug}\n", "units:\n" + indented + "log: {level: debug}\n"},
		{"no list", "# site\nlog: {level: debug}\n", "# site\nlog: {level: debug}\nunits:\n" + indented},
		{"only a comment", "# site", "# site\nunits:\n" + indented},
		{ // in one line: written anew, comments kept
			"a flow",
			"# site\n\nunits: [{name: old, serial: {device: /dev/ttyUSB0}}] # one\n",
			"# site\n\nunits:\n  # one\n  - {name: old, serial: {device: /dev/ttyUSB0}}\n" + indented,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "agent.yaml")
			if err := os.WriteFile(path, []byte(c.before), 0o640); err != nil {
				t.Fatal(err)
			}
			if err := AppendUnits(path, unit); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.after, string(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestAppendingKeepsOwnerAndMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte("units: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	owner := os.Getuid()
	if owner == 0 {
		owner = 12345
	}
	if err := os.Chown(path, owner, os.Getgid()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if err := AppendUnits(path, []Unit{{Name: "new", TCP: &TCP{"192.0.2.30:502", true}, UnitID: 2}}); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if uid := st.Sys().(*syscall.Stat_t).Uid; int(uid) != owner || st.Mode().Perm() != 0o604 {
		t.Errorf("owner %d, mode %v; want %d, 0604", uid, st.Mode(), owner)
	}
}
