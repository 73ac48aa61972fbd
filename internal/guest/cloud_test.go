package guest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"upsedge/internal/testenv"
)

// A cloud is a real upscloud outside of the machine, which knows it as "outside", and somebody who has an account there.
type cloud struct {
	t      testing.TB
	url    string
	client *http.Client
	db     *sql.DB
	log    string
}

const who = `"email":"ann@example.org","password":"violet tractor 93 lemons"`

func newCloud(t testing.TB) *cloud {
	t.Helper()
	dir := t.TempDir()
	https, mqtt := free(t), free(t)
	config := filepath.Join(dir, "cloud.yaml")
	text := fmt.Sprintf("data_dir: %s\nname: outside\nhttps: {listen: %q}\nmqtt: {listen: %q}\nmetrics: {listen: \"\"}\n", filepath.Join(dir, "data"), https, mqtt)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program := testenv.Build(t, "./cmd/cloud")
	first := exec.Command(program, "--config", config, "init", "--email", "ann@example.org", "--password-file", "-")
	first.Stdin = strings.NewReader("violet tractor 93 lemons\n")
	if out, err := first.CombinedOutput(); err != nil {
		t.Fatalf("init: %v: %s", err, out)
	}
	c := &cloud{t: t, url: "https://outside:" + https[strings.LastIndex(https, ":")+1:], log: filepath.Join(dir, "log")}
	serve := exec.Command(program, "--config", config, "serve")
	log, err := os.Create(c.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	serve.Stdout, serve.Stderr = log, log
	done, err := testenv.Bound(serve)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Kill()
		<-done
	})
	pem, err := os.ReadFile(filepath.Join(dir, "data", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	jar, _ := cookiejar.New(nil) // fails on a bad list only
	c.client = &http.Client{Jar: jar, Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", https)
		},
	}}
	if c.db, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "data", "cloud.db")+"?mode=ro"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.db.Close() })
	c.until(time.Minute, "it answers", func() bool {
		res, err := c.client.Get(c.url + "/api/v1/openapi.json")
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
	c.ask("POST", "/session", `{`+who+`}`)
	return c
}

func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// ask wants a success.
func (c *cloud) ask(method, path, body string) (answer map[string]any) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := c.client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		c.t.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, text, err)
	}
	_ = json.Unmarshal(text, &answer)
	return answer
}

func (c *cloud) until(within time.Duration, what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			log, _ := os.ReadFile(c.log)
			c.t.Fatalf("not within %v: %s\ncloud: %s", within, what, log[max(0, len(log)-3000):])
		}
	}
}

// token lets one box in.
func (c *cloud) token() string {
	c.t.Helper()
	return c.ask("POST", "/agents/tokens", `{"name":"site"}`)["token"].(string)
}

// claim makes the one unit that was reported a device of the account.
func (c *cloud) claim() (device string) {
	c.t.Helper()
	c.until(2*time.Minute, "a unit is reported", func() bool {
		items, _ := c.ask("GET", "/sightings", "")["items"].([]any)
		if len(items) == 0 {
			return false
		}
		device = c.ask("POST", "/devices", fmt.Sprintf(`{"serial":%q}`, items[0].(map[string]any)["serial"]))["id"].(string)
		return true
	})
	return device
}

// online waits until the device's box is connected and obeys what the cloud has.
func (c *cloud) online(device string) {
	c.t.Helper()
	c.until(3*time.Minute, "the device is online", func() bool {
		d := c.ask("GET", "/devices/"+device, "")
		has, _ := d["confirmed"].(map[string]any)
		return d["agent_connected"] == true && d["state"] == "online" && has["in_force"] == true
	})
}

// newest is how many blocks of samples have come, and when the last of them ends.
func (c *cloud) newest() (blocks int, last time.Time) {
	c.t.Helper()
	var ms int64
	if err := c.db.QueryRow(`SELECT COUNT(*), COALESCE(MAX(last_at), 0) FROM blocks`).Scan(&blocks, &ms); err != nil {
		c.t.Fatal(err)
	}
	return blocks, time.UnixMilli(ms)
}

// fresh waits until samples come that are newer than now.
func (c *cloud) fresh() {
	c.t.Helper()
	before, _ := c.newest()
	c.until(3*time.Minute, "samples come", func() bool {
		now, _ := c.newest()
		return now > before
	})
}

// books says what the cloud has of each lane, and how long there were no samples since some moment, and fails where a number is missing
// that nobody gave account of.
func (c *cloud) books(since time.Time) string {
	c.t.Helper()
	var text strings.Builder
	rows, err := c.db.Query(`SELECT l.lane, l.highest, (SELECT COUNT(*) FROM covered v WHERE v.lane = l.id), (SELECT MIN(first) FROM covered v WHERE v.lane = l.id),
		(SELECT MAX(last) FROM covered v WHERE v.lane = l.id) FROM lanes l ORDER BY l.id`)
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var lane, highest, ranges int
		var first, last sql.NullInt64
		if err := rows.Scan(&lane, &highest, &ranges, &first, &last); err != nil {
			c.t.Fatal(err)
		}
		fmt.Fprintf(&text, "lane %d: highest %d, %d ranges from %d to %d\n", lane, highest, ranges, first.Int64, last.Int64)
		if ranges != 1 || first.Int64 > 1 {
			c.t.Errorf("lane %d has holes: %d ranges from %d to %d", lane, ranges, first.Int64, last.Int64)
		}
	}
	gaps, err := c.db.Query(`SELECT about, first, last, unit, reason FROM gaps`)
	if err != nil {
		c.t.Fatal(err)
	}
	defer gaps.Close()
	for gaps.Next() {
		var about, first, last int64
		var unit, reason string
		if err := gaps.Scan(&about, &first, &last, &unit, &reason); err != nil {
			c.t.Fatal(err)
		}
		fmt.Fprintf(&text, "gap: %s, unit %q, about %d, %d to %d\n", reason, unit, about, first, last)
	}
	var longest int64
	if err := c.db.QueryRow(`SELECT COALESCE(MAX(first_at - before), 0) FROM (SELECT first_at, LAG(last_at) OVER (ORDER BY first_at) AS before FROM blocks) WHERE first_at > ?`, since.UnixMilli()).Scan(&longest); err != nil {
		c.t.Fatal(err)
	}
	fmt.Fprintf(&text, "longest time without samples in this chapter: %.1f s\n", float64(longest)/1000)
	return text.String()
}
