package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/wire"
)

// A tlsBroker is mosquitto with a certificate of an authority of its own.
type tlsBroker struct {
	*process
	address string
	roots   *x509.CertPool
}

func (b *bench) tlsBroker(ctx context.Context, dir string) (*tlsBroker, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	roots, err := selfSigned(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\ncertfile %s/cert.pem\nkeyfile %[2]s/key.pem\nuser root\nmax_inflight_messages 0\n"+
		"max_queued_messages 0\nset_tcp_nodelay true\n", port, dir)
	file := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	cmd, err := program(context.WithoutCancel(ctx), b.packages, "mosquitto", "-c", file)
	if err != nil {
		return nil, err
	}
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	err = await(ctx, 10*time.Second, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err == nil || p.alive() != nil
	})
	if err = errors.Join(err, p.alive()); err != nil {
		p.stop()
		return nil, err
	}
	return &tlsBroker{p, address, roots}, nil
}

// selfSigned writes a certificate for 127.0.0.1 and its key, and returns who believes it.
func selfSigned(certFile, keyFile string) (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err = errors.Join(os.WriteFile(certFile, cert, 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return roots, err
}

// A counted is a socket that counts what passes it.
type counted struct {
	net.Conn
	up, down atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.up.Add(int64(n))
	return n, err
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.down.Add(int64(n))
	return n, err
}

// A publisher is a client whose traffic is counted. Beside it is another one that stands for the cloud and acknowledges.
type publisher struct {
	client, cloud mqtt.Client
	socket        *counted
	began         [2]int64 // up and down when the session stood
	flying        []mqtt.Token
	acked         atomic.Int64
	acks          int
}

func (t *tlsBroker) connect() (*publisher, error) {
	p := &publisher{}
	dial := func(name string, counts bool) (mqtt.Client, error) {
		o := mqtt.NewClientOptions().AddBroker("tls://" + t.address).SetClientID(name).SetAutoReconnect(false).SetKeepAlive(0)
		o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			raw, err := net.Dial("tcp", t.address)
			if err != nil {
				return nil, err
			}
			if counts {
				p.socket = &counted{Conn: raw}
				raw = p.socket
			}
			conn := tls.Client(raw, &tls.Config{RootCAs: t.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13})
			return conn, conn.Handshake()
		})
		c := mqtt.NewClient(o)
		token := c.Connect()
		token.Wait()
		return c, token.Error()
	}
	var err error
	if p.client, err = dial(benchAgent, true); err != nil {
		return nil, err
	}
	token := p.client.Subscribe(wire.Topic(benchAgent, wire.TopicAcks), wire.QoS, func(mqtt.Client, mqtt.Message) { p.acked.Add(1) })
	if token.Wait(); token.Error() != nil {
		return nil, token.Error()
	}
	if p.cloud, err = dial("cloud", false); err != nil {
		return nil, err
	}
	p.began = [2]int64{p.socket.up.Load(), p.socket.down.Load()}
	return p, nil
}

// publish sends a message; for one that the cloud acknowledges by itself it waits for that.
func (p *publisher) publish(topic string, payload []byte, acknowledged bool) error {
	p.flying = append(p.flying, p.client.Publish(topic, wire.QoS, false, payload))
	if len(p.flying) > 32 {
		head := p.flying[0]
		p.flying = p.flying[1:]
		if head.Wait(); head.Error() != nil {
			return head.Error()
		}
	}
	if !acknowledged {
		return nil
	}
	p.acks++
	ack, err := wire.EncodeAck(wire.Ack{Stream: wire.ID{1}, Lane: wire.Samples, Through: uint64(200_000 + p.acks)})
	if err != nil {
		return err
	}
	token := p.cloud.Publish(wire.Topic(benchAgent, wire.TopicAcks), wire.QoS, false, ack)
	token.Wait()
	return token.Error()
}

// settled waits until everything was acknowledged and returns the bytes since the session stood.
func (p *publisher) settled() (up, down int64, err error) {
	for _, token := range p.flying {
		if token.Wait(); token.Error() != nil {
			return 0, 0, token.Error()
		}
	}
	err = await(context.Background(), 10*time.Second, func() bool { return p.acked.Load() == int64(p.acks) })
	return p.socket.up.Load() - p.began[0], p.socket.down.Load() - p.began[1], err
}

func (p *publisher) close() {
	p.client.Disconnect(100)
	p.cloud.Disconnect(100)
}
