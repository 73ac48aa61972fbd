package front

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/wire"
)

// T-01: no certificate, one of another authority, one that has ended, one for servers, an old TLS.
func TestT01NobodyEntersWithoutACertificateThatHolds(t *testing.T) {
	s := newSite(t, nil)
	key := newKey(t)
	ended := s.ca.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: "rack7"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key)
	server := s.ca.make(&x509.Certificate{Subject: pkix.Name{CommonName: "rack7"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, key)
	foreign := newAuthority(t).agent("rack7")
	none := s.ca.client(tls.Certificate{})
	none.Certificates = nil
	old := s.ca.client(s.ca.agent("rack7"))
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for what, cfg := range map[string]*tls.Config{
		"none":    none,
		"foreign": s.ca.client(foreign),
		"ended":   s.ca.client(tls.Certificate{Certificate: [][]byte{ended.Raw}, PrivateKey: key}),
		"server":  s.ca.client(tls.Certificate{Certificate: [][]byte{server.Raw}, PrivateKey: key}),
		"TLS 1.1": old,
	} {
		conn, err := tls.Dial("tcp", s.addr, cfg)
		if err == nil { // of TLS 1.3 the client hears it behind the handshake
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "remote error: tls") && !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("%s: %v, want an alert of TLS", what, err)
		}
	}
	await(t, "counts", func() bool { return s.Stats().Ended[Handshake] == 5 && s.Stats().Connections == 0 })
}

func TestT01WhoIsRefusedHearsWhy(t *testing.T) {
	s := newSite(t, nil)
	s.ca.refuse("revoked", errRevoked)
	s.ca.refuse("unclear", errors.New("database is away"))
	for _, row := range []struct {
		name   string
		change func(*packets.ConnectPacket)
		code   byte
		reason Reason
	}{
		{"revoked", nil, packets.ErrRefusedNotAuthorised, Unauthorized},
		{"unclear", nil, packets.ErrRefusedServerUnavailable, Undecided},
		{"rack/7", nil, packets.ErrRefusedNotAuthorised, Unauthorized},
		{"rack7", func(c *packets.ConnectPacket) { c.ClientIdentifier = "rack8" }, packets.ErrRefusedIDRejected, ClientID},
		{"rack7", func(c *packets.ConnectPacket) { c.ClientIdentifier = "" }, packets.ErrRefusedIDRejected, ClientID},
		{"rack7", func(c *packets.ConnectPacket) { c.ProtocolName, c.ProtocolVersion = "MQIsdp", 3 }, packets.ErrRefusedBadProtocolVersion, Version},
		{"rack7", func(c *packets.ConnectPacket) {
			c.WillFlag, c.WillTopic, c.WillMessage = true, topic("rack8", wire.TopicState), []byte("x")
		}, packets.ErrRefusedNotAuthorised, BadWill},
	} {
		p := s.dial(row.name)
		if code := p.greet(row.name, row.change); code != row.code {
			t.Errorf("%s: CONNACK %d, want %d", row.reason, code, row.code)
		}
		p.gone()
	}
	await(t, "counts", func() bool {
		n := s.Stats()
		return n.Ended[Unauthorized] == 2 && n.Ended[Undecided] == 1 && n.Ended[ClientID] == 2 && n.Ended[Version] == 1 && n.Ended[BadWill] == 1
	})
	if n := s.Stats(); n.Sessions != 0 {
		t.Errorf("%d sessions", n.Sessions)
	}
}

// T-01: a copy of the key on another machine takes the connection over, and that is told; so it is again only after a minute.
func TestT01ASecondConnectionIsTold(t *testing.T) {
	var mu sync.Mutex
	var told []string
	s := newSite(t, func(c *Config) {
		c.Second = func(agent string) { mu.Lock(); defer mu.Unlock(); told = append(told, agent) }
	})
	first := s.connect("rack7", nil)
	second := s.connect("rack7", nil)
	first.gone()
	third := s.connect("rack7", nil)
	second.gone()
	third.send(message(topic("rack7", wire.TopicEvents), 1, "x"))
	third.acked(1)
	s.connect("rack8", nil)
	await(t, "counts", func() bool { n := s.Stats(); return n.Sessions == 2 && n.Ended[TakenOver] == 2 && n.Connections == 2 })
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 1 || told[0] != "rack7" {
		t.Errorf("told of %v, want rack7 once", told)
	}
}

// An agent that has lost its connection, and comes back, is no second one.
func TestAReturnIsNoSecondConnection(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Second = func(agent string) { t.Errorf("told of %s", agent) } })
	s.connect("rack7", nil)
	await(t, "session", func() bool { return s.live("rack7") != nil })
	s.live("rack7").heard.Store(time.Now().Add(-10 * time.Second).UnixMilli())
	s.connect("rack7", nil)
}

func TestT01RevocationEndsTheConnectionAndTheNextOne(t *testing.T) {
	s := newSite(t, nil)
	p := s.connect("rack7", nil)
	p.subscribe(topic("rack7", wire.TopicOrders))
	s.ca.refuse("rack7", errRevoked)
	s.Disconnect("rack7", "revoked by an administrator")
	s.Disconnect("rack8", "not there")
	p.gone()
	if s.Connected("rack7") {
		t.Error("still connected")
	}
	if code := s.dial("rack7").greet("rack7", nil); code != packets.ErrRefusedNotAuthorised {
		t.Errorf("CONNACK %d", code)
	}
}

// T-01: another process revokes, or the certificate ends; nobody calls Disconnect. A database that is away ends nothing.
func TestT01RightsAreAskedForAgain(t *testing.T) {
	s := newSite(t, nil, func(l *limits) { l.judge = 5 * time.Millisecond })
	key := newKey(t)
	short := s.ca.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: "short"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(2 * time.Second).Truncate(time.Second),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key)
	conn, err := tls.Dial("tcp", s.addr, s.ca.client(tls.Certificate{Certificate: [][]byte{short.Raw}, PrivateKey: key}))
	must(t, err)
	defer conn.Close()
	ends := &peer{conn, t}
	if ends.greet("short", nil) != packets.Accepted {
		t.Fatal("not accepted")
	}
	p, stays := s.connect("rack7", nil), s.connect("rack8", nil)
	s.ca.refuse("rack8", errors.New("database is away"))
	s.ca.refuse("rack7", errRevoked)
	p.gone()
	ends.gone()
	stays.send(message(topic("rack8", wire.TopicEvents), 1, "x"))
	stays.acked(1)
}

// A will is handed on when a connection breaks, is taken over or is ended by us; not after DISCONNECT, and not when we stop.
func TestTheWillIsHandedOn(t *testing.T) {
	s := newSite(t, nil)
	state := topic("rack7", wire.TopicState)
	with := func(text string) func(*packets.ConnectPacket) {
		return func(c *packets.ConnectPacket) {
			c.WillFlag, c.WillTopic, c.WillMessage, c.WillQos, c.WillRetain = true, state, []byte(text), 1, true
		}
	}
	wills := func() (out string) {
		for _, m := range s.heap.messages() {
			if m.Topic != state || m.Retained {
				t.Errorf("kept %+v", m)
			}
			out += string(m.Payload)
		}
		return out
	}
	must(t, s.connect("rack7", with("a")).Close())
	await(t, "will of a broken connection", func() bool { return wills() == "a" })
	p := s.connect("rack7", with("b"))
	p.send(packets.NewControlPacket(packets.Disconnect))
	p.gone()
	await(t, "the end", func() bool { return s.Stats().Connections == 0 })
	s.connect("rack7", with("c"))
	s.connect("rack7", with("d"))
	await(t, "will of one that was taken over", func() bool { return wills() == "ac" })
	s.Disconnect("rack7", "revoked")
	await(t, "will of one that was revoked", func() bool { return wills() == "acd" })
	s.connect("rack7", with("e"))
	s.stop()
	if got := wills(); got != "acd" {
		t.Errorf("wills %q, want acd", got)
	}
}

// Whatever CONNECT asked for, nothing is kept of an agent that is away.
func TestNothingIsKeptOfOneThatIsAway(t *testing.T) {
	s := newSite(t, nil)
	lasting := func(c *packets.ConnectPacket) { c.CleanSession = false }
	p := s.connect("rack7", lasting)
	p.subscribe(topic("rack7", wire.TopicOrders))
	m := message(topic("rack7", wire.TopicState), 1, "retained")
	m.Retain = true
	p.send(m)
	p.acked(1)
	must(t, s.Publish("rack7", wire.TopicOrders, []byte("never acknowledged")))
	must(t, p.Close())
	await(t, "the end", func() bool { return s.Stats().Connections == 0 })
	if err := s.Publish("rack7", wire.TopicOrders, nil); !errors.Is(err, ErrOffline) {
		t.Errorf("Publish = %v", err)
	}
	if n := s.broker.Clients.Len(); n != 0 {
		t.Errorf("the library keeps %d clients", n)
	}
	if n := s.broker.Topics.Retained.Len(); n != 0 {
		t.Errorf("the library keeps %d messages", n)
	}
	if n := s.broker.Info.Subscriptions; n != 0 {
		t.Errorf("the library keeps %d subscriptions", n)
	}
	p = s.dial("rack7")
	c := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	c.ProtocolName, c.ProtocolVersion, c.Keepalive, c.ClientIdentifier = "MQTT", 4, 60, "rack7"
	p.send(c)
	if ack := p.next().(*packets.ConnackPacket); ack.SessionPresent || ack.ReturnCode != 0 {
		t.Errorf("CONNACK %v", ack)
	}
	if err := s.Publish("rack7", wire.TopicOrders, nil); !errors.Is(err, ErrOffline) {
		t.Errorf("Publish to one that has not subscribed again = %v", err)
	}
}

// When we stop, what was handed over is kept and acknowledged first; who comes then is not accepted.
func TestStopsInOrder(t *testing.T) {
	var mu sync.Mutex
	var listening []bool
	s := newSite(t, func(c *Config) {
		c.Listening = func(on bool) { mu.Lock(); defer mu.Unlock(); listening = append(listening, on) }
	})
	s.heap.hold()
	p, idle, silent := s.connect("rack7", nil), s.connect("rack8", nil), s.dial("rack9")
	p.send(message(topic("rack7", wire.TopicEvents), 1, "x"))
	await(t, "message", func() bool { return s.heap.waiting() == 1 })
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	idle.gone()
	silent.gone()
	select {
	case <-stopped:
		t.Fatal("stopped before the message was kept")
	default:
	}
	s.heap.commit(nil, 0)
	p.acked(1)
	p.gone()
	<-stopped
	if conn, err := net.Dial("tcp", s.addr); err == nil {
		_ = conn.Close()
		t.Error("it listens still")
	}
	if n := s.Stats(); n.Connections != 0 || n.Sessions != 0 || n.Ended[Stopped] != 3 {
		t.Errorf("counted %+v", n)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(listening) != 2 || !listening[0] || listening[1] {
		t.Errorf("listening %v", listening)
	}
}
