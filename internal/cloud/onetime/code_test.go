package onetime

import (
	"strings"
	"testing"
)

func TestINV10CodesAreLongUnambiguousAndKeptAsHashes(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		code := New(Mail)
		if seen[code] || len(code) != 14 || strings.ContainsAny(code, "01IO") || Typed(code, Mail) == "" {
			t.Fatalf("code %q", code)
		}
		seen[code] = true
		sealed := Seal(code)
		if strings.Contains(string(sealed), strings.ReplaceAll(code, "-", "")) {
			t.Fatal("the code stands in what is kept")
		}
		for _, text := range []string{code, strings.ToLower(code), " " + strings.ReplaceAll(code, "-", " ") + " "} {
			if !Fits(sealed, text, Mail) {
				t.Fatalf("%q does not fit %q", text, code)
			}
		}
	}
	sealed := Seal("2222-2222-2222")
	for _, text := range []string{"", "2222-2222-2223", "2222-2222-222", "2222-2222-2222-2", "2222-2222-222é", strings.Repeat("-", 99)} {
		if Fits(sealed, text, Mail) {
			t.Errorf("%q fits", text)
		}
	}
	if string(Seal("2222-2222-2222")) == string(sealed) {
		t.Error("two hashes of one code are the same: there is no salt")
	}
	if Fits(nil, "", Mail) || Fits(Seal(""), "", Mail) {
		t.Error("no code fits no code")
	}
}
