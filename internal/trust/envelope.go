package trust

import (
	"crypto/ed25519"
	"encoding/json"
	"strings"
)

// An envelope is a JWS in compact form (RFC 7515, section 3.1) whose header is the one we allow. Its signature has not been
// checked.
type envelope struct {
	kid     string
	payload []byte

	signed    string // what the signature is about: the first two parts, as they came (RFC 7515, section 5.1)
	signature []byte
}

// open reads an envelope of a type. The header has exactly alg, kid and typ: no key of its own, nothing critical, nothing that
// a library might act on.
func open(text, typ string, most int) (*envelope, error) {
	if len(text) > most {
		return nil, malformed("%d bytes, want at most %d", len(text), most)
	}
	parts := strings.SplitN(text, ".", 4)
	if len(parts) != 3 {
		return nil, malformed("%d parts, want 3", len(parts))
	}
	var raw [3][]byte
	for i, p := range parts {
		var err error
		if raw[i], err = decode64(p); err != nil {
			return nil, malformed("part %d: %v", i+1, err)
		}
	}
	if len(raw[0]) > maxHeader || len(raw[2]) != ed25519.SignatureSize {
		return nil, malformed("a header of %d bytes and a signature of %d", len(raw[0]), len(raw[2]))
	}
	h := parse("the header", raw[0], "alg", "kid", "typ")
	h.is("alg", `"EdDSA"`)
	h.is("typ", `"`+typ+`"`)
	e := &envelope{
		kid: h.text("kid", maxKid, nameChar), payload: raw[1],
		signed: text[:len(parts[0])+1+len(parts[1])], signature: raw[2],
	}
	if h.err != nil {
		return nil, h.err
	}
	return e, nil
}

// Purpose returns what a message says that it is for, "" where it says nothing. Nothing about it has been checked: it tells only what to
// verify it as.
func Purpose(msg []byte) string {
	header, _, _ := strings.Cut(string(msg[:min(len(msg), 2*maxHeader)]), ".")
	raw, err := decode64(header)
	if err != nil {
		return ""
	}
	var h struct{ Typ string }
	_ = json.Unmarshal(raw, &h) // a guess; what follows is exact
	purpose, _ := strings.CutPrefix(h.Typ, "upsedge-")
	return purpose
}

// verify checks the signature. What was read of the payload holds from here on.
func (e *envelope) verify(key ed25519.PublicKey) error {
	if !ed25519.Verify(key, []byte(e.signed), e.signature) {
		return badSignature("the signature does not fit")
	}
	return nil
}
