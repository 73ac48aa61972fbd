package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// certify writes a certificate of the agent box-1 that ends at until.
func certify(t *testing.T, file string, until time.Time) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "box-1"}, NotBefore: until.Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(nil, c, c, public, private)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTellsWhenARenewedCertificateEnds: without a new connection, and over a moment in which the file is not whole.
func TestTellsWhenARenewedCertificateEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "agent.pem")
		first := time.Now().Add(24 * time.Hour)
		second := first.Add(24 * time.Hour)
		certify(t, file, first)
		id, expiry, err := certificateID(file)
		if err != nil || id != "box-1" || !expiry.Equal(first) {
			t.Fatalf("certificate of %q until %v, %v; want box-1, %v", id, expiry, err, first)
		}
		var l link
		l.certExpiry.Store(expiry)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.followCertificate(ctx, file, func(time.Time) {}) }()
		expect := func(want time.Time) {
			t.Helper()
			time.Sleep(time.Minute + time.Second)
			if got := l.certExpiry.Load(); !got.Equal(want) {
				t.Errorf("ends at %v, want %v", got, want)
			}
		}
		expect(first)
		if err := os.WriteFile(file, []byte("-----BEGIN CERT"), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(first)
		certify(t, file, second)
		expect(second)
		stop()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}
