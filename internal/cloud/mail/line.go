package mail

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	gomail "github.com/wneessen/go-mail"
)

// A line is a conversation with the mail server. Its connection is dialled here, for two reasons: it is cut when the context ends,
// whatever it waits for, and it is closed when the library gives up on the greeting, which the library leaves open.
type line struct {
	*gomail.Client
	conn net.Conn
	stop func() bool // ends the watch of the context
}

// dial connects to the server and signs in.
func (s *server) dial(ctx context.Context) (*line, error) {
	l := &line{}
	c, err := gomail.NewClient(s.host, append(s.options[:len(s.options):len(s.options)], gomail.WithDialContextFunc(l.connect(s, ctx)))...)
	if err != nil {
		return nil, err
	}
	l.Client = c
	if err := c.DialWithContext(ctx); err != nil {
		l.cut()
		return nil, fmt.Errorf("connect to the mail server: %w", err)
	}
	return l, nil
}

// connect returns what the library dials with. whole is the life of the conversation; what the function gets is that of its beginning.
func (l *line) connect(s *server, whole context.Context) gomail.DialContextFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		l.conn, l.stop = conn, context.AfterFunc(whole, func() { _ = conn.Close() })
		if !s.only {
			return conn, nil
		}
		secure := tls.Client(conn, s.tls)
		return secure, secure.HandshakeContext(ctx)
	}
}

// hangUp says goodbye where somebody may listen, and closes.
func (l *line) hangUp() {
	if l == nil {
		return
	}
	_ = l.Close() // the mail is sent or is not; a goodbye changes neither
	l.cut()
}

func (l *line) cut() {
	if l.conn != nil {
		l.stop()
		_ = l.conn.Close()
	}
}
