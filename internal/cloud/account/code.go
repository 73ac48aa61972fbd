package account

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

// codeAlphabet has 32 characters, so that each carries 5 bits and none is favoured by the remainder, and no 0, 1, I or O (INV-10).
const codeAlphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

const (
	// mailCode characters of a code that goes by mail: 60 bits. Forty would do against guessing online (five tries); sixty also hold for
	// the life of a code against somebody who has its hash: 2^60 at 2·10^10 a second are two years.
	mailCode = 12
	// recoveryCode characters of a code that lives for years: 80 bits.
	recoveryCode = 16
	codeGroup    = 4 // characters between two hyphens
	saltBytes    = 16
)

// newCode returns n random characters in groups, as it is shown.
func newCode(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // it does not fail: the program ends instead
	var b strings.Builder
	for i, c := range raw {
		if i > 0 && i%codeGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(codeAlphabet[c%32])
	}
	return b.String()
}

// typedCode takes a code as people type it: small letters, spaces and hyphens anywhere. "" when it cannot be a code of n characters.
func typedCode(text string, n int) string {
	if len(text) > 4*n {
		return ""
	}
	text = strings.ToUpper(strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, text))
	if len(text) != n || strings.Trim(text, codeAlphabet) != "" {
		return ""
	}
	return text
}

// sealCode returns salt and hash of a code as it is shown, in one piece.
func sealCode(code string) []byte {
	salt := make([]byte, saltBytes, saltBytes+sha256.Size)
	_, _ = rand.Read(salt)
	return codeHash(salt, strings.ReplaceAll(code, "-", ""))
}

// codeFits compares what was typed with a sealed code, in a time that does not depend on either.
func codeFits(sealed []byte, typed string, n int) bool {
	if len(sealed) != saltBytes+sha256.Size {
		return false
	}
	code := typedCode(typed, n)
	same := subtle.ConstantTimeCompare(sealed, codeHash(sealed[:saltBytes:saltBytes], code)) == 1
	return same && code != ""
}

func codeHash(salt []byte, code string) []byte {
	h := sha256.New()
	h.Write(salt)
	h.Write([]byte(code))
	return h.Sum(salt)
}
