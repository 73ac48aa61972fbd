package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
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
