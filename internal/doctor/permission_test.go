package doctor

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give files to others")
	}
	r := box(t, systemd)
	service, _ := r.Service(r.Unit())
	for name, c := range map[string]struct {
		spoil func(config, state string)
		level Level
		has   []string
	}{
		"well":                        {func(string, string) {}, OK, []string{"user upsagent can read"}},
		"a secret configuration":      {func(c, _ string) { _ = os.Chmod(c, 0o600) }, Problem, []string{"may not read it", "sudo chgrp upsagent"}},
		"anybody's configuration":     {func(c, _ string) { _ = os.Chmod(c, 0o666) }, Problem, []string{"others than root can change it", "chmod go-w"}},
		"a group's configuration":     {func(c, _ string) { _, _ = os.Chmod(c, 0o664), os.Chown(c, 0, 20) }, Problem, []string{"others than root"}},
		"no state directory":          {func(_, s string) { _ = os.RemoveAll(s) }, Problem, []string{"sudo install -d -m 0700 -o upsagent"}},
		"root's state directory":      {func(_, s string) { _ = os.Chown(s, 0, 0) }, Problem, []string{"may not write there", "sudo chown -R upsagent:"}},
		"a file that root made":       {func(_, s string) { _ = os.WriteFile(filepath.Join(s, "store.db"), nil, 0o600) }, Problem, []string{"store.db", "once run as somebody else", "sudo chown -R upsagent:"}},
		"a file system of its own":    {func(_, s string) { _ = os.Mkdir(filepath.Join(s, "lost+found"), 0o700) }, OK, []string{"user upsagent can read"}},
		"an open state directory":     {func(_, s string) { _ = os.Chmod(s, 0o755) }, Note, []string{"chmod 0700"}},
		"a file for a directory":      {func(_, s string) { _, _ = os.RemoveAll(s), os.WriteFile(s, nil, 0o600) }, Problem, []string{"is a file"}},
		"a closed directory above it": {func(_, s string) { _ = os.Chmod(filepath.Dir(s), 0o700) }, Problem, []string{"chmod a+x"}},
	} {
		dir := t.TempDir() // its parents let everybody through only by these modes
		for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
			_ = os.Chmod(d, 0o755)
		}
		config, state := filepath.Join(dir, "agent.yaml"), filepath.Join(dir, "lib", "state")
		if err := os.Mkdir(filepath.Dir(state), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(state, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(state, int(service.UID), int(service.Groups[0])); err != nil {
			t.Fatal(err)
		}
		c.spoil(config, state)
		is(t, name, r.LookAtFiles(config, state, service), c.level, c.has...)
	}
}

func TestTheSocket(t *testing.T) {
	if found := LookAtSocket("/run/x", Agent{PID: 1}); len(found) != 0 {
		t.Errorf("well: %s", words(found))
	}
	is(t, "none", LookAtSocket("", Agent{}), Note, "local.socket is empty")
	is(t, "not for us", LookAtSocket("/run/x", Agent{Silent: true}), Note, "sudo upsagent doctor")
}
