package serve

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/store/storetest"
)

// through opens a connection as a balancer does for somebody at an address; "" sends no header.
func through(t *testing.T, to, of string) (*tls.Conn, error) {
	t.Helper()
	c, err := net.Dial("tcp", to)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if of != "" {
		_, err = fmt.Fprintf(c, "PROXY TCP4 %s 198.51.100.1 4711 8443\r\n", of)
		must(t, err)
	}
	secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // whose certificate it is, is not what is asked here
	return secure, secure.HandshakeContext(t.Context())
}

// TestT84BehindABalancerPeopleAreCountedApart: one who guesses through it keeps nobody else out; and MQTT is reached through it, too.
func TestT84BehindABalancerPeopleAreCountedApart(t *testing.T) {
	l := liveWith(t, storetest.SQLite(t), func(c *Config) { c.Balancers = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} })
	https, mqtt, _ := l.Addresses()
	guess := func(of string) int {
		c, err := through(t, https, of)
		must(t, err)
		body := `{"email":"nobody@example.com","password":"a wrong password"}`
		_, err = fmt.Fprintf(c, "POST /api/v1/session HTTP/1.1\r\nHost: cloud.example\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
		must(t, err)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		must(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.StatusCode
	}
	for range 10 {
		if got := guess("192.0.2.7"); got != http.StatusUnauthorized {
			t.Fatalf("a wrong password: %d", got)
		}
	}
	if got := guess("192.0.2.7"); got != http.StatusTooManyRequests {
		t.Errorf("one too many: %d", got)
	}
	if got := guess("192.0.2.8"); got != http.StatusUnauthorized {
		t.Errorf("somebody else: %d", got)
	}
	if _, err := through(t, https, ""); err == nil {
		t.Error("the balancer connected without a header")
	}
	if _, err := through(t, mqtt, ""); err == nil {
		t.Error("the balancer connected to MQTT without a header")
	}
	c, err := through(t, mqtt, "192.0.2.7")
	if err == nil {
		_, err = c.Read(make([]byte, 1)) // of TLS 1.3: the server's word on the missing certificate
	}
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("MQTT through the balancer: %v, want that a certificate is missing", err)
	}
}
