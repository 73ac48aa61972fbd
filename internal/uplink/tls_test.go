package uplink

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

// An authority issues certificates into files below dir.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, name)
	a.file = filepath.Join(a.dir, name+".crt")
	return a
}

// issue makes a certificate, signed by a or, when a has none yet, by itself, in name.crt and name.key.
func (a *authority) issue(c *x509.Certificate, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.must(err)
	c.SerialNumber, c.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	a.must(err)
	secret, err := x509.MarshalECPrivateKey(key)
	a.must(err)
	a.must(os.WriteFile(filepath.Join(a.dir, name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	a.must(os.WriteFile(filepath.Join(a.dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
	cert, err := x509.ParseCertificate(der)
	a.must(err)
	return cert, key
}

func (a *authority) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) server(name string, ip net.IP, until time.Time) {
	a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{ip}, NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, name)
}

func (a *authority) client(name string) (certFile, keyFile string) {
	a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, name)
	return filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
}

// tlsBroker starts mosquitto with certificate server of a, for clients of clients.
func tlsBroker(t *testing.T, a, clients *authority, server string) *testenv.Broker {
	return testenv.Mosquitto(t, "cafile "+clients.file+"\ncertfile "+filepath.Join(a.dir, server+".crt")+
		"\nkeyfile "+filepath.Join(a.dir, server+".key")+"\nrequire_certificate true\nuse_identity_as_username true")
}

// A logBook keeps log lines.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBook) has(s string) bool { return l.count(s) > 0 }

func (l *logBook) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

func (l *logBook) string() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logBook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

var localhost = net.IPv4(127, 0, 0, 1)

func TestDeliversOverTLSWithAClientCertificate(t *testing.T) {
	a := newAuthority(t, "ca")
	a.server("broker", localhost, time.Time{})
	broker := tlsBroker(t, a, a, "broker")
	certFile, keyFile := a.client("rack7")
	conf, err := ReadCredentials(a.file, certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	cfg, spool := testConfig(t, broker.Addr), newMemSpool()
	cfg.Broker, cfg.TLS, cfg.Insecure = parseURL(t, "tls://"+broker.Addr), conf, false
	fill(spool)
	stop := start(t, quick(cfg, spool))
	await(t, "acknowledgement of everything", drained(spool, fewEvents, fewSamples))
	stop()
	await(t, "clean end in the broker's log", func() bool { return strings.Contains(broker.Log(), "Client rack7 disconnected.") })
}

// What the installer reads when TLS does not work.
func TestSaysInPlainWordsWhatIsWrongWithCertificates(t *testing.T) {
	a, other := newAuthority(t, "ca"), newAuthority(t, "other")
	a.server("broker", localhost, time.Time{})
	a.server("elsewhere", net.IPv4(192, 0, 2, 1), time.Time{})
	a.server("expired", localhost, time.Now().Add(-time.Minute))
	certFile, keyFile := a.client("rack7")
	strange, strangeKey := other.client("rack7")
	for _, c := range []struct{ name, server, ca, cert, key, want string }{
		{"none of ours", "broker", a.file, "", "", "asks for a certificate"},
		{"ours by a stranger", "broker", a.file, strange, strangeKey, "rejects our certificate"},
		{"theirs by a stranger", "broker", other.file, certFile, keyFile, "not signed by an authority we trust"},
		{"another name", "elsewhere", a.file, certFile, keyFile, "is for another name"},
		{"expired", "expired", a.file, certFile, keyFile, "is not valid now"},
	} {
		t.Run(c.name, func(t *testing.T) {
			broker := tlsBroker(t, a, a, c.server)
			conf, err := ReadCredentials(c.ca, c.cert, c.key)
			if err != nil {
				t.Fatal(err)
			}
			log, cfg := &logBook{}, testConfig(t, broker.Addr)
			cfg.Broker, cfg.TLS, cfg.Log = parseURL(t, "tls://"+broker.Addr), conf, log.logger()
			start(t, quick(cfg, newMemSpool()))
			await(t, "line that says "+c.want, func() bool { return log.has(c.want) })
		})
	}
}

func TestSaysInPlainWordsWhyTheBrokerIsNotReached(t *testing.T) {
	for _, c := range []struct{ name, conf, scheme, want string }{
		{"not allowed", "allow_anonymous false", "tcp", "does not allow this agent (CONNACK 5)"},
		{"no TLS there", "", "tls", "TLS with 127.0.0.1"},
		{"gone", "", "tcp", "nobody listens"},
	} {
		t.Run(c.name, func(t *testing.T) {
			broker := testenv.Mosquitto(t, c.conf)
			if c.name == "gone" {
				broker.Stop()
			}
			log, cfg := &logBook{}, testConfig(t, broker.Addr)
			cfg.Broker, cfg.Log = parseURL(t, c.scheme+"://"+broker.Addr), log.logger()
			start(t, quick(cfg, newMemSpool()))
			await(t, "line that says "+c.want, func() bool { return log.has(c.want) })
		})
	}
}

func TestReadCredentialsNamesTheFileAndTheReason(t *testing.T) {
	a := newAuthority(t, "ca")
	certFile, keyFile := a.client("rack7")
	_, otherKey := a.client("rack8")
	open := filepath.Join(a.dir, "open.key")
	text, err := os.ReadFile(keyFile)
	a.must(err)
	a.must(os.WriteFile(open, text, 0o600))
	a.must(os.Chmod(open, 0o644))
	empty := filepath.Join(a.dir, "empty.pem")
	a.must(os.WriteFile(empty, nil, 0o600))
	missing := filepath.Join(a.dir, "missing")
	for _, c := range []struct{ name, ca, cert, key, want string }{
		{"no CA", missing, "", "", "missing: no such file"},
		{"empty CA", empty, "", "", "empty.pem: no certificate in PEM"},
		{"no certificate", "", missing, keyFile, "missing: no such file"},
		{"empty certificate", "", empty, keyFile, "empty.pem: no PEM block of type CERTIFICATE"},
		{"key as certificate", "", keyFile, keyFile, "rack7.key: no PEM block of type CERTIFICATE"},
		{"no key", "", certFile, missing, "missing: no such file"},
		{"empty key", "", certFile, empty, "empty.pem"},
		{"another's key", "", certFile, otherKey, "does not match"},
		{"key for everybody", "", certFile, open, "open.key: mode 0644"},
		{"key alone", "", "", keyFile, "no cert_file"},
		{"certificate alone", "", certFile, "", "no key_file"},
		{"a directory as key", "", certFile, a.dir, "not a regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ReadCredentials(c.ca, c.cert, c.key); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ReadCredentials = %v, want an error with %q", err, c.want)
			}
		})
	}
	if cert, err := ReadCertificate(certFile); err != nil || cert.Subject.CommonName != "rack7" {
		t.Errorf("ReadCertificate = %v, %v; want rack7's", cert, err)
	}
}

func TestRefusesConfigurationsThatCannotBeSafe(t *testing.T) {
	for _, c := range []struct {
		broker, agent string
		insecure      bool
		want          string
	}{
		{"tcp://127.0.0.1", "rack7", false, "plain TCP"},
		{"tcp://192.0.2.1", "rack7", true, "another machine"},
		{"tcp://[::1]", "rack7", false, "plain TCP"},
		{"tcp://localhost", "rack7", false, "plain TCP"},
		{"tcp://[2001:db8::1]", "rack7", true, "another machine"},
		{"tcp://[::ffff:192.0.2.1]", "rack7", true, "another machine"},
		{"tcp://localhost.example", "rack7", true, "another machine"},
		{"tcp://127.0.0.1.example", "rack7", true, "another machine"},
		{"tcp://0.0.0.0", "rack7", true, "another machine"},
		{"ws://127.0.0.1", "rack7", true, "neither"},
		{"ssl://127.0.0.1", "rack7", true, "neither"},
		{"tcp://cloud.example", "rack7", true, "another machine"},
		{"http://127.0.0.1", "rack7", true, "neither"},
		{"tls://", "rack7", false, "no host"},
		{"tls://cloud.example", "", false, "agent id"},
		{"tls://cloud.example", "a/b", false, "agent id"},
	} {
		cfg := Config{Broker: parseURL(t, c.broker), AgentID: c.agent, Insecure: c.insecure, Full: func() *wire.FullState { return nil }}
		if err := New(cfg, newMemSpool()).Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s as %q: Run = %v, want an error with %q", c.broker, c.agent, err, c.want)
		}
	}
}

// A placed connection is one to somewhere.
type placed struct {
	net.Conn
	where net.IP
	said  *atomic.Int64 // bytes
}

func (p placed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: p.where, Port: 1883} }

func (p placed) Write(b []byte) (int, error) {
	p.said.Add(int64(len(b)))
	return p.Conn.Write(b)
}

// TestSaysNothingInTheClearToAnotherMachine: where localhost leads is known only when it has been dialled.
func TestSaysNothingInTheClearToAnotherMachine(t *testing.T) {
	for _, where := range []string{"192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "fe80::1", "0.0.0.0"} {
		var said atomic.Int64
		log, cfg := &logBook{}, testConfig(t, "127.0.0.1:1")
		cfg.Broker, cfg.Insecure, cfg.Log = parseURL(t, "tcp://localhost"), true, log.logger()
		cfg.Dial = func(context.Context, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			return placed{ours, net.ParseIP(where), &said}, nil
		}
		stop := start(t, quick(cfg, newMemSpool()))
		await(t, "refusal of "+where, func() bool { return log.has("plain TCP refused") })
		stop()
		if said.Load() != 0 {
			t.Errorf("%s was told %d bytes", where, said.Load())
		}
	}
}
