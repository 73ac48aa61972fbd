package trust

import (
	"crypto/ed25519"
	"encoding/json"
	"slices"
)

// Purposes of signatures. A signature for one is useless for another: the type in the header and the purpose in the payload
// are both of it, and a key may only sign for the purposes the root has given it.
const (
	ForKeys      = "keys" // of the root alone
	ForStatement = "statement"
	ForCommand   = "command"
	ForFirmware  = "firmware"
)

// RootKid is the key id of the root.
const RootKid = "root"

// Type returns the "typ" in the header of what is signed for a purpose.
func Type(purpose string) string { return "upsedge-" + purpose }

const maxKid = 32

// A Key is a public key and what it may sign.
type Key struct {
	Kid      string // a name of at most 32 characters; a lookup, never a path
	Key      ed25519.PublicKey
	Purposes []string
}

// Keys is a list of keys that the root has signed. A later list has a higher version.
type Keys struct {
	Version uint64 // from 1
	Keys    []Key
}

// For returns the key of that id for that purpose.
func (k *Keys) For(kid, purpose string) (ed25519.PublicKey, error) {
	for _, key := range k.Keys {
		if key.Kid != kid {
			continue
		}
		if !slices.Contains(key.Purposes, purpose) {
			return nil, wrongKey("key %q may not sign for %s", kid, purpose)
		}
		return key.Key, nil
	}
	return nil, wrongKey("key %q is not in list %d", kid, k.Version)
}

// VerifyKeys reads a list of keys that the root has signed. The error is a *Refusal.
func VerifyKeys(root ed25519.PublicKey, text string) (*Keys, error) {
	e, err := open(text, Type(ForKeys), MaxKeyList)
	if err != nil {
		return nil, err
	}
	if e.kid != RootKid {
		return nil, wrongKey("the list of keys is signed by %q", e.kid)
	}
	if err := e.verify(root); err != nil {
		return nil, err
	}
	o := parse("the list of keys", e.payload, "v", "purpose", "version", "keys")
	o.is("v", "1")
	o.is("purpose", `"`+ForKeys+`"`)
	k := &Keys{Version: o.number("version", 1, maxVersion)}
	for _, raw := range o.list("keys", MaxKeys) {
		k.Keys = append(k.Keys, o.key(raw))
	}
	o.distinct(k.Keys, root)
	if o.err != nil {
		return nil, o.err
	}
	return k, nil
}

func (o *object) key(raw json.RawMessage) Key {
	in := parse("a key", raw, "kid", "key", "purposes")
	k := Key{Kid: in.text("kid", maxKid, nameChar)}
	text := in.text("key", 64, func(c byte) bool { return plain64(rune(c)) })
	if in.err == nil {
		var err error
		if k.Key, err = parseKey(text); err != nil {
			in.fail("%q: %v", k.Kid, err)
		}
	}
	for _, raw := range in.list("purposes", MaxPurposes) {
		// A purpose that this program does not know is one it never asks for.
		purpose := &object{what: "a purpose", fields: map[string]json.RawMessage{"": raw}}
		k.Purposes = append(k.Purposes, purpose.text("", maxKid, nameChar))
		in.adopt(purpose)
	}
	if in.err == nil && (len(k.Purposes) == 0 || len(slices.Compact(slices.Sorted(slices.Values(k.Purposes)))) < len(k.Purposes)) {
		in.fail("%q has no purpose, or one twice", k.Kid)
	}
	if slices.Contains(k.Purposes, ForKeys) {
		in.fail("%q is to sign keys, as only the root may", k.Kid)
	}
	o.adopt(in)
	return k
}

// distinct makes sure that an id names one key and a key has one id, and that the root signs nothing but lists.
func (o *object) distinct(keys []Key, root ed25519.PublicKey) {
	for i, k := range keys {
		if k.Kid == RootKid || k.Key.Equal(root) {
			o.fail("has the root among the keys")
		}
		for _, other := range keys[:i] {
			if k.Kid == other.Kid || k.Key.Equal(other.Key) {
				o.fail("has the key %q twice", k.Kid)
			}
		}
	}
}

// lowOrder are the encodings, canonical or not and without the sign bit, of the points of Edwards25519 whose order divides 8.
// For such a key signatures can be made up without a secret (RFC 8032, section 5.1.7 does not exclude them).
var lowOrder = [...][32]byte{
	{},
	{0: 1},
	{
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	},
	{
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	},
	nearP(0xec), nearP(0xed), nearP(0xee),
}

// nearP returns the encoding of a number close to the prime 2^255 − 19, whose lowest byte is 0xed.
func nearP(lowest byte) (e [32]byte) {
	for i := range e {
		e[i] = 0xff
	}
	e[0], e[31] = lowest, 0x7f
	return e
}

// weak reports whether anyone can make signatures that key accepts.
func weak(key []byte) bool {
	plain := [32]byte(key)
	plain[31] &= 0x7f
	return slices.Contains(lowOrder[:], plain)
}

// Open verifies what Payload of package sign has made for a purpose, by a key of a list that root has signed, and returns what was signed. most
// bounds its length. It is for whoever checks things that are no order: heads of the Event Log.
func Open(root ed25519.PublicKey, list, purpose, msg string, most int) ([]byte, error) {
	keys, err := VerifyKeys(root, list)
	if err != nil {
		return nil, err
	}
	e, err := open(msg, Type(purpose), most)
	if err != nil {
		return nil, err
	}
	key, err := keys.For(e.kid, purpose)
	if err != nil {
		return nil, err
	}
	return e.payload, e.verify(key)
}
