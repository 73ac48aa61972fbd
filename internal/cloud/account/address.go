package account

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"upsedge/internal/cloud"
	"upsedge/internal/policy"
)

// An Address is a mail address in two forms.
type Address struct {
	Mail string // where mail goes: the part before the @ as it was typed, the domain in ASCII
	Key  string // what is compared: trimmed, case folded, the domain in ASCII (INV-6)
}

// Bounds of an address: RFC 5321, section 4.5.3.1, and the 254 that its 256 of a path leave.
const (
	addressMax = 254
	localMax   = 64
)

// domains maps and checks as somebody does who looks the name up, and holds to the lengths of DNS.
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// ParseAddress reads the one address that a person typed (INV-5). It returns *cloud.Error: EMAIL_REQUIRED for nothing, EMAIL_INVALID
// for what is no address or more than one. Quoted parts, comments, addresses of hosts by number and characters beyond ASCII before the @
// are refused: nobody has such an address on purpose, and some mail servers read them in more than one way.
func ParseAddress(text string) (Address, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Address{}, cloud.RefuseField(policy.EmailRequired, "email", "an e-mail address is needed")
	}
	at := strings.LastIndexByte(text, '@')
	if !utf8.ValidString(text) || len(text) > addressMax || at < 1 || at > localMax || !dotAtom(text[:at]) {
		return Address{}, notOneAddress()
	}
	domain, err := domains.ToASCII(text[at+1:])
	if err != nil || !strings.Contains(domain, ".") || at+1+len(domain) > addressMax || onlyDigits(lastLabel(domain)) {
		return Address{}, notOneAddress()
	}
	// Some mappings do not come to rest at once; a key must be its own key, or one address had two.
	if again, err := domains.ToASCII(domain); err != nil || again != domain {
		return Address{}, notOneAddress()
	}
	return Address{Mail: text[:at] + "@" + domain, Key: strings.ToLower(text[:at]) + "@" + domain}, nil
}

func notOneAddress() error {
	return cloud.RefuseField(policy.EmailInvalid, "email", "that is not one e-mail address")
}

// dotAtom is the plain form of RFC 5322, section 3.2.3.
func dotAtom(s string) bool {
	const special = "!#$%&'*+-/=?^_`{|}~."
	for _, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && !strings.Contains(special, string(rune(c))) {
			return false
		}
	}
	return !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".") && !strings.Contains(s, "..")
}

func lastLabel(domain string) string { return domain[strings.LastIndexByte(domain, '.')+1:] }

func onlyDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }
