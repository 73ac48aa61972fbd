package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	made int64
}

func newAuthority(t *testing.T, from, until time.Time) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, made: 1}
	a.cert = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, &key.PublicKey)
	return a
}

func (a *authority) sign(c *x509.Certificate, public any) *x509.Certificate {
	a.t.Helper()
	a.made++
	c.SerialNumber = big.NewInt(a.made)
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// issue makes a certificate that is good for servers and clients of that name.
func (a *authority) issue(name string, from, until time.Time) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{a.sign(named(name, from, until), &key.PublicKey).Raw}, PrivateKey: key}
}

// issueRSA makes one for which the exchange of keys can be RSA's own.
func (a *authority) issueRSA(name string, from, until time.Time) tls.Certificate {
	a.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		a.t.Fatal(err)
	}
	c := named(name, from, until)
	c.KeyUsage = x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature
	return tls.Certificate{Certificate: [][]byte{a.sign(c, &key.PublicKey).Raw}, PrivateKey: key}
}

func named(name string, from, until time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// pool is what trusts the authority.
func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// A keyRing is the three files of TLS.
type keyRing struct {
	t             *testing.T
	ca, cert, key string
}

func newKeyRing(t *testing.T) *keyRing {
	dir := t.TempDir()
	return &keyRing{t: t, ca: filepath.Join(dir, "ca.pem"), cert: filepath.Join(dir, "agent.pem"), key: filepath.Join(dir, "agent.key")}
}

func (k *keyRing) trust(as ...*authority) {
	k.t.Helper()
	var text []byte
	for _, a := range as {
		text = append(text, block("CERTIFICATE", a.cert.Raw)...)
	}
	k.write(k.ca, text)
}

func (k *keyRing) putCert(c tls.Certificate) { k.write(k.cert, block("CERTIFICATE", c.Certificate[0])) }

func (k *keyRing) putKey(c tls.Certificate) {
	k.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		k.t.Fatal(err)
	}
	k.write(k.key, block("PRIVATE KEY", der))
}

func (k *keyRing) put(c tls.Certificate) {
	k.putCert(c)
	k.putKey(c)
}

func (k *keyRing) write(file string, text []byte) {
	k.t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
