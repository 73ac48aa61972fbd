package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/config"
	"upsedge/internal/ups/upssim"
)

// A fakeManager is what systemctl does to upsagent.service, with the built agent as the service.
type fakeManager struct {
	p       *place
	agent   *process
	enabled bool
	starts  int
}

func (m *fakeManager) manager() serviceManager {
	return serviceManager{config: m.p.file, there: func() bool { return true }, do: m.do}
}

func (m *fakeManager) do(_ context.Context, args ...string) (string, error) {
	no := errors.New("exit status 1")
	switch args[0] {
	case "is-active":
		if m.agent == nil {
			return "", no
		}
	case "is-enabled":
		if !m.enabled {
			return "", no
		}
	case "enable":
		m.enabled = true
	case "restart":
		if m.agent != nil {
			m.agent.stop()
		}
		m.agent = m.p.start()
		m.starts++
	case "reload":
		m.agent.signal(1)
	default:
		return "", errors.New("unknown verb " + args[0])
	}
	return "", nil
}

// killed is what a step panics with where the run is to end.
type killed struct{ at string }

// runSetup runs c until the step called last, and reports whether it came to that step.
func runSetup(t *testing.T, c *setupCmd, p *place, last string) (steps []string, err error) {
	t.Helper()
	var out bytes.Buffer
	defer func() {
		if r := recover(); r != nil {
			if _, ours := r.(killed); !ours {
				panic(r)
			}
		}
		if err != nil {
			t.Log(out.String())
		}
	}()
	c.step = func(name string) {
		steps = append(steps, name)
		if name == last {
			panic(killed{name})
		}
	}
	return steps, c.Run(t.Context(), &common{Config: p.file}, stdio{strings.NewReader(""), &out, &out})
}

// setupSteps are all steps of an undisturbed run, in their order.
var setupSteps = []string{
	"find", "write", "written", "enrol", "key", "ask", "directory", "url", "authorities", "certificate", "root", "configuration", "tidy",
	"service", "enable", "restart", "await", "examine",
}

// TestSetupIsKilledAtEachStepAndGoesOn: whatever the step before which it dies, the configuration is the old one or a whole new one, and the
// same command again comes to where an undisturbed one comes: the same file, one agent in the cloud, one start of the service.
func TestSetupIsKilledAtEachStepAndGoesOn(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	undisturbed := setUp(t, c, "")
	if !strings.Contains(undisturbed, "# of the cellar\n\n") || !strings.Contains(undisturbed, "allow: [diagnostics]") {
		t.Errorf("it wrote\n%s", undisturbed)
	}
	t.Run("before", func(t *testing.T) {
		for _, step := range setupSteps {
			t.Run(step, func(t *testing.T) {
				t.Parallel()
				if d := cmp.Diff(undisturbed, setUp(t, c, step)); d != "" {
					t.Errorf("(-undisturbed +it):\n%s", d)
				}
			})
		}
	})
	if n := c.count("SELECT COUNT(*) FROM enrolled_agents"); n != 1+len(setupSteps) {
		t.Errorf("%d agents of %d boxes", n, 1+len(setupSteps))
	}
}

// setUp sets a box up, killed before a step and run again, and returns its configuration without what differs between boxes.
func setUp(t *testing.T, c *cloudHere, kill string) string {
	p := newPlace(t, "# of the cellar\n\n")
	m := &fakeManager{p: p}
	token := c.token()
	addr := listen(t, one(upssim.New(upssim.Options{Seed: 1})))
	once := func(last string) []string {
		steps, err := runSetup(t, &setupCmd{
			Find: probeCmd{TCP: []string{addr}, UnitID: []string{"1"}, Baud: 9600, Parity: "none"}, Names: []string{"rack-a"},
			Cloud: c.url, Token: token, Allow: "diagnostics", FedBy: "rack-a:main", Yes: true, service: m.manager(),
		}, p, last)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(p.file); err != nil {
			t.Fatal(err)
		}
		return steps
	}
	steps := once(kill)
	if kill == "" && !slices.Equal(steps, setupSteps) {
		t.Errorf("the steps are %v, want %v", steps, setupSteps)
	} else if kill != "" {
		once("")
	}
	m.agent.showing("upsagent_mqtt_connected", "1")
	if m.starts != 1 || !m.enabled {
		t.Errorf("%d starts, enabled: %v", m.starts, m.enabled)
	}
	m.agent.kill()
	for _, left := range []string{".agent-*", "state/cloud/new.pem", "state/cloud/.new-*"} {
		if files, _ := filepath.Glob(filepath.Join(p.dir, left)); len(files) > 0 {
			t.Errorf("left behind: %v", files)
		}
	}
	return anonymous(t, p, addr)
}

// anonymous is a configuration without what differs between two boxes.
func anonymous(t *testing.T, p *place, addr string) string {
	t.Helper()
	text, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(p.file, text)
	if err != nil || cfg.Uplink == nil {
		t.Fatalf("no uplink: %v\n%s", err, text)
	}
	agent := filepath.Base(filepath.Dir(cfg.Uplink.CertFile))
	return strings.NewReplacer(agent, "AGENT", p.dir, "DIR", addr, "ADDRESS").Replace(string(text))
}
