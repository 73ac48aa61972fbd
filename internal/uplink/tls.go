package uplink

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"sync"
	"time"
)

// Credentials are the files of TLS: the authorities we trust, and our own certificate with its key. They are read when they are
// replaced, and what was read before stays in use while what is there now does not fit: a renewal writes one file after the
// other. It may be used concurrently.
type Credentials struct {
	caFile, certFile, keyFile string

	mu   sync.Mutex
	ca   []byte // as read last and taken; so are the others
	cert []byte
	key  []byte
	pool *x509.CertPool   // nil: the system's
	pair *tls.Certificate // nil: none
}

// ReadCredentials reads the authorities of caFile (the system's when it is ""), and the client certificate of certFile and keyFile
// (none when both are ""). Errors name the file and the reason. A key that every user of the box can read is refused.
func ReadCredentials(caFile, certFile, keyFile string) (*Credentials, error) {
	switch {
	case certFile == "" && keyFile != "":
		return nil, fmt.Errorf("key_file %s has no cert_file beside it", keyFile)
	case certFile != "" && keyFile == "":
		return nil, fmt.Errorf("cert_file %s has no key_file beside it", certFile)
	}
	c := &Credentials{caFile: caFile, certFile: certFile, keyFile: keyFile}
	if _, err := c.Refresh(); err != nil {
		return nil, err
	}
	return c, nil
}

// Refresh reads the files again and reports whether anything in them is new and in use from the next connection on. What does
// not fit is an error, and leaves that part as it was: a file that is not whole, a key of another certificate, a certificate of
// another name, since the name is who the agent is.
func (c *Credentials) Refresh() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.caFile != "" {
		if changed, err = c.refreshAuthorities(); err != nil {
			return false, err
		}
	}
	if c.certFile == "" {
		return changed, nil
	}
	renewed, err := c.refreshPair()
	return changed || renewed, err
}

func (c *Credentials) refreshAuthorities() (changed bool, err error) {
	text, err := os.ReadFile(c.caFile)
	if err != nil {
		return false, fmt.Errorf("authorities: %w", err)
	}
	if bytes.Equal(text, c.ca) && c.pool != nil {
		return false, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return false, fmt.Errorf("authorities %s: no certificate in PEM in it", c.caFile)
	}
	c.ca, c.pool = text, pool
	return true, nil
}

func (c *Credentials) refreshPair() (changed bool, err error) {
	if err := checkPrivate(c.keyFile); err != nil {
		return false, err
	}
	cert, err := os.ReadFile(c.certFile)
	if err != nil {
		return false, fmt.Errorf("certificate: %w", err)
	}
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		return false, fmt.Errorf("key: %w", err)
	}
	if c.pair != nil && bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return false, nil
	}
	leaf, err := firstCertificate(c.certFile, cert)
	if err != nil {
		return false, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	if c.pair != nil && leaf.Subject.CommonName != c.pair.Leaf.Subject.CommonName {
		return false, fmt.Errorf("certificate %s is of %q, and this agent is %q", c.certFile, leaf.Subject.CommonName, c.pair.Leaf.Subject.CommonName)
	}
	pair.Leaf = leaf
	c.cert, c.key, c.pair = cert, key, &pair
	return true, nil
}

// Certificate returns our own certificate that is in use, nil without one.
func (c *Credentials) Certificate() *x509.Certificate {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair == nil {
		return nil
	}
	return c.pair.Leaf
}

// Forward secrecy for TLS 1.2: an ephemeral exchange of keys, and a cipher that authenticates (T-17). TLS 1.3 has nothing else.
var forwardSecret = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// config is that of a connection to the server of that name, whose certificates are judged at the instant at. c may be nil: the
// system's authorities, and no certificate of ours.
func (c *Credentials) config(server string, at time.Time) *tls.Config {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: forwardSecret, ServerName: server,
		Time: func() time.Time { return at },
	}
	if c == nil {
		return cfg
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	cfg.RootCAs = c.pool
	if pair := c.pair; pair != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	return cfg
}

// ReadCertificate returns the first certificate of a PEM file. Its subject's common name is the agent id (design, section 6).
func ReadCertificate(certFile string) (*x509.Certificate, error) {
	text, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return firstCertificate(certFile, text)
}

func firstCertificate(certFile string, text []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, fmt.Errorf("certificate %s: no PEM block of type CERTIFICATE in it", certFile)
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", certFile, err)
		}
		return cert, nil
	}
}

// checkPrivate refuses a key that others than its owner and group can read or replace.
func checkPrivate(keyFile string) error {
	info, err := os.Stat(keyFile)
	switch {
	case err != nil:
		return fmt.Errorf("key: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("key %s: not a regular file", keyFile)
	case info.Mode().Perm()&0o007 != 0:
		return fmt.Errorf("key %s: mode %04o lets every user of this machine at it, want 0600 or 0640", keyFile, info.Mode().Perm())
	}
	return nil
}
