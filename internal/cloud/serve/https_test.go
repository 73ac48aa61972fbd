package serve

import (
	"testing"

	"upsedge/internal/cloud/store/storetest"
)

// TestT85NoConnectionLastsForEver: what a connection may take before and between requests is bounded here, each piece of an answer in package api.
func TestT85NoConnectionLastsForEver(t *testing.T) {
	server := newVictim(t, storetest.SQLite(t)).newHTTPS()
	if server.WriteTimeout == 0 || server.ReadTimeout == 0 || server.ReadHeaderTimeout == 0 || server.IdleTimeout == 0 {
		t.Fatalf("a connection may last for ever: %v", server)
	}
}
