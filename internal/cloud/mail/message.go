package mail

import (
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"
)

// A Message is one mail.
type Message struct {
	To      string    // one address, without a name
	Subject string    // one line
	Text    string    // lines end in \n
	Kind    string    // what sort of mail it is, for log and metrics: "signup", "invitation", …
	Until   time.Time // when it has become useless, as its code has; zero: it is worth a day of trying
	Key     string    // by which it can be withdrawn, and its Author is asked and told; "": neither
}

// Bounds of a mail in bytes.
const (
	subjectMax = 400
	textMax    = 16 << 10
)

// errMessage is behind every error about a message that must not be sent: a mistake of ours, since what people type is checked before.
var errMessage = errors.New("no mail of ours")

// check holds a message to what cannot become a second header, recipient or mail (T-85).
func (m Message) check() error {
	addr, err := netmail.ParseAddress(m.To)
	switch {
	case err != nil || addr.Address != m.To || strings.ContainsAny(m.To, " \r\n\t,;<>\"\\"):
		return fmt.Errorf("%w: the recipient is not one plain address", errMessage)
	case m.Subject == "" || len(m.Subject) > subjectMax || !printable(m.Subject, ""):
		return fmt.Errorf("%w: the subject is not one line of at most %d bytes", errMessage, subjectMax)
	case m.Text == "" || len(m.Text) > textMax || !printable(m.Text, "\n"):
		return fmt.Errorf("%w: the text is not plain lines of at most %d bytes together", errMessage, textMax)
	}
	return nil
}

// printable reports whether text is made of printable characters, and of those in also.
func printable(text, also string) bool {
	if !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if !unicode.IsPrint(r) && !strings.ContainsRune(also, r) {
			return false
		}
	}
	return true
}

// compose returns the mail as it is sent. at is when it was written, id what all its copies are called.
func (s *server) compose(m Message, id string, at time.Time) (*gomail.Msg, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(s.from.String()), msg.To(m.To)); err != nil {
		return nil, err
	}
	msg.Subject(m.Subject)
	msg.SetDateWithValue(at)
	msg.SetMessageIDWithValue(id + "@" + s.domain)
	// Programs that answer mail by themselves are told not to (RFC 3834).
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	return msg, nil
}
