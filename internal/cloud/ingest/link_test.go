package ingest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"pgregory.net/rapid"

	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

// T-30: what a client of the broker may send must not become memory here, nor come for ever.
func TestAMessageBeyondAnyBoundIsCutAndRefused(t *testing.T) {
	broker := testenv.Mosquitto(t, "set_tcp_nodelay true")
	r, b := newReceiver(t), newBox(t, "rack7")
	consume(t, r, broker.Addr)
	p := newPeer(t, broker.Addr, b)
	// Cut anywhere else, spaces behind a record would make it a sound one.
	long := append(b.publish(b.alarm(1, "padded")).Payload, bytes.Repeat([]byte(" "), 2*maxPacket)...)
	for _, leaf := range leaves {
		p.publish(Message{Topic: wire.Topic(b.name, leaf), Payload: long})
	}
	p.publish(b.publish(b.alarm(1, "one")))
	await(t, "the alarm behind them", func() bool { return p.through(wire.Events) == 1 })
	aside, err := r.Reader().Quarantine(t.Context())
	must(t, err)
	if len(aside) != len(leaves) {
		t.Errorf("%d set aside, want %d", len(aside), len(leaves))
	}
	for _, s := range aside {
		if s.Length > maxPacket {
			t.Errorf("%s: %d bytes came through, want at most %d", s.Topic, s.Length, maxPacket)
		}
	}
	if got := stored(t, r, b, wire.Events); len(got) != 1 || !bytes.Contains(got[0].Record.Payload, []byte("one")) {
		t.Errorf("kept: %+v", got)
	}
}

func TestPlainTCPStaysOnThisMachine(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": true, "::1": true, "192.0.2.7": false, "10.0.0.1": false} {
		conn, err := plain(elsewhere{ip: net.ParseIP(address)})
		if (err == nil) != want || (conn == nil) != (err != nil) {
			t.Errorf("to %s: %v", address, err)
		}
	}
}

// elsewhere is a connection to an address.
type elsewhere struct {
	net.Conn
	ip net.IP
}

func (e elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: e.ip, Port: 1883} }
func (elsewhere) Close() error           { return nil }

// chunks is a connection that brings bytes in pieces.
type chunks struct {
	net.Conn
	pieces [][]byte
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pieces[0])
	if c.pieces[0] = c.pieces[0][n:]; len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	return n, nil
}

// Whatever pieces the network makes of them, packets within the bound pass as they are, and one beyond it is cut.
func TestPacketsAreFollowedInAnyPieces(t *testing.T) {
	long := make([]byte, 3*maxPacket)
	rapid.Check(t, func(t *rapid.T) {
		var sent, want []byte
		for _, n := range rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 124, 125, 130, 16_380, 17_000, maxPacket, maxPacket + 1}), 1, 4).Draw(t, "lengths") {
			header := func(n int) []byte { return binary.AppendUvarint([]byte{0x30}, uint64(n)) }
			content := long[:n]
			sent = append(append(sent, header(n)...), content...)
			n = min(n, maxPacket)
			want = append(append(want, header(n)...), content[:n]...)
		}
		c := &chunks{}
		for len(sent) > 0 {
			n := min(len(sent), rapid.SampledFrom([]int{1, 2, 3, 50, 5000, 1 << 20}).Draw(t, "piece"))
			c.pieces, sent = append(c.pieces, sent[:n]), sent[n:]
		}
		got, err := io.ReadAll(newBounded(c))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes passed, want %d; %v", len(got), len(want), err)
		}
	})
	if _, err := io.ReadAll(newBounded(&chunks{pieces: [][]byte{{0x30, 0xff, 0xff, 0xff, 0xff, 1}}})); err == nil {
		t.Error("a length without an end passes")
	}
}
