package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"

	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
)

// ErrAltered means that the Event Log is not what was written.
var ErrAltered = errors.New("the event log was altered")

// maxHeads is the size of a file with signed heads.
const maxHeads = 1 << 20

// VerifyLog checks the Event Log and prints what it found: of one device, or of all where device is "". headFile has signed heads that were
// handed out, one to a line; "" compares with those kept in the database alone. ErrAltered says that something was found.
func VerifyLog(ctx context.Context, cfg *Config, device, headFile string, to io.Writer) error {
	existing := cfg.Database
	existing.Existing = true
	db, err := store.Open(ctx, existing)
	if err != nil {
		return err
	}
	defer db.Close()
	a, err := authority.Open(cfg.DataDir, authority.Options{DB: db, CertFile: cfg.CertFile, KeyFile: cfg.KeyFile, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	o := eventlog.Options{Device: device, Check: func(jws string) ([]byte, error) { return a.Check(authority.ForLog, jws) }}
	if headFile != "" {
		f, err := os.Open(headFile)
		if err != nil {
			return err
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, maxHeads))
		if err != nil {
			return err
		}
		o.Heads = strings.Fields(string(text))
	}
	report, err := eventlog.Verify(ctx, db, o)
	if err != nil {
		return err
	}
	if err := report.Print(to); err != nil {
		return err
	}
	if !report.OK() {
		return ErrAltered
	}
	return nil
}
