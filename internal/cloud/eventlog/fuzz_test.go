package eventlog_test

import (
	"testing"
	"unicode/utf8"

	"upsedge/internal/cloud/eventlog"
)

func FuzzParseHead(f *testing.F) {
	f.Add([]byte(`{"v":1,"purpose":"log","chain":"d_1","epoch":3,"number":17,"hash":"` + zeros + `","at":"2026-03-01T12:00:00.000Z"}`))
	f.Add([]byte(`{"v":1,"purpose":"log","chain":"d_1","epoch":3,"number":17,"hash":"` + zeros + `","at":"2026-03-01T12:00:00.000Z"} `))
	f.Add([]byte(`{"v":2,"purpose":"command","chain":"","epoch":-1,"number":1e3,"hash":"","at":""}`))
	f.Add([]byte(`{"v":1,"v":1,"purpose":"log"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := eventlog.ParseHead(b)
		if err == nil && (h.At.IsZero() || len(h.Chain) > len(b)) {
			t.Errorf("%q is a head: %+v", b, h)
		}
	})
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "rack ä", "a\x00b\nc\xff\u202ed", "\xf0\x9f\x98\x80 😀", "\ufeff", "=1+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := eventlog.Clean(s)
		if len(out) > 256 || !utf8.ValidString(out) || eventlog.Clean(out) != out {
			t.Errorf("Clean(%q) = %q", s, out)
		}
		if eventlog.Printable(s) && len(s) <= 256 && out != s {
			t.Errorf("Clean(%q) = %q, and it is printable", s, out)
		}
	})
}
