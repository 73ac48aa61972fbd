package mail

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"os"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Ways to the mail server.
const (
	TLSStart = "starttls" // plain connection, then STARTTLS, without which nothing is sent
	TLSOnly  = "tls"      // TLS from the first byte
	TLSNone  = "none"     // none at all: to loopback only
)

// A Config says how mail leaves.
type Config struct {
	Server       string // host:port; "" sends nothing: mails wait, and go when their time is over
	TLS          string // "" is TLSStart
	CAFile       string // PEM; "" is what the system trusts
	User         string // "" does not sign in
	PasswordFile string // whose first line is the password; it must not be readable by everyone
	From         string // address, or name and address
}

// timeout bounds each step of a conversation with the server.
const timeout = 30 * time.Second

// A server is a checked Config.
type server struct {
	options []gomail.Option
	tls     *tls.Config
	only    bool // TLS from the first byte
	host    string
	from    *netmail.Address
	domain  string // of From: Message-IDs end in it
}

// check returns the server that c describes, nil for none, or an error that names the key of the configuration and the reason.
func (c Config) check() (*server, error) {
	if c.Server == "" {
		return nil, nil
	}
	host, portText, err := net.SplitHostPort(c.Server)
	if err != nil {
		return nil, fmt.Errorf("server: %q is not host:port", c.Server)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 1 || port > 65535 {
		return nil, fmt.Errorf("server: %q has no port between 1 and 65535", c.Server)
	}
	from, err := netmail.ParseAddress(c.From)
	if err != nil {
		return nil, fmt.Errorf("from: %q is not an address", c.From)
	}
	s := &server{host: host, from: from, domain: from.Address[strings.LastIndexByte(from.Address, '@')+1:]}
	s.options = []gomail.Option{gomail.WithPort(port), gomail.WithTimeout(timeout), gomail.WithoutNoop()}
	if err := s.secure(c); err != nil {
		return nil, err
	}
	return s, s.signIn(c)
}

func (s *server) secure(c Config) error {
	s.tls = &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return fmt.Errorf("ca_file: %w", err)
		}
		s.tls.RootCAs = x509.NewCertPool()
		if !s.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("ca_file: %s holds no certificate", c.CAFile)
		}
	}
	s.options = append(s.options, gomail.WithTLSConfig(s.tls))
	switch c.TLS {
	case TLSStart, "":
		s.options = append(s.options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case TLSOnly:
		s.only = true // the connection is encrypted before the library gets it: see line.go
		s.options = append(s.options, gomail.WithTLSPolicy(gomail.NoTLS))
	case TLSNone:
		if !loopback(s.host) {
			return fmt.Errorf("tls: %q is for a mail server on this machine, and %s is another one", TLSNone, s.host)
		}
		s.options = append(s.options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		return fmt.Errorf("tls: %q is none of %s, %s, %s", c.TLS, TLSStart, TLSOnly, TLSNone)
	}
	return nil
}

func (s *server) signIn(c Config) error {
	if c.User == "" {
		if c.PasswordFile != "" {
			return errors.New("password_file: without a user there is no sign-in")
		}
		return nil
	}
	info, err := os.Stat(c.PasswordFile)
	if err != nil {
		return fmt.Errorf("password_file: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("password_file: %s is open to everyone (mode %04o)", c.PasswordFile, info.Mode().Perm())
	}
	text, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return fmt.Errorf("password_file: %w", err)
	}
	password, _, _ := strings.Cut(string(text), "\n")
	if password = strings.TrimSuffix(password, "\r"); password == "" {
		return fmt.Errorf("password_file: %s has an empty first line", c.PasswordFile)
	}
	auth := gomail.SMTPAuthPlain
	if c.TLS == TLSNone {
		auth = gomail.SMTPAuthPlainNoEnc // the library's word for: over loopback it may
	}
	s.options = append(s.options, gomail.WithSMTPAuth(auth), gomail.WithUsername(c.User), gomail.WithPassword(password))
	return nil
}

// loopback reports whether host can only be this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
