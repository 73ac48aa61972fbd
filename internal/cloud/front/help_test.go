package front

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits for something with a deadline that a loaded machine keeps.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// An authority signs certificates of agents and fronts.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool

	mu      sync.Mutex
	serial  int64
	refused map[string]error // by name
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, serial: 1, refused: map[string]error{}}
	a.key = newKey(t)
	a.cert = a.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, a.key)
	a.pool = x509.NewCertPool()
	a.pool.AddCert(a.cert)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

// make signs a certificate. What it lacks is filled in.
func (a *authority) make(c *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serial++
	c.SerialNumber = big.NewInt(a.serial)
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, a.key)
	must(a.t, err)
	out, err := x509.ParseCertificate(der)
	must(a.t, err)
	return out
}

// agent makes key and certificate of an agent.
func (a *authority) agent(name string) tls.Certificate {
	a.t.Helper()
	key := newKey(a.t)
	c := a.make(&x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, key)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}

func (a *authority) server() *tls.Config {
	a.t.Helper()
	key := newKey(a.t)
	c := a.make(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, key)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: key}}, ClientCAs: a.pool}
}

func (a *authority) client(cert tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: a.pool, ServerName: "127.0.0.1", Certificates: []tls.Certificate{cert}}
}

func (a *authority) authorize(cert *x509.Certificate) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return cert.Subject.CommonName, a.refused[cert.Subject.CommonName]
}

// refuse makes Authorize refuse an agent from now on.
func (a *authority) refuse(name string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused[name] = err
}

var errRevoked = &cloud.Error{Reason: policy.NotFound, Detail: "revoked"}

// A heap keeps messages in memory, when it is told to.
type heap struct {
	mu      sync.Mutex
	waits   []waiting
	kept    []ingest.Message
	holding bool
}

type waiting struct {
	ingest.Message
	done func(error)
}

func (h *heap) Put(ctx context.Context, m ingest.Message, done func(error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.holding {
		h.kept = append(h.kept, m)
		go done(nil)
		return
	}
	h.waits = append(h.waits, waiting{m, done})
}

// hold keeps nothing until commit is called.
func (h *heap) hold() { h.mu.Lock(); defer h.mu.Unlock(); h.holding = true }

// commit ends what was handed over, the i-th of what waits.
func (h *heap) commit(err error, which ...int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range which {
		if err == nil {
			h.kept = append(h.kept, h.waits[i].Message)
		}
		h.waits[i].done(err)
	}
}

func (h *heap) messages() []ingest.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]ingest.Message(nil), h.kept...)
}

func (h *heap) waiting() int { h.mu.Lock(); defer h.mu.Unlock(); return len(h.waits) }

// A site is a front that runs.
type site struct {
	*Front
	t    testing.TB
	ca   *authority
	heap *heap
	addr string
	stop func() // and waits until it has stopped
	log  *safeBuffer
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

// newSite starts a front. change may be nil.
func newSite(t testing.TB, change func(*Config), with ...func(*limits)) *site {
	t.Helper()
	s := &site{t: t, ca: newAuthority(t), heap: &heap{}, log: &safeBuffer{}}
	cfg := Config{TLS: s.ca.server(), Ingest: s.heap, Authorize: s.ca.authorize, Log: slog.New(slog.NewTextHandler(s.log, nil))}
	if change != nil {
		change(&cfg)
	}
	var err error
	s.Front, err = New(cfg)
	must(t, err)
	for _, f := range with {
		f(&s.limits)
	}
	s.run()
	return s
}

func (s *site) run() {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(s.t, err)
	s.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				s.t.Errorf("Run = %v", err)
			}
		case <-time.After(20 * time.Second):
			s.t.Error("Run does not end within 20 s")
		}
	})
	s.t.Cleanup(func() {
		s.stop()
		if s.t.Failed() {
			s.t.Log(s.log)
		}
	})
}

// paho connects a client of the library that agents use.
func (s *site) paho(name string, change func(*mqtt.ClientOptions)) (mqtt.Client, error) {
	s.t.Helper()
	o := mqtt.NewClientOptions()
	o.Servers = []*url.URL{{Scheme: "tls", Host: s.addr}}
	o.SetTLSConfig(s.ca.client(s.ca.agent(name))).SetClientID(name).SetAutoReconnect(false).SetConnectTimeout(20 * time.Second).SetProtocolVersion(4)
	if change != nil {
		change(o)
	}
	c := mqtt.NewClient(o)
	token := c.Connect()
	token.Wait()
	s.t.Cleanup(func() { c.Disconnect(0) })
	return c, token.Error()
}

// A peer speaks MQTT by hand.
type peer struct {
	net.Conn
	t testing.TB
}

// dial opens a connection with the certificate of an agent, without a word of MQTT.
func (s *site) dial(name string) *peer {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.addr, s.ca.client(s.ca.agent(name)))
	must(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	must(s.t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	return &peer{conn, s.t}
}

// connect says CONNECT and returns behind CONNACK.
func (s *site) connect(name string, change func(*packets.ConnectPacket)) *peer {
	s.t.Helper()
	p := s.dial(name)
	if code := p.greet(name, change); code != packets.Accepted {
		s.t.Fatalf("%s: CONNACK %d", name, code)
	}
	return p
}

func (p *peer) greet(name string, change func(*packets.ConnectPacket)) byte {
	p.t.Helper()
	c := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	c.ProtocolName, c.ProtocolVersion, c.CleanSession, c.Keepalive, c.ClientIdentifier = "MQTT", 4, true, 60, name
	if change != nil {
		change(c)
	}
	p.send(c)
	return p.next().(*packets.ConnackPacket).ReturnCode
}

func (p *peer) send(list ...packets.ControlPacket) {
	p.t.Helper()
	var b bytes.Buffer
	for _, x := range list {
		must(p.t, x.Write(&b))
	}
	_, err := p.Write(b.Bytes())
	must(p.t, err)
}

func (p *peer) next() packets.ControlPacket {
	p.t.Helper()
	x, err := packets.ReadPacket(p)
	must(p.t, err)
	return x
}

// gone reports whether the other end closes, without another packet.
func (p *peer) gone() {
	p.t.Helper()
	x, err := packets.ReadPacket(p)
	var late net.Error
	if err == nil || errors.As(err, &late) && late.Timeout() {
		p.t.Errorf("came %v, %v; want the end of the connection", x, err)
	}
	_, _ = io.Copy(io.Discard, p)
}

// message is a PUBLISH.
func message(topic string, id uint16, payload string) *packets.PublishPacket {
	x := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	x.TopicName, x.MessageID, x.Qos, x.Payload = topic, id, wire.QoS, []byte(payload)
	return x
}

// acked reads PUBACKs with these ids, and nothing else.
func (p *peer) acked(ids ...uint16) {
	p.t.Helper()
	for _, id := range ids {
		x, ok := p.next().(*packets.PubackPacket)
		if !ok || x.MessageID != id {
			p.t.Fatalf("came %v, want the acknowledgement of %d", x, id)
		}
	}
}

// subscribe asks for filters and returns what is granted.
func (p *peer) subscribe(filters ...string) []byte {
	p.t.Helper()
	x := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	x.MessageID, x.Topics = 7, filters
	for range filters {
		x.Qoss = append(x.Qoss, 1)
	}
	p.send(x)
	return p.next().(*packets.SubackPacket).ReturnCodes
}

func topic(agent string, leaf wire.Leaf) string { return wire.Topic(agent, leaf) }
