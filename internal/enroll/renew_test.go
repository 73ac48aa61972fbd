package enroll

import (
	"crypto/x509"
	"testing"
	"time"
)

// TestCertificatesAreRenewedAtAboutTwoThirdsOfTheirLives, each at an instant of its own and before the alarm of its end, 30 days of 90.
func TestCertificatesAreRenewedAtAboutTwoThirdsOfTheirLives(t *testing.T) {
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	days := map[time.Time]bool{}
	for i := range 500 {
		c := &x509.Certificate{Raw: []byte{byte(i), byte(i >> 8)}, NotBefore: from, NotAfter: from.Add(90 * 24 * time.Hour)}
		at := due(c)
		if at.Before(from.Add(54*24*time.Hour)) || !at.Before(from.Add(60*24*time.Hour)) || at != due(c) {
			t.Fatalf("due at %v", at)
		}
		days[at.Truncate(24*time.Hour)] = true
	}
	if len(days) < 5 {
		t.Errorf("all on %d days", len(days))
	}
}
