package trust

import "crypto/ed25519"

// WeakKeys returns the table of keys that are refused, each with and without the sign bit.
func WeakKeys() (all []ed25519.PublicKey) {
	for _, k := range lowOrder {
		signed := k
		signed[31] |= 0x80
		all = append(all, k[:], signed[:])
	}
	return all
}
