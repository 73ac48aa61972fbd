package enroll

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"upsedge/internal/wire"
)

// within bounds one exchange, maxAnswer its size.
const (
	within    = 30 * time.Second
	maxAnswer = 256 << 10
)

// A RefusedError is a cloud's no, in its own words.
type RefusedError struct {
	Status         int
	Reason, Detail string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the cloud refuses (%s): %s", e.Reason, e.Detail)
}

// answer is what a cloud tells an agent.
type answer struct {
	Agent       string   `json:"agent"`
	Certificate string   `json:"certificate"`
	Authority   string   `json:"authority"`
	Root        string   `json:"root"`
	Brokers     []string `json:"brokers"`

	root  ed25519.PublicKey
	chain []*x509.Certificate
}

// ParseCloud reads the address of a cloud as a person writes it: https://cloud.example, with a port or without.
func ParseCloud(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%q is not the address of a cloud, like https://cloud.example:8443", text)
	}
	u.Path = ""
	return u, nil
}

// csr makes a request of a key. It has nothing but the key: who the agent is, the cloud says.
func csr(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), err
}

// ask sends one request.
func ask(ctx context.Context, cloud *url.URL, path string, j *judge, own *tls.Certificate, body any) (*answer, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, cloud.String()+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := newClient(cloud, j, own).Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", cloud.Host, inner(err))
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", cloud.Host, err)
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusCreated {
		return nil, refusal(res.StatusCode, reply)
	}
	a := &answer{}
	if err := json.Unmarshal(reply, a); err != nil {
		return nil, fmt.Errorf("ask %s: what answers there is no cloud of this kind", cloud.Host)
	}
	return a, nil
}

func refusal(status int, reply []byte) error {
	e := &RefusedError{Status: status}
	var p struct{ Reason, Detail string }
	if json.Unmarshal(reply, &p) == nil && p.Reason != "" {
		e.Reason, e.Detail = plain(p.Reason), plain(p.Detail)
		return e
	}
	e.Reason, e.Detail = fmt.Sprintf("HTTP %d", status), "what answers there is no cloud of this kind"
	return e
}

// plain makes one line of printable characters of what somebody else wrote.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' {
			return '?'
		}
		return r
	}, s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

// check makes sure that an answer is whole and about the key: nothing of it is written before.
func (a *answer) check(key *ecdsa.PrivateKey, pin *[16]byte) error {
	if err := wire.CheckAgent(a.Agent); err != nil || strings.Trim(a.Agent, ".") == "" {
		return errors.New("the cloud gives this agent a name that is none")
	}
	rest := []byte(a.Certificate)
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return fmt.Errorf("the cloud's answer: certificate: %w", err)
		}
		a.chain = append(a.chain, c)
	}
	if len(a.chain) == 0 || !key.PublicKey.Equal(a.chain[0].PublicKey) || a.chain[0].Subject.CommonName != a.Agent {
		return errors.New("the cloud's answer: the certificate is not of this key and name")
	}
	root, err := base64.RawURLEncoding.DecodeString(a.Root)
	if err != nil || len(root) != ed25519.PublicKeySize {
		return errors.New("the cloud's answer: no root of trust in it")
	}
	a.root = root
	if len(a.Brokers) == 0 {
		return errors.New("the cloud's answer: no broker in it")
	}
	if u, err := url.Parse(a.Brokers[0]); err != nil || u.Scheme != "tls" || u.Hostname() == "" {
		return fmt.Errorf("the cloud's answer: %q is no broker", plain(a.Brokers[0]))
	}
	if a.Authority == "" {
		return nil
	}
	b, _ := pem.Decode([]byte(a.Authority))
	if b == nil {
		return errors.New("the cloud's answer: its authority is no certificate")
	}
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil || pin != nil && pinned([]*x509.Certificate{c}, *pin) == nil {
		return errors.New("the cloud's answer: its authority is not the one that the token names")
	}
	return nil
}
