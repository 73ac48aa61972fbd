package soak

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/mailsink"
	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/wire"
)

// A chain is a whole installation: the built control plane, the built agent, simulated units, and somebody who orders over HTTP.
type chain struct {
	t     testing.TB
	dir   string
	cloud *daemon
	agent *daemon
	units map[string]*rig // by serial number
	db    store.Config

	base    string
	client  *http.Client
	devices map[string]string // ids, by serial number
}

// A daemon is a program that is killed, stopped and started again.
type daemon struct {
	t    testing.TB
	args []string
	env  []string // beside that of the test
	log  string
	cmd  *exec.Cmd
	done chan struct{}
}

func (d *daemon) start() {
	d.t.Helper()
	out, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer out.Close()
	d.cmd = exec.Command(d.args[0], d.args[1:]...)
	d.cmd.Stdout, d.cmd.Stderr, d.cmd.Env = out, out, append(os.Environ(), d.env...)
	if d.done, err = testenv.Bound(d.cmd); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) signal(s syscall.Signal) { _ = d.cmd.Process.Signal(s) }

func (d *daemon) kill() {
	d.signal(syscall.SIGKILL)
	<-d.done
}

// said is the end of what the program has logged.
func (d *daemon) said() string {
	b, _ := os.ReadFile(d.log)
	return string(b[max(0, len(b)-3000):])
}

func newChain(t testing.TB, units int) *chain {
	dir := t.TempDir()
	c := &chain{t: t, dir: dir, units: map[string]*rig{}, devices: map[string]string{}}
	letters, https, mqtt := listener(t), listener(t), listener(t)
	c.base = "https://" + https.Addr().String()
	cloud, agent := filepath.Join(dir, "cloud.yaml"), filepath.Join(dir, "agent.yaml")
	c.db = store.Config{Driver: store.SQLite, DSN: filepath.Join(dir, "cloud", "cloud.db")}
	c.write(cloud, fmt.Sprintf("data_dir: %s\nname: 127.0.0.1\nhttps: {listen: %q}\nmqtt: {listen: %q}\nmetrics: {listen: \"\"}\n"+
		"mail: {server: %q, tls: none, from: \"upsedge <cloud@localhost>\"}\n", filepath.Join(dir, "cloud"), https.Addr(), mqtt.Addr(), letters.Addr()))
	text := fmt.Sprintf("state_dir: %s\nmetrics: {listen: \"\"}\nlocal: {listen: \"\", socket: \"\"}\norders: {allow: [diagnostics, alarms, settings, reboot, outlets], min_interval: 1ms, daily_max: 100000}\nunits:\n", filepath.Join(dir, "agent"))
	var all []*rig
	for i := range units {
		u := newRig(t, upssim.Options{Seed: uint64(i + 1), AliveWhenEmpty: true, Speed: 300, Now: hurries(fourfold)})
		all = append(all, u)
		text += fmt.Sprintf("  - {name: rack-%d, tcp: {address: %q}, poll: {watch: 200ms, status: 500ms, live: 1s}}\n", i, serve(t, u.Unit))
	}
	c.write(agent, text)
	_, _ = https.Close(), mqtt.Close()
	mails := filepath.Join(dir, "mail")
	if err := os.Mkdir(mails, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	go func() { _ = (&mailsink.Sink{Dir: mails}).Serve(ctx, letters) }()
	upscloud, upsagent := testenv.Build(t, "./cmd/cloud"), testenv.Build(t, "./cmd/agent")
	if out, err := exec.Command(upscloud, "--config", cloud, "init").CombinedOutput(); err != nil {
		t.Fatalf("init: %v: %s", err, out)
	}
	c.cloud = &daemon{t: t, args: []string{upscloud, "--config", cloud, "serve"}, log: filepath.Join(dir, "cloud.log")}
	c.agent = &daemon{t: t, args: []string{upsagent, "--config", agent, "run"}, log: filepath.Join(dir, "agent.log")}
	c.cloud.start()
	t.Cleanup(func() { c.cloud.kill() })
	pem, err := os.ReadFile(filepath.Join(dir, "cloud", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	jar, _ := cookiejar.New(nil)
	c.client = &http.Client{Jar: jar, Timeout: 15 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	c.signUp(mails)
	c.enrol(upsagent, agent, all)
	return c
}

func listener(t testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func (c *chain) write(name, text string) {
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// try asks once. Status 0: nobody answered.
func (c *chain) try(method, path, body string, headers ...string) (status int, answer map[string]any) {
	r, err := http.NewRequestWithContext(context.Background(), method, c.base+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.client.Do(r)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil
	}
	_ = json.Unmarshal(text, &answer)
	if answer == nil {
		answer = map[string]any{"text": string(text)}
	}
	if res.StatusCode >= 500 {
		c.t.Errorf("%s %s: %d %s", method, path, res.StatusCode, text)
	}
	return res.StatusCode, answer
}

// ask asks until somebody answers, and wants a success.
func (c *chain) ask(method, path, body string, headers ...string) (answer map[string]any) {
	c.t.Helper()
	c.until(method+" "+path, func() bool {
		status, got := c.try(method, path, body, headers...)
		if answer = got; status != 0 && status != 429 && status >= 300 {
			c.t.Fatalf("%s %s: %d %v", method, path, status, got)
		}
		return status != 0 && status != 429
	})
	return answer
}

func (c *chain) until(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("not within %v: %s\ncloud: %s\nagent: %s", patience, what, c.cloud.said(), c.agent.said())
		}
	}
}

var mailCode = regexp.MustCompile(`[A-Z0-9]{4}(-[A-Z0-9]{4}){2}`)

func (c *chain) signUp(mails string) {
	const who = `"email":"ann@example.org","password":"violet tractor 93 lemons"`
	signup := c.ask("POST", "/signup", `{`+who+`,"name":"Ann"}`)["signup"].(string)
	code := ""
	c.until("the mail", func() bool {
		text, _ := os.ReadFile(filepath.Join(mails, "ann@example.org.txt"))
		code = mailCode.FindString(string(text))
		return code != ""
	})
	c.ask("POST", "/signup/verify", fmt.Sprintf(`{"signup":%q,"code":%q}`, signup, code))
	c.ask("POST", "/session", `{`+who+`}`)
}

// enrol makes the agent one of the account, and every unit a device.
func (c *chain) enrol(upsagent, config string, units []*rig) {
	token := c.ask("POST", "/agents/tokens", `{"name":"site"}`)["token"].(string)
	if out, err := exec.Command(upsagent, "--config", config, "enroll", "--cloud", c.base, "--token", token).CombinedOutput(); err != nil {
		c.t.Fatalf("enroll: %v: %s", err, out)
	}
	c.agent.start()
	c.t.Cleanup(func() { c.agent.kill() })
	c.until("sightings", func() bool {
		items, _ := c.ask("GET", "/sightings", "")["items"].([]any)
		for _, s := range items {
			serial, unit := s.(map[string]any)["serial"].(string), s.(map[string]any)["unit"].(string)
			var n int
			_, _ = fmt.Sscanf(unit, "rack-%d", &n)
			c.units[serial] = units[n]
		}
		return len(c.units) == len(units)
	})
	for serial := range c.units {
		c.devices[serial] = c.ask("POST", "/devices", fmt.Sprintf(`{"serial":%q}`, serial))["id"].(string)
	}
}

// ready waits until the site obeys what the cloud has.
func (c *chain) ready() {
	for _, id := range c.devices {
		c.until("the agent obeys", func() bool {
			d := c.ask("GET", "/devices/"+id, "")
			has, _ := d["confirmed"].(map[string]any)
			return d["agent_connected"] == true && d["state"] == "online" && has["in_force"] == true
		})
	}
}

// An ordered is one order and what had been written to the unit before.
type ordered struct {
	serial, id string
	deed       deed
	since      int // writes
	cuts       int
}

// order orders something of every unit. A request is made again with its key until somebody answers.
func (c *chain) order(round int) (out []ordered) {
	for serial, device := range c.devices {
		u, d := c.units[serial], anyDeed()
		tell(c.t, u.Unit, settled...)
		c.until("the unit is as it was", u.calm)
		tell(c.t, u.Unit, d.before...)
		if d.params[ups.ParamTo] == ups.ToOn {
			c.until("the outlet is off", func() bool { return u.Registers(7, 1)[0]&uint16(ups.OStateOff) != 0 })
		}
		o := ordered{serial: serial, since: len(u.Writes()), cuts: u.cuts(), deed: d}
		body, err := json.Marshal(map[string]any{"action": d.action, "params": d.params})
		if err != nil {
			c.t.Fatal(err)
		}
		o.id, _ = c.ask("POST", "/devices/"+device+"/orders", string(body), "Idempotency-Key", fmt.Sprintf("%d-%s", round, serial))["id"].(string)
		out = append(out, o)
	}
	return out
}

// harm does one of the things that happen to programs and links. It returns when both run again.
func (c *chain) harm() string {
	time.Sleep(time.Duration(rand.IntN(1200)) * time.Millisecond)
	pause := time.Duration(rand.IntN(1500)) * time.Millisecond
	hurt := [][]*daemon{{c.cloud}, {c.agent}, {c.cloud, c.agent}}[rand.IntN(3)]
	if rand.IntN(4) == 0 {
		for _, d := range hurt {
			d.signal(syscall.SIGSTOP)
		}
		time.Sleep(pause)
		for _, d := range hurt {
			d.signal(syscall.SIGCONT)
		}
		return "stopped"
	}
	for _, d := range hurt {
		d.kill()
	}
	time.Sleep(pause / 2)
	for _, d := range hurt {
		d.start()
	}
	return "killed"
}

// judge waits for the end of an order and holds it against what was written to the unit. It returns how it ended.
func (c *chain) judge(o ordered) string {
	var got map[string]any
	c.until("the end of order "+o.id, func() bool {
		got = c.ask("GET", "/orders/"+o.id, "")
		return got["final"] == true
	})
	u := c.units[o.serial]
	state, detail := got["state"].(string), fmt.Sprint(got["detail"])
	wrote, all := u.taken(o.since)
	text, _ := c.ask("GET", "/orders/"+o.id+"/events", "")["text"].(string)
	ends, accepted := 0, strings.Contains(text, `"state":"accepted"`) || strings.Contains(text, `"state":"running"`)
	for line := range strings.SplitSeq(text, "\n") {
		if strings.Contains(line, `"final":true`) && !strings.Contains(line, `"kind"`) {
			ends++
		}
	}
	lie := truth(o.deed, []wire.Result{{State: wire.OrderState(state), Detail: detail}}, wrote, all, u.cuts()-o.cuts)
	if lie != "" || ends != 1 || wrote > 0 && !accepted {
		c.t.Errorf("%s %s ended as %s (%s), %d ends, written %d times, accepted %v:\n%v\n%s", o.deed, o.id, state, lie, ends, wrote, accepted, got, text)
	}
	return fmt.Sprintf("%s %s %v, %d written", o.deed, state, got["reason"], wrote)
}

// forget makes the orders so far old ones: the limits of a day are not what is tried here.
func (c *chain) forget() {
	db, err := store.Open(c.t.Context(), c.db)
	if err == nil {
		err = errors.Join(db.Write(c.t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE orders SET requested_at = requested_at - 200000000 WHERE final_at <> 0`)
			return err
		}), db.Close())
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestT13TheWholeChainIsKilledAndEveryOrderHasOneEnd: orders over HTTP to units, while the control plane, the agent or both are killed or held
// at random instants. Each order has one end, which is true, and at most one write; what was written had been accepted; the Event Log holds.
func TestT13TheWholeChainIsKilledAndEveryOrderHasOneEnd(t *testing.T) {
	t.Parallel()
	killChain(t, 2)
}

// TestSoakKilledChain is the long form.
func TestSoakKilledChain(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("the long form of TestT13TheWholeChainIsKilledAndEveryOrderHasOneEnd; UPSEDGE_SOAK is not set")
	}
	killChain(t, 60)
}

func killChain(t *testing.T, rounds int) {
	c := newChain(t, 3)
	ends := map[string]int{}
	for round := range rounds {
		c.ready()
		hurt := make(chan string)
		go func() { hurt <- c.harm() }()
		orders := c.order(round)
		ends[<-hurt]++
		for _, o := range orders {
			ends[c.judge(o)]++
		}
		c.forget()
	}
	c.ready()
	for _, o := range c.order(rounds) {
		end := c.judge(o)
		late := strings.Contains(end, "abort failed UPS_REFUSED") // what was to be ended had ended by itself, on a slow machine
		if !late && !strings.Contains(end, " done ") && !strings.Contains(end, "refused") && !strings.Contains(end, "unknown") {
			t.Errorf("at last: %s", end)
		}
	}
	if out, err := exec.Command(c.cloud.args[0], append(c.cloud.args[1:3:3], "log", "verify")...).CombinedOutput(); err != nil {
		t.Errorf("log verify: %v: %s", err, out)
	}
	t.Logf("%d rounds: %v", rounds, ends)
}
