package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"strings"
)

// A Token lets one agent enrol (EDGE-14). Written down it carries, beside its secret, who the cloud is, so that whoever types it in knows
// the other side without a certificate being copied about (T-89).
type Token struct {
	Secret [16]byte // 128 random bits
	// Pin is the beginning of the SHA-256 of the public key (PKIX) of the authority that has signed the cloud's certificate; nil: an
	// authority that this machine knows already. To find another key with the same 128 bits is as hard as to guess the secret.
	Pin *[16]byte
}

// tokenPrefix lets people, and programs that look for secrets in files, tell what it is.
const tokenPrefix = "upsenrol-"

// tokenText is base32 in which nothing is mistaken for something else when it is read aloud or typed: no I, L, O and U.
var tokenText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// tokenSum bytes at the end tell a typing error: of 2^20 one in a million goes unnoticed, and the cloud refuses it then.
const tokenSum = 2

// String is the form for people: the prefix, then groups of five characters, eleven of them with a pin.
func (t Token) String() string {
	b := bytes.Clone(t.Secret[:])
	if t.Pin != nil {
		b = append(b, t.Pin[:]...)
	}
	sum := sha256.Sum256(b)
	text := tokenText.EncodeToString(append(b, sum[:tokenSum]...))
	var groups []string
	for len(text) > 5 {
		groups, text = append(groups, text[:5]), text[5:]
	}
	return tokenPrefix + strings.Join(append(groups, text), "-")
}

// LogValue keeps the secret out of logs, whoever logs it.
func (t Token) GoString() string { return "trust.Token{…}" }

// ErrToken says that a text is no whole token. It never repeats the text.
var ErrToken = errors.New("this is no whole token: a character is wrong, missing or too many; copy it once more, whole")

// ParseToken reads what a person typed or pasted: upper or lower case, with spaces or without, o for 0, i and l for 1.
func ParseToken(text string) (t Token, err error) {
	if len(text) > 256 {
		return t, ErrToken
	}
	text = strings.ToLower(strings.Join(strings.Fields(text), ""))
	text = strings.TrimPrefix(text, tokenPrefix)
	text = strings.NewReplacer("-", "", "o", "0", "i", "1", "l", "1").Replace(text)
	b, err := tokenText.DecodeString(text)
	if err != nil || tokenText.EncodeToString(b) != text {
		return t, ErrToken
	}
	n := len(b) - tokenSum
	if n != len(t.Secret) && n != len(t.Secret)+16 {
		return t, ErrToken
	}
	if sum := sha256.Sum256(b[:n]); !bytes.Equal(sum[:tokenSum], b[n:]) {
		return t, ErrToken
	}
	copy(t.Secret[:], b)
	if n > len(t.Secret) {
		t.Pin = (*[16]byte)(b[len(t.Secret):n])
	}
	return t, nil
}

// PinOf returns the pin of an authority.
func PinOf(authority *x509.Certificate) [16]byte {
	sum := sha256.Sum256(authority.RawSubjectPublicKeyInfo)
	return [16]byte(sum[:16])
}
