package authority_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"upsedge/internal/cloud/store/storetest"
)

// TestT17BothServersTakeForwardSecrecyAlone: TLS 1.2 is the least, and of it what has an ephemeral exchange of keys and authenticates.
func TestT17BothServersTakeForwardSecrecyAlone(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	for name, cfg := range map[string]*tls.Config{"https": w.ServerTLS(), "mqtt": w.FrontTLS()} {
		if cfg.MinVersion != tls.VersionTLS12 || cfg.MaxVersion != 0 || cfg.InsecureSkipVerify || len(cfg.CipherSuites) == 0 {
			t.Errorf("%s: from %x to %x, %d suites", name, cfg.MinVersion, cfg.MaxVersion, len(cfg.CipherSuites))
		}
		for _, id := range cfg.CipherSuites {
			suite := tls.CipherSuiteName(id)
			if !strings.HasPrefix(suite, "TLS_ECDHE_") || !strings.Contains(suite, "GCM") && !strings.Contains(suite, "POLY1305") {
				t.Errorf("%s: %s", name, suite)
			}
		}
	}
	if w.FrontTLS().ClientAuth != tls.RequireAndVerifyClientCert || !w.FrontTLS().SessionTicketsDisabled {
		t.Error("an agent is let in without showing its key")
	}
}
