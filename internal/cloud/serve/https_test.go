package serve

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"

	"upsedge/internal/cloud/store/storetest"
)

// TestT85WhoDoesNotReadIsLetGo: somebody asks for more than the network holds and reads nothing of it.
func TestT85WhoDoesNotReadIsLetGo(t *testing.T) {
	v := newVictim(t, storetest.SQLite(t))
	server := v.newHTTPS(t.Context())
	if server.WriteTimeout == 0 || server.ReadTimeout == 0 || server.ReadHeaderTimeout == 0 || server.IdleTimeout == 0 {
		t.Fatalf("a connection may last for ever: %v", server)
	}
	server.WriteTimeout = 100 * time.Millisecond
	gone := make(chan bool, 1)
	server.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			gone <- true
		}
	}
	go func() { _ = server.ServeTLS(v.https, "", "") }()
	t.Cleanup(func() { _ = server.Close() })
	c, err := tls.Dial("tcp", v.https.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // nothing is read
	must(t, err)
	defer c.Close()
	go func() {
		for range 2000 {
			if _, err := c.Write([]byte("GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
				return
			}
		}
	}()
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Error("the connection is still there")
	}
}
