package soak

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A hoard is everything that a bundle of a site must not have, by what it is.
type hoard map[string]string

// key adds the forms in which bytes would stand somewhere.
func (h hoard) key(what string, raw []byte) {
	h[what] = string(raw)
	h[what+", hexadecimal"] = hex.EncodeToString(raw)
	h[what+", base64"] = base64.RawStdEncoding.EncodeToString(raw)
	h[what+", base64 of addresses"] = base64.RawURLEncoding.EncodeToString(raw)
}

// seed puts secrets and other people's affairs wherever an agent could come across them, and starts it anew with them.
func (c *chain) seed(h hoard) (socket string) {
	c.t.Helper()
	config := c.agent.args[2]
	b, err := os.ReadFile(config)
	if err != nil {
		c.t.Fatal(err)
	}
	socket = filepath.Join(c.dir, "s")
	card, web := filepath.Join(c.dir, "card"), filepath.Join(c.dir, "web.yaml")
	h["user of the card"], h["password of the card"] = "maintenance-joe", "Sw0rdfish/77!<x>"
	h["hash of a password of /metrics"] = "$2y$10$wHn0GqzFxSmzqJ0zGk0xUOZ7q5Y8l3k1nVYvQxR0m9uJwT1b2c3d4"
	h["mail address in a comment"], h["address in a comment"], h["address of a neighbour"] = "joe.doe@site.example", "10.77.66.55", "127.0.0.77"
	c.write(card, fmt.Sprintf("user: %s\npassword: %s\n", h["user of the card"], h["password of the card"]))
	c.write(web, fmt.Sprintf("basic_auth_users:\n  ann: %s\n", h["hash of a password of /metrics"]))
	text := strings.Replace(string(b), `socket: ""`, "socket: "+socket, 1)
	text = strings.Replace(text, `metrics: {listen: ""}`, "metrics: {listen: \"\", web_config: "+web+"}", 1)
	text = strings.Replace(text, "  - {name: rack-0,", fmt.Sprintf("  # ask %s, who sits at %s\n  - {name: cellar-9, tcp: {address: \"%s:1\"}}\n  - {name: rack-0, card: {address: \"10.77.66.55\", credentials_file: %s},",
		h["mail address in a comment"], h["address in a comment"], h["address of a neighbour"], card), 1)
	c.write(config, text+"\nlog: {level: debug}\n")
	c.agent.env = []string{"UPSAGENT_CARD_PASSWORD=" + h["word in the environment"]}
	c.agent.signal(syscall.SIGTERM)
	<-c.agent.done
	c.agent.start()
	return socket
}

// find gathers the keys that have come about meanwhile.
func (c *chain) find(h hoard) {
	state := filepath.Join(c.dir, "agent")
	names, _ := filepath.Glob(filepath.Join(state, "cloud", "*", "agent.pem"))
	for _, name := range names {
		text, _ := os.ReadFile(name)
		for b, rest := pem.Decode(text); b != nil; b, rest = pem.Decode(rest) {
			if strings.Contains(b.Type, "KEY") {
				h.key("key of the agent", b.Bytes)
				for i, line := range strings.Split(strings.TrimSpace(string(pem.EncodeToMemory(b))), "\n") {
					h[fmt.Sprintf("line %d of the key of the agent", i)] = line
				}
			}
		}
	}
	spool, _ := filepath.Glob(filepath.Join(state, "keys", "*"))
	for _, name := range spool {
		if b, err := os.ReadFile(name); err == nil && len(b) > 60 {
			h.key("key "+filepath.Base(name)+" of the spool", b[28:60]) // internal/store: keyfile.go
		}
	}
	if len(names) == 0 || len(spool) == 0 {
		c.t.Fatalf("no keys found: %q %q", names, spool)
	}
	all, _ := net.Interfaces()
	for _, i := range all {
		if len(i.HardwareAddr) > 0 && i.Flags&net.FlagLoopback == 0 {
			h["hardware address of "+i.Name] = i.HardwareAddr.String()
		}
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok {
				h["address "+n.IP.String()+" of the box"] = n.IP.String()
			}
		}
	}
	delete(h, "address ::1 of the box") // it stands in every time of day
}

// unpack returns the files of a bundle.
func unpack(t *testing.T, data []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(b)
	}
}

func (h hoard) search(t *testing.T, of string, data []byte) map[string]string {
	t.Helper()
	all := unpack(t, data)
	for what, text := range h {
		if bytes.Contains(data, []byte(text)) {
			t.Errorf("%s: %s stands in the file as it is", of, what)
		}
		for name, body := range all {
			if i := strings.Index(body, text); i >= 0 {
				t.Errorf("%s: %s has %s: …%q…", of, name, what, body[max(0, i-60):min(len(body), i+len(text)+20)])
			}
		}
	}
	return all
}

// bundle orders one and waits for the end of the order.
func (c *chain) bundle(device string) (id string, got map[string]any) {
	c.t.Helper()
	id = c.ask("POST", "/devices/"+device+"/orders", `{"action":"support.bundle"}`)["id"].(string)
	c.until("the end of order "+id, func() bool {
		got = c.ask("GET", "/orders/"+id, "")
		return got["final"] == true
	})
	return id, got
}

func (c *chain) download(id string) (int, []byte) {
	c.t.Helper()
	res, err := c.client.Get(c.base + "/api/v1/orders/" + id + "/bundle")
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, b
}

// TestT67TheBundleOfARealAgentTellsNoSecret: secrets are put wherever an agent could come across them, a bundle is ordered over HTTP, made, sent,
// downloaded and unpacked, and each of them is looked for; so it is in one that was made on the spot, with and without an agent that runs.
// T-16: it goes over HTTPS; T-61: no key is in it. An agent that is killed over it says truly how it ended.
func TestT67TheBundleOfARealAgentTellsNoSecret(t *testing.T) {
	h := hoard{"word in the environment": "env-Hunter-42"}
	t.Parallel()
	c := newChain(t, 2)
	socket := c.seed(h)
	c.ready()
	serials := map[string]string{} // by name of the unit
	for serial, id := range c.devices {
		serials[c.ask("GET", "/devices/"+id, "")["name"].(string)] = serial
	}
	c.until("the unit that is not there is missed", func() bool {
		log, _ := os.ReadFile(c.agent.log)
		return bytes.Contains(log, []byte(h["address of a neighbour"]))
	})
	c.find(h)
	account := c.ask("GET", "/account", "")
	h["the owner"], h["the owner's mail address"], h["the owner's password"] = account["actor"].(string), "ann@example.org", "violet tractor 93 lemons"
	h["a path of the box"] = c.dir

	id, got := c.bundle(c.devices[serials["rack-0"]])
	if got["state"] != "done" {
		t.Fatalf("%v\nagent: %s", got, c.agent.said())
	}
	status, data := c.download(id)
	sum := sha256.Sum256(data)
	if detail := fmt.Sprint(got["detail"]); status != http.StatusOK || !strings.Contains(detail, hex.EncodeToString(sum[:])) || !strings.Contains(detail, fmt.Sprint(len(data))) {
		t.Fatalf("%d, %d bytes of %x, and the order says %v", status, len(data), sum, detail)
	}
	sent := hoard{"the other unit": "rack-1", "the serial number of the other unit": serials["rack-1"], "the unit that is nobody's": "cellar-9"}
	for what, text := range h {
		sent[what] = text
	}
	all := sent.search(t, "sent", data)
	for name, want := range map[string]string{
		"units.json": serials["rack-0"], "config.json": `"credentials_file": "present"`, "log.txt": "INFO agent started", "metrics.txt": `ups_up{ups="rack-0"}`,
		"certificates.json": `"until"`, "contents.json": "left_out", "build.json": `"go1.`, "uplink.json": `"connected": true`, "spool.json": `"lane": "events"`,
	} {
		if !strings.Contains(all[name], want) {
			t.Errorf("%s has no %s:\n%.2000s", name, want, all[name])
		}
	}

	file := filepath.Join(c.dir, "running.tar.gz")
	c.doctor(h, file, "never in one", "metrics.txt")
	if b, _ := os.ReadFile(file); !strings.Contains(unpack(t, b)["units.json"], serials["rack-1"]) {
		t.Error("who asks on the spot is not told of every unit")
	}
	if out, err := exec.Command(c.agent.args[0], "--config", c.agent.args[2], "doctor", "--bundle", file).CombinedOutput(); err == nil {
		t.Errorf("a file that is there was replaced: %s", out)
	}

	// Killed over it.
	body := c.ask("POST", "/devices/"+c.devices[serials["rack-0"]]+"/orders", `{"action":"support.bundle"}`)["id"].(string)
	time.Sleep(100 * time.Millisecond)
	c.agent.kill()
	c.doctor(h, filepath.Join(c.dir, "stopped.tar.gz"), "no agent runs")
	_ = os.Remove(socket)
	c.agent.start()
	c.until("the end of order "+body, func() bool {
		got = c.ask("GET", "/orders/"+body, "")
		return got["final"] == true
	})
	if status, _ := c.download(body); (status == http.StatusOK) != (got["state"] == "done") {
		t.Errorf("it ended as %v (%v), and to ask for it is answered with %d", got["state"], got["detail"], status)
	}
	t.Logf("sent: %d bytes; killed over one: %v, %v", len(data), got["state"], got["detail"])
}

// doctor makes a bundle on the spot.
func (c *chain) doctor(h hoard, file string, says ...string) {
	c.t.Helper()
	out, err := exec.Command(c.agent.args[0], "--config", c.agent.args[2], "doctor", "--bundle", file).CombinedOutput()
	if err != nil {
		c.t.Fatalf("doctor: %v: %s", err, out)
	}
	for _, s := range says {
		if !strings.Contains(string(out), s) {
			c.t.Errorf("doctor says nothing of %q: %s", s, out)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	h.search(c.t.(*testing.T), file, data)
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		c.t.Errorf("%v, %v", fi.Mode(), err)
	}
}
