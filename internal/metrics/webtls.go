package metrics

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"
)

// webTLS is the part tls_server_config: certificate and key as PEM or as files, whom to know clients by, and what may be spoken.
type webTLS struct {
	Cert         string   `yaml:"cert"`
	Key          string   `yaml:"key"`
	ClientCA     string   `yaml:"client_ca"`
	CertFile     string   `yaml:"cert_file"`
	KeyFile      string   `yaml:"key_file"`
	ClientCAFile string   `yaml:"client_ca_file"`
	ClientAuth   string   `yaml:"client_auth_type"`
	Ciphers      []cipher `yaml:"cipher_suites"`
	Curves       []curve  `yaml:"curve_preferences"`
	Min          version  `yaml:"min_version"`
	Max          version  `yaml:"max_version"`
	AllowedSANs  []string `yaml:"client_allowed_sans"`
	Ours         bool     `yaml:"prefer_server_cipher_suites"` // read and of no effect, as in Go since 1.17
}

// What may be spoken, by name; no other name is taken.
type (
	cipher  uint16
	curve   tls.CurveID
	version uint16
)

var (
	ciphers = func() map[string]cipher {
		out := map[string]cipher{}
		for _, c := range tls.CipherSuites() { // those without known weaknesses
			out[c.Name] = cipher(c.ID)
		}
		return out
	}()
	curves = map[string]curve{
		"CurveP256": curve(tls.CurveP256), "CurveP384": curve(tls.CurveP384), "CurveP521": curve(tls.CurveP521), "X25519": curve(tls.X25519),
	}
	versions = map[string]version{
		"TLS13": tls.VersionTLS13, "TLS12": tls.VersionTLS12, "TLS11": tls.VersionTLS11, "TLS10": tls.VersionTLS10,
	}
	clientAuths = map[string]tls.ClientAuthType{
		"": tls.NoClientCert, "NoClientCert": tls.NoClientCert, "RequestClientCert": tls.RequestClientCert,
		"RequireClientCert": tls.RequireAnyClientCert, "RequireAnyClientCert": tls.RequireAnyClientCert,
		"VerifyClientCertIfGiven": tls.VerifyClientCertIfGiven, "RequireAndVerifyClientCert": tls.RequireAndVerifyClientCert,
	}
)

// UnmarshalYAML implements yaml.Unmarshaler.
func (c *cipher) UnmarshalYAML(n *yaml.Node) error { return byName(n, "cipher suite", ciphers, c) }

// UnmarshalYAML implements yaml.Unmarshaler.
func (c *curve) UnmarshalYAML(n *yaml.Node) error { return byName(n, "curve", curves, c) }

// UnmarshalYAML implements yaml.Unmarshaler.
func (v *version) UnmarshalYAML(n *yaml.Node) error { return byName(n, "TLS version", versions, v) }

func byName[T any](n *yaml.Node, what string, all map[string]T, to *T) error {
	var name string
	if err := n.Decode(&name); err != nil {
		return err
	}
	v, ok := all[name]
	if !ok {
		return fmt.Errorf("line %d: unknown %s %q", n.Line, what, name)
	}
	*to = v
	return nil
}

// enabled reports whether TLS is wanted: something says with which certificate, or which clients.
func (t *webTLS) enabled() bool {
	return t.Cert != "" || t.CertFile != "" || t.Key != "" || t.KeyFile != "" || t.ClientCA != "" || t.ClientCAFile != "" || t.ClientAuth != ""
}

// config reads the files and returns the configuration for crypto/tls. The certificate is read again at each handshake, so that it can be renewed.
func (t *webTLS) config() (*tls.Config, error) {
	if t.Cert == "" && t.CertFile == "" {
		return nil, errors.New("tls_server_config has neither cert nor cert_file")
	}
	if t.Key == "" && t.KeyFile == "" {
		return nil, errors.New("tls_server_config has neither key nor key_file")
	}
	if _, err := t.certificate(); err != nil {
		return nil, err
	}
	auth, ok := clientAuths[t.ClientAuth]
	if !ok {
		return nil, fmt.Errorf("unknown client_auth_type %q", t.ClientAuth)
	}
	c := &tls.Config{
		MinVersion: uint16(t.Min), MaxVersion: uint16(t.Max), ClientAuth: auth,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.certificate() },
	}
	for _, s := range t.Ciphers {
		c.CipherSuites = append(c.CipherSuites, uint16(s))
	}
	for _, s := range t.Curves {
		c.CurvePreferences = append(c.CurvePreferences, tls.CurveID(s))
	}
	if t.AllowedSANs != nil {
		c.VerifyPeerCertificate = t.allowed
	}
	if t.ClientCA == "" && t.ClientCAFile == "" {
		return c, nil
	}
	if auth == tls.NoClientCert {
		return nil, errors.New("client_ca is there, but client_auth_type asks no client for a certificate")
	}
	authorities, err := textOr(t.ClientCA, t.ClientCAFile)
	if err != nil {
		return nil, err
	}
	c.ClientCAs = x509.NewCertPool() // not the system's, even if nothing is in the file
	c.ClientCAs.AppendCertsFromPEM(authorities)
	return c, nil
}

func (t *webTLS) certificate() (*tls.Certificate, error) {
	cert, err := textOr(t.Cert, t.CertFile)
	if err != nil {
		return nil, fmt.Errorf("cert_file: %w", err)
	}
	key, err := textOr(t.Key, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate and key: %w", err)
	}
	return &pair, nil
}

// textOr returns what is in the file, where one is named, and the text otherwise.
func textOr(text, file string) ([]byte, error) {
	if file == "" {
		return []byte(text), nil
	}
	return os.ReadFile(file)
}

// allowed lets in clients one of whose alternative names is among those allowed.
func (t *webTLS) allowed(raw [][]byte, _ [][]*x509.Certificate) error {
	cert, err := x509.ParseCertificate(raw[0]) // the client's own comes first (RFC 5246, section 7.4.2)
	if err != nil {
		return fmt.Errorf("certificate of the client: %w", err)
	}
	names := slices.Concat(cert.DNSNames, cert.EmailAddresses)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range cert.URIs {
		names = append(names, uri.String())
	}
	if !slices.ContainsFunc(names, func(n string) bool { return slices.Contains(t.AllowedSANs, n) }) {
		return errors.New("no name of the client's certificate is among client_allowed_sans")
	}
	return nil
}
