package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"time"
)

// Lives of certificates.
const (
	caLife = 20 * 365 * 24 * time.Hour // as long as a unit may stand somewhere: agents pin it
	// AgentLife is how long an agent's certificate is valid. It renews it after two thirds of that.
	AgentLife = 90 * 24 * time.Hour
	// RenewAfterEnd is how long after its end a certificate is still good for its own renewal, with proof of the same key: a box that was
	// switched off over a season comes back by itself.
	RenewAfterEnd = 30 * 24 * time.Hour
	serverLife    = 397 * 24 * time.Hour
	// backdate lets clocks of our machines differ.
	backdate = 5 * time.Minute
)

// An issuer is the authority of certificates.
type issuer struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// serial returns a serial number of 127 random bits: positive, and unknown to who would make a collision.
func serial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return n.Add(n, big.NewInt(1)), nil
}

// makeCA makes the authority's certificate: it signs leaves for TLS and nothing else. It has no name constraints: agents trust it for this
// one cloud, whose name may change over the years.
func makeCA(key *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	n, err := serial()
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber: n, Subject: pkix.Name{Organization: []string{"upsedge"}, CommonName: fmt.Sprintf("upscloud %x", n.Bytes()[:4])},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	return x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
}

func openIssuer(dir string) (*issuer, error) {
	key, err := readKey[*ecdsa.PrivateKey](filepath.Join(dir, caKeyFile))
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, caFile)
	blocks, _, err := readBlocks(path)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(blocks[typeCertificate])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s is not of the key %s", path, caKeyFile)
	}
	i := &issuer{key, cert, x509.NewCertPool()}
	i.pool.AddCert(cert)
	return i, nil
}

// certify signs a leaf. It never outlives the authority.
func (i *issuer) certify(c *x509.Certificate, public any, now time.Time, life time.Duration) (*x509.Certificate, error) {
	var err error
	if c.SerialNumber, err = serial(); err != nil {
		return nil, err
	}
	c.NotBefore, c.NotAfter = now.Add(-backdate), now.Add(life)
	if c.NotAfter.After(i.cert.NotAfter) {
		c.NotAfter = i.cert.NotAfter
	}
	c.KeyUsage, c.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	der, err := x509.CreateCertificate(rand.Reader, c, i.cert, public, i.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// agent certifies an agent: its name is the certificate's, and it is a client and nothing else.
func (i *issuer) agent(id string, public any, now time.Time) (*x509.Certificate, error) {
	return i.certify(&x509.Certificate{Subject: pkix.Name{CommonName: id}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, public, now, AgentLife)
}

// server certifies our own server under its names: host names and addresses.
func (i *issuer) server(names []string, public any, now time.Time) (*x509.Certificate, error) {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	return i.certify(c, public, now, serverLife)
}

// verify judges the chain of an agent's certificate as of an instant.
func (i *issuer) verify(cert *x509.Certificate, at time.Time) error {
	_, err := cert.Verify(x509.VerifyOptions{Roots: i.pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}
