package secret

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestT84WhatIsSealedOpensInItsPlaceAlone(t *testing.T) {
	k := Random()
	sealed := k.Seal("totp s_1", "JBSWY3DPEHPK3PXP")
	if !Sealed(sealed) || strings.Contains(sealed, "JBSWY3DP") || k.Stale(sealed) {
		t.Fatalf("sealed: %s", sealed)
	}
	if got, err := k.Open("totp s_1", sealed); err != nil || got != "JBSWY3DPEHPK3PXP" {
		t.Fatalf("%q, %v", got, err)
	}
	if again := k.Seal("totp s_1", "JBSWY3DPEHPK3PXP"); again == sealed {
		t.Error("the same twice")
	}
	for what, open := range map[string]func() (string, error){
		"in another row":    func() (string, error) { return k.Open("totp s_2", sealed) },
		"with another key":  func() (string, error) { return Random().Open("totp s_1", sealed) },
		"what is plain":     func() (string, error) { return k.Open("totp s_1", "JBSWY3DPEHPK3PXP") },
		"a part of it":      func() (string, error) { return k.Open("totp s_1", sealed[:len(sealed)-4]) },
		"nothing behind it": func() (string, error) { return k.Open("totp s_1", sealed[:11]) },
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s opened: %q", what, got)
		}
	}
	head, text := sealed[:11], sealed[11:]
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] ^= 1
		if got, err := k.Open("totp s_1", head+base64.RawURLEncoding.EncodeToString(raw)); err == nil {
			t.Errorf("with byte %d changed: %q", i, got)
		}
		raw[i] ^= 1
	}
	if k.Seal("x", "") != "" || k.Stale("") {
		t.Error("nothing is nothing")
	}
}

func TestAnotherKeyIsPutInFront(t *testing.T) {
	old := Make()
	before, err := Parse("# made in spring\n" + old + "\n")
	if err != nil {
		t.Fatal(err)
	}
	after, err := Parse(Make() + "\n" + old)
	if err != nil {
		t.Fatal(err)
	}
	sealed := before.Seal("a", "x")
	if got, err := after.Open("a", sealed); err != nil || got != "x" || !after.Stale(sealed) || !after.Stale("PLAIN") {
		t.Errorf("%q, %v", got, err)
	}
	for _, text := range []string{"", "#", "x", old[:20], old + "AAAA"} {
		if _, err := Parse(text); err == nil || len(text) > 8 && strings.Contains(err.Error(), text[:8]) {
			t.Errorf("%.3s…: %v", text, err)
		}
	}
}
