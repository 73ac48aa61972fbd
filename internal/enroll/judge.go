package enroll

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"upsedge/internal/trust"
)

// Time says what time it is for the dates of certificates: now, where the clock is to be trusted (sure), else the earliest that it can be.
type Time func() (t time.Time, sure bool)

// A judge decides whether who answers is the cloud (T-17). The name is checked always, and there is no way around it.
type judge struct {
	pin   *[16]byte // of the token; nil: none
	roots *x509.CertPool
	ca    []byte // PEM of roots; nil: the system's
	time  Time
}

// errNotPinned is what a man in the middle gets.
var errNotPinned = errors.New("its certificate is not by the authority that the token names: this is another cloud, or somebody between here and there; nothing was told to it. Is this the cloud where the token was made?")

func (j *judge) readAuthorities(file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("authorities: %w", err)
	}
	j.roots = x509.NewCertPool()
	if !j.roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("authorities %s: no certificate in PEM in it", file)
	}
	j.ca = text
	return nil
}

// Forward secrecy for TLS 1.2: an ephemeral exchange of keys, and a cipher that authenticates. TLS 1.3 has nothing else.
var forwardSecret = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

func (j *judge) config(name string, own *tls.Certificate) *tls.Config {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: forwardSecret, ServerName: name,
		// The library's own verification is replaced, not left out: it knows neither the pin nor a clock that nobody has set.
		InsecureSkipVerify: true, //nolint:gosec
		VerifyConnection:   func(s tls.ConnectionState) error { return j.verify(name, s.PeerCertificates) },
	}
	if own != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	}
	return cfg
}

func (j *judge) verify(name string, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errors.New("no certificate")
	}
	o := x509.VerifyOptions{Roots: j.roots, DNSName: name, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	if j.pin != nil {
		pinned := pinned(chain, *j.pin)
		if pinned == nil {
			return errNotPinned
		}
		if j.roots == nil {
			o.Roots = x509.NewCertPool()
			o.Roots.AddCert(pinned)
		}
	}
	return j.judge(chain[0], o)
}

func pinned(chain []*x509.Certificate, pin [16]byte) *x509.Certificate {
	for _, c := range chain {
		if c.IsCA && trust.PinOf(c) == pin {
			return c
		}
	}
	return nil
}

// mostYoung bounds how often the dates are judged at a later instant: once for each certificate of a chain.
const mostYoung = 4

// judge verifies at the present instant. While nobody knows the time, at the earliest that it can be: what had ended by then is refused, and
// what is valid only later may well be valid now, so it is judged once more, whole, at that later instant.
func (j *judge) judge(leaf *x509.Certificate, o x509.VerifyOptions) (err error) {
	at, sure := j.time()
	for range mostYoung {
		o.CurrentTime = at
		var dates x509.CertificateInvalidError
		if _, err = leaf.Verify(o); err == nil || sure || !errors.As(err, &dates) || dates.Reason != x509.Expired || !dates.Cert.NotBefore.After(at) {
			return err
		}
		at = dates.Cert.NotBefore
	}
	return err
}
