package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/config"
	"upsedge/internal/testenv"
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
		if c.Token != "" && strings.Contains(out.String(), c.Token) {
			t.Error("the token is in what it says (T-61)")
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

// TestSoakSetupIsKilledAnywhere kills the built program with kill -9 at some instant, again and again on each of some boxes, until one run is let
// be. What a kill left is counted.
func TestSoakSetupIsKilledAnywhere(t *testing.T) {
	t.Parallel()
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("a soak test: make soak runs it")
	}
	const boxes = 40
	kills := 0
	c := newCloud(t)
	addr := listen(t, one(upssim.New(upssim.Options{Seed: 1})))
	random := rand.New(rand.NewPCG(7, 7))
	left := map[string]int{}
	run := func(p *place, token string, within time.Duration) (code int) {
		cmd := exec.CommandContext(t.Context(), testenv.Build(t, "./cmd/agent"), "--config", p.file, "setup", "--yes", "--tcp", addr,
			"--name", "rack-a", "--allow", "diagnostics", "--fed-by", "rack-a:main", "--cloud", c.url, "--token", token)
		cmd.Env = append(os.Environ(), hasty)
		out, _ := os.Create(filepath.Join(p.dir, "words"))
		defer out.Close()
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(within, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		_ = cmd.Wait() // its code is in its state
		return cmd.ProcessState.ExitCode()
	}
	for range boxes {
		p := newPlace(t, "# of the cellar\n\n")
		token := c.token()
		for enrolled := false; !enrolled; kills++ { // from there on nothing is written
			if run(p, token, time.Duration(random.IntN(150))*time.Millisecond) == 0 {
				break
			}
			cfg, err := config.Load(p.file)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case cfg.Uplink != nil:
				left["a whole enrolment"]++
				enrolled = true
			case exists(filepath.Join(p.dir, "state", "cloud", "new.pem")):
				left["the units, and a key that the next run goes on with"]++
			case len(cfg.Units) > 0:
				left["the units"]++
			default:
				left["the file from before"]++
			}
		}
		if run(p, token, patience) != 0 {
			words, _ := os.ReadFile(filepath.Join(p.dir, "words"))
			t.Fatalf("the run that was let be: %s", words)
		}
		cfg, err := config.Load(p.file)
		if err != nil || len(cfg.Units) != 1 || cfg.Uplink == nil || cfg.Orders.FedBy.Unit != "rack-a" || len(cfg.Orders.Allow) != 1 {
			t.Errorf("%v: %+v", err, cfg)
		}
		for _, lies := range []string{".agent-*", "state/cloud/new.pem", "state/cloud/g_*"} {
			if files, _ := filepath.Glob(filepath.Join(p.dir, lies)); len(files) > 0 && (lies != "state/cloud/g_*" || len(files) > 1) {
				t.Errorf("left behind: %v", files)
			}
		}
	}
	if n := c.count("SELECT COUNT(*) FROM enrolled_agents"); n != boxes {
		t.Errorf("%d agents of %d boxes", n, boxes)
	}
	t.Logf("%d kills left: %v", kills, left)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
