// Package mailsink is a mail server that delivers nothing: what it is sent lies in a directory, for the demonstration and for tests. It
// listens wherever it is told, which should be loopback: it asks nobody who they are.
package mailsink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A Mail is one that was taken.
type Mail struct {
	From, To string // of the envelope
	Header   mail.Header
	Text     string // decoded
	Raw      []byte
}

// A Sink is a mail server. Its fields are set before Serve.
type Sink struct {
	Dir      string      // every mail is a file here, <number>.eml, and <recipient>.txt is the text of the last one; "" keeps none
	TLS      *tls.Config // offers STARTTLS
	User     string      // asks for a sign-in with Password; "" does not
	Password string

	// Fault is asked at each step, "connect", "mail", "rcpt" and "data" (the mail is there, the answer is not given): an error is
	// answered, *smtp.SMTPError as it is; ErrCut ends the connection instead, at "taken" after the mail was kept, at "reset" behind the answer.
	Fault func(step, to string) error

	mu    sync.Mutex
	mails []Mail
	more  chan struct{} // closed when a mail comes
}

// ErrCut is for Fault: the connection ends without an answer.
var ErrCut = errors.New("cut")

// messageMax bounds a mail; ours have a few hundred bytes.
const messageMax = 1 << 20

// Serve takes mail from ln until ctx ends.
func (s *Sink) Serve(ctx context.Context, ln net.Listener) error {
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		session := &session{sink: s, conn: c}
		if err := session.fault("connect", ""); err != nil {
			return nil, err
		}
		if s.User != "" {
			return &authSession{session}, nil
		}
		return session, nil
	}))
	srv.Domain, srv.TLSConfig, srv.MaxMessageBytes = "localhost", s.TLS, messageMax
	srv.ReadTimeout, srv.WriteTimeout, srv.MaxRecipients = time.Minute, time.Minute, 10
	srv.AllowInsecureAuth = s.TLS == nil
	srv.ErrorLog = quiet{}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, smtp.ErrServerClosed) && ctx.Err() == nil {
		return err
	}
	return nil
}

// Mails returns what was taken so far.
func (s *Sink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Wait returns the n-th mail (from 1) to an address, once it has come.
func (s *Sink) Wait(ctx context.Context, to string, n int) (Mail, error) {
	for {
		m, more := s.nth(to, n)
		if m != nil {
			return *m, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Mail{}, fmt.Errorf("wait for mail %d to %s: %w", n, to, ctx.Err())
		}
	}
}

func (s *Sink) nth(to string, n int) (*Mail, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.mails {
		if m.To == to {
			if n--; n == 0 {
				return &m, nil
			}
		}
	}
	if s.more == nil {
		s.more = make(chan struct{})
	}
	return nil, s.more
}

func (s *Sink) keep(m Mail) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Dir != "" {
		err := errors.Join(
			os.WriteFile(filepath.Join(s.Dir, fmt.Sprintf("%04d.eml", len(s.mails)+1)), m.Raw, 0o600),
			os.WriteFile(filepath.Join(s.Dir, fileName(m.To)+".txt"), []byte(m.Text), 0o600))
		if err != nil {
			return err
		}
	}
	s.mails = append(s.mails, m)
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
	return nil
}

// fileName is an address as the name of a file: nothing in it leads elsewhere.
func fileName(address string) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r < ' ' || r > '~' {
			return '_'
		}
		return r
	}, address)
	return strings.TrimLeft(name, ".")
}

// A session is one conversation.
type session struct {
	sink     *Sink
	conn     *smtp.Conn
	from, to string
}

func (s *session) fault(step, to string) error {
	if s.sink.Fault == nil {
		return nil
	}
	err := s.sink.Fault(step, to)
	if errors.Is(err, ErrCut) {
		_ = s.conn.Conn().Close()
	}
	return err
}

func (s *session) Reset() {
	s.from, s.to = "", ""
	_ = s.fault("reset", "")
}

func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return s.fault("mail", "")
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return s.fault("rcpt", to)
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.fault("data", s.to); err != nil {
		return err
	}
	parsed, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	body := parsed.Body
	if parsed.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	m := Mail{From: s.from, To: s.to, Header: parsed.Header, Text: strings.ReplaceAll(string(text), "\r\n", "\n"), Raw: raw}
	if err := s.sink.keep(m); err != nil {
		return err
	}
	return s.fault("taken", s.to)
}

// An authSession asks for a sign-in first.
type authSession struct{ *session }

func (s *authSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *authSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.sink.User || password != s.sink.Password {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

// quiet drops what the server says of connections that clients cut.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}
