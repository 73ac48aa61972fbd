package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"

	"upsedge/internal/config"
	"upsedge/internal/testenv"
	"upsedge/internal/ups/upssim"
)

// A terminal is somebody in front of the built program, 80 columns wide.
type terminal struct {
	t     *testing.T
	pty   *os.File
	cmd   *exec.Cmd
	shown notes
	seen  int // of what is shown, behind the last thing waited for
	gone  chan struct{}
}

// sit starts the program at a terminal in the directory of the configuration.
func (p *place) sit(t *testing.T, term string, args ...string) *terminal {
	t.Helper()
	c := &terminal{t: t, gone: make(chan struct{})}
	c.cmd = exec.CommandContext(t.Context(), testenv.Build(t, "./cmd/agent"), append([]string{"--config", filepath.Base(p.file)}, args...)...)
	c.cmd.Dir, c.cmd.Env = p.dir, append(os.Environ(), hasty, "TERM="+term)
	var err error
	if c.pty, err = pty.StartWithSize(c.cmd, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.Copy(&c.shown, c.pty) // ends with an error when the program has ended
		close(c.gone)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // fails when it is gone
		_ = c.cmd.Wait()
		<-c.gone
		c.pty.Close()
	})
	return c
}

// asked waits for words.
func (c *terminal) asked(words string) {
	c.t.Helper()
	until(c.t, fmt.Sprintf("it says %q", words), func() bool {
		i := strings.Index(c.text()[c.seen:], words)
		if i >= 0 {
			c.seen += i + len(words)
		}
		return i >= 0
	}, c.text)
}

// says waits for words and answers.
func (c *terminal) says(words, answer string) {
	c.t.Helper()
	c.asked(words)
	if _, err := c.pty.WriteString(answer); err != nil {
		c.t.Fatal(err)
	}
}

func (c *terminal) text() string { return strings.ReplaceAll(c.shown.String(), "\r\n", "\n") }

// end waits for the end of the program and returns its exit code.
func (c *terminal) end() int {
	<-c.gone
	_ = c.cmd.Wait() // its code is in its state
	return c.cmd.ProcessState.ExitCode()
}

const commentsAlone = "# The agent's configuration.\n# sudo upsagent setup\n"

// TestSetupAsksWhatOnlyAPersonKnows: five questions on a fresh box, one where everything is configured; nothing but lines from top to bottom on a
// terminal that can do no more.
func TestSetupAsksWhatOnlyAPersonKnows(t *testing.T) {
	t.Parallel()
	p := newPlace(t, commentsAlone)
	before, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	tty := filepath.Join(p.dir, "ttyUPS")
	plug(t, tty, one(still()))
	c := p.sit(t, "dumb", "setup", "--serial", "ttyUPS")
	c.asked("1. Smart-UPS 1500, SMT1500RM2UC, serial number AS2130000001, firmware UPS 04.1\n   on " + tty + "\n   online")
	c.says("Enter = go on with this one, r = look again:", "nonsense/33\n")
	c.says("it is not a network like 192.0.2.0/24\nEnter = go on", "y\n") // no name of a host
	c.says("[rack-a]:", "Cellar\n")
	c.says("\"Cellar\" is not 1 to 63 characters", "cellar\n")
	c.says("[none]:", "https://c\n")
	c.says("Token [none]:", "\n")
	c.asked("Without a token not now. Later: sudo upsagent enroll")
	c.says("y = yes, n = no, ? = I do not know:", "\n")
	c.says("please say y, n or ?", "y\n")
	c.asked("sog0: switched outlet group 1")
	c.says("Group:", "sog0\n")
	c.asked("unit cellar on " + tty + "\n  this box is fed by cellar, outlet group sog0\n")
	c.says("Enter = yes, n = no:", "\n")
	c.asked("Written: agent.yaml")
	if code := c.end(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, c.text())
	}
	plain(t, c.text())
	wrote, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(before) + "units:\n  - name: cellar\n    serial: {device: " + tty + "}\n    unit_id: 1\norders:\n  fed_by: {unit: cellar, group: sog0}\n"
	if string(wrote) != want {
		t.Errorf("it wrote\n%s\nwant\n%s", wrote, want)
	}

	// The agent runs and has the port: it is asked itself.
	agent := p.start()
	agent.showing(`ups_up{ups="cellar"}`, "1")
	for _, term := range []string{"dumb", "xterm"} {
		c = p.sit(t, term, "setup", "--serial", "ttyUPS")
		c.asked("Configured already:\n  unit cellar on")
		c.asked("configured already: cellar")
		c.says("Enter = go on with these, r = look again:", "\n")
		c.says("[none]:", "\n")
		c.asked("Live values. Enter goes on:")
		c.says("cellar  online", "\n")
		c.asked("Checked:")
		if code := c.end(); code != 0 || strings.Contains(c.text(), "plugged into") || strings.Contains(c.text(), "Its name") || !strings.Contains(c.text(), "unchanged") {
			t.Errorf("again: exit code %d:\n%s", code, c.text())
		}
		if term == "dumb" {
			plain(t, c.text())
		}
		if now, _ := os.ReadFile(p.file); string(now) != string(wrote) {
			t.Errorf("it changed the file:\n%s", now)
		}
	}
}

// plain checks that a text has lines of a terminal's width, and no sequence that moves the cursor.
func plain(t *testing.T, text string) {
	t.Helper()
	if strings.ContainsAny(text, "\033\r\b") {
		t.Errorf("it moves the cursor:\n%q", text)
	}
	for line := range strings.Lines(text) {
		line, answer, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if len(answer) < 10 { // somebody typed it
			answer = ""
		}
		if utf8.RuneCountInString(line+answer) > helpWidth && !strings.Contains(line+answer, "/T") { // the path of a test
			t.Errorf("wider than %d: %q", helpWidth, line+answer)
		}
	}
}

// TestSetupThatIsStoppedWritesNothing: Ctrl-C, or the end of the input, at any question.
func TestSetupThatIsStoppedWritesNothing(t *testing.T) {
	t.Parallel()
	addr := listen(t, one(upssim.New(upssim.Options{Seed: 1})))
	questions := []struct{ words, answer string }{
		{"r = look again:", "\n"},
		{"[ups-1]:", "\n"},
		{"[none]:", "\n"},
		{"I do not know:", "?\n"},
		{"Enter = yes, n = no:", "n\n"},
	}
	for n := range questions {
		t.Run(fmt.Sprint("question", n+1), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, commentsAlone)
			before, _ := os.ReadFile(p.file)
			c := p.sit(t, "xterm", "setup", "--tcp", addr)
			for _, q := range questions[:n] {
				c.says(q.words, q.answer)
			}
			c.says(questions[n].words, []string{"\x03", "\x04"}[n%2])
			c.asked("stopped: nothing was written. Run it again")
			if code := c.end(); code != 1 {
				t.Errorf("exit code %d", code)
			}
			if now, _ := os.ReadFile(p.file); string(now) != string(before) {
				t.Errorf("it wrote\n%s", now)
			}
		})
	}
}

// TestSetupOffersToTryAgain: what fails on the way is said and asked about, and what was done stays done.
func TestSetupOffersToTryAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t, commentsAlone)
	addr := listen(t, one(upssim.New(upssim.Options{Seed: 1})))
	m := &fakeManager{p: p}
	fails := 1
	service := m.manager()
	service.do = func(ctx context.Context, args ...string) (string, error) {
		if args[0] == "restart" && fails > 0 {
			fails--
			return "Job failed.", errors.New("exit status 1")
		}
		if args[0] == "status" {
			return "the last words of the service", nil
		}
		return m.do(ctx, args...)
	}
	closed := "https://" + free(t)
	answers := []string{"", "rack-a", closed, madeUpToken, "reboot", "y", "main", "", "", "s", "", ""}
	var words bytes.Buffer
	s := &setup{
		setupCmd: &setupCmd{Find: probeCmd{TCP: []string{addr}, UnitID: []string{"1"}, Baud: 9600, Parity: "none"}, step: func(string) {}, service: service},
		cli:      &common{Config: p.file}, std: stdio{nil, &words, &words}, words: &words, began: time.Now(),
		ask: newDialog(strings.NewReader(strings.Join(answers, "\n")+"\n"), &words),
	}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if err := s.byQuestions(t.Context()); err != nil {
		t.Errorf("%v\n%s", err, words.String())
	}
	rest := words.String()
	for _, want := range []string{
		"not enrolled with " + closed, "s = go on without the cloud", "not enrolled with " + closed, "Later: sudo upsagent setup",
		"the last words of the service", "systemctl restart upsagent.service: exit status 1: Job failed.", "Enter = try again", "The service is started",
		"rack-a  online", "units          rack-a",
	} {
		_, behind, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("it does not say %q behind the words before:\n%s", want, words.String())
		}
		rest = behind
	}
	if cfg, err := config.Load(p.file); err != nil || cfg.Uplink != nil || m.starts != 1 || !slices.Equal(cfg.Orders.Allow, []string{"reboot"}) || cfg.Orders.FedBy.Unit != "rack-a" {
		t.Errorf("%v: %+v, %d starts", err, cfg, m.starts)
	}
}

// TestSetupNamesManyUnitsAtOnce: a room of them is one question, and each can still be named.
func TestSetupNamesManyUnitsAtOnce(t *testing.T) {
	t.Parallel()
	room := map[uint8]*upssim.Unit{}
	for n := range uint8(manyUnits) {
		room[n+1] = upssim.New(upssim.Options{Seed: 1, Serial: fmt.Sprint("AS213000000", n)})
	}
	addr := listen(t, room)
	for answers, want := range map[string]string{
		"\n\n\nn\n\n": "ups-1 ups-2 ups-3 ups-4", "\nn\na\nups-1\na\nc\n-\n\nn\n\n": "a ups-1 c",
	} {
		p := newPlace(t, commentsAlone)
		var words bytes.Buffer
		s := &setup{
			setupCmd: &setupCmd{Find: probeCmd{TCP: []string{addr}, UnitID: []string{"1-4"}, Baud: 9600, Parity: "none"}, NoStart: true, step: func(string) {}},
			cli:      &common{Config: p.file}, std: stdio{nil, &words, &words}, words: &words, began: time.Now(), ask: newDialog(strings.NewReader(answers), &words),
		}
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		if err := s.byQuestions(t.Context()); err != nil || strings.Join(s.names(), " ") != want {
			t.Errorf("%q: %v, units %v, want %s\n%s", answers, err, s.names(), want, words.String())
		}
	}
}

// TestSetupFindsAUnitAgainAtAnotherPort: its adapter has another name than the configuration says. An agent that has read it knows it by its serial
// number; else somebody says who it is, by its name.
func TestSetupFindsAUnitAgainAtAnotherPort(t *testing.T) {
	t.Parallel()
	addr := listen(t, one(upssim.New(upssim.Options{Seed: 1})))
	configured := func(p *place) string {
		cfg, err := config.Load(p.file)
		if err != nil || len(cfg.Units) != 1 || cfg.Units[0].Name != "rack-a" || cfg.Units[0].Thresholds.Load != 70 {
			t.Fatalf("%v: %+v", err, cfg)
		}
		return placeName(cfg.Units[0])
	}
	gone := func() *place {
		return newPlace(t, "units:\n  - {name: rack-a, serial: {device: /dev/no-such-port}, thresholds: {load: 70}}\n")
	}
	for name, answers := range map[string]string{"its name is said": "\nrack-a\n\nn\n\n", "a new one": "\n\n\nn\n\n"} {
		p := gone()
		var words bytes.Buffer
		s := &setup{
			setupCmd: &setupCmd{Find: probeCmd{TCP: []string{addr}, UnitID: []string{"1"}, Baud: 9600, Parity: "none"}, NoStart: true, step: func(string) {}},
			cli:      &common{Config: p.file}, std: stdio{nil, &words, &words}, words: &words, began: time.Now(), ask: newDialog(strings.NewReader(answers), &words),
		}
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		if err := s.byQuestions(t.Context()); err != nil {
			t.Errorf("%s: %v\n%s", name, err, words.String())
		}
		if name == "a new one" {
			if got := strings.Join(s.names(), " "); got != "rack-a ups-1" {
				t.Errorf("units %s", got)
			}
		} else if at := configured(p); at != addr || !strings.Contains(words.String(), "unit rack-a, which is on "+addr+" now") {
			t.Errorf("%s: it is on %s\n%s", name, at, words.String())
		}
	}
	p := gone()
	for again := range 2 {
		out, words, code := p.upsagent("setup", "--yes", "--tcp", addr, "--name", "rack-a", "--json")
		if code != 0 || configured(p) != addr || strings.Contains(out, `"changed": true`) != (again == 0) {
			t.Errorf("by flags, %d: exit code %d\n%s%s", again, code, out, words)
		}
	}

	// The agent has read it at its port, which is gone then: here its address.
	p = gone()
	unit := upssim.New(upssim.Options{Seed: 1})
	unplugged := func() string {
		first := plug(t, filepath.Join(p.dir, "ttyUPS"), one(unit))
		p.replace("/dev/no-such-port", filepath.Join(p.dir, "ttyUPS"))
		agent := p.start()
		agent.showing(`ups_up{ups="rack-a"}`, "1")
		first.unplug()
		until(t, "word of the unit that is gone", func() bool { // by how many reads had failed when the port could not be opened again
			said := agent.log.String()
			return strings.Contains(said, "unit does not answer") || strings.Contains(said, "unit lost")
		}, nil)
		return listen(t, one(unit))
	}
	addr = unplugged()
	c := p.sit(t, "dumb", "setup", "--tcp", addr)
	c.asked("the same unit as on")
	c.says("r = look again:", "\n")
	c.says("Enter = change the configuration to that, n = leave it:", "\n")
	c.says("[none]:", "\n")
	c.says("I do not know:", "n\n")
	c.says("Enter = yes, n = no:", "\n")
	c.asked("Live values. Enter goes on:")
	c.says("rack-a  online", "\n")
	if code := c.end(); code != 0 || configured(p) != addr {
		t.Errorf("exit code %d, it is on %s:\n%s", code, configured(p), c.text())
	}
}

// madeUpToken is whole, and of no cloud.
const madeUpToken = "upsenrol-04106-00000-00000-00000-00000-2be6"
