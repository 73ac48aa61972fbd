package modbus

import (
	"context"
	"encoding/binary"
	"os"
	"time"
)

// An instant link has its reply the moment a request is written, without a goroutine and without allocating: it answers
// the second and later requests of one kind with the first reply.
type instant struct {
	answer  func([]byte) []byte
	cached  []byte
	pending []byte
}

func newInstant(answer func([]byte) []byte) *instant { return &instant{answer: answer} }

func (i *instant) open(context.Context) (Link, error) { return i, nil }

func (i *instant) Write(request []byte) (int, error) {
	if i.cached == nil {
		i.cached = i.answer(request)
	}
	if binary.BigEndian.Uint16(request[2:]) == 0 { // TCP: the protocol id; on RTU the transaction stays what it is
		copy(i.cached[:2], request[:2])
	}
	i.pending = i.cached
	return len(request), nil
}

func (i *instant) Read(p []byte) (int, error) {
	if len(i.pending) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, i.pending)
	i.pending = i.pending[n:]
	return n, nil
}

func (i *instant) SetReadDeadline(time.Time) error  { return nil }
func (i *instant) SetWriteDeadline(time.Time) error { return nil }
func (i *instant) Close() error                     { return nil }
