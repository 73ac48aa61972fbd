package store

import (
	"crypto/rand"
	"encoding/binary"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"upsedge/internal/wire"
)

// What is put is sealed with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): fast on processors without instructions for AES, as
// many gateways have, and with a nonce long enough to be drawn. The nonce of a record is 12 random bytes, which are stored, and
// its lane and number, which are not: so nonces of different records differ for certain, and of a number that is used again
// (a gap record that grew or took the place of a damaged record, a restored backup, commits lost with the log) but for a chance of 2^-96.
const (
	nonceStored = 12
	// sealBytes is how much longer a sealed payload is: the stored part of the nonce in front and the tag behind.
	sealBytes = nonceStored + chacha20poly1305.Overhead
)

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

func recordNonce(stored []byte, r *wire.Record) []byte {
	n := make([]byte, chacha20poly1305.NonceSizeX)
	copy(n, stored[:nonceStored])
	n[nonceStored] = byte(r.Lane)
	binary.LittleEndian.PutUint64(n[len(n)-8:], r.Seq)
	return n
}

// seal appends what is stored of the payload of r to dst[:0].
func (k *sealKey) seal(dst []byte, r *wire.Record) []byte {
	out := slices.Grow(dst[:0], sealBytes+len(r.Payload))[:nonceStored]
	_, _ = rand.Read(out) // never fails
	return k.aead.Seal(out, recordNonce(out, r), r.Payload, recordFields(k.id, r))
}

// open returns the payload of r, whose fields are those of the row; false if any of it is not what was sealed. It is opened in place.
func (k *sealKey) open(r *wire.Record, sealed []byte) ([]byte, bool) {
	if len(sealed) < sealBytes || k.aead == nil {
		return nil, false
	}
	payload, err := k.aead.Open(sealed[nonceStored:nonceStored], recordNonce(sealed, r), sealed[nonceStored:], recordFields(k.id, r))
	if err != nil || len(payload) == 0 {
		return nil, err == nil
	}
	return payload, true
}

func stateFields(key int64, stream wire.ID, unit string) []byte {
	b := append([]byte("state"), stream[:]...)
	return append(binary.LittleEndian.AppendUint64(b, uint64(key)), unit...)
}

// sealState returns what is stored of the alarm state of a unit. There is no number for its nonce, all of it is drawn.
func (k *sealKey) sealState(stream wire.ID, unit string, state []byte) []byte {
	out := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(state)+chacha20poly1305.Overhead)
	_, _ = rand.Read(out) // never fails
	return k.aead.Seal(out, out, state, stateFields(k.id, stream, unit))
}

func (k *sealKey) openState(stream wire.ID, unit string, sealed []byte) ([]byte, bool) {
	if len(sealed) < chacha20poly1305.NonceSizeX || k.aead == nil {
		return nil, false
	}
	n, rest := sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:]
	state, err := k.aead.Open([]byte{}, n, rest, stateFields(k.id, stream, unit))
	return state, err == nil
}
