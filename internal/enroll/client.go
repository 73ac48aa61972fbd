package enroll

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"
)

// sendWithin bounds one attempt to send something: a megabyte takes a minute and a half at 100 kbit/s.
const sendWithin = 2 * time.Minute

// A Client speaks to the cloud of an enrolment over HTTPS, with the agent's certificate. Use NewClient. It reads the files anew for each
// request: the certificate is renewed meanwhile.
type Client struct {
	dir   dir
	agent string
	time  Time
}

// NewClient returns the Client of the agent whose certificate the configuration names; an error where no enrolment has made that file.
func NewClient(stateDir, certFile string, time Time) (*Client, error) {
	agent, err := Present(stateDir, certFile)
	if err != nil {
		return nil, err
	}
	return &Client{dir{filepath.Join(stateDir, dirName), -1, -1}, agent, time}, nil
}

// Kept is what the cloud says that it has.
type Kept struct {
	SHA256 string `json:"sha256"` // hexadecimal digits
	Size   int64  `json:"size"`
}

// ErrNothing is returned where the cloud has nothing of that name.
var ErrNothing = errors.New("the cloud has nothing of that name")

// PutBundle sends the support bundle of an order; the same one again is no error. The error is a *RefusedError where the cloud says no.
func (c *Client) PutBundle(ctx context.Context, order string, data []byte) (*Kept, error) {
	sum := sha256.Sum256(data)
	return c.do(ctx, http.MethodPut, bundlePath(order), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/gzip")
		r.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":") // RFC 9530
	}, data)
}

// HasBundle asks what the cloud has of an order: ErrNothing where it has none.
func (c *Client) HasBundle(ctx context.Context, order string) (*Kept, error) {
	return c.do(ctx, http.MethodGet, bundlePath(order), func(*http.Request) {}, nil)
}

// Cloud returns where the cloud is.
func (c *Client) Cloud() (*url.URL, error) {
	text, err := readURL(c.dir.file(c.agent, "url"))
	if err != nil {
		return nil, err
	}
	return ParseCloud(text)
}

// Known asks whether the cloud still knows this agent, and changes nothing there. The error is a *RefusedError where it does not.
func (c *Client) Known(ctx context.Context) error {
	_, err := c.HasBundle(ctx, "none")
	if errors.Is(err, ErrNothing) {
		return nil
	}
	return err
}

func bundlePath(order string) string { return "/api/v1/agents/self/bundles/" + url.PathEscape(order) }

// do makes one request on a connection of its own.
func (c *Client) do(ctx context.Context, method, path string, alter func(*http.Request), body []byte) (*Kept, error) {
	cloud, j, own, err := c.dir.cloud(c.agent, c.time)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, cloud.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	alter(r)
	res, err := newClient(cloud, j, own).Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the cloud: %w", inner(err))
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask the cloud: %w", err)
	case res.StatusCode == http.StatusNotFound && method == http.MethodGet:
		return nil, ErrNothing
	case res.StatusCode != http.StatusOK && res.StatusCode != http.StatusCreated:
		return nil, refusal(res.StatusCode, reply)
	}
	k := &Kept{}
	if json.Unmarshal(reply, k) != nil || len(k.SHA256) != 2*sha256.Size {
		return nil, errors.New("ask the cloud: what answers there is no cloud of this kind")
	}
	return k, nil
}

// newClient is led nowhere else, by a proxy or a redirection, and tells nobody anything before it has seen who answers.
func newClient(cloud *url.URL, j *judge, own *tls.Certificate) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: j.config(cloud.Hostname(), own), DisableKeepAlives: true, TLSHandshakeTimeout: within,
			DialContext: (&net.Dialer{Timeout: within}).DialContext,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// inner is an error without the address of the request: everybody knows it.
func inner(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// cloud is where the cloud of an enrolment is, how it is known, and by what the agent is known there.
func (d dir) cloud(agent string, time Time) (*url.URL, *judge, *tls.Certificate, error) {
	key, chain, err := readKey(d.file(agent, "agent.pem"))
	if err != nil {
		return nil, nil, nil, err
	}
	if len(chain) == 0 {
		return nil, nil, nil, fmt.Errorf("%s: no certificate in it", d.file(agent, "agent.pem"))
	}
	text, err := readURL(d.file(agent, "url"))
	if err != nil {
		return nil, nil, nil, err
	}
	at, err := ParseCloud(text)
	if err != nil {
		return nil, nil, nil, err
	}
	j := &judge{time: time}
	if ca := d.file(agent, "ca.pem"); exists(ca) {
		if err := j.readAuthorities(ca); err != nil {
			return nil, nil, nil, err
		}
	}
	own := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		own.Certificate = append(own.Certificate, c.Raw)
	}
	return at, j, own, nil
}
