package soak

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certificates makes an authority, a broker's certificate for 127.0.0.1 and one of the agent, in files below dir.
func certificates(t testing.TB, dir string) {
	t.Helper()
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caKey := certify(t, dir, "ca", ca, ca, nil)
	certify(t, dir, "broker", &x509.Certificate{
		Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, caKey)
	certify(t, dir, "agent", &x509.Certificate{
		Subject: pkix.Name{CommonName: agentID}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, caKey)
}

// certify writes name.crt and name.key; without a key of the signer the certificate signs itself.
func certify(t testing.TB, dir, name string, c, by *x509.Certificate, signer *ecdsa.PrivateKey) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(filepath.Join(dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// tlsListener returns an address for a second listener of the broker, which wants certificates, and its configuration.
func (w *world) tlsListener() (addr, conf string) {
	certificates(w.t, w.dir)
	for range 100 {
		port := 20000 + mathrand.IntN(12000)
		addr = fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			break
		}
	}
	_, port, _ := net.SplitHostPort(addr)
	return addr, fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\ncafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\nuse_identity_as_username true",
		port, w.file("ca.crt"), w.file("broker.crt"), w.file("broker.key"))
}

// cutBytes ends the agent's encrypted connection after some bytes: in the handshake, in a record, anywhere.
func (w *world) cutBytes() {
	d := direction(w.rng.IntN(2))
	w.up.mu.Lock()
	w.up.budget[d] = 1 + w.rng.IntN([]int{600, 3000, 12000}[w.rng.IntN(3)])
	w.up.mu.Unlock()
	if w.rng.IntN(2) == 0 {
		w.up.hangUpAll()
	}
	w.pause(700)
}
