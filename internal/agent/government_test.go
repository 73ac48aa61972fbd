package agent

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"net"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/config"
	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A government is the cloud of an enrolled agent, as far as the agent sees it: it hears everything, answers the first state of a
// session, and each renewed nonce, with a statement, and acknowledges what is whole.
type government struct {
	t      *testing.T
	b      *bubble
	online ed25519.PrivateKey
	keys   string

	ledger ledger
	says   chan saying

	mu      sync.Mutex
	silent  bool          // no statements
	nonce   wire.ID       // of the last state
	entries []trust.Entry // of the next statement
	seen    map[wire.Lane]map[uint64]bool
	marks   map[wire.Lane]uint64
	stream  wire.ID
	heard   []heard
}

// A heard is a record as it crossed the network.
type heard struct {
	lane         wire.Lane
	seq          uint64
	epoch        uint32
	unit, device string // unit "?": of samples, which are a unit's
	block        bool
	kind         ups.EventKind
	id           ups.AlarmID
	at           time.Time
}

// enrol makes the agent one of a government's. It has to be called between two runs.
func (b *bubble) enrol() *government {
	b.t.Helper()
	rootKey, root, err := ed25519.GenerateKey(nil)
	onlineKey, online, err2 := ed25519.GenerateKey(nil)
	keys, err3 := sign.Keys(root, trust.Keys{Version: 1, Keys: []trust.Key{{
		Kid: "online-1", Key: onlineKey, Purposes: []string{trust.ForStatement, trust.ForCommand},
	}}})
	cfg, err4 := config.Parse("agent.yaml", []byte(b.text))
	if err := errors.Join(err, err2, err3, err4); err != nil {
		b.t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(cfg.StateDir, 0o700), trust.SaveRoot(cfg.StateDir, rootKey)); err != nil {
		b.t.Fatal(err)
	}
	a := &government{
		t: b.t, b: b, online: online, keys: keys, ledger: ledger{t: b.t, events: map[uint64]int{}}, says: make(chan saying, 4096),
		seen: map[wire.Lane]map[uint64]bool{wire.Events: {}, wire.Samples: {}}, marks: map[wire.Lane]uint64{},
	}
	b.cloud.tap = a.hear
	voice := b.voice()
	b.serves.Go(func() {
		for say := range a.says {
			voice.Publish("upsedge/v1/rack7/"+say.leaf, 0, false, say.msg)
		}
	})
	b.t.Cleanup(func() { close(a.says); voice.Disconnect(10) })
	return a
}

// voice returns a client of the broker that subscribes to nothing: connections here have no buffers, and one that hears what it says
// itself comes to a halt.
func (b *bubble) voice() mqtt.Client {
	b.t.Helper()
	o := mqtt.NewClientOptions().SetClientID("voice").SetAutoReconnect(false).SetKeepAlive(0)
	o.Servers = []*url.URL{{Scheme: "tcp", Host: "127.0.0.1:1883"}}
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return b.dialBroker(b.t.Context(), "") })
	c := mqtt.NewClient(o)
	if tok := c.Connect(); tok.Wait() && tok.Error() != nil {
		b.t.Fatal(tok.Error())
	}
	return c
}

// say publishes, later: who hears must not wait.
func (a *government) say(leaf string, msg []byte) { a.says <- saying{leaf, msg} }

// A saying is a message of the cloud.
type saying struct {
	leaf string
	msg  []byte
}

// hear is called with the receiver's lock, by the MQTT client: it must not wait.
func (a *government) hear(topic string, payload []byte) {
	a.ledger.hear(topic, payload)
	switch topic[len("upsedge/v1/rack7/"):] {
	case "state":
		if s, err := wire.DecodeState(payload); err == nil && s.Online {
			a.mu.Lock()
			news := s.Nonce != a.nonce
			a.nonce = s.Nonce
			if s.Full != nil {
				a.stream = s.Full.Stream
			}
			a.mu.Unlock()
			if news || s.Full == nil {
				a.state()
			}
		}
	case "events":
		if p, err := wire.DecodeEventMessage(payload); err == nil {
			h := heard{seq: p.Record.Seq, epoch: p.Record.Epoch, lane: wire.Events, at: time.Now()}
			if p.Gap != nil {
				h.unit = p.Gap.Unit
			} else if e, err := wire.DecodeEvent(p.Record.Payload); err == nil {
				h.unit, h.device, h.kind, h.id = e.Unit, e.Device, e.Kind, e.ID
			}
			a.took(p.Record.Stream, h, p.Gap)
		}
	case "samples":
		h := headOf(a.t, payload)
		a.took(h.Stream, heard{seq: h.Seq, epoch: h.Epoch, lane: h.Lane, unit: "?", block: true, at: time.Now()}, nil)
	}
}

// headOf reads the header of a message of the topic samples (FORMAT.md, section 6).
func headOf(t *testing.T, msg []byte) (r wire.Record) {
	r.Lane = wire.Samples
	rest := msg[4:]
	if msg[3] == wire.PictureVersion {
		r.Lane, rest = wire.Lane(rest[0]), rest[1:]
	}
	if !bytes.HasPrefix(rest, []byte("\x05rack7")) {
		t.Errorf("header % x", rest[:20])
		return r
	}
	rest = rest[6:]
	copy(r.Stream[:], rest)
	rest = rest[16:]
	seq, n := binary.Uvarint(rest)
	epoch, _ := binary.Uvarint(rest[n:])
	r.Seq, r.Epoch = seq, uint32(epoch)
	return r
}

// took notes a record, and acknowledges as far as there is no hole.
func (a *government) took(stream wire.ID, h heard, gap *wire.Gap) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.seen[h.lane][h.seq] {
		a.heard = append(a.heard, h)
	}
	a.seen[h.lane][h.seq] = true
	if gap != nil && gap.Lane != 0 {
		for n := gap.First; n <= gap.Last; n++ {
			a.seen[gap.Lane][n] = true
		}
	}
	for _, l := range wire.Lanes {
		was := a.marks[l]
		for a.seen[l][a.marks[l]+1] {
			a.marks[l]++
		}
		if a.marks[l] == was {
			continue
		}
		if msg, err := wire.EncodeAck(wire.Ack{Stream: stream, Lane: l, Through: a.marks[l]}); err != nil {
			a.t.Error(err)
		} else {
			a.say("acks", msg)
		}
	}
}

// bind makes the entries of the statements to come, and says them at once where there is a session.
func (a *government) bind(entries ...trust.Entry) {
	a.mu.Lock()
	a.entries = entries
	live := a.nonce != wire.ID{}
	a.mu.Unlock()
	if live {
		a.state()
	}
}

// state says a statement for the last nonce.
func (a *government) state() { a.sayAt(a.b.wall()) }

// sayAt is state with another time in it.
func (a *government) sayAt(at time.Time) {
	a.mu.Lock()
	nonce, entries, silent := a.nonce, a.entries, a.silent
	a.mu.Unlock()
	if silent {
		return
	}
	msg, err := sign.Statement(a.online, "online-1", a.keys, "rack7", nonce, trust.Statement{Time: at, Entries: entries})
	if err != nil {
		a.t.Error(err)
		return
	}
	a.say("orders", []byte(msg))
}

// hush keeps statements back, or no more.
func (a *government) hush(on bool) {
	a.mu.Lock()
	a.silent = on
	a.mu.Unlock()
}

// bound is the entry that binds a device.
func bound(device string, epoch uint32, version uint64) trust.Entry {
	return trust.Entry{Device: device, Bind: &trust.Bind{Epoch: epoch, Plan: "advanced", ValidUntil: enterTime.AddDate(1, 0, 0), GrantVersion: version}}
}
