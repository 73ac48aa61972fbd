package soak

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A plug is a site whose gateway, agent and broker, hangs on an outlet group of its unit: upssim runs both while that has power.
type plug struct {
	t     testing.TB
	chief *chief
	words io.WriteCloser
	unit  string // where it answers Modbus TCP
	log   string // of agent and broker

	mu   sync.Mutex
	said strings.Builder // of upssim
}

func (p *plug) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *plug) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

func (p *plug) until(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) || p.t.Context().Err() != nil {
			said, _ := os.ReadFile(p.log)
			all := p.text()
			p.t.Fatalf("not within %v: %s\n%s\n%s", patience, what, all[max(0, len(all)-2000):], said[max(0, len(said)-4000):])
		}
	}
}

// script writes a program for upssim to feed. What it says goes to the log.
func (p *plug) script(name, text string) string {
	path := filepath.Join(filepath.Dir(p.log), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec >>"+p.log+" 2>&1 3>/dev/null\n"+text+"\n"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// plugIn builds the site. The agent finds itself in another boot of its box at each start, and behind the broker: what it says before the chief
// has subscribed comes only when it has waited for an acknowledgement for half a minute.
func plugIn(t testing.TB, sku, fed string, serial bool, hurry int) *plug {
	dir := t.TempDir()
	p := &plug{t: t, log: filepath.Join(dir, "box.log")}
	state := filepath.Join(dir, "state")
	broker := testenv.Mosquitto(t, "")
	mosquitto := testenv.Command(t, "mosquitto")
	p.chief = newChief(t, broker.Addr, state)
	broker.Kill() // from now on it hangs on the outlet
	l := listener(t)
	p.unit = l.Addr().String()
	_ = l.Close()
	args := []string{"--model", sku, "--tcp", p.unit, "--turnaround", "2ms", "--hurry", fmt.Sprint(hurry), "--speed", "300", "--boot", "300ms"}
	link := fmt.Sprintf("tcp: {address: %q}", p.unit)
	if serial {
		port := filepath.Join(dir, "ups")
		args, link = append(args, "--pty", port), "serial: {device: "+port+"}"
	}
	text := fmt.Sprintf("state_dir: %s\nspool: {flush: 10s}\nuplink: {broker: \"tcp://%s\", insecure: true, agent_id: %s}\nmetrics: {listen: \"\"}\nlocal: {listen: \"\", socket: \"\"}\n"+
		"orders: {allow: [diagnostics, alarms, settings, reboot, outlets], min_interval: 1ms, daily_max: 100000, fed_by: {unit: rack-1, group: %s}}\n"+
		"units: [{name: rack-1, %s}]\n", state, broker.Addr, agentID, fed, link)
	config := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	as, err := json.Marshal(role{Config: config, Boot: &boot{ID: wire.ID{1}}})
	if err != nil {
		t.Fatal(err)
	}
	another := strings.Replace(string(as), wire.ID{1}.String(), `'"$(tr -d - </proc/sys/kernel/random/uuid)"'`, 1)
	args = append(args,
		"--feed", fed+"="+p.script("agent.sh", "sleep 1\nexec env "+roleEnv+"='"+another+"' "+self(t)),
		"--feed", fed+"="+p.script("broker.sh", "exec "+mosquitto.Path+" -c "+filepath.Join(broker.Dir, "mosquitto.conf")))
	cmd := exec.Command(testenv.Build(t, "./cmd/upssim"), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = mosquitto.Env, p, p
	if p.words, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	done, err := testenv.Bound(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.words.Close(); _ = cmd.Process.Kill(); <-done })
	p.until("upssim runs", func() bool { return strings.Contains(p.text(), "ready") })
	p.tell(shortDelays...)
	return p
}

// tell says words and waits until upssim has obeyed.
func (p *plug) tell(words ...string) {
	for _, word := range words {
		n := strings.Count(p.text(), "\nok "+word+"\n")
		if _, err := io.WriteString(p.words, word+"\n"); err != nil {
			p.t.Fatal(err)
		}
		p.until(word, func() bool { return strings.Count(p.text(), "\nok "+word+"\n") > n })
	}
}

// written returns how many writes the unit took, and how many came.
func (p *plug) written() (taken, all int) {
	n := strings.Count(p.text(), "\nunit 1: ")
	if _, err := io.WriteString(p.words, "writes\n"); err != nil {
		p.t.Fatal(err)
	}
	line := ""
	p.until("the writes", func() bool {
		parts := strings.Split(p.text(), "\nunit 1: ")
		if len(parts) == n+2 {
			line, _, _ = strings.Cut(parts[n+1], "\n")
		}
		return strings.HasSuffix(line, "]")
	})
	if _, err := fmt.Sscanf(line, "%d writes", &all); err != nil {
		p.t.Fatalf("%q: %v", line, err)
	}
	return all - strings.Count(line, "!"), all
}

// cuts counts how often the power of the box went.
func (p *plug) cuts() int { return strings.Count(p.text(), "agent.sh was killed") }

// calm reports whether nothing is pending or running in the unit and everything is on.
func (p *plug) calm() bool {
	b, err := readStatus(p.unit)
	return err == nil && calm(b)
}

// readStatus reads the status block over Modbus TCP.
func readStatus(addr string) ([]uint16, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte{0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 27}); err != nil {
		return nil, err
	}
	reply := make([]byte, 9+2*27)
	if _, err := io.ReadFull(conn, reply); err != nil {
		return nil, err
	}
	out := make([]uint16, 27)
	for i := range out {
		out[i] = binary.BigEndian.Uint16(reply[9+2*i:])
	}
	return out, nil
}

// boxDeeds are orders that take the power from a box on a group, one that would for ever, and one that does not.
func boxDeeds(sku, fed string) []deed {
	all := []deed{of(ups.ActionReboot, nil, "delay", "configured"), of(ups.ActionReboot, nil, "delay", "configured"), of(ups.ActionDiagnostics, nil, "test", "self")}
	if sku == "SRT1000XLA" {
		return all
	}
	groups := "main,sog0"
	if fed != "main" {
		groups = fed
	}
	return append(all,
		of(ups.ActionReboot, nil, "delay", "none"),
		of(ups.ActionRebootGroup, nil, "group", groups, "delay", "configured"),
		of(ups.ActionRebootGroup, nil, "group", groups, "delay", "none"),
		of(ups.ActionOutlet, nil, "group", groups, "to", "shutdown"),
		of(ups.ActionOutlet, nil, "group", groups, "to", "off"),
	)
}

// TestT13TheBoxOnTheOutletItReboots: orders take the power from agent and broker. Each is written once at most and has one end, which is true;
// to turn that outlet off for good is refused.
func TestT13TheBoxOnTheOutletItReboots(t *testing.T) {
	t.Parallel()
	onTheOutlet(t, "SMT1500RM2UC", "main", false, 2)
}

// TestSoakTheBoxOnItsOutlet is the long form: 60 rounds, on the main group, on a switched one, and on an SRT that knows RequestShutdown alone.
func TestSoakTheBoxOnItsOutlet(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("the long form of TestT13TheBoxOnTheOutletItReboots; UPSEDGE_SOAK is not set")
	}
	for name, c := range map[string]struct {
		sku, fed string
		serial   bool
	}{
		"SMT main": {"SMT1500RM2UC", "main", false}, "SMT sog0": {"SMT1500RM2UC", "sog0", false}, "SRT serial": {"SRT1000XLA", "main", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onTheOutlet(t, c.sku, c.fed, c.serial, 24)
		})
	}
}

func onTheOutlet(t *testing.T, sku, fed string, serial bool, rounds int) {
	hurry := 4
	if rounds < 5 {
		hurry = 10
	}
	p := plugIn(t, sku, fed, serial, hurry)
	all := boxDeeds(sku, fed)
	var count reckoning
	for n := range rounds {
		p.until("the agent connects", func() bool { return p.chief.ready(1) })
		p.tell(settled...)
		p.until("the unit is as it was", p.calm)
		if serial {
			time.Sleep(3 * time.Second) // until the unit is connected at 9600 baud: before, orders are refused
		}
		d := all[rand.IntN(len(all))]
		if rounds < 5 {
			d = all[n] // two reboots in a row
		}
		tookBefore, allBefore := p.written()
		cuts := p.cuts()
		id := p.chief.give(n, map[string]deed{"rack-1": d})["rack-1"]
		p.until("the order "+d.String()+" has an end", func() bool { return p.chief.waiting() == 0 })
		p.until("the unit is as it was, behind "+d.String(), p.calm)
		took, every := p.written()
		p.chief.mu.Lock()
		got := p.chief.ends[id]
		p.chief.mu.Unlock()
		if lie := truth(d, got, took-tookBefore, every-allBefore, p.cuts()-cuts); lie != "" {
			t.Errorf("round %d: %s: %s; it ended %+v", n, d, lie, got)
			continue
		}
		count.add(d, got[0], took-tookBefore)
		if off := d.params[ups.ParamTo] == ups.ToOff; off != (got[0].State == wire.OrderRefused) || off && got[0].Reason != ups.ReasonSafetyLock {
			t.Errorf("round %d: %s ended %+v", n, d, got[0])
		}
		if rounds < 5 && got[0].State != wire.OrderDone {
			t.Errorf("round %d: %s ended %+v, want done", n, d, got[0])
		}
	}
	t.Logf("%s, box on %s: %d rounds, its power was cut %d times", sku, fed, rounds, p.cuts())
	count.log(t)
	if p.cuts() < rounds/3 {
		t.Errorf("its power was cut only %d times", p.cuts())
	}
}
