package account

import (
	"errors"
	"strings"
	"testing"

	"upsedge/internal/cloud"
	"upsedge/internal/policy"
)

// reasonOf returns the reason an error carries, "" for none.
func reasonOf(err error) policy.Reason {
	var e *cloud.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	if err != nil {
		return policy.Reason(err.Error())
	}
	return ""
}

func TestINV5WhatIsNotOneAddressIsRefused(t *testing.T) {
	for text, want := range map[string]policy.Reason{
		"":                                       policy.EmailRequired,
		" \t\n":                                  policy.EmailRequired,
		"someone":                                policy.EmailInvalid,
		"@example.com":                           policy.EmailInvalid,
		"a@":                                     policy.EmailInvalid,
		"a@localhost":                            policy.EmailInvalid,
		"a@example.com,b@example.com":            policy.EmailInvalid,
		"a@example.com b@example.com":            policy.EmailInvalid,
		"a@b@example.com":                        policy.EmailInvalid,
		"A <a@example.com>":                      policy.EmailInvalid,
		"\"a b\"@example.com":                    policy.EmailInvalid,
		"a@[192.0.2.1]":                          policy.EmailInvalid,
		"a@192.0.2.1":                            policy.EmailInvalid,
		"a@example.com\r\nBcc: b@x.org":          policy.EmailInvalid,
		"a\x00@example.com":                      policy.EmailInvalid,
		".a@example.com":                         policy.EmailInvalid,
		"a..b@example.com":                       policy.EmailInvalid,
		"a@-example.com":                         policy.EmailInvalid,
		"a@exa_mple.com":                         policy.EmailInvalid,
		"a@example..com":                         policy.EmailInvalid,
		"ä@example.com":                          policy.EmailInvalid,
		strings.Repeat("a", 65) + "@example.com": policy.EmailInvalid,
		"a@" + strings.Repeat("a", 64) + ".com":  policy.EmailInvalid,
		"a@" + strings.Repeat("abcdefgh.", 28) + "com": policy.EmailInvalid,
	} {
		if _, err := ParseAddress(text); reasonOf(err) != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestINV6AddressesThatCompareEqual(t *testing.T) {
	for text, want := range map[string]Address{
		"jo@example.com":           {"jo@example.com", "jo@example.com"},
		"  Jo@Example.COM ":        {"Jo@example.com", "jo@example.com"},
		"jo@bücher.example":        {"jo@xn--bcher-kva.example", "jo@xn--bcher-kva.example"},
		"JO@BÜCHER.example":        {"JO@xn--bcher-kva.example", "jo@xn--bcher-kva.example"},
		"jo@XN--BCHER-KVA.example": {"jo@xn--bcher-kva.example", "jo@xn--bcher-kva.example"},
		"jo@example。com":           {"jo@example.com", "jo@example.com"},
		"jo+ups/x=1@example.com":   {"jo+ups/x=1@example.com", "jo+ups/x=1@example.com"},
	} {
		if got, err := ParseAddress(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a@example.com", " A@BÜCHER.example ", "a@b@c.d", "a@example.com\r\nBcc: x@y.z", "a@xn--a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		if strings.ContainsAny(a.Mail, " \r\n\t,;<>\"\x00") || len(a.Mail) > addressMax || strings.Count(a.Mail, "@") != 1 {
			t.Errorf("%q became %q", text, a.Mail)
		}
		again, err := ParseAddress(a.Key)
		if err != nil || again.Key != a.Key {
			t.Errorf("the key %q of %q is another address: %+v, %v", a.Key, text, again, err)
		}
	})
}

func TestT85NamesCarryNeitherLinksNorLines(t *testing.T) {
	for text, want := range map[string]string{
		"  Ada   Lovelace ": "Ada Lovelace", "J. R. O'Neil (ops)": "J. R. O'Neil (ops)", "Müller & Söhne": "Müller & Söhne", "王小明": "王小明",
		"ACME, Inc.": "ACME, Inc.", "Cafe\u0301": "Café",
	} {
		if got, err := parseName("name", text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", " ", "a\r\nBcc: x@y.example", "http://evil.example", "evil.example", "www.evil", "<b>x</b>", "a@b", "{{.Code}}", "a\x00b", "a\u202eb",
		"\xff", "'; DROP TABLE accounts; --", strings.Repeat("a", nameMax+1), "a/b", "%0d%0aBcc",
	} {
		if got, err := parseName("name", text); reasonOf(err) != policy.Malformed && text != "a\r\nBcc: x@y.example" || err == nil {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestT84PasswordsThatAreTriedFirstAreRefused(t *testing.T) {
	about := []string{"maria.delgado@example.com", "Maria Delgado"}
	for _, p := range []string{
		"", "short1!", "ninechars", "password123", "Password123!", "P@ssw0rd2024", "passwordpassword", "qwertyuiop", "qwertyuiop123", "1234567890",
		"0987654321", "1q2w3e4r5t", "1qaz2wsx3edc", "aaaaaaaaaaaa", "abababababab", "abcdefghij", "letmein2024!!", "welcome123456", "iloveyou12345",
		"maria.delgado", "Maria1234567", "delgado!!!!!!", "mariadelgado1", "upsedge2026!!", "administrator1", "Summer2024!!!", "123456789abc",
		"qwerty123456", "asdfghjkl1234", "correcthorsebatterystaple", strings.Repeat("ab1!x", 60), "\xff\xfe aaaabbbbcccc",
	} {
		if err := checkPassword("password", plainPassword(p), about...); reasonOf(err) != policy.Malformed {
			t.Errorf("%q was taken", p)
		}
	}
	for _, p := range []string{
		"plum teapot 7 gravel", "V4x!mQ9#pL2z", "the rack hums at night", "wasserkocher im regen", "нет-ничего-лучше", "9f86d081884c7d65", "tr0ub4dor&3xyz",
		strings.Repeat("gravel, tea; ", 19),
	} {
		if err := checkPassword("password", plainPassword(p), about...); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
}

// cheap is a cost at which tests can hash thousands of times.
var cheap = HashCost{Time: 1, Memory: 16, Threads: 1}

func TestHashesFitTheirPasswordAndNothingElse(t *testing.T) {
	h := newHasher(cheap)
	sealed, err := h.make(t.Context(), "plum teapot 7 gravel")
	if err != nil || !strings.HasPrefix(sealed, "$argon2id$v=19$m=16,t=1,p=1$") {
		t.Fatalf("%q, %v", sealed, err)
	}
	for password, want := range map[string]bool{"plum teapot 7 gravel": true, "plum teapot 7 grave": false, "": false} {
		if ok, err := h.fits(t.Context(), sealed, password); ok != want || err != nil {
			t.Errorf("%q fits: %v, %v", password, ok, err)
		}
	}
	if ok, err := h.fits(t.Context(), "", "anything"); ok || err != nil {
		t.Errorf("a password fits no account: %v, %v", ok, err)
	}
	dearer := newHasher(HashCost{Time: 2, Memory: 16, Threads: 1})
	if h.stale(sealed) || !dearer.stale(sealed) {
		t.Error("a hash at another cost must be made anew")
	}
	if ok, err := dearer.fits(t.Context(), sealed, "plum teapot 7 gravel"); !ok || err != nil {
		t.Errorf("an older hash does not fit: %v, %v", ok, err)
	}
	for _, bad := range []string{"x", "$argon2i$v=19$m=16,t=1,p=1$AAAAAAAAAAA$AAAA", strings.Replace(sealed, "m=16", "m=99999999", 1), strings.Replace(sealed, "t=1", "t=0", 1)} {
		if _, err := h.fits(t.Context(), bad, "x"); err == nil {
			t.Errorf("%q was taken for a hash", bad)
		}
	}
}
