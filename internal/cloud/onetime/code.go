// Package onetime makes the one-time codes that people type: from a letter, or from a list kept in a drawer (rules, INV-10). It keeps nothing.
package onetime

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

// alphabet has 32 characters, so that each carries 5 bits and none is favoured by the remainder, and no 0, 1, I or O (INV-10).
const alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

const (
	// Mail is how many characters a code has that goes by mail: 60 bits. Forty would do against guessing online (five tries); sixty also hold for
	// the life of a code against somebody who has its hash: 2^60 at 2·10^10 a second are two years.
	Mail = 12
	// Recovery is how many one has that lives for years: 80 bits.
	Recovery = 16
	// Licence is how many an activation code has: 8 by which it is found, and 80 secret bits.
	Licence   = 24
	group     = 4 // characters between two hyphens
	saltBytes = 16
)

// New returns n random characters in groups, as it is shown.
func New(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // it does not fail: the program ends instead
	var b strings.Builder
	for i, c := range raw {
		if i > 0 && i%group == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(alphabet[c%32])
	}
	return b.String()
}

// Typed takes a code as people type it: small letters, spaces and hyphens anywhere. "" when it cannot be a code of n characters.
func Typed(text string, n int) string {
	if len(text) > 4*n {
		return ""
	}
	text = strings.ToUpper(strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, text))
	if len(text) != n || strings.Trim(text, alphabet) != "" {
		return ""
	}
	return text
}

// Seal returns salt and hash of a code as it is shown, in one piece.
func Seal(code string) []byte {
	salt := make([]byte, saltBytes, saltBytes+sha256.Size)
	_, _ = rand.Read(salt)
	return hash(salt, strings.ReplaceAll(code, "-", ""))
}

// Fits compares what was typed with a sealed code, in a time that does not depend on either.
func Fits(sealed []byte, text string, n int) bool {
	if len(sealed) != saltBytes+sha256.Size {
		return false
	}
	c := Typed(text, n)
	same := subtle.ConstantTimeCompare(sealed, hash(sealed[:saltBytes:saltBytes], c)) == 1
	return same && c != ""
}

func hash(salt []byte, code string) []byte {
	h := sha256.New()
	h.Write(salt)
	h.Write([]byte(code))
	return h.Sum(salt)
}
