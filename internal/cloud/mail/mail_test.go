package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/mailsink"
)

func TestAMailIsSentBehindTheCommitOfItsChange(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sink := &mailsink.Sink{Dir: t.TempDir()}
		q := open(t, db, plain(listen(t, sink)), newClock())
		background(t, q.Run)
		undone := errors.New("undone")
		err := db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(q.Put(ctx, tx, hello("nobody@example.com")), undone)
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		put(t, db, q, hello("jo@example.com"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		m, err := sink.Wait(ctx, "jo@example.com", 1)
		if err != nil {
			t.Fatal(err)
		}
		if m.From != "cloud@ups.example" || m.Text != "The code is 2345-6789-ABCD.\n\nGrüße\n" || m.Header.Get("Subject") != "Your code" ||
			m.Header.Get("From") != `"Cloud" <cloud@ups.example>` || m.Header.Get("To") != "<jo@example.com>" || m.Header.Get("Auto-Submitted") != "auto-generated" ||
			!strings.HasSuffix(m.Header.Get("Message-ID"), "@ups.example>") || m.Header.Get("Date") != "Fri, 01 May 2026 12:00:00 +0000" {
			t.Errorf("%+v\n%s", m, m.Raw)
		}
		if text, err := os.ReadFile(filepath.Join(sink.Dir, "jo@example.com.txt")); err != nil || string(text) != m.Text {
			t.Errorf("kept: %q, %v", text, err)
		}
		for deadline := time.Now().Add(time.Minute); q.Counts().Sent == 0 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond) // the answer of the server has to come, and its commit
		}
		if n := queued(t, db); n != 0 || len(sink.Mails()) != 1 {
			t.Errorf("%d mails wait, %d came", n, len(sink.Mails()))
		}
	})
}

// TestMailGoesAgainWhileTheServerFails: each way a server can fail, twice, then a server that works. The mail comes once, and is not
// asked of the server before its pause is over.
func TestMailGoesAgainWhileTheServerFails(t *testing.T) {
	temporary := func(code int) error {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "later"}
	}
	for name, row := range map[string]struct {
		step string
		err  error
	}{
		"refused at the greeting":      {"connect", temporary(421)},
		"refused for good at greeting": {"connect", &smtp.SMTPError{Code: 554, Message: "no"}},
		"sender refused for now":       {"mail", temporary(451)},
		"sender refused for good":      {"mail", &smtp.SMTPError{Code: 550, Message: "who are you"}},
		"greylisted":                   {"rcpt", temporary(450)},
		"mailbox full":                 {"data", temporary(452)},
		"cut at the greeting":          {"connect", mailsink.ErrCut},
		"cut at the sender":            {"mail", mailsink.ErrCut},
		"cut at the recipient":         {"rcpt", mailsink.ErrCut},
		"cut with the mail half way":   {"data", mailsink.ErrCut},
		"over its quota for now":       {"data", temporary(451)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var failed atomic.Int64
			var works atomic.Bool
			sink := &mailsink.Sink{Fault: func(step, _ string) error {
				if step == row.step && !works.Load() {
					failed.Add(1)
					return row.err
				}
				return nil
			}}
			db, k := storetest.Open(t, storetest.SQLite(t)), newClock()
			q := open(t, db, plain(listen(t, sink)), k)
			put(t, db, q, hello("jo@example.com"))
			for attempt := range 3 {
				works.Store(attempt == 2)
				if n := round(t, q); n != 1 {
					t.Fatalf("attempt %d tried %d mails", attempt, n)
				}
				if n := round(t, q); n != 0 {
					t.Fatalf("tried again without a pause after attempt %d", attempt)
				}
				k.move(firstPause << attempt)
			}
			if failed.Load() < 2 || len(sink.Mails()) != 1 || queued(t, db) != 0 || q.Counts() != (Counts{Sent: 1, Retried: 2}) {
				t.Errorf("%d faults, %d mails came, %d wait, %+v", failed.Load(), len(sink.Mails()), queued(t, db), q.Counts())
			}
		})
	}
}

func TestAMailCutBehindItsTakingGoesAgainUnderItsOldName(t *testing.T) {
	first := true
	sink := &mailsink.Sink{Fault: func(step, _ string) error {
		if step == "taken" && first {
			first = false
			return mailsink.ErrCut
		}
		return nil
	}}
	db, k := storetest.Open(t, storetest.SQLite(t)), newClock()
	q := open(t, db, plain(listen(t, sink)), k)
	put(t, db, q, hello("jo@example.com"))
	round(t, q)
	k.move(firstPause)
	round(t, q)
	mails := sink.Mails()
	if len(mails) != 2 || queued(t, db) != 0 || mails[0].Header.Get("Message-ID") != mails[1].Header.Get("Message-ID") {
		t.Errorf("%d copies, and their ids must be one: %v", len(mails), mails)
	}
}

func TestAMailCutBehindItsAnswerIsSent(t *testing.T) {
	sink := &mailsink.Sink{Fault: func(step, _ string) error {
		if step == "reset" {
			return mailsink.ErrCut
		}
		return nil
	}}
	db, k := storetest.Open(t, storetest.SQLite(t)), newClock()
	q := open(t, db, plain(listen(t, sink)), k)
	put(t, db, q, hello("jo@example.com"))
	if round(t, q); len(sink.Mails()) != 1 || queued(t, db) != 0 || q.Counts() != (Counts{Sent: 1}) {
		t.Errorf("%d came, %d wait, %+v", len(sink.Mails()), queued(t, db), q.Counts())
	}
}

func TestMailThatIsRefusedForGoodOrTooLateIsGivenUp(t *testing.T) {
	db, k := storetest.Open(t, storetest.SQLite(t)), newClock()
	sink := &mailsink.Sink{Fault: func(step, to string) error {
		if step == "rcpt" && strings.HasPrefix(to, "nobody") {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
		}
		if step == "rcpt" && strings.HasPrefix(to, "never") {
			return &smtp.SMTPError{Code: 450, Message: "not now"}
		}
		return nil
	}}
	q := open(t, db, plain(listen(t, sink)), k)
	put(t, db, q, hello("nobody@example.com"))
	put(t, db, q, hello("jo@example.com"))
	if n := round(t, q); n != 2 || len(sink.Mails()) != 1 || queued(t, db) != 0 || q.Counts() != (Counts{Sent: 1, GivenUp: 1}) {
		t.Fatalf("%d tried, %d came, %d wait, %+v", n, len(sink.Mails()), queued(t, db), q.Counts())
	}
	put(t, db, q, hello("never@example.com"))
	code := hello("never@example.com")
	code.Until = k.now().Add(time.Hour)
	put(t, db, q, code)
	begun := k.now()
	for queued(t, db) > 1 && k.now().Sub(begun) < 2*patience {
		round(t, q)
		k.move(time.Minute)
	}
	if d := k.now().Sub(begun); d < 20*time.Minute || d > time.Hour+time.Minute {
		t.Errorf("a code that lives an hour was given up after %v", d)
	}
	for queued(t, db) > 0 && k.now().Sub(begun) < 2*patience {
		round(t, q)
		k.move(10 * time.Minute)
	}
	if d := k.now().Sub(begun); d < 22*time.Hour || d > 25*time.Hour {
		t.Errorf("given up after %v, want about a day", d)
	}
	if c := q.Counts(); c.GivenUp != 3 || len(sink.Mails()) != 1 {
		t.Errorf("%+v, %d came", c, len(sink.Mails()))
	}
	late := hello("jo@example.com")
	late.Until = k.now()
	put(t, db, q, late)
	if round(t, q); len(sink.Mails()) != 1 || q.Counts().GivenUp != 4 {
		t.Error("what is useless was sent all the same")
	}
}

func TestWithoutAServerMailsWaitUntilTheirTimeIsOver(t *testing.T) {
	db, k := storetest.Open(t, storetest.SQLite(t)), newClock()
	none := open(t, db, Config{}, k)
	put(t, db, none, hello("jo@example.com"))
	code := hello("jo@example.com")
	code.Until = k.now().Add(time.Hour)
	put(t, db, none, code)
	k.move(time.Hour)
	if round(t, none); queued(t, db) != 1 || none.Counts().GivenUp != 1 {
		t.Fatalf("%d wait, %+v", queued(t, db), none.Counts())
	}
	sink := &mailsink.Sink{} // and now there is one
	if q := open(t, db, plain(listen(t, sink)), k); round(t, q) != 1 || len(sink.Mails()) != 1 {
		t.Error("what waited must go when there is a server")
	}
}

func TestSeveralProcessesSendEachMailOnce(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		sink := &mailsink.Sink{}
		addr, db, k := listen(t, sink), storetest.Open(t, c), newClock()
		queues := []*Queue{open(t, db, plain(addr), k), open(t, storetest.Open(t, c), plain(addr), k), open(t, storetest.Open(t, c), plain(addr), k)}
		for range 60 {
			put(t, db, queues[0], hello("jo@example.com"))
		}
		var wg sync.WaitGroup
		for _, q := range queues {
			wg.Go(func() {
				for range 1000 {
					if queued(t, db) == 0 {
						return
					}
					if _, err := q.round(t.Context()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		ids := map[string]int{}
		for _, m := range sink.Mails() {
			ids[m.Header.Get("Message-ID")]++
		}
		if len(ids) != 60 || len(sink.Mails()) != 60 {
			t.Errorf("%d mails came under %d ids, want 60 each", len(sink.Mails()), len(ids))
		}
	})
}

func TestAClaimThatNobodyFinishedIsTakenOver(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sink, k := &mailsink.Sink{}, newClock()
		q := open(t, db, plain(listen(t, sink)), k)
		put(t, db, q, hello("jo@example.com"))
		died, err := q.claim(t.Context())
		if err != nil || len(died) != 1 || round(t, q) != 0 {
			t.Fatalf("claimed %v, %v; and nobody else may have it", died, err)
		}
		k.move(claimFor)
		if round(t, q) != 1 || len(sink.Mails()) != 1 {
			t.Fatal("a claim must end")
		}
		// One that was thought dead comes back while another process has the mail: its word on it counts for nothing now.
		put(t, db, q, hello("li@example.com"))
		late, err := q.claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		k.move(claimFor)
		now, err := q.claim(t.Context())
		if err != nil || len(late) != 1 || len(now) != 1 {
			t.Fatalf("%v, %v, %v", late, now, err)
		}
		if err := q.note(t.Context(), late, []outcome{{}}); err != nil || queued(t, db) != 1 {
			t.Errorf("%v, %d wait", err, queued(t, db))
		}
		if err := q.note(t.Context(), late, []outcome{{err: errors.New("cut")}}); err != nil || round(t, q) != 0 {
			t.Errorf("%v, and the claim of the other must stand", err)
		}
		if err := q.note(t.Context(), now, []outcome{{}}); err != nil || queued(t, db) != 0 {
			t.Errorf("%v, %d wait", err, queued(t, db))
		}
	})
}

func TestMailGoesEncryptedOrNotAtAll(t *testing.T) {
	cert, ca := certificate(t)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret of the mail server\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	offers := &tls.Config{Certificates: []tls.Certificate{cert}}
	for name, row := range map[string]struct {
		sink    *mailsink.Sink
		tls     string
		ca      string
		wrapped bool // TLS from the first byte
		sent    bool
	}{
		"starttls":                         {&mailsink.Sink{TLS: offers, User: "ups", Password: "secret of the mail server"}, TLSStart, ca, false, true},
		"tls":                              {&mailsink.Sink{User: "ups", Password: "secret of the mail server"}, TLSOnly, ca, true, true},
		"no starttls offered":              {&mailsink.Sink{User: "ups", Password: "secret of the mail server"}, TLSStart, ca, false, false},
		"a certificate nobody trusts":      {&mailsink.Sink{TLS: offers}, TLSStart, "", false, false},
		"a certificate nobody trusts, tls": {&mailsink.Sink{}, TLSOnly, "", true, false},
		"plain text where tls is meant":    {&mailsink.Sink{}, TLSOnly, ca, false, false},
		"wrong password":                   {&mailsink.Sink{TLS: offers, User: "ups", Password: "another"}, TLSStart, ca, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addr := ln.Addr().String()
			if row.wrapped {
				ln = tls.NewListener(ln, offers)
			}
			background(t, func(ctx context.Context) error { return row.sink.Serve(ctx, ln) })
			c := Config{Server: addr, TLS: row.tls, CAFile: row.ca, From: "cloud@ups.example"}
			if row.sink.User != "" {
				c.User, c.PasswordFile = "ups", password
			}
			db := storetest.Open(t, storetest.SQLite(t))
			q := open(t, db, c, newClock())
			put(t, db, q, hello("jo@example.com"))
			round(t, q)
			if sent := len(row.sink.Mails()) == 1; sent != row.sent || queued(t, db) == 1 == row.sent {
				t.Errorf("sent %v, want %v; %d wait", sent, row.sent, queued(t, db))
			}
		})
	}
}

// TestStoppingCutsAServerThatSaysNothing: a mail server that takes connections and is silent holds nobody up.
func TestStoppingCutsAServerThatSaysNothing(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	db := storetest.Open(t, storetest.SQLite(t))
	q := open(t, db, plain(ln.Addr().String()), newClock())
	put(t, db, q, hello("jo@example.com"))
	stop := background(t, q.Run)
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begun := time.Now()
	stop()
	if time.Since(begun) > timeout/2 {
		t.Error("it was waited for")
	}
	if queued(t, db) != 1 {
		t.Error("the mail must wait for the next start")
	}
}

func TestT85NothingBecomesAHeaderARecipientOrAnotherMail(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	q := open(t, db, plain("127.0.0.1:25"), newClock())
	for name, m := range map[string]Message{
		"recipient with a header":  {To: "jo@example.com\r\nBcc: li@example.com", Subject: "a", Text: "b"},
		"recipient with a name":    {To: "Jo <jo@example.com>", Subject: "a", Text: "b"},
		"two recipients":           {To: "jo@example.com,li@example.com", Subject: "a", Text: "b"},
		"no recipient":             {Subject: "a", Text: "b"},
		"a command":                {To: "jo@example.com>\r\nRCPT TO:<li@example.com", Subject: "a", Text: "b"},
		"subject of two lines":     {To: "jo@example.com", Subject: "a\nBcc: li@example.com", Text: "b"},
		"subject with a bare CR":   {To: "jo@example.com", Subject: "a\rBcc: li@example.com", Text: "b"},
		"subject with a line mark": {To: "jo@example.com", Subject: "a\u2028b", Text: "b"},
		"no subject":               {To: "jo@example.com", Text: "b"},
		"a subject without end":    {To: "jo@example.com", Subject: strings.Repeat("a", subjectMax+1), Text: "b"},
		"text with a zero":         {To: "jo@example.com", Subject: "a", Text: "b\x00"},
		"text with a bare CR":      {To: "jo@example.com", Subject: "a", Text: "b\r.\r\nMAIL FROM:<x@y>"},
		"text turned around":       {To: "jo@example.com", Subject: "a", Text: "b\u202e"},
		"text that is none":        {To: "jo@example.com", Subject: "a", Text: "\xff"},
		"text without end":         {To: "jo@example.com", Subject: "a", Text: strings.Repeat("a", textMax+1)},
	} {
		err := db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error { return q.Put(ctx, tx, m) })
		if !errors.Is(err, errMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if queued(t, db) != 0 {
		t.Error("something waits to be sent")
	}
}

func TestT85LinesWithDotsAndWordsOfTheProtocolStayText(t *testing.T) {
	sink := &mailsink.Sink{}
	db := storetest.Open(t, storetest.SQLite(t))
	q := open(t, db, plain(listen(t, sink)), newClock())
	m := hello("jo@example.com")
	m.Subject = "Für =?utf-8?q?Sie?= – Gerät"
	m.Text = "one\n.\nQUIT\n..two\nFrom here\n--boundary--\nContent-Type: text/html\n" + strings.Repeat("long ", 500) + "\n"
	put(t, db, q, m)
	round(t, q)
	mails := sink.Mails()
	if len(mails) != 1 || mails[0].Text != m.Text {
		t.Fatalf("%d mails: %+v", len(mails), mails)
	}
}

func TestConfigurationsThatCannotWorkAreRefusedByName(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := Config{Server: "mail.example.com:587", From: "cloud@ups.example"}
	for want, change := range map[string]func(*Config){
		"server: \"mail\"":                func(c *Config) { c.Server = "mail" },
		"server: \"mail:0\"":              func(c *Config) { c.Server = "mail:0" },
		"from: ":                          func(c *Config) { c.From = "nobody" },
		"tls: \"ssl\"":                    func(c *Config) { c.TLS = "ssl" },
		"tls: \"none\" is for":            func(c *Config) { c.TLS = TLSNone },
		"ca_file: ":                       func(c *Config) { c.CAFile = filepath.Join(dir, "absent") },
		"holds no certificate":            func(c *Config) { c.CAFile = write("ca", "x", 0o600) },
		"password_file: without a user":   func(c *Config) { c.PasswordFile = write("p", "x", 0o600) },
		"password_file: stat":             func(c *Config) { c.User = "u"; c.PasswordFile = filepath.Join(dir, "absent") },
		"is open to everyone (mode 0644)": func(c *Config) { c.User = "u"; c.PasswordFile = write("open", "x", 0o644) },
		"has an empty first line":         func(c *Config) { c.User = "u"; c.PasswordFile = write("empty", "\nx", 0o600) },
	} {
		c := good
		change(&c)
		if _, err := New(nil, c, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := New(nil, good, Options{}); err != nil {
		t.Error(err)
	}
}
