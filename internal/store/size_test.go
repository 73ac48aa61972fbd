package store

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"upsedge/internal/wire"
)

// rss returns the resident memory of this process in MiB.
func rss(t testing.TB) string {
	b, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "VmRSS:") {
			return strings.TrimSpace(strings.TrimPrefix(line, "VmRSS:"))
		}
	}
	return "unknown"
}

// A big spool: bytes on disk per record, how long it takes to open after a crash and after a clean end, and memory. It logs figures and asserts none.
func TestSoakSizeAndStartOfABigSpool(t *testing.T) {
	if !soak {
		t.Skip("writes gigabytes: set UPSEDGE_SOAK")
	}
	for _, c := range []struct {
		name          string
		size, records int
	}{
		{"steady 10 s blocks", 258, 1_000_000},
		{"noisy 10 s blocks", 364, 1_000_000},
		{"a full spool", 4000, 240_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := reopen(t, dir, Options{MaxBytes: DefaultMaxBytes})
			blocks := make([]Samples, 1000)
			for n := 0; n < c.records; n += len(blocks) {
				for i := range blocks {
					b := Samples{Unit: "rack-a", First: at(10 * (n + i)), Last: at(10*(n+i) + 9), Payload: bytes.Repeat([]byte{byte(i)}, c.size)}
					b.First.Wall = time.Unix(1750000000, 12345678).Add(time.Duration(n+i) * 10 * time.Second)
					blocks[i] = b
				}
				must(t, s.PutSamples(t.Context(), blocks))
			}
			var pages, free float64
			must(t, s.w.conn.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages))
			must(t, s.w.conn.QueryRowContext(t.Context(), "PRAGMA freelist_count").Scan(&free))
			per := (pages - free) * pageSize / float64(s.Stats().Samples.Records)
			days := float64(budgetOf(256<<20).pages*pageSize) / per / 8640
			t.Logf("%d records waiting, %.1f bytes on disk each, %.1f beyond the payload; one unit at one block each 10 s in 256 MiB: %.1f days",
				s.Stats().Samples.Records, per, per-float64(c.size), days)
			for _, how := range []string{"crash", "close"} {
				if how == "crash" {
					s.crash()
				} else {
					must(t, s.Close())
				}
				begun := time.Now()
				s = reopen(t, dir, Options{MaxBytes: DefaultMaxBytes})
				took := time.Since(begun)
				r, err := s.Next(t.Context(), wire.Samples, 0, 64, 1<<20)
				must(t, err)
				t.Logf("open after %s: %v; first Next of %d records %v; file %d MiB, RSS %s", how, took, len(r), time.Since(begun)-took, s.Stats().FileBytes>>20, rss(t))
			}
			begun, after, n := time.Now(), uint64(0), 0
			for {
				r, err := s.Next(t.Context(), wire.Samples, after, 64, 1<<20)
				must(t, err)
				if len(r) == 0 {
					break
				}
				n += len(r)
				after = r[len(r)-1].Seq
			}
			t.Logf("read %d records in %v, RSS %s", n, time.Since(begun), rss(t))
		})
	}
}
