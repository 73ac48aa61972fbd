package authority

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

func checkNames(names []string) error {
	if len(names) == 0 {
		return errors.New("the server has no name: agents and people need one to reach it by")
	}
	for _, n := range names {
		if net.ParseIP(n) == nil && (len(n) > 253 || !hostName.MatchString(n)) {
			return fmt.Errorf("%q is no host name (in lower case) and no address", n)
		}
	}
	return nil
}

// makeServer makes the certificate of our own server, with a new key.
func (i *issuer) makeServer(dir string, names []string, at time.Time) (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	leaf, err := i.server(names, key.Public(), at)
	if err != nil {
		return nil, err
	}
	text, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	text = append(text, encodeCertificates(leaf.Raw, i.cert.Raw)...)
	if err := writeFile(filepath.Join(dir, serverFile), text); err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw, i.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// ownServer returns our own server's certificate: that on disk, or a new one where it does not fit: it nears its end, or has other names. The
// authority's certificate comes with it, so that who has its digest can check it.
func (i *issuer) ownServer(dir string, names []string, at time.Time) (*tls.Certificate, error) {
	l, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	pair, err := readServer(filepath.Join(dir, serverFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err == nil && len(names) == 0 {
		names = namesOf(pair.Leaf)
	}
	if err == nil && slices.Equal(namesOf(pair.Leaf), sorted(names)) && at.After(pair.Leaf.NotBefore) && at.Before(renewAt(pair.Leaf)) &&
		pair.Leaf.CheckSignatureFrom(i.cert) == nil {
		return pair, nil
	}
	if err := checkNames(names); err != nil {
		return nil, err
	}
	return i.makeServer(dir, names, at)
}

// renewAt is when two thirds of a certificate's life are over.
func renewAt(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / 3)
}

func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return sorted(names)
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	for i, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			names[i] = ip.String()
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func readServer(path string) (*tls.Certificate, error) {
	if err := checkSecret(path); err != nil {
		return nil, err
	}
	blocks, chain, err := readBlocks(path)
	if err != nil {
		return nil, err
	}
	key, err := parseKey[*ecdsa.PrivateKey](path, blocks[typeKey])
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(blocks[typeCertificate])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, fmt.Errorf("%s: certificate and key do not belong together", path)
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}

// lookEvery is how often files of a configured certificate, and dates of our own, are looked at.
const lookEvery = time.Minute

// serverCertificate returns what our server shows. While what is there now cannot be used, what was used before is.
func (a *Authority) serverCertificate() (*tls.Certificate, error) {
	a.serverMu.Lock()
	defer a.serverMu.Unlock()
	at := a.o.Now()
	if a.server != nil && at.Sub(a.looked) < lookEvery && !at.Before(a.looked) {
		return a.server, nil
	}
	pair, err := a.readCertificate(at)
	if err != nil && a.server == nil {
		return nil, fmt.Errorf("certificate of the server: %w", err)
	}
	a.looked = at
	if err != nil {
		a.o.Log.Error("the server's certificate cannot be made anew; the one before stays in use", "err", err, "ends", a.server.Leaf.NotAfter)
		return a.server, nil
	}
	a.server = pair
	return pair, nil
}

func (a *Authority) readCertificate(at time.Time) (*tls.Certificate, error) {
	if a.o.CertFile == "" {
		return a.issuer.ownServer(a.dir, a.o.Names, at)
	}
	if err := checkSecret(a.o.KeyFile); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(a.o.CertFile, a.o.KeyFile)
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

// ServerEnds is when the server's certificate ends.
func (a *Authority) ServerEnds() (time.Time, error) {
	pair, err := a.serverCertificate()
	if err != nil {
		return time.Time{}, err
	}
	return pair.Leaf.NotAfter, nil
}

// Forward secrecy for TLS 1.2: an ephemeral exchange of keys, and a cipher that authenticates (T-17). TLS 1.3 has nothing else.
var forwardSecret = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// ServerTLS is for HTTPS. A certificate of the one who connects is asked for and not judged: browsers have none, and one that has ended may
// still be renewed. Routes that need one call Authorize.
func (a *Authority) ServerTLS() *tls.Config {
	cfg := a.tls()
	cfg.ClientAuth = tls.RequestClientCert
	return cfg
}

// FrontTLS is for agents on MQTT: a certificate of this authority that is valid now, or no connection. Whether the agent is still one,
// Authorize says.
func (a *Authority) FrontTLS() *tls.Config {
	cfg := a.tls()
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	cfg.SessionTicketsDisabled = true
	return cfg
}

func (a *Authority) tls() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: forwardSecret, ClientCAs: a.issuer.pool, Time: a.o.Now,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.serverCertificate() },
	}
}
