package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/packets"
)

// A way is what lies between the agent and the broker: it can be cut, it can be of TLS, and there is a gate at its end.
type way struct {
	gate gate
	down atomic.Bool // nobody is reached

	mu    sync.Mutex
	tls   *tls.Config // of the broker, nil: plain
	conns []net.Conn
	calls int // connections, successful ones
}

// A gate lets everybody in but an agent that it shall refuse.
type gate struct {
	auth.AllowHook
	refuse atomic.Bool
}

// OnConnectAuthenticate refuses the agent.
func (g *gate) OnConnectAuthenticate(c *mochi.Client, _ packets.Packet) bool {
	return !g.refuse.Load() || c.ID == "receiver"
}

// dialWay connects the agent to the broker; see outside.
func (b *bubble) dialWay(ctx context.Context, address string) (net.Conn, error) {
	if b.way.down.Load() {
		return nil, refusedError()
	}
	b.way.mu.Lock()
	conf := b.way.tls
	b.way.mu.Unlock()
	if conf == nil {
		conn, err := b.dialBroker(ctx, address)
		b.way.keep(conn)
		return conn, err
	}
	ours, pipe := net.Pipe()
	b.way.keep(ours)
	theirs := newRoomy(pipe)
	b.serves.Go(theirs.pump)
	b.serves.Go(func() {
		defer theirs.Close()
		server := tls.Server(theirs, conf)
		if server.Handshake() != nil {
			_, _ = io.Copy(io.Discard, pipe) // what the agent says before it has read why
			return
		}
		_ = b.broker.EstablishConnection("pipe", server)
	})
	return ours, nil
}

// A roomy connection takes what is written at once, as a socket does: in TLS both ends may speak at a time.
type roomy struct {
	net.Conn
	once  sync.Once
	queue chan []byte
	over  chan struct{} // closed by Close
}

func newRoomy(c net.Conn) *roomy {
	return &roomy{Conn: c, queue: make(chan []byte, 1000), over: make(chan struct{})}
}

func (r *roomy) Write(b []byte) (int, error) {
	select {
	case r.queue <- bytes.Clone(b):
		return len(b), nil
	case <-r.over:
		return 0, net.ErrClosed
	}
}

func (r *roomy) pump() {
	defer r.Conn.Close()
	for {
		select {
		case b := <-r.queue:
			if !r.pass(b) {
				return
			}
		case <-r.over:
			for len(r.queue) > 0 && r.pass(<-r.queue) {
			}
			return
		}
	}
}

func (r *roomy) pass(b []byte) bool {
	_ = r.Conn.SetWriteDeadline(time.Now().Add(time.Minute))
	_, err := r.Conn.Write(b)
	return err == nil
}

// Close ends it when everything that was written has been passed on.
func (r *roomy) Close() error {
	r.once.Do(func() { close(r.over) })
	return nil
}

func (w *way) keep(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
	w.calls++
}

// cut ends every connection of the agent; with down set no other is made.
func (w *way) cut(down bool) {
	w.down.Store(down)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

// secure lets the broker speak TLS from the next connection on.
func (w *way) secure(conf *tls.Config) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tls = conf
}

// dialled is how many connections there were.
func (w *way) dialled() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}
