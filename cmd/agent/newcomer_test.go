package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"upsedge/internal/clock"
	"upsedge/internal/testenv"
)

// newcomersPage has what the programs print where a newcomer goes wrong. UPSEDGE_UPDATE=1 writes it anew.
const newcomersPage = "../../docs/newcomers.md"

// A newcomer goes wrong in one way, and asks one command after the other.
type newcomer struct {
	*place
	tty    string // the port, below the directory
	shown  strings.Builder
	names  []string // what is written on the page in the place of what this test has: pairs
	as     *syscall.Credential
	binary string
	clock  func() (*clock.Clock, error) // not nil: commands run in this process, with that clock
}

func newNewcomer(t *testing.T, text string) *newcomer {
	t.Helper()
	n := &newcomer{place: newPlace(t, ""), binary: testenv.Build(t, "./cmd/agent")}
	n.tty = filepath.Join(n.dir, "ttyUSB0")
	n.write(strings.ReplaceAll(text, "TTY", n.tty))
	return n
}

// TestSevenWaysToGoWrong: each really happens, and what every command says of it stands in docs/newcomers.md, word for word.
func TestSevenWaysToGoWrong(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		title string
		goes  func(t *testing.T) string
	}{
		{"The wrong device", wrongDevice},
		{"No permission", noPermission},
		{"Modbus is off", modbusOff},
		{"The wrong token", wrongToken},
		{"The broker cannot be reached", brokerUnreachable},
		{"The clock says 1970", clockAt1970},
		{"Two programs on one port", twoPrograms},
	} {
		t.Run(way.title, func(t *testing.T) {
			t.Parallel()
			holdPage(t, way.title, way.goes(t))
		})
	}
}

var pageTurn sync.Mutex

// holdPage holds the section of the page against what was printed, or writes it.
func holdPage(t *testing.T, title, printed string) {
	t.Helper()
	pageTurn.Lock()
	defer pageTurn.Unlock()
	page, err := os.ReadFile(newcomersPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), "\n## "+title+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", newcomersPage, title)
	}
	head, rest, _ := strings.Cut(rest, "```console\n")
	is, after, _ := strings.Cut(rest, "```\n")
	switch {
	case is == printed:
	case os.Getenv("UPSEDGE_UPDATE") != "":
		text := before + "\n## " + title + "\n" + head + "```console\n" + printed + "```\n" + after
		if err := os.WriteFile(newcomersPage, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("docs/newcomers.md says\n%s\nprinted was\n%s", is, printed)
	}
}

// says runs a command, which has to end with that code, and puts what it prints on the page.
func (n *newcomer) says(code int, args ...string) string {
	n.t.Helper()
	out, got := n.command("", args...)
	n.show(args, out)
	if got != code {
		n.t.Errorf("upsagent %s: exit code %d, want %d:\n%s", strings.Join(args, " "), got, code, out)
	}
	return out
}

// fed is says with something at standard input.
func (n *newcomer) fed(code int, in string, args ...string) {
	n.t.Helper()
	out, got := n.command(in, args...)
	n.show(args, out)
	if got != code {
		n.t.Errorf("upsagent %s: exit code %d, want %d:\n%s", strings.Join(args, " "), got, code, out)
	}
}

// examined puts the problems that the doctor finds on the page, or notes of the clock: of the checks that the box of this test cannot change.
func (n *newcomer) examined(level string, codes ...int) {
	n.t.Helper()
	out, got := n.command("", "doctor")
	if !slices.Contains(codes, got) {
		n.t.Errorf("doctor: exit code %d, want one of %d:\n%s", got, codes, out)
	}
	var kept []string
	keep := false
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 1 && !strings.HasPrefix(line, " ") {
			about := slices.Contains([]string{"configuration", "permission", "port", "master", "unit", "certificate", "broker", "cloud", "clock"}, strings.TrimSuffix(f[1], ":"))
			keep = about && f[0] == level
		}
		if keep {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		n.t.Errorf("the doctor has nothing against it:\n%s", out)
	}
	n.show([]string{"doctor"}, strings.Join(append(kept, "…\n"), ""))
}

// logs puts lines of the agent's log on the page that have some words.
func (n *newcomer) logs(d *process, has string) {
	n.t.Helper()
	d.await(has)
	for line := range strings.Lines(d.log.String()) {
		if _, text, ok := strings.Cut(line, " "); ok && strings.Contains(line, has) {
			n.show([]string{"run"}, "… "+text)
			return
		}
	}
}

// show puts a command and what it printed on the page.
func (n *newcomer) show(args []string, out string) {
	prompt := "# "
	if n.as != nil {
		prompt = "$ "
	}
	text := prompt + "upsagent " + strings.Join(args, " ") + "\n" + strings.TrimRight(out, "\n") + "\n"
	if n.shown.Len() > 0 {
		text = "\n" + text
	}
	pairs := append(n.names,
		n.tty, "/dev/ttyUSB0", n.file, "/etc/upsagent/agent.yaml", n.dir+"/agent.sock", "/run/upsagent/agent.sock", n.dir+"/state", "/var/lib/upsagent", n.dir, "/tmp")
	n.shown.WriteString(leaveOut(strings.NewReplacer(pairs...).Replace(text)))
}

// varying is what differs from run to run, and what stands for it on the page.
var varying = []struct {
	is   *regexp.Regexp
	says string
}{
	{regexp.MustCompile(`/dev/pts/\d+`), "/dev/ttyUSB0"},
	{regexp.MustCompile(`(took|after) [\d.]+m?s`), "$1 1s"},
	{regexp.MustCompile(`\(begins [0-9a-f ]+\)`), "(begins 0d 0a 6c …)"},
	{regexp.MustCompile(`(process|kill) \d+`), "$1 4711"},
	{regexp.MustCompile(`agent [0-9a-f]{32}`), "agent d53e79d761e68daf922c1676b095aba7"},
	{regexp.MustCompile(`\bg_[0-9A-Za-z]+`), "g_5Xk2mWqZ"},
	{regexp.MustCompile(`\b20[23]\d-\d\d-\d\d`), "2026-11-23"},
	{regexp.MustCompile(`\d\d:\d\d:\d\d(\.\d+)?`), "09:00:00"},
	{regexp.MustCompile(`at most [\d.]+m?s off`), "at most 20ms off"},
	{regexp.MustCompile(`(?m)^where +`), "where         "},
	{regexp.MustCompile(`there are /dev/\S.*asks them all\)`), "no adapter is plugged in that this box knows (sudo dmesg | tail, lsusb)"},
	{regexp.MustCompile(`[\d.]+ s ago`), "0.4 s ago"},
	{regexp.MustCompile(`\d+ (event|sample)s?\b`), "2 ${1}s"},
	{regexp.MustCompile(`(user|dialout) nobody`), "$1 upsagent"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+->`), "192.0.2.7:40000->"},
}

func leaveOut(s string) string {
	for _, v := range varying {
		s = v.is.ReplaceAllString(s, v.says)
	}
	return s
}

// command runs a command to its end and returns what it prints, both streams.
func (n *newcomer) command(in string, args ...string) (out string, code int) {
	n.t.Helper()
	if n.clock != nil {
		return n.inside(args...)
	}
	cmd := exec.CommandContext(n.t.Context(), n.binary, append([]string{"--config", n.file}, args...)...)
	cmd.Env = []string{hasty, "PATH=" + os.Getenv("PATH"), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}
	cmd.Dir, cmd.Stdin = n.dir, strings.NewReader(in)
	if n.as != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: n.as}
	}
	b, err := cmd.CombinedOutput()
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		n.t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// inside runs a command in this process, whose clock it has.
func (n *newcomer) inside(args ...string) (string, int) {
	all := new(notes)
	l := newCommandLine(stdio{strings.NewReader(""), all, all})
	l.cli.clock = n.clock
	code := exitCode(l.run(n.t.Context(), append([]string{"--config", n.file}, args...)), all)
	return all.String(), code
}
