// Package secret seals what the control plane has to be able to read again and nobody else may: secrets of second factors, which codes are
// computed with, and of webhooks, which messages are signed with. The key is a file beside the database (package authority keeps it): who
// has a copy of the database alone has none of them.
//
// Sealed is AES-256-GCM with a random nonce of 96 bits (NIST SP 800-38D: good for 2^32 of one key), bound to what it belongs to: a sealed
// text that is moved to another row does not open there. A Keys may be used concurrently.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// begins marks what is sealed: no secret that was kept before it was sealed has a dot in it. The number is that of the form.
const begins = "1."

const keyBytes = 32

// Keys seal with the first of them and open with any, so that another one can be put in front.
type Keys struct{ list []key }

type key struct {
	name string // the first bytes of its digest: says which one opens
	aead cipher.AEAD
}

// Make returns the text of a new key, one line.
func Make() string {
	var b [keyBytes]byte
	_, _ = rand.Read(b[:]) // it does not fail: the program ends instead
	return base64.StdEncoding.EncodeToString(b[:])
}

// Parse reads keys, one a line; the first one seals. What is wrong is told by the number of its line, never by a part of it.
func Parse(text string) (*Keys, error) {
	k := &Keys{}
	for n, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != keyBytes {
			return nil, fmt.Errorf("line %d is no key", n+1)
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(append([]byte("upsedge secret key\x00"), raw...))
		k.list = append(k.list, key{hex.EncodeToString(sum[:4]), aead})
	}
	if len(k.list) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return k, nil
}

// Random returns a key that lives as long as the program: for tests, and for tools that seal nothing that is kept.
func Random() *Keys {
	k, err := Parse(Make())
	if err != nil {
		panic(err) // Make makes keys
	}
	return k
}

// Seal returns text sealed for what it belongs to: a purpose and the id of a row, for instance. "" stays "": there is no secret.
func (k *Keys) Seal(of, text string) string {
	if text == "" {
		return ""
	}
	key := k.list[0]
	nonce := make([]byte, key.aead.NonceSize())
	_, _ = rand.Read(nonce)
	return begins + key.name + "." + base64.RawURLEncoding.EncodeToString(key.aead.Seal(nonce, nonce, []byte(text), []byte(of)))
}

// ErrSealed is returned for what no key of ours opens: another key, another place, or damage.
var ErrSealed = errors.New("no key of this control plane opens it")

// Open returns what was sealed for of.
func (k *Keys) Open(of, sealed string) (string, error) {
	if sealed == "" {
		return "", nil
	}
	name, text, _ := strings.Cut(strings.TrimPrefix(sealed, begins), ".")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || !Sealed(sealed) {
		return "", ErrSealed
	}
	for _, key := range k.list {
		if n := key.aead.NonceSize(); key.name == name && len(raw) > n {
			if plain, err := key.aead.Open(nil, raw[:n], raw[n:], []byte(of)); err == nil {
				return string(plain), nil
			}
		}
	}
	return "", ErrSealed
}

// Sealed reports whether text has the form of what Seal returns.
func Sealed(text string) bool { return strings.HasPrefix(text, begins) }

// Stale reports whether text is to be sealed anew: it is plain, or a key seals now that is not the one it was sealed with.
func (k *Keys) Stale(text string) bool {
	return text != "" && !strings.HasPrefix(text, begins+k.list[0].name+".")
}
