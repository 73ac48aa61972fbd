package serve

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
)

// A life is a whole control plane in this process.
type life struct {
	*testing.T
	*Server
	end func() error
}

func live(t *testing.T, c store.Config) *life { return liveWith(t, c, nil) }

// liveWith changes what the file says before it starts.
func liveWith(t *testing.T, c store.Config, with func(*Config)) *life {
	t.Helper()
	cfg, err := Parse("test", []byte("https: {listen: \"127.0.0.1:0\"}\nmqtt: {listen: \"127.0.0.1:0\"}\nmetrics: {listen: \"127.0.0.1:0\"}\n"))
	must(t, err)
	cfg.DataDir, cfg.Database = filepath.Join(t.TempDir(), "cloud"), c
	if with != nil {
		with(cfg)
	}
	_, err = Init(t.Context(), cfg, First{}, slog.New(slog.DiscardHandler))
	must(t, err)
	return serving(t, cfg)
}

// serving starts a process on a directory that is there.
func serving(t *testing.T, cfg *Config) *life {
	t.Helper()
	s, err := Open(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	l := &life{t, s, func() error { cancel(); return <-ended }}
	t.Cleanup(cancel)
	_, _, metrics := s.Addresses()
	l.until("ready", func() bool { return l.get("http://"+metrics+"/readyz") == http.StatusOK })
	return l
}

func (l *life) get(url string) int {
	res, err := http.Get(url)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

func (l *life) until(what string, ok func() bool) {
	l.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.Fatalf("not within 30 s: %s", what)
		}
	}
}

func (l *life) write(fn func(context.Context, *store.Tx) error) {
	l.Helper()
	must(l, l.db.Write(l.Context(), fn))
}

func (l *life) count(query string, args ...any) (n int) {
	l.Helper()
	must(l, l.db.Read(l.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.QueryRow(ctx, query, args...).Scan(&n) }))
	return n
}

var owner = cloud.Actor{Ref: "u_1", Account: "a_1", Org: "o_1", Request: "r_1"}

// enrol makes an agent and returns its name and certificate.
func (l *life) enrol() (agent string, cert tls.Certificate) {
	l.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(l, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	must(l, err)
	csr := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	var got *authority.Enrolment
	l.write(func(ctx context.Context, tx *store.Tx) error {
		_, _ = tx.Exec(ctx, `INSERT INTO organisations (id, name, created_at) VALUES ('o_1', 'Ann', 1) ON CONFLICT DO NOTHING`)
		token, err := l.authority.IssueToken(ctx, tx, owner, "site")
		if err != nil {
			return err
		}
		got, err = l.authority.Enrol(ctx, tx, cloud.Actor{Address: "192.0.2.1", Request: "r_2"}, token.Text, csr)
		return err
	})
	cert = tls.Certificate{PrivateKey: key}
	for rest := got.Certificate; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	return got.Agent, cert
}

// connect is an MQTT session of an agent; lost is closed when it ends.
func (l *life) connect(agent string, cert tls.Certificate) (lost chan struct{}) {
	l.Helper()
	lost = make(chan struct{})
	o := mqtt.NewClientOptions().AddBroker("ssl://" + l.mqtt.Addr().String()).SetClientID(agent).SetProtocolVersion(4).SetAutoReconnect(false).SetConnectRetry(false)
	o.SetTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true}) //nolint:gosec // whom we talk to is not what is tested
	o.SetConnectionLostHandler(func(mqtt.Client, error) { close(lost) })
	c := mqtt.NewClient(o)
	token := c.Connect()
	token.Wait()
	must(l, token.Error())
	l.Cleanup(func() { c.Disconnect(0) })
	return lost
}

// TestT01ASecondSessionIsWrittenDownAndARevokedOneEnds with a copy of the key: in the operator's notices and in the log of the organisation.
func TestT01ASecondSessionIsWrittenDownAndARevokedOneEnds(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		l := live(t, c)
		agent, cert := l.enrol()
		first := l.connect(agent, cert)
		second := l.connect(agent, cert)
		<-first
		l.until("the notice", func() bool {
			return l.count(`SELECT COUNT(*) FROM notices WHERE agent = $1 AND what = $2`, agent, ingest.SecondSession) == 1
		})
		if n := l.count(`SELECT COUNT(*) FROM event_log WHERE org = 'o_1' AND action = 'agent.second_session'`); n != 1 {
			t.Errorf("%d entries of the organisation's log", n)
		}
		l.write(func(ctx context.Context, tx *store.Tx) error { return l.authority.Revoke(ctx, tx, owner, agent) })
		select {
		case <-second:
		case <-time.After(30 * time.Second):
			t.Error("the session of a revoked agent goes on")
		}
		must(t, l.end())
	})
}

// TestAServerThatStopsLeavesNothingOpen and starts again on the same directory.
func TestAServerThatStopsLeavesNothingOpen(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		l := live(t, c)
		https, _, metrics := l.Addresses()
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // as above
		res, err := client.Get("https://" + https + "/api/v1/openapi.json")
		must(t, err)
		res.Body.Close()
		if res.StatusCode != http.StatusOK || l.get("http://"+metrics+"/metrics") != http.StatusOK || l.get("http://"+metrics+"/healthz") != http.StatusOK {
			t.Errorf("document %d", res.StatusCode)
		}
		must(t, l.end())
		if _, err := client.Get("https://" + https + "/api/v1/openapi.json"); err == nil {
			t.Error("somebody still answers")
		}
		again, err := Open(t.Context(), l.cfg, "test", slog.New(slog.DiscardHandler))
		must(t, err)
		must(t, again.close())
	})
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	cfg, err := Parse("test", nil)
	must(t, err)
	cfg.DataDir = t.TempDir()
	cfg.Database = storetest.SQLite(t)
	if _, err := Open(t.Context(), cfg, "test", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "upscloud init") {
		t.Errorf("without keys: %v", err)
	}
}
