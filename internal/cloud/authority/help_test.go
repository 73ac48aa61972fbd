package authority_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A clock of the cloud that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// A world is an authority on a database, at a time of its own.
type world struct {
	*authority.Authority
	t     testing.TB
	dir   string
	db    *store.DB
	clock *clock

	mu    sync.Mutex
	ended []string
}

var names = []string{"cloud.example", "127.0.0.1"}

func newWorld(t testing.TB, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), db: db, clock: &clock{t: time.Now()}}
	_, err := authority.Init(w.dir, names)
	must(t, err)
	w.Authority, err = authority.Open(w.dir, authority.Options{
		DB: db, Brokers: []string{"tls://cloud.example:8883"}, Now: w.clock.now,
		Ended: func(agent string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ended = append(w.ended, agent)
		},
	})
	must(t, err)
	return w
}

func (w *world) write(fn func(ctx context.Context, tx *store.Tx) error) error {
	return w.db.Write(w.t.Context(), fn)
}

var (
	ada       = cloud.Actor{Ref: "u_ada", Account: "a_ada", Org: "o_ada", Request: "r_1"}
	eve       = cloud.Actor{Ref: "u_eve", Account: "a_eve", Org: "o_eve", Request: "r_2"}
	installer = cloud.Actor{Address: "192.0.2.7", Request: "r_3"}
)

func (w *world) token(actor cloud.Actor) *authority.Token {
	w.t.Helper()
	var token *authority.Token
	must(w.t, w.write(func(ctx context.Context, tx *store.Tx) (err error) {
		token, err = w.IssueToken(ctx, tx, actor, "cellar")
		return err
	}))
	return token
}

func (w *world) enrol(token string, csr []byte) (e *authority.Enrolment, err error) {
	err = w.write(func(ctx context.Context, tx *store.Tx) (err error) {
		e, err = w.Enrol(ctx, tx, installer, token, csr)
		return err
	})
	return e, err
}

func (w *world) renew(cert *x509.Certificate, csr []byte) (e *authority.Enrolment, err error) {
	err = w.write(func(ctx context.Context, tx *store.Tx) (err error) {
		e, err = w.Renew(ctx, tx, installer, cert, csr)
		return err
	})
	return e, err
}

// box is an agent: a key that never leaves it.
type box struct{ key *ecdsa.PrivateKey }

func newBox(t testing.TB) box {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return box{key}
}

func (b box) csr(t testing.TB) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, b.key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func certificate(t testing.TB, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return c
}

// refused fails unless err is a refusal for that reason whose words have all of those.
func refused(t testing.TB, what string, err error, reason policy.Reason, words ...string) {
	t.Helper()
	var e *cloud.Error
	if !errors.As(err, &e) || e.Reason != reason {
		t.Errorf("%s: %v, want %s", what, err, reason)
		return
	}
	for _, w := range words {
		if !strings.Contains(e.Detail, w) {
			t.Errorf("%s: %q does not say %q", what, e.Detail, w)
		}
	}
}
