package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of what is under way at once in this process. One host or one account that is slow takes only its own share.
const (
	totalMost   = 64
	hostMost    = 2
	accountMost = 4
)

const (
	answerMost = 4 << 10 // bytes that are read of an answer
	headerMost = 16 << 10
)

// A sender makes attempts. It knows nothing of policies.
type sender struct {
	dialer *dialer
	client *http.Client

	mu       sync.Mutex
	hosts    map[string]int
	accounts map[string]int
	total    int
	busy     sync.WaitGroup
}

func newSender(allow []netip.Prefix) *sender {
	s := &sender{dialer: newDialer(allow), hosts: map[string]int{}, accounts: map[string]int{}}
	connect := func(secure bool) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, _, address string) (net.Conn, error) {
			return s.dialer.connect(ctx, address, secure)
		}
	}
	through := func(secure bool) *http.Transport {
		return &http.Transport{
			Proxy:       nil, // that of the environment would reach where we must not
			DialContext: connect(secure), TLSHandshakeTimeout: handshakeFor, ResponseHeaderTimeout: answerFor,
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: headerMost,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		}
	}
	s.client = &http.Client{
		Transport:     byScheme{through(true), through(false)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a redirect is an answer, and followed by nobody
	}
	return s
}

// byScheme has one transport for each scheme: without TLS only the operator's own networks are reached.
type byScheme struct{ https, http *http.Transport }

func (b byScheme) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return b.https.RoundTrip(r)
	}
	return b.http.RoundTrip(r)
}

// take reserves room for one attempt; false where the host, the account or the process has enough.
func (s *sender) take(host, account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= totalMost || s.hosts[host] >= hostMost || s.accounts[account] >= accountMost {
		return false
	}
	s.total++
	s.hosts[host]++
	s.accounts[account]++
	return true
}

func (s *sender) give(host, account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	for _, c := range []struct {
		of  map[string]int
		key string
	}{{s.hosts, host}, {s.accounts, account}} {
		if c.of[c.key]--; c.of[c.key] == 0 {
			delete(c.of, c.key)
		}
	}
}

// wait waits for attempts that are under way.
func (s *sender) wait() { s.busy.Wait() }

// An answer is what came of one attempt.
type answer struct {
	status int    // of HTTP; 0: none
	why    string // one of the words below; "" for 2xx
}

// Why an attempt came to nothing, as the list of deliveries and docs/notifications.md have it. No word says more of a network than its owner
// may know.
const (
	whyResolve   = "name"      // the host's name was not resolved
	whyForbidden = "forbidden" // an address of the host must not be reached
	whyConnect   = "connect"
	whyTLS       = "tls"
	whyTimeout   = "timeout"
	whyRedirect  = "redirect"
	whyStatus    = "status"
	whyExpired   = "expired" // no attempt is left
)

// post makes one attempt.
func (s *sender) post(ctx context.Context, r *Recipient, id, body string, at time.Time) answer {
	ctx, cancel := context.WithTimeout(ctx, attemptFor)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Address, strings.NewReader(body))
	if err != nil {
		return answer{why: whyConnect}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "upscloud")
	req.Header.Set(headerID, id)
	req.Header.Set(headerTimestamp, strconv.FormatInt(at.Unix(), 10))
	req.Header.Set(headerSignature, signatures(r, id, at, body))
	res, err := s.client.Do(req)
	if err != nil {
		return answer{why: whyOf(err)}
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, answerMost)) // so that who answers is not cut off in the middle of it
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return answer{status: res.StatusCode}
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return answer{res.StatusCode, whyRedirect}
	}
	return answer{res.StatusCode, whyStatus}
}

// whyOf puts an error into one of the words.
func whyOf(err error) string {
	var timeout net.Error
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	var alert tls.AlertError
	switch {
	case errors.Is(err, errForbidden):
		return whyForbidden
	case errors.Is(err, errResolve):
		return whyResolve
	case errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded):
		return whyTimeout
	case errors.As(err, &cert) || errors.As(err, &record) || errors.As(err, &unknown) || errors.As(err, &alert):
		return whyTLS
	}
	return whyConnect
}
