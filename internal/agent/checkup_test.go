package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/config"
	"upsedge/internal/doctor"
	"upsedge/internal/local"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/wire"
)

// examining is a run of the checks whose agent has been asked already: it said status, nil for none.
func examining(t *testing.T, text string, status *local.Status) *checkup {
	t.Helper()
	cfg, err := config.Parse("agent.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := &checkup{Checkup: Checkup{Path: "agent.yaml", Config: cfg, Version: "1.0", root: doctor.Root(t.TempDir())}, cfg: cfg, status: status, who: doctor.Person{Name: "root"}}
	cfg.StateDir = t.TempDir()
	c.clockAt = boxClock(time.Now(), true)
	c.once.Do(func() {})
	return c
}

// boxClock is the clock of a box that says an instant, set by a time service or by nobody.
func boxClock(says time.Time, set bool) *clock.Clock {
	return clock.Of(clock.Machine{
		Boot: wire.ID{1}, Mono: func() time.Duration { return time.Minute }, Wall: func() time.Time { return says },
		Service: func() clock.Service { return clock.Service{Set: set, Error: time.Millisecond} },
	})
}

// finds fails unless there is a finding of that level with all words in it, and something to do where it is no good news.
func finds(t *testing.T, name string, all []doctor.Finding, level doctor.Level, has ...string) {
	t.Helper()
	for _, f := range all {
		ok := f.Level == level
		for _, h := range has {
			ok = ok && strings.Contains(f.What+" | "+f.Do, h)
		}
		if ok && (level == doctor.OK || f.Do != "") {
			return
		}
	}
	t.Errorf("%s: no %s with %q and something to do in %+v", name, level, has, all)
}

const oneUnit = "units: [{name: rack-a, serial: {device: /dev/ttyUSB77}}]\n"

func TestTheCheckOfTheConfiguration(t *testing.T) {
	with := func(text string, err error) []doctor.Finding {
		c := examining(t, text, nil)
		c.Err = err
		return c.lookAtConfig()
	}
	_, wrong := config.Parse("agent.yaml", []byte("unit: 3\n"))
	finds(t, "well", with(oneUnit, nil), doctor.OK, "names 1 unit")
	finds(t, "wrong", with("", wrong), doctor.Problem, "agent.yaml:1: unit", "upsagent check")
	finds(t, "none", with("", fmt.Errorf("open: %w", fs.ErrNotExist)), doctor.Problem, "there is no agent.yaml", "upsagent setup")
	finds(t, "forbidden", with("", fmt.Errorf("open: %w", fs.ErrPermission)), doctor.Problem, "may not read", "sudo upsagent doctor")
	finds(t, "comments alone", with("# nothing yet\n", nil), doctor.Problem, "names no unit", "upsagent setup")
	finds(t, "orders by nobody", with(oneUnit+"orders: {allow: [reboot]}\n", nil), doctor.Note, "without an uplink")
	finds(t, "no passwords", with(oneUnit+"metrics: {web_config: /none/web.yaml}\n", nil), doctor.Problem, "metrics.web_config")
}

func TestTheCheckOfVersions(t *testing.T) {
	c := examining(t, oneUnit, nil)
	finds(t, "well", c.lookAtVersions(), doctor.OK, "1.0")
	c.agent.Version = "0.9"
	finds(t, "another runs", c.lookAtVersions(), doctor.Note, "the agent that runs is 0.9", "systemctl restart")
	head := make([]byte, 100) // of a database of version 900
	copy(head, "SQLite format 3\x00")
	copy(head[60:], []byte{900 >> 8, 900 & 0xff, (900 ^ 0x5555) >> 8, (900 ^ 0x5555) & 0xff})
	copy(head[68:], applicationID(t))
	if err := os.WriteFile(filepath.Join(c.cfg.StateDir, "store.db"), head, 0o600); err != nil {
		t.Fatal(err)
	}
	finds(t, "a newer one was here", c.lookAtVersions(), doctor.Problem, "version 900", "install the newer version again")
}

// applicationID is what marks a database as ours, taken from one.
func applicationID(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	w := newWorld(t)
	if err := w.open(dir).Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	return b[68:72]
}

func TestTheCheckOfTheClock(t *testing.T) {
	c := examining(t, oneUnit, nil)
	finds(t, "well", c.lookAtClock(), doctor.OK, "at most 1ms off")
	c.status = &local.Status{}
	finds(t, "set, and hidden from the service", c.lookAtClock(), doctor.Note, "may not ask it", "systemd-timesyncd")
	c.status = nil
	c.clockAt = boxClock(time.Now(), false)
	finds(t, "not set", c.lookAtClock(), doctor.Note, "no time service", "timedatectl")
	chrony := filepath.Join(string(c.root), "proc/9")
	if err := errors.Join(os.MkdirAll(chrony, 0o755), os.WriteFile(filepath.Join(chrony, "comm"), []byte("chronyd\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	finds(t, "not set by", c.lookAtClock(), doctor.Note, "chronyd runs and has not set", "rtcsync")
	c.status = &local.Status{Clock: local.Clock{Trusted: true}}
	finds(t, "set by the cloud", c.lookAtClock(), doctor.OK, "the agent knows")
	c.clockAt = boxClock(time.Unix(180, 0), false)
	finds(t, "1970, and a cloud", c.lookAtClock(), doctor.Note, "1970-01-01 00:03", "by the cloud")
	c.status = nil
	finds(t, "1970", c.lookAtClock(), doctor.Problem, "1970-01-01 00:03", "timedatectl set-ntp true")
	c.clockAt = boxClock(time.Unix(1<<31, 0), true)
	finds(t, "2038", c.lookAtClock(), doctor.Problem, "2038-01-19")
}

func TestTheCheckOfUnits(t *testing.T) {
	u := upssim.New(upssim.Options{Seed: 1})
	cold := net.JoinHostPort("127.0.0.1", "1")
	text := fmt.Sprintf("units: [{name: warm, tcp: {address: %q}}, {name: cold, tcp: {address: %q}}, {name: none, serial: {device: /dev/ttyUSB77}}]\n", serve(t, u), cold)
	all := examining(t, text, nil).lookAtUnits(t.Context())
	if len(all) != 3 {
		t.Fatalf("findings %+v", all)
	}
	finds(t, "answers", all[:1], doctor.OK, "answers")
	finds(t, "refuses", all[1:2], doctor.Problem, "refused", "Modbus TCP is off")
	finds(t, "no port", all[2:], doctor.Problem, "no such port", "Plug the adapter in")

	age := 0.5
	_, do := Advise(tcpUnit("cold", cold, 1), os.ErrDeadlineExceeded)
	running := examining(t, text, &local.Status{Units: []local.Unit{
		{Name: "warm", Model: "Smart-UPS 1500", Age: &age},
		{Name: "cold", Failure: "It is so. Do that. (err)", Do: "Do that."},
		{Name: "none", Failure: "No right. Do that. (operation not permitted)", Do: "Do that."},
	}})
	all = running.lookAtUnits(t.Context())
	finds(t, "answers the agent", all[:1], doctor.OK, "answered 0.5 s ago")
	finds(t, "does not", all[1:2], doctor.Problem, "It is so. (err) | Do that."+do)
	finds(t, "shut out", all[2:], doctor.Problem, "No right. (operation not permitted) | The driver", "restart upsagent")
	old := 90.0
	hung := examining(t, text, &local.Status{Units: []local.Unit{{Name: "warm", Age: &old, Condition: []string{"stale"}}, {Name: "cold", Age: &old, Condition: []string{"online"}}, {Name: "none", Age: &age, Condition: []string{"stale"}}}}).lookAtUnits(t.Context())
	finds(t, "nothing fails and nothing comes", hung[:1], doctor.Problem, "has not answered for 90 s", "journalctl")
	finds(t, "read that seldom", hung[1:2], doctor.OK)
	finds(t, "found just now", hung[2:], doctor.OK)
	running.status.Units = running.status.Units[:2]
	finds(t, "not known", running.lookAtUnits(t.Context())[2:], doctor.Note, "does not know it", "reload")
	running.status, running.hangs = nil, context.DeadlineExceeded
	finds(t, "the agent hangs", running.lookAtUnits(t.Context()), doctor.Note, "cannot be asked")
	running.hangs = nil
	procs := filepath.Join(string(running.root), "sys/fs/cgroup/system.slice/upsagent.service")
	if err := errors.Join(os.MkdirAll(procs, 0o755), os.WriteFile(filepath.Join(procs, "cgroup.procs"), []byte("7\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	finds(t, "a service that has no socket", running.lookAtUnits(t.Context()), doctor.Note, "cannot be asked")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	running.cfg.Metrics.Listen, running.cfg.Local.Listen = l.Addr().String(), ""
	if all := running.lookAtListeners(); len(all) != 1 || all[0].Level != doctor.OK {
		t.Errorf("the service has its own address: %+v", all)
	}
	running.agent.PID, running.hangs = 7, context.DeadlineExceeded
	finds(t, "and that is told", running.lookAtService(), doctor.Problem, "process 7", "gives no answer")
}

// What a unit does that serves one client and has one, and one that keeps whoever comes waiting.
func TestTheCheckOfAUnitThatServesAnother(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(net.Conn)
		has   []string
	}{
		"it hangs up":     {func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }, []string{"refused", "Another master is connected"}},
		"it says nothing": {func(net.Conn) {}, []string{"accepts a connection and nothing answers", "Master IP Addr"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					c.serve(conn)
				}
			}()
			found := examining(t, fmt.Sprintf("units: [{name: rack-a, tcp: {address: %q}}]\n", l.Addr()), nil).lookAtUnits(t.Context())
			finds(t, name, found, doctor.Problem, c.has...)
		})
	}
}

// A support bundle tells of checks that need no network, no line and no look at other programs.
func TestWhatABundleTellsOfTheChecks(t *testing.T) {
	c := examining(t, oneUnit, nil)
	var told []string
	for _, k := range checked(c.Checkup, &local.Status{Version: "0.9"}) {
		told = append(told, k.Check)
		if k.Check == "version" && k.Level != doctor.Note {
			t.Errorf("another version runs: %s", k.Level)
		}
	}
	slices.Sort(told)
	want := slices.Sorted(slices.Values(quietChecks))
	if told = slices.Compact(told); !slices.Equal(told, want) {
		t.Errorf("told is of %v, want %v", told, want)
	}
}

func TestTheCheckOfThePlan(t *testing.T) {
	finds(t, "well", examining(t, oneUnit, nil).lookAtPlan(), doctor.OK, "of 1000 ms")
	greedy := "units: [{name: a, serial: {device: /dev/x}, poll: {live: 100ms}}, {name: b, unit_id: 2, serial: {device: /dev/x}, poll: {live: 100ms}}]\n"
	finds(t, "too much", examining(t, greedy, nil).lookAtPlan(), doctor.Note, "more than there are", "a: watch", "longer periods")
}

func TestTheCheckOfTheSpool(t *testing.T) {
	few, long := 30.0, 4000.0
	status := func(l local.Lane) *local.Status { return &local.Status{Spool: []local.Lane{{Name: "events"}, l}} }
	up := oneUnit + "uplink: {broker: \"tls://cloud.example\"}\n"
	finds(t, "well", examining(t, up, status(local.Lane{Name: "samples", Records: 3, Age: &few})).lookAtSpool(), doctor.OK, "0 events, 3 samples")
	finds(t, "backlog", examining(t, up, status(local.Lane{Name: "samples", Records: 3, Age: &long})).lookAtSpool(), doctor.Note, "1h6m40s")
	finds(t, "losses", examining(t, up, status(local.Lane{Name: "samples", Dropped: 9})).lookAtSpool(), doctor.Problem, "lost since the agent runs: 9 records")
	finds(t, "no broker", examining(t, oneUnit, status(local.Lane{Name: "samples", Age: &long})).lookAtSpool(), doctor.OK)
	finds(t, "no agent", examining(t, up, nil).lookAtSpool(), doctor.OK, "1024 MiB")
}

func TestTheCheckOfAlarms(t *testing.T) {
	finds(t, "no agent", examining(t, oneUnit, nil).lookAtAlarms(), doctor.OK)
	finds(t, "none", examining(t, oneUnit, &local.Status{}).lookAtAlarms(), doctor.OK, "none")
	finds(t, "one", examining(t, oneUnit, &local.Status{Alarms: []local.Alarm{{ID: 820, Severity: "warning", Text: "Uplink lost"}}}).lookAtAlarms(), doctor.Note, "820 warning: Uplink lost")
}

func TestTheCheckOfCertificates(t *testing.T) {
	now := time.Now()
	ours := newAuthority(t, now.Add(-1000*day), now.Add(1000*day))
	ring := newKeyRing(t)
	uplink := func() []doctor.Finding {
		c := examining(t, oneUnit+fmt.Sprintf("uplink: {broker: \"tls://cloud.example\", tls: {ca_file: %s, cert_file: %s, key_file: %s}}\n", ring.ca, ring.cert, ring.key), nil)
		return c.lookAtCertificates()
	}
	ring.trust(ours)
	put := func(from, until time.Duration) { ring.put(ours.issue("rack7", now.Add(from), now.Add(until))) }
	finds(t, "no uplink", examining(t, oneUnit, nil).lookAtCertificates(), doctor.OK, "none is needed")
	finds(t, "none there", uplink(), doctor.Problem, "no such file", "upsagent enroll")
	put(-day, 80*day)
	finds(t, "well", uplink(), doctor.OK, "agent rack7, until")
	put(-day, 5*day)
	finds(t, "ends soon", uplink(), doctor.Note, "ends in 4 days")
	put(-90*day, -day)
	finds(t, "ended", uplink(), doctor.Problem, "ended", "a new one")
	put(-day, 80*day)
	ring.putKey(ours.issue("rack7", now, now.Add(day)))
	finds(t, "another's key", uplink(), doctor.Problem, "private key does not match")
	put(-day, 80*day)
	if err := os.Chmod(ring.key, 0o644); err != nil {
		t.Fatal(err)
	}
	finds(t, "a key for all", uplink(), doctor.Problem, "mode 0644", "0600")
	put(-day, 80*day)
	if err := os.Chmod(ring.key, 0o600); err != nil {
		t.Fatal(err)
	}
	ring.trust(newAuthority(t, now.Add(-1000*day), now.Add(-day)))
	finds(t, "an authority that ended", uplink(), doctor.Problem, "every authority")
	c := examining(t, oneUnit+fmt.Sprintf("uplink: {broker: \"tls://cloud.example\", tls: {cert_file: %s, key_file: %s}}\n", ring.cert, ring.key), nil)
	c.who = doctor.Person{Name: "upsagent", UID: 12345}
	finds(t, "not for the service", c.lookAtCertificates(), doctor.Problem, "user upsagent", "sudo chown upsagent:")
}

func TestTheCheckOfTheBroker(t *testing.T) {
	now := time.Now()
	ours, theirs := newAuthority(t, now.Add(-1000*day), now.Add(1000*day)), newAuthority(t, now.Add(-1000*day), now.Add(1000*day))
	ring := newKeyRing(t)
	ring.trust(ours)
	ring.put(ours.issue("rack7", now.Add(-day), now.Add(80*day)))
	within := time.Minute
	at := func(address string, status *local.Status) []doctor.Finding {
		c := examining(t, oneUnit+fmt.Sprintf("uplink: {broker: \"tls://%s\", tls: {ca_file: %s, cert_file: %s, key_file: %s}}\n", address, ring.ca, ring.cert, ring.key), status)
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return c.lookAtBroker(ctx)
	}
	in := func(cert tls.Certificate, clients *authority) string {
		return tlsListener(t, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.pool()})
	}
	good := ours.issue("localhost", now.Add(-day), now.Add(day))
	well := in(good, ours)
	finds(t, "none", examining(t, oneUnit, nil).lookAtBroker(t.Context()), doctor.OK, "none is configured")
	finds(t, "well", at(well, nil), doctor.OK, "can be reached")
	finds(t, "connected", at("localhost:1", &local.Status{Broker: local.Broker{Connected: true}}), doctor.OK, "connected")
	finds(t, "not yet", at(well, &local.Status{}), doctor.Note, "not connected yet")
	finds(t, "refuses MQTT", at(well, &local.Status{Broker: local.Broker{Failure: "the broker does not allow this agent (CONNACK 5)"}}), doctor.Problem, "CONNACK 5", "upsagent enroll")
	finds(t, "nobody", at("localhost:1", nil), doctor.Problem, "nobody listens", "uplink.broker")
	finds(t, "another's", at(in(theirs.issue("localhost", now.Add(-day), now.Add(day)), ours), nil), doctor.Problem, "authority we trust", "ca_file")
	finds(t, "another name", at(in(ours.issue("other", now.Add(-day), now.Add(day)), ours), nil), doctor.Problem, "another name", "uplink.broker")
	finds(t, "ended", at(in(ours.issue("localhost", now.Add(-9*day), now.Add(-day)), ours), nil), doctor.Problem, "not valid now", "timedatectl")
	finds(t, "refuses us", at(in(good, theirs), nil), doctor.Problem, "rejects our certificate", "upsagent enroll")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	within = 300 * time.Millisecond
	finds(t, "silent", at(strings.Replace(silent.Addr().String(), "127.0.0.1", "localhost", 1), nil), doctor.Problem, "does not answer", "firewall")
}

// tlsListener shakes hands with whoever comes, and holds the connection.
func tlsListener(t *testing.T, conf *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = c.Write([]byte{0}) // spares the wait for a refusal
				_, _ = c.Read(make([]byte, 100))
				_ = c.Close()
			}()
		}
	}()
	return strings.Replace(l.Addr().String(), "127.0.0.1", "localhost", 1)
}

func TestTheCheckOfTheCloud(t *testing.T) {
	now := time.Now()
	ours := newAuthority(t, now.Add(-1000*day), now.Add(1000*day))
	answer := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{ours.issue("localhost", now.Add(-day), now.Add(day))}, ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)

	c := examining(t, oneUnit+"uplink: {broker: \"tls://localhost\"}\n", nil)
	finds(t, "none", c.lookAtCloud(t.Context()), doctor.OK, "enrolled with none")
	dir := filepath.Join(c.cfg.StateDir, "cloud", "g_1")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	own := ours.issue("g_1", now.Add(-day), now.Add(80*day))
	der, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for name, text := range map[string][]byte{
		"agent.pem": append(block("PRIVATE KEY", der), block("CERTIFICATE", own.Certificate[0])...),
		"ca.pem":    block("CERTIFICATE", ours.cert.Raw), "url": []byte("https://localhost:" + port), "../../cloud_root": []byte(strings.Repeat("A", 43) + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.cfg.Uplink.CertFile, c.cfg.Uplink.KeyFile = filepath.Join(dir, "agent.pem"), filepath.Join(dir, "agent.pem")
	if hosts := c.hosts(); len(hosts) != 2 || hosts[1] != "localhost" {
		t.Errorf("names to look up: %q", hosts)
	}
	finds(t, "well", c.lookAtCloud(t.Context()), doctor.OK, "knows this box")
	answer = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"reason":"UNAUTHENTICATED","detail":"this agent was removed"}`))
	}
	finds(t, "removed", c.lookAtCloud(t.Context()), doctor.Problem, "does not know this box any more: this agent was removed", "upsagent enroll")
	answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	finds(t, "in trouble", c.lookAtCloud(t.Context()), doctor.Problem, "HTTP 500")
	server.Close()
	finds(t, "gone", c.lookAtCloud(t.Context()), doctor.Problem, "connection refused", "firewall")
}
