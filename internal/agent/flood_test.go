package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/ups/upssim"
)

// TestT64FiveHundredHalfOpenConnections to the page and to the metrics of an agent that polls: it misses no poll, and page and metrics
// are there within five seconds.
func TestT64FiveHundredHalfOpenConnections(t *testing.T) {
	unit, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- upssim.ServeTCP(over, unit, map[uint8]*upssim.Unit{1: upssim.New(upssim.Options{SKU: "SMT1500IC"})}, upssim.TCPOptions{})
	}()
	page, scrape, dir := freePort(t), freePort(t), t.TempDir()
	cfg, err := config.Parse("agent.yaml", fmt.Appendf(nil, `
state_dir: %s
units: [{name: rack-a, tcp: {address: %q}, poll: {watch: 100ms, status: 100ms, live: 100ms}}]
metrics: {listen: %q}
local: {listen: %q, socket: %q}
`, filepath.Join(dir, "state"), unit.Addr(), scrape, page, filepath.Join(dir, "agent.sock")))
	if err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	var shown local.Sources
	go func() {
		ended <- Run(over, Options{Config: cfg, Version: "test", Ready: func() { close(ready) }, Log: slog.New(slog.DiscardHandler), outside: outside{shown: func(s local.Sources) { shown = s }}})
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	requests := func() (ok, failed uint64) {
		l := shown.Status(false).Lines[0]
		return l.Requests["ok"], l.Errors()
	}
	polls := func(more uint64) {
		t.Helper()
		from, _ := requests()
		for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			if ok, _ := requests(); ok >= from+more {
				return
			}
			if time.Now().After(end) {
				t.Fatal("it does not poll")
			}
		}
	}
	polls(20)
	_, before := requests()
	for i := range 500 {
		for _, to := range []string{page, scrape} {
			c, err := net.Dial("tcp", to)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if i%2 == 0 {
				fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
			}
		}
	}
	polls(20)
	for _, what := range []struct{ url, want string }{{"http://" + page + "/", "rack-a"}, {"http://" + scrape + "/metrics", "ups_up"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		body, err := get(ctx, what.url)
		if cancel(); err != nil || !strings.Contains(body, what.want) {
			t.Errorf("%s: %v: %.100s", what.url, err, body)
		}
	}
	if _, after := requests(); after != before {
		t.Errorf("%d requests to the unit failed meanwhile", after-before)
	}
	if u := shown.Status(false).Units[0]; u.Bad() {
		t.Errorf("%+v", u)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-served
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func get(ctx context.Context, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// TestT62WhoHasNoPasswordIsRefused, from wherever, on the page, its stream and its JSON; and without one the page is for this box alone.
func TestT62WhoHasNoPasswordIsRefused(t *testing.T) {
	cfg, err := config.Parse("agent.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{cfg.Local.Listen, cfg.Metrics.Listen} {
		if host, _, err := net.SplitHostPort(address); err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("it listens on %s by itself", address)
		}
	}
	open, err := config.Parse("agent.yaml", []byte(`local: {listen: "0.0.0.0:0"}`))
	if err != nil || !strings.Contains(strings.Join(open.Warnings(), "\n"), "local.listen: anybody in the network can read the status page") {
		t.Errorf("no warning of a page that is open to all: %q, %v", open.Warnings(), err)
	}
	web := filepath.Join(t.TempDir(), "web.yml")
	// The password is "test", at bcrypt's least cost.
	if err := os.WriteFile(web, []byte("basic_auth_users: {site: $2a$04$aZM/M6Cd0zgkiJQ2kq7Gd.ejT1RukhX1kaidTzUT9Br.6E1sJenJe}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err = config.Parse("agent.yaml", fmt.Appendf(nil, `local: {listen: "0.0.0.0:0", socket: "", web_config: %q}`, web))
	if err != nil || len(cfg.Warnings()) > 0 {
		t.Fatalf("%v, %q", err, cfg.Warnings())
	}
	if err := CheckFiles(cfg); err != nil {
		t.Fatal(err)
	}
	server, err := local.Listen((&agent{}).ways(cfg.Local), local.Sources{Status: func(bool) local.Status { return local.Status{Version: "secret"} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	_, port, _ := net.SplitHostPort(server.Addrs()[0])
	for _, path := range []string{"/", "/v1/status", "/v1/live", "/unit/a"} {
		for _, host := range addresses(t) {
			for password, want := range map[string]bool{"": false, "tset": false, "test": true} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "http://"+net.JoinHostPort(host, port)+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if password != "" {
					r.SetBasicAuth("site", password)
				}
				resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if in := resp.StatusCode != http.StatusUnauthorized; in != want {
					t.Errorf("%s of %s with the password %q: %s", path, host, password, resp.Status)
				}
			}
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// addresses are this machine's, of the network too where it has one.
func addresses(t *testing.T) []string {
	t.Helper()
	out := []string{"127.0.0.1"}
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return append(out, n.IP.String())
		}
	}
	return out
}
