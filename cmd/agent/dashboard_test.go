package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/ups/upssim"
)

// A dashboard is what Grafana is given.
type dashboard struct {
	Panels []struct {
		Title, Type string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr string }
	}
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Annotations struct{ List []struct{ Name, Expr string } }
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	text, err := os.ReadFile(operators + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	d := new(dashboard)
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// A query is one of a dashboard, as Grafana sends it when all of one job is chosen.
type query struct{ panel, expr string }

var (
	chosen = strings.NewReplacer("$job", "ups.*", "$instance", ".+", "$ups", ".+", "$__rate_interval", "5s", "$__range", "1m", "[1h]", "[5s]")
	values = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
)

func (d *dashboard) queries() (all []query) {
	for _, v := range d.Templating.List {
		if m := values.FindStringSubmatch(v.Definition); m != nil {
			all = append(all, query{"variable " + v.Name, chosen.Replace("count by (" + m[2] + ") (" + m[1] + ")")})
		}
	}
	for _, a := range d.Annotations.List {
		all = append(all, query{"annotation " + a.Name, chosen.Replace(a.Expr)})
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			all = append(all, query{p.Title, chosen.Replace(q.Expr)})
		}
	}
	return all
}

// TestPanelsOfTheDashboardLieBesideEachOther, each with a query, and the three variables choose.
func TestPanelsOfTheDashboardLieBesideEachOther(t *testing.T) {
	d := readDashboard(t)
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("%s has %d queries", p.Title, len(p.Targets))
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %q, or outside, at %d, %d", p.Title, other, x, y)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			if !strings.Contains(q.Expr, `job=~"$job"`) || !strings.Contains(q.Expr, `instance=~"$instance"`) {
				t.Errorf("%s is not of the agents chosen: %s", p.Title, q.Expr)
			}
		}
	}
	if n := len(d.queries()); n < 60 {
		t.Errorf("only %d queries", n)
	}
}

var (
	selector  = regexp.MustCompile(`\b((?:ups|upsagent|process)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	matcher   = regexp.MustCompile(`(\w+)(=~?|!=|!~)"([^"]*)"`)
	clauses   = regexp.MustCompile(`\b(?:on|by|without|ignoring|group_left) ?\([^)]*\)`)
	recorded  = regexp.MustCompile(`\b[a-z_]+:[a-z_]+:[a-z0-9_]+\b`)
	elsewhere = []string{"job", "instance", "ups"} // labels that are Prometheus' own or the site's
)

// strangers returns what expressions name, metrics and values of labels, and a scrape does not have.
func strangers(scrape string, exprs []string) (out []string, names int) {
	for _, e := range exprs {
		for _, m := range selector.FindAllStringSubmatch(recorded.ReplaceAllString(clauses.ReplaceAllString(e, ""), ""), -1) {
			names++
			if !strings.Contains(scrape, "\n"+m[1]+"{") && !strings.Contains(scrape, "\n"+m[1]+" ") {
				out = append(out, m[1])
				continue
			}
			for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
				for v := range strings.SplitSeq(l[3], "|") {
					has := regexp.MustCompile(`(?m)^` + m[1] + `\{[^}]*\b` + l[1] + `="` + regexp.QuoteMeta(v) + `"`)
					if !slices.Contains(elsewhere, l[1]) && !has.MatchString(scrape) {
						out = append(out, m[1]+" with "+l[1]+" "+v)
					}
				}
			}
		}
	}
	return out, names
}

func TestNamesThatAScrapeDoesNotHaveAreNoticed(t *testing.T) {
	scrape := "# HELP\nups_up{ups=\"a\"} 1\nups_status{state=\"online\",ups=\"a\"} 1\nups_status{state=\"test\",ups=\"a\"} 0\nupsagent_x 1\n"
	got, _ := strangers(scrape, []string{
		`sum by (job, ups_x) (ups_up{job="ups"}) unless on (ups) ups_status{state=~"online|test"} == job:ups_y:sum`,
		`rate(ups_down[5m]) > ups_status{state!~"online|tset"}`, `upsagent_x{a="b"} + upsagent_z`,
	})
	if want := []string{"ups_down", "ups_status with state tset", "upsagent_x with a b", "upsagent_z"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// secured starts an agent with a broker, whose metrics want TLS and the password of the shipped web configuration. It returns its unit and the file of the
// certificate, too.
func secured(t *testing.T) (agent *process, unit *upssim.Unit, ca string) {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	web, err := os.ReadFile(operators + "web.yml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"web.yml": web, "web.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), "web.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unit = upssim.New(upssim.Options{Seed: 7})
	p := newPlace(t, fmt.Sprintf("units:\n  - {name: rack-c, tcp: {address: %q}}\nuplink: {broker: \"tcp://%s\", insecure: true}\nmetrics: {listen: \"127.0.0.1:0\", web_config: %s/web.yml}\n",
		listen(t, one(unit)), testenv.Mosquitto(t, "").Addr, dir))
	agent = p.start()
	agent.await("broker connected")
	agent.await("unit connected")
	return agent, unit, filepath.Join(dir, "web.crt")
}

// told is who is told of alerts: the part of an Alertmanager that receives them.
type told struct {
	t    *testing.T
	addr string
	mu   sync.Mutex
	all  map[string]string // summaries, by name
}

func newTold(t *testing.T) *told {
	x := &told{t: t, all: map[string]string{}}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var alerts []struct{ Labels, Annotations map[string]string }
		if err := json.NewDecoder(r.Body).Decode(&alerts); err != nil {
			return
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, a := range alerts {
			x.all[a.Labels["alertname"]] = a.Annotations["summary"]
		}
	}))
	t.Cleanup(s.Close)
	x.addr = strings.TrimPrefix(s.URL, "http://")
	return x
}

// await returns when an alert has come.
func (x *told) await(alert string) {
	x.t.Helper()
	until(x.t, "the alert "+alert, func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.all[alert] != ""
	}, nil)
}
