package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"slices"

	"upsedge/internal/wire"
)

// What is put is sealed with AES-256-GCM (NIST SP 800-38D). The nonce is 12 random bytes, drawn each time and stored in front: so a number
// that is used again (a gap record that grew or took the place of a damaged record, a restored backup, commits lost with the log)
// gets another nonce. Drawn nonces are good for 2^32 uses of a key (section 8.3 there): of a unit that puts a block every 10 s, 1300 years.
const (
	nonceBytes = 12
	tagBytes   = 16
	keyBytes   = 32
	// sealBytes is how much longer a sealed payload is.
	sealBytes = nonceBytes + tagBytes
)

func newAEAD(secret *[keyBytes]byte) cipher.AEAD {
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		panic(err) // the length is not that of a key
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // not the block size of AES
	}
	return aead
}

// seal appends what is stored of plain to dst[:0].
func (k *sealKey) seal(dst, plain, fields []byte) []byte {
	out := slices.Grow(dst[:0], sealBytes+len(plain))[:nonceBytes]
	_, _ = rand.Read(out) // never fails
	return k.aead.Seal(out, out, plain, fields)
}

// open is the opposite of seal, in place; false if any of it is not what was sealed, or the key is gone. Nothing is nil.
func (k *sealKey) open(sealed, fields []byte) ([]byte, bool) {
	if len(sealed) < sealBytes || k.aead == nil {
		return nil, false
	}
	plain, err := k.aead.Open(sealed[nonceBytes:nonceBytes], sealed[:nonceBytes], sealed[nonceBytes:], fields)
	if err != nil || len(plain) == 0 {
		return nil, err == nil
	}
	return plain, true
}

// recordFields are what the tag covers beside the payload: every field of the row, the stream and the key.
func recordFields(key int64, r *wire.Record) []byte {
	b := make([]byte, 0, 80)
	b = append(b, byte(r.Lane), byte(r.Class))
	b = binary.LittleEndian.AppendUint64(b, r.Seq)
	b = binary.LittleEndian.AppendUint32(b, r.Epoch)
	b = binary.LittleEndian.AppendUint32(b, r.Boot)
	b = append(b, r.Stamp.BootID[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Stamp.Mono))
	b = binary.LittleEndian.AppendUint64(b, uint64(wallNanos(r.Stamp)))
	b = append(b, r.Stream[:]...)
	return binary.LittleEndian.AppendUint64(b, uint64(key))
}

// sealRecord appends what is stored of the payload of r to dst[:0].
func (k *sealKey) sealRecord(dst []byte, r *wire.Record) []byte {
	return k.seal(dst, r.Payload, recordFields(k.id, r))
}

// openRecord returns the payload of r, whose other fields are those of the row.
func (k *sealKey) openRecord(r *wire.Record) ([]byte, bool) {
	return k.open(r.Payload, recordFields(k.id, r))
}

// stateFields are what the tag of an alarm state covers beside it.
func stateFields(key int64, stream wire.ID, unit string) []byte {
	b := append([]byte("state"), stream[:]...)
	return append(binary.LittleEndian.AppendUint64(b, uint64(key)), unit...)
}
