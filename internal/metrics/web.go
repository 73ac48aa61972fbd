package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
)

// webConfig is a file in the format of Prometheus' own web configuration (exporter-toolkit, docs/web-configuration.md). The toolkit
// itself holds HTTP tracing, OAuth 2, a second YAML library and VM sockets: a twentieth of the agent. Tests hold this reader
// and server against the toolkit's (docs/adr/0020-a-small-binary.md).
type webConfig struct {
	TLS   webTLS            `yaml:"tls_server_config"`
	HTTP  webHTTP           `yaml:"http_server_config"`
	Rate  webRate           `yaml:"rate_limit"`
	Users map[string]string `yaml:"basic_auth_users"` // password, hashed with bcrypt, by name
}

type webHTTP struct {
	HTTP2   bool              `yaml:"http2"`
	Headers map[string]string `yaml:"headers"`
}

// webRate is for all requests together; an interval of 0 is no limit.
type webRate struct {
	Burst    int      `yaml:"burst"`
	Interval interval `yaml:"interval"`
}

// An interval is a duration, written as one or as a number of nanoseconds.
type interval time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (i *interval) UnmarshalYAML(n *yaml.Node) error {
	if n.Decode((*int64)(i)) == nil {
		return nil
	}
	return n.Decode((*time.Duration)(i))
}

// headers are those that a file may set, and the values that they may have where not all are allowed.
var headers = map[string][]string{
	"Strict-Transport-Security": nil,
	"X-Content-Type-Options":    {"nosniff"},
	"X-Frame-Options":           {"deny", "sameorigin"},
	"X-XSS-Protection":          nil,
	"Content-Security-Policy":   nil,
}

// readWebConfig reads a file; paths in it are relative to its directory. Certificates and keys are not opened.
func readWebConfig(file string) (*webConfig, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c := &webConfig{TLS: webTLS{Min: versions["TLS12"], Max: versions["TLS13"]}, HTTP: webHTTP{HTTP2: true}}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil && !errors.Is(err, io.EOF) { // EOF: nothing is configured
		return nil, err
	}
	for name, value := range c.HTTP.Headers {
		allowed, ok := headers[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("header %q cannot be configured", name)
		case allowed != nil && !slices.Contains(allowed, value):
			return nil, fmt.Errorf("header %s is %q, want one of %q", name, value, allowed)
		}
	}
	for name, hash := range c.Users {
		if _, err := bcrypt.Cost([]byte(hash)); err != nil {
			return nil, fmt.Errorf("the password of %q is not hashed with bcrypt: %w", name, err)
		}
	}
	for _, path := range []*string{&c.TLS.CertFile, &c.TLS.KeyFile, &c.TLS.ClientCAFile} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(file), *path)
		}
	}
	return c, nil
}

// CheckWebConfig reports what is wrong with a web configuration file, of a key of the agent's own configuration, and with the files it names.
func CheckWebConfig(key, file string) error {
	c, err := readWebConfig(file)
	if err == nil && c.TLS.enabled() {
		_, err = c.TLS.config()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}
