package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"upsedge/internal/wire"
)

// A Config is what a Session needs to know. Broker, AgentID and Full are required.
//
// Without Cloud the broker's PUBACK frees a record, nothing is subscribed to, and the full state is published at once.
type Config struct {
	Broker   *url.URL     // tls://host[:8883] or, on loopback and with Insecure, tcp://host[:1883]
	TLS      *Credentials // for tls://; nil means the system's authorities and no certificate of ours
	Time     Time         // for the dates of certificates; nil: this machine's clock, to be trusted
	Insecure bool         // allows tcp:// to loopback
	AgentID  string       // in topics, and the client identifier
	Boot     uint32       // starts of the agent, counted in the store; makes session numbers rise over all of them
	Numbered uint64       // sessions that others have had since that start
	MaxRate  int64        // bytes per second, 0 is unlimited
	Version  string       // of the agent, in the first message of a session
	// Full returns what the full state says now. It reads memory: a session stands still meanwhile.
	Full    func() *wire.FullState
	Changed <-chan struct{} // gets a value when the full state is to be published again; nil if never. Not to be closed
	// Reject is called with a record that cannot be encoded. Returning nil promises that a gap record stands for it; it then
	// counts as delivered. With an error, and with a nil Reject, its lane stops there and the log says so.
	Reject  func(ctx context.Context, rec wire.Record, err error) error
	Cloud   *Cloud // nil: nobody but the broker acknowledges
	Observe Observer
	Dial    func(ctx context.Context, address string) (net.Conn, error) // opens the connection below TLS; nil: TCP
	Log     *slog.Logger                                                // nil discards
}

// An Observer is told what happens, on the goroutine of the session: its functions return at once. Nil ones are left out.
type Observer struct {
	Connected   func(bool)
	Secured     func()        // the TLS handshake succeeded: the broker's certificate is in order
	Failed      func(Failure) // an attempt to connect failed, or a session ended that was not stopped
	Reconnected func()        // a session began that was not the first of this Run
	// Delivered is told of each record, without its payload, that was acknowledged at the instant at: by the cloud, or by the
	// broker where there is no cloud.
	Delivered func(rec wire.Record, at time.Time)
}

func (o Observer) connected(up bool) {
	if o.Connected != nil {
		o.Connected(up)
	}
}

func (o Observer) secured() {
	if o.Secured != nil {
		o.Secured()
	}
}

func (o Observer) failed(f Failure) {
	if o.Failed != nil {
		o.Failed(f)
	}
}

func (o Observer) reconnected() {
	if o.Reconnected != nil {
		o.Reconnected()
	}
}

func (o Observer) delivered(rec wire.Record, at time.Time) {
	if o.Delivered != nil {
		o.Delivered(rec, at)
	}
}

func (c *Config) time() (time.Time, bool) {
	if c.Time == nil {
		return time.Now(), true
	}
	return c.Time()
}

// check returns what makes the configuration unusable, nil if nothing does.
func (c *Config) check() error {
	switch {
	case c.Broker == nil:
		return errors.New("no broker")
	case c.Full == nil:
		return errors.New("nobody to tell the full state")
	case c.Cloud != nil && (c.Cloud.Last == nil || c.Cloud.Order == nil || c.Cloud.Stream == wire.ID{}):
		return errors.New("a cloud without a stream, its numbers or a judge of orders")
	case c.Broker.Hostname() == "":
		return fmt.Errorf("broker %q names no host", c.Broker)
	}
	if err := wire.CheckAgent(c.AgentID); err != nil {
		return err
	}
	switch c.Broker.Scheme {
	case "tls":
	case "tcp":
		if !c.Insecure {
			return fmt.Errorf("broker %q is plain TCP: use tls://, or insecure for a broker on this machine", c.Broker.Redacted())
		}
		if !isLoopback(c.Broker.Hostname()) {
			return fmt.Errorf("broker %q is plain TCP to another machine: use tls://", c.Broker.Redacted())
		}
	default:
		return fmt.Errorf("broker %q begins with neither tls:// nor tcp://", c.Broker.Redacted())
	}
	return nil
}

// isLoopback tells by the name alone; where localhost leads is checked again when it is dialled.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// address returns host:port of the broker.
func (c *Config) address() string {
	port := c.Broker.Port()
	switch {
	case port != "":
	case c.Broker.Scheme == "tls":
		port = "8883"
	default:
		port = "1883"
	}
	return net.JoinHostPort(c.Broker.Hostname(), port)
}
