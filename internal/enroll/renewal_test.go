package enroll_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/config"
	"upsedge/internal/enroll"
)

// A watched log tells of each line.
type watched struct {
	mu    sync.Mutex
	text  bytes.Buffer
	lines chan string
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.lines <- string(b):
	default:
	}
	return w.text.Write(b)
}

// renewed runs a Renewer until its first word.
func renewed(t *testing.T, b *box, now enroll.Time) string {
	t.Helper()
	cfg, err := config.Load(b.conf)
	must(t, err)
	w := &watched{lines: make(chan string, 1)}
	r := enroll.NewRenewer(b.state, cfg.Uplink.CertFile, now, slog.New(slog.NewTextHandler(w, nil)))
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	select {
	case line := <-w.lines:
		stop()
		must(t, <-done)
		return line
	case <-ctx.Done():
		t.Fatal("nothing was said")
		return ""
	}
}

// TestTheCertificateIsRenewedWithTheOneBefore, before its end and 30 days behind it; later, and of a removed agent, it is not.
func TestTheCertificateIsRenewedWithTheOneBefore(t *testing.T) {
	for name, row := range map[string]struct {
		after time.Duration
		gone  bool
		want  string
	}{
		"in time":            {61 * 24 * time.Hour, false, "was renewed"},
		"a week behind":      {97 * 24 * time.Hour, false, "was renewed"},
		"six weeks behind":   {132 * 24 * time.Hour, false, "the certificate is valid from"},
		"of a removed agent": {61 * 24 * time.Hour, true, "the agent was removed at"},
	} {
		t.Run(name, func(t *testing.T) {
			r, b := newRealm(t, open(t)), newBox(t)
			at := time.Now()
			r.set(at)
			done, err := b.enrol(r.url, r.token("o_ada"))
			must(t, err)
			if row.gone {
				must(t, r.db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error { return r.Revoke(ctx, tx, ada, done.Agent) }))
			}
			cfg, err := config.Load(b.conf)
			must(t, err)
			was, err := os.ReadFile(cfg.Uplink.CertFile)
			must(t, err)
			at = at.Add(row.after)
			r.set(at)
			said := renewed(t, b, func() (time.Time, bool) { return at, true })
			if !strings.Contains(said, row.want) {
				t.Errorf("said %s", said)
			}
			is, err := os.ReadFile(cfg.Uplink.CertFile)
			must(t, err)
			if bytes.Equal(was, is) != (row.want != "was renewed") {
				t.Errorf("the file changed: %v", !bytes.Equal(was, is))
			}
			b.whole()
			b.modes()
		})
	}
}
