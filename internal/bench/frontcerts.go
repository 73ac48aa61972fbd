package main

import (
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
	"time"
)

// An issuer signs the certificates of a cloud under test and its agents. Its files lie in one directory, for all processes.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

// newIssuer makes one and writes ca.pem and ca.key, and server.pem and server.key for 127.0.0.1.
func newIssuer(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	i := &issuer{key: key, cert: certificateOf("bench")}
	i.cert.IsCA, i.cert.BasicConstraintsValid, i.cert.KeyUsage = true, true, x509.KeyUsageCertSign
	ca, err := i.sign(i.cert, &key.PublicKey)
	if err != nil {
		return err
	}
	server := certificateOf("server")
	server.IPAddresses, server.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert, err := i.sign(server, &serverKey.PublicKey)
	return errors.Join(err, writePair(dir, "ca", ca, key), writePair(dir, "server", cert, serverKey))
}

func writePair(dir, name string, cert []byte, key *ecdsa.PrivateKey) error {
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(filepath.Join(dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}

func certificateOf(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func (i *issuer) sign(c *x509.Certificate, key *ecdsa.PublicKey) ([]byte, error) {
	return x509.CreateCertificate(rand.Reader, c, i.cert, key, i.key)
}

func readIssuer(dir string) (*issuer, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, err
	}
	i := &issuer{cert: pair.Leaf, key: pair.PrivateKey.(*ecdsa.PrivateKey), pool: x509.NewCertPool()}
	i.pool.AddCert(i.cert)
	return i, nil
}

// agent makes what an agent connects with. Agents share a key, which costs nothing here: their names are their own.
func (i *issuer) agent(name string) (*tls.Config, error) {
	c := certificateOf(name)
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := i.sign(c, &i.key.PublicKey)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		RootCAs: i.pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: i.key}},
	}, nil
}
