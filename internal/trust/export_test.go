package trust

import (
	"crypto/ed25519"
	"errors"
)

// WeakKeys returns the table of keys that are refused, each with and without the sign bit.
func WeakKeys() (all []ed25519.PublicKey) {
	for _, k := range lowOrder {
		signed := k
		signed[31] |= 0x80
		all = append(all, k[:], signed[:])
	}
	return all
}

// Code returns the reason code of an error of Verifier, "" when it is not a Refusal.
func Code(err error) string {
	if r := (*Refusal)(nil); errors.As(err, &r) {
		return r.Code
	}
	return ""
}
