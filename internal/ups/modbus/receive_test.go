package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups/upssim"
)

// FuzzReceive lets a line ask for three registers and answers with any bytes, in two pieces. What it takes for the answer is
// one: the right frame, behind an echo of the request or, on TCP, behind frames of other transactions. And it always says
// something in the end.
func FuzzReceive(f *testing.F) {
	f.Add(false, uint8(5), unhex(f, "01 03 06 00 00 00 02 00 08 F5 73"))
	f.Add(false, uint8(8), unhex(f, watchRead+"01 03 06 00 00 00 02 00 08 F5 73"))
	f.Add(false, uint8(0), unhex(f, exception2))
	f.Add(true, uint8(3), unhex(f, "0001 0000 0009 01 03 06 0000 0002 0008"))
	f.Add(true, uint8(30), unhex(f, "0001 0000 0006 01 03 0000 0003 0000 0000 0003 01 83 02 0001 0000 0003 01 83 02"))
	f.Fuzz(func(t *testing.T, tcp bool, cut uint8, bytesBack []byte) {
		if len(bytesBack) > 600 {
			t.Skip()
		}
		synctest.Test(t, func(t *testing.T) {
			framing := RTU
			if tcp {
				framing = TCP
			}
			var asked []byte
			var serving sync.WaitGroup
			line, stop := start(t, Config{Framing: framing, Open: func(context.Context) (Link, error) {
				near, far := upssim.NewCable()
				serving.Go(func() {
					defer far.Close()
					for {
						request, err := readRequest(far, framing)
						if err != nil {
							return
						}
						if asked == nil {
							asked = request
						}
						at := min(int(cut), len(bytesBack))
						_, _ = far.Write(bytesBack[:at])
						time.Sleep(20 * time.Millisecond)
						_, _ = far.Write(bytesBack[at:])
					}
				})
				return near, nil
			}})
			got, err := line.ReadHolding(t.Context(), Background, 1, 0, 3, make([]uint16, 3))
			stop()
			serving.Wait()
			if err == nil && !holds(framing, asked, bytesBack, got) {
				t.Fatalf("% x to % x is taken for %04x", bytesBack, asked, got)
			}
		})
	})
}

// holds tells whether the answer to request with these registers is in got as it must be.
func holds(framing Framing, request, got []byte, words []uint16) bool {
	if framing == RTU {
		want := []byte{1, readFunction, 6}
		for _, w := range words {
			want = binary.BigEndian.AppendUint16(want, w)
		}
		want = withCRC(want...)
		return bytes.HasPrefix(bytes.TrimPrefix(got, request), want) || bytes.HasPrefix(got, want)
	}
	want := append(bytes.Clone(request[:4]), 0, 9, 1, readFunction, 6)
	for _, w := range words {
		want = binary.BigEndian.AppendUint16(want, w)
	}
	return bytes.Contains(got, want)
}
