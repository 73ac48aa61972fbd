package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"upsedge/internal/manual"
	"upsedge/internal/testenv"
)

// TestTheCommandsOfThePagesDoWhatTheySay runs the blocks of each page in their order, as an installer types them: on a site with a unit on a
// serial port and one on the network, with stand-ins for sudo, systemctl and journalctl. Of what is printed the lines that a page shows must be
// there, in their order.
func TestTheCommandsOfThePagesDoWhatTheySay(t *testing.T) {
	t.Parallel()
	const tree = "../.."
	for page := range manual.Documents(t, tree) {
		blocks := manual.Script(t, tree, page, "site")
		if len(blocks) == 0 {
			continue
		}
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			if page != "docs/install.md" { // which begins with an empty box
				b.must(t, "upsagent probe --serial /dev/ttyUSB0 --write; systemctl start upsagent")
			}
			b.run(t, blocks)
		})
	}
}

// A box is a machine of its own: its files are below a directory, its programs are the built ones.
type box struct {
	root  string
	says  []string          // what a page says, what it is here, and so on
	names *strings.Replacer // of says
	env   []string
}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{root: t.TempDir()}
	began := time.Now()
	s, err := newSite(filepath.Join(b.root, "units"), 1, func() time.Time { return began.Add(20 * time.Since(began)) }) // a test is over in a second
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g, ctx := errgroup.WithContext(ctx)
	s.serve(ctx, g)
	t.Cleanup(func() { cancel(); s.close(); _ = g.Wait() })
	ports := freePorts(t, 2)
	for _, dir := range []string{"bin", "etc/upsagent", "var/lib", "run/upsagent", "home"} {
		if err := os.MkdirAll(filepath.Join(b.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.says = []string{
		"/dev/ttyUSB0", s.pty.Path(), "192.0.2.20", s.ports[0].Addr().String(), "127.0.0.1:9811", "127.0.0.1:" + ports[0], "127.0.0.1:9812", "127.0.0.1:" + ports[1],
		"/etc/upsagent", b.root + "/etc/upsagent", "/var/lib/upsagent", b.root + "/var/lib/upsagent", "/run/upsagent", b.root + "/run/upsagent", "/root/", b.root + "/home/",
	}
	b.names = strings.NewReplacer(b.says...)
	b.write(t, "etc/upsagent/agent.yaml", fmt.Sprintf("# as installed, but for places\nstate_dir: %[1]s/var/lib/upsagent\nmetrics: {listen: \"127.0.0.1:%[2]s\"}\nlocal: {listen: \"127.0.0.1:%[3]s\", socket: %[1]s/run/upsagent/agent.sock}\n", b.root, ports[0], ports[1]))
	b.programs(t, testenv.Build(t, "./cmd/agent"))
	env := testenv.Command(t, "curl").Env
	if env == nil {
		env = os.Environ()
	}
	path := os.Getenv("PATH")
	for _, v := range env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			path = p
		}
	}
	b.env = append(env, "GORACE=atexit_sleep_ms=0", "PATH="+b.root+"/bin:"+path)
	t.Cleanup(func() { b.must(t, "systemctl stop upsagent") })
	return b
}

func (b *box) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.root, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// programs are the agent, which finds its configuration, and the stand-ins. Services that are left over end by themselves. The agent counts as
// started when it has read all of its unit once, and so knows what can be ordered of it: an installer does not type faster.
func (b *box) programs(t *testing.T, agent string) {
	t.Helper()
	b.write(t, "bin/upsagent", fmt.Sprintf("#!/bin/sh\nexec %s --config %s/etc/upsagent/agent.yaml \"$@\"\n", agent, b.root))
	b.write(t, "bin/sudo", "#!/bin/sh\n[ \"$1\" != -u ] || shift 2\nexec \"$@\"\n")
	b.write(t, "bin/journalctl", "#!/bin/sh\ncat "+b.root+"/journal\n")
	b.write(t, "bin/systemctl", strings.ReplaceAll(`#!/bin/bash -eu
cd @
[[ $1 != enable ]] || { [[ $2 == --now ]]; set -- start "$3"; }
ready_upsagent() { upsagent status >said 2>&1 && [[ $(upsagent read rack-a 2>/dev/null) == *test_interval* ]]; } # of the last tier that is read at first
ready_upscloud() { curl -fsS "http://$(<cloud-metrics)/readyz" >said 2>&1; }
case $1 in
start)
    verb=run; [[ $2 != upscloud ]] || verb=serve
    timeout 300 "@/bin/$2" $verb >>journal 2>&1 </dev/null & echo $! >"$2.pid"
    for i in {1..600}; do
        kill -0 "$(<"$2.pid")" || exit 1
        ! "ready_$2" || break
        sleep 0.1
    done; sleep 0.3 ;;
stop)
    [[ ! -e $2.pid ]] || { kill "$(<"$2.pid")" || true; while kill -0 "$(<"$2.pid")" 2>/dev/null; do sleep 0.05; done; rm "$2.pid"; } ;;
restart) "$0" stop "$2"; "$0" start "$2" ;;
reload) pkill -HUP -P "$(<"$2.pid")" ;;
is-enabled) echo enabled ;;
is-active) [[ -e $2.pid ]] && echo active ;;
*) echo "no stand-in for systemctl $*" >&2; exit 1 ;;
esac
`, "@", b.root))
}

func (b *box) command(t *testing.T, script string) *exec.Cmd {
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "bash", "-eu", "-c", b.names.Replace(script))
	cmd.Env, cmd.Dir, cmd.WaitDelay = b.env, filepath.Join(b.root, "home"), 10*time.Second
	return cmd
}

func (b *box) must(t *testing.T, script string) {
	t.Helper()
	if out, err := b.command(t, script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, out, b.journal())
	}
}

func (b *box) journal() string {
	text, _ := os.ReadFile(filepath.Join(b.root, "journal")) // none: it never ran
	return "\n--- journal:\n" + string(text)
}

// blockMark parts what the blocks of a page print.
const blockMark = "@@ block"

// run runs all blocks of a page in one shell, and compares.
func (b *box) run(t *testing.T, blocks []manual.Block) {
	var script strings.Builder
	for _, block := range blocks {
		script.WriteString("echo '" + blockMark + "'\n" + block.Commands())
	}
	out, err := b.command(t, script.String()).CombinedOutput()
	printed := strings.Split(string(out), blockMark+"\n")[1:]
	if err != nil {
		t.Fatalf("%v, in the block at %v\n%s%s", err, blocks[len(printed)-1], out, b.journal())
	}
	t.Logf("%d blocks:\n%s", len(blocks), out)
	for i, block := range blocks {
		if lost := block.Missing(b.names.Replace, printed[i]); block.Language == "console" && lost != "" {
			t.Errorf("%v: not printed behind what stands before it: %s\n%s", block, lost, printed[i])
		}
	}
}

// TestTheSimulatorsOfThePagesAnswer: each upssim that a page shows, until it says where it answers.
func TestTheSimulatorsOfThePagesAnswer(t *testing.T) {
	sim := testenv.Build(t, "./cmd/upssim")
	t.Parallel()
	first, dir := tenPorts(t), t.TempDir()
	for _, program := range []string{"upsagent", "mosquitto"} { // what boxes on its outlets run
		if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for page := range manual.Documents(t, "../..") {
		for _, b := range manual.Script(t, "../..", page, "sim") {
			for _, words := range manual.Words(strings.NewReplacer("/tmp/ups", dir+"/ups", "127.0.0.1:1502", first, "configs/", "../../configs/").Replace(b.Text)) {
				n++
				cmd := exec.CommandContext(t.Context(), sim, words[1:]...)
				cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "PATH="+dir+":"+os.Getenv("PATH"))
				cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 10*time.Second
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				line, err := bufio.NewReader(out).ReadString('\n')
				t.Logf("%v: %s", words, line)
				if err != nil {
					t.Errorf("%v: %v says nothing: %v", b, words, err)
				}
				_ = cmd.Cancel()
				_ = cmd.Wait()
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d simulators", n)
	}
}

// tenPorts returns an address behind which nine more are free.
func tenPorts(t *testing.T) string {
	for p := 20000; p < 30000; p += 10 {
		var open []net.Listener
		for i := range 10 {
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p+i)); err == nil {
				open = append(open, l)
			}
		}
		for _, l := range open {
			l.Close()
		}
		if len(open) == 10 {
			return fmt.Sprintf("127.0.0.1:%d", p)
		}
	}
	t.Fatal("no ten ports in a row are free")
	return ""
}

// TestTheLinesForABrokerDoWhatTheySay: somebody who subscribes sees samples in words.
func TestTheLinesForABrokerDoWhatTheySay(t *testing.T) {
	t.Parallel()
	broker := testenv.Mosquitto(t, "")
	sub := testenv.Command(t, "mosquitto_sub")
	b := newBox(t)
	for _, v := range sub.Env {
		if strings.HasPrefix(v, "LD_LIBRARY_PATH=") {
			b.env = append(b.env, v)
		}
	}
	host, port, _ := net.SplitHostPort(broker.Addr)
	b.write(t, "bin/mosquitto_sub", fmt.Sprintf("#!/bin/sh\nshift 2\nexec %s -h %s -p %s -C 2 -W 60 \"$@\"\n", sub.Path, host, port)) // two blocks, and it ends
	b.must(t, fmt.Sprintf("upsagent probe --serial /dev/ttyUSB0 --write; printf 'uplink: {broker: \"tcp://%s\", insecure: true}\\nspool: {flush: 1s}\\n' >>/etc/upsagent/agent.yaml; systemctl start upsagent", broker.Addr))
	for _, block := range manual.Script(t, "../..", "docs/integrate.md", "broker") {
		out, err := b.command(t, block.Commands()).CombinedOutput()
		if !strings.Contains(string(out), `unit    "rack-a"`) || !strings.Contains(string(out), "StateOnline") {
			t.Errorf("%v: %v\n%s%s", block, err, out, b.journal())
		}
	}
}
