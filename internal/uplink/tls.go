package uplink

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

// TLSConfig returns the TLS side of a Config: TLS 1.2 or later, the authorities of caFile (the system's when it is ""), and the
// client certificate of certFile and keyFile (none when both are ""). The files are checked now; certificate and key are read
// again at each connection, so that a renewed certificate is used from the next one on. Errors name the file and the reason.
// A key that every user of the box can read is refused.
func TLSConfig(caFile, certFile, keyFile string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pool, err := authorities(caFile)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = pool
	}
	switch {
	case certFile == "" && keyFile == "":
		return cfg, nil
	case certFile == "":
		return nil, fmt.Errorf("key_file %s has no cert_file beside it", keyFile)
	case keyFile == "":
		return nil, fmt.Errorf("cert_file %s has no key_file beside it", certFile)
	}
	if _, err := keyPair(certFile, keyFile); err != nil {
		return nil, err
	}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return keyPair(certFile, keyFile) }
	return cfg, nil
}

// ReadCertificate returns the first certificate of a PEM file. Its subject's common name is the agent id (design, section 6).
func ReadCertificate(certFile string) (*x509.Certificate, error) {
	text, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
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

func authorities(caFile string) (*x509.CertPool, error) {
	text, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("authorities %s: no certificate in PEM in it", caFile)
	}
	return pool, nil
}

func keyPair(certFile, keyFile string) (*tls.Certificate, error) {
	if err := checkPrivate(keyFile); err != nil {
		return nil, err
	}
	if _, err := ReadCertificate(certFile); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return &pair, nil
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
