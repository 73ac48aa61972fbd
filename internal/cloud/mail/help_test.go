package mail

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/mailsink"
)

// listen has sink serve on loopback until the test ends, and returns its address.
func listen(t *testing.T, sink *mailsink.Sink) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	background(t, func(ctx context.Context) error { return sink.Serve(ctx, ln) })
	return ln.Addr().String()
}

// background runs f until the test ends, or until the returned function is called.
func background(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// plain is a configuration for a sink on loopback.
func plain(addr string) Config {
	return Config{Server: addr, TLS: TLSNone, From: "Cloud <cloud@ups.example>"}
}

// a clock that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func open(t *testing.T, db *store.DB, c Config, k *clock) *Queue {
	t.Helper()
	q, err := New(db, c, Options{Now: k.now})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func put(t *testing.T, db *store.DB, q *Queue, m Message) {
	t.Helper()
	err := db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error { return q.Put(ctx, tx, m) })
	if err != nil {
		t.Fatal(err)
	}
}

// round makes one and returns how many mails were tried.
func round(t *testing.T, q *Queue) int {
	t.Helper()
	n, err := q.round(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func queued(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	err := db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM mails`).Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func hello(to string) Message {
	return Message{To: to, Subject: "Your code", Text: "The code is 2345-6789-ABCD.\n\nGrüße\n", Kind: "test"}
}

// certificate makes one for 127.0.0.1 and returns it with the path of a file that trusts it.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sink"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}
