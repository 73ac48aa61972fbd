package account

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// good is a password that nobody tries first.
const good = "plum teapot 7 gravel"

// A world is a service on a database, on a clock that the test moves. Mails stay in their table.
type world struct {
	*Service
	t  *testing.T
	db *store.DB

	mu sync.Mutex
	at time.Time
}

func newWorld(t *testing.T, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, db: db, at: time.Now().UTC().Truncate(time.Second)}
	q, err := mail.New(db, mail.Config{Server: "127.0.0.1:25", TLS: mail.TLSNone, From: "cloud@ups.example"}, mail.Options{Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	if w.Service, err = New(db, q, Options{URL: "https://cloud.example", Hash: cheap, Now: w.clock}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) move(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// from is a request of nobody that comes from an address.
func from(address string) cloud.Actor { return cloud.Actor{Address: address, Request: "r_test"} }

var here = from("192.0.2.7")

func person(email string) Person { return Person{Email: email, Password: good, Name: "Jo"} }

type letter struct{ to, subject, text, code string }

var codeForm = regexp.MustCompile(`(?m)^    ([2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4})$`)

// letters returns the mails that wait for an address, "" for all, in the order of writing.
func (w *world) letters(to string) (list []letter) {
	w.t.Helper()
	w.read(func(ctx context.Context, tx *store.Tx) error {
		list = nil
		found, err := tx.Query(ctx, `SELECT recipient, subject, body FROM mails WHERE recipient = $1 OR '' = $2 ORDER BY written_at`, to, to)
		if err != nil {
			return err
		}
		defer found.Close()
		for found.Next() {
			var l letter
			if err := found.Scan(&l.to, &l.subject, &l.text); err != nil {
				return err
			}
			if m := codeForm.FindStringSubmatch(l.text); m != nil {
				l.code = m[1]
			}
			list = append(list, l)
		}
		return found.Err()
	})
	return list
}

// last is the newest mail to an address; the table is cleared of that address's, so that each call sees its own.
func (w *world) last(to string) letter {
	w.t.Helper()
	list := w.letters(to)
	if len(list) != 1 {
		w.t.Fatalf("%d mails wait for %s, want one: %+v", len(list), to, list)
	}
	w.write(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM mails WHERE recipient = $1`, to)
		return err
	})
	return list[0]
}

func (w *world) read(fn func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.Read(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(fn func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// count asks for one number.
func (w *world) count(query string, args ...any) (n int) {
	w.t.Helper()
	w.read(func(ctx context.Context, tx *store.Tx) error { return tx.QueryRow(ctx, query, args...).Scan(&n) })
	return n
}

// member signs somebody up, to the end.
func (w *world) member(email string) *Account {
	w.t.Helper()
	p, err := w.SignUp(w.t.Context(), here, person(email))
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := w.Verify(w.t.Context(), here, p.ID, w.last(email).code)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// signIn signs somebody in who has no second factor.
func (w *world) signIn(email string) *Session {
	w.t.Helper()
	ss, err := w.SignIn(w.t.Context(), here, Credentials{Email: email, Password: good}, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return ss
}

// alive reports whether a token is worth something.
func (w *world) alive(token string) bool {
	w.t.Helper()
	_, err := w.Session(w.t.Context(), token)
	if r := reasonOf(err); r != "" && r != policy.Unauthenticated {
		w.t.Fatal(err)
	}
	return err == nil
}

// withFactor sets a second factor up and returns its secret with the recovery codes.
func (w *world) withFactor(email string) (ss *Session, secret string, recovery []string) {
	w.t.Helper()
	ss = w.signIn(email)
	f, err := w.StartFactor(w.t.Context(), here, ss.Token, good)
	if err != nil {
		w.t.Fatal(err)
	}
	ss, recovery, err = w.ConfirmFactor(w.t.Context(), here, ss.Token, w.code(f.Secret))
	if err != nil {
		w.t.Fatal(err)
	}
	w.move(time.Minute) // so that the code of now is another one
	return ss, f.Secret, recovery
}

// code is what the phone shows now.
func (w *world) code(secret string) string {
	w.t.Helper()
	c, err := totp.GenerateCode(secret, w.clock())
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// logged returns the actions of an organisation's log, with their outcome.
func (w *world) logged(org string) (list []string) {
	w.t.Helper()
	w.read(func(ctx context.Context, tx *store.Tx) error {
		list = nil
		found, err := tx.Query(ctx, `SELECT action, outcome FROM event_log WHERE chain = $1 ORDER BY n`, org)
		if err != nil {
			return err
		}
		defer found.Close()
		for found.Next() {
			var action, outcome string
			if err := found.Scan(&action, &outcome); err != nil {
				return err
			}
			if outcome != eventlog.Done {
				action += " " + outcome
			}
			list = append(list, action)
		}
		return found.Err()
	})
	return list
}

func request(header, value string) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, "https://cloud.example/api/v1/account", nil)
	if header != "" {
		r.Header.Set(header, value)
	}
	return r
}

// in reports how many of n results have each reason.
func in(errs []error) map[policy.Reason]int {
	n := map[policy.Reason]int{}
	for _, err := range errs {
		n[reasonOf(err)]++
	}
	return n
}

// atOnce runs f n times at once.
func atOnce(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-start; errs[i] = f(i) })
	}
	close(start)
	wg.Wait()
	return errs
}

func clearMails(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, `DELETE FROM mails`)
	return err
}

var timeForm = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)

// cutTime takes instants out of an answer.
func cutTime(s string) string { return timeForm.ReplaceAllString(s, "TIME") }

// holds returns the tables of this package and of the log in which a text stands.
func holds(t *testing.T, w *world, text string) (tables []string) {
	t.Helper()
	for _, table := range []string{"identities", "accounts", "organisations", "codes", "recovery_codes", "invitations", "sign_ins", "places", "limits", "event_log", "mails"} {
		w.read(func(ctx context.Context, tx *store.Tx) error {
			found, err := tx.Query(ctx, `SELECT * FROM `+table)
			if err != nil {
				return err
			}
			defer found.Close()
			columns, _ := found.Columns()
			row, at := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				at[i] = &row[i]
			}
			for found.Next() {
				if err := found.Scan(at...); err != nil {
					return err
				}
				for _, v := range row {
					b, _ := v.([]byte)
					s, _ := v.(string)
					if (strings.Contains(s, text) || strings.Contains(string(b), text)) && !slices.Contains(tables, table) {
						tables = append(tables, table)
					}
				}
			}
			return found.Err()
		})
	}
	return tables
}
