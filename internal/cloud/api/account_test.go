package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/mailsink"
	"upsedge/internal/policy"
)

const password = "plum teapot 7 gravel"

// A town is the interface with accounts and a mail server, all real.
type town struct {
	mails *mail.Queue
	*site
	sink     *mailsink.Sink
	db       *store.DB
	accounts *account.Service

	signedOut func(ctx context.Context, tx *store.Tx, account string) error // nil: nobody asks
}

func newTown(t *testing.T, db *store.DB) *town {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &town{sink: &mailsink.Sink{}}
	q, err := mail.New(db, mail.Config{Server: ln.Addr().String(), TLS: mail.TLSNone, From: "cloud@ups.example"}, mail.Options{})
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := account.New(db, q, account.Options{
		URL: "https://cloud.example", Hash: account.HashCost{Time: 1, Memory: 16, Threads: 1}, SignedOut: func(ctx context.Context, tx *store.Tx, account string) error {
			if w.signedOut == nil {
				return nil
			}
			return w.signedOut(ctx, tx, account)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- w.sink.Serve(ctx, ln) }()
	go func() { done <- q.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	w.db, w.accounts, w.mails = db, accounts, q
	w.site = newSite(t, db, func(c *Config) { c.Accounts, c.Authenticate = accounts, accounts.Authenticate })
	return w
}

var mailCode = regexp.MustCompile(`(?m)^    (\S{4}-\S{4}-\S{4})$`)

// code waits for the n-th mail to an address and returns the code in it.
func (w *town) code(to string, n int) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	m, err := w.sink.Wait(ctx, to, n)
	if err != nil {
		w.t.Fatal(err)
	}
	found := mailCode.FindStringSubmatch(m.Text)
	if found == nil {
		w.t.Fatalf("no code in %s", m.Text)
	}
	return found[1]
}

// want sends a request and fails when the answer has another status.
func (w *town) want(status int, method, path string, body any, headers ...string) exchange {
	w.t.Helper()
	e := w.do(method, path, body, headers...)
	if e.status != status {
		w.t.Fatalf("%s %s: %d %s, want %d", method, path, e.status, e.body, status)
	}
	return e
}

type obj = map[string]any

// member signs somebody up by mail, the first mail to the address.
func (w *town) member(email string) {
	w.t.Helper()
	var pending struct{ Signup string }
	w.want(202, "POST", "/api/v1/signup", obj{"email": email, "password": password, "name": "Jo"}).into(w.t, &pending)
	w.want(201, "POST", "/api/v1/signup/verify", obj{"signup": pending.Signup, "code": w.code(email, 1)})
}

// token signs in as a program does and returns the header it sends.
func (w *town) token(email string, code string) string {
	w.t.Helper()
	var ss sessionBodyRead
	w.want(200, "POST", "/api/v1/session", obj{"email": email, "password": password, "code": code, "token": true}).into(w.t, &ss)
	if ss.Token == "" {
		w.t.Fatal("no token")
	}
	return "Authorization: Bearer " + ss.Token
}

type sessionBodyRead struct {
	Token    string
	Factor   bool
	Recovery []string `json:"recovery_codes"`
	Account  struct {
		ID, Name, Actor string
		Organisation    struct{ ID, Name string }
	}
}

func TestAPersonSignsUpByMailAndIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newTown(t, db)
		w.member("jo@example.com")
		w.want(401, "GET", "/api/v1/account", nil)
		bearer := w.token("jo@example.com", "")
		w.want(200, "PATCH", "/api/v1/account", obj{"name": "Jo March"}, bearer)
		w.want(200, "PATCH", "/api/v1/organisation", obj{"name": "March & Co"}, bearer)
		var who accountBodyRead
		w.want(200, "GET", "/api/v1/account", nil, bearer).into(t, &who)
		if who.Name != "Jo March" || who.Organisation.Name != "March & Co" || who.Email != "jo@example.com" {
			t.Errorf("%+v", who)
		}
		w.want(200, "GET", "/api/v1/organisation", nil, bearer)

		// A browser: the cookie, and nothing in the body.
		e := w.want(200, "POST", "/api/v1/session", obj{"email": "jo@example.com", "password": password})
		cookie := e.header.Get("Set-Cookie")
		if !strings.HasPrefix(cookie, "__Host-session=") || !strings.Contains(cookie, "; HttpOnly; Secure; SameSite=Lax") || strings.Contains(string(e.body), "token") {
			t.Errorf("%s, %s", cookie, e.body)
		}
		jar := "Cookie: " + strings.Split(cookie, ";")[0]
		w.want(200, "GET", "/api/v1/session", nil, jar)
		out := w.want(204, "DELETE", "/api/v1/session", nil, jar)
		if c := out.header.Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-session=;") {
			t.Errorf("the cookie stays: %s", c)
		}
		w.want(401, "GET", "/api/v1/session", nil, jar)
		w.want(200, "GET", "/api/v1/session", nil, bearer)
		w.want(204, "DELETE", "/api/v1/sessions", nil, bearer)
		w.want(401, "GET", "/api/v1/session", nil, bearer)
	})
}

type accountBodyRead struct {
	ID, Name, Email, Actor string
	Organisation           struct{ ID, Name string }
	Recovery               *int `json:"recovery_codes_left"`
}

func TestASecondFactorAndAResetOverHTTP(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newTown(t, db)
	w.member("jo@example.com")
	bearer := w.token("jo@example.com", "")
	var f struct{ Secret, URI string }
	w.want(200, "POST", "/api/v1/account/totp", obj{"password": password}, bearer).into(t, &f)
	begun := time.Now()
	now, _ := totp.GenerateCode(f.Secret, begun)
	var ss sessionBodyRead
	w.want(200, "POST", "/api/v1/account/totp/confirm", obj{"code": now}, bearer).into(t, &ss)
	if len(ss.Recovery) != 10 || !ss.Factor || ss.Token == "" {
		t.Fatalf("%+v", ss)
	}
	recovery := ss.Recovery
	w.want(401, "GET", "/api/v1/account", nil, bearer)
	bearer = "Authorization: Bearer " + ss.Token
	var who accountBodyRead
	w.want(200, "GET", "/api/v1/account", nil, bearer).into(t, &who)
	if who.Recovery == nil || *who.Recovery != 10 {
		t.Errorf("%+v", who)
	}
	if e := w.want(401, "POST", "/api/v1/session", obj{"email": "jo@example.com", "password": password}); e.reason() != policy.MFARequired {
		t.Errorf("%s", e.body)
	}
	next, _ := totp.GenerateCode(f.Secret, begun.Add(30*time.Second)) // the step after counts, too
	w.want(200, "POST", "/api/v1/session/factor", obj{"code": next}, bearer).into(t, &ss)
	bearer = "Authorization: Bearer " + ss.Token
	var changed sessionBodyRead
	w.want(200, "POST", "/api/v1/account/password", obj{"password": password, "new_password": "another " + password}, bearer).into(t, &changed)
	bearer = "Authorization: Bearer " + changed.Token
	w.want(200, "POST", "/api/v1/account/totp/remove", obj{"password": "another " + password, "code": recovery[0]}, bearer)

	var pending struct{ Reset string }
	before := mailsTo(w.sink, "jo@example.com")
	w.want(202, "POST", "/api/v1/password/reset", obj{"email": "jo@example.com"}).into(t, &pending)
	code := ""
	for n := before + 1; code == ""; n++ { // notices of what changed may still be on their way
		m, err := w.sink.Wait(t.Context(), "jo@example.com", n)
		if err != nil {
			t.Fatal(err)
		}
		if found := mailCode.FindStringSubmatch(m.Text); found != nil {
			code = found[1]
		}
	}
	w.want(204, "POST", "/api/v1/password/reset/confirm", obj{"reset": pending.Reset, "code": code, "password": password})
	w.token("jo@example.com", "")
}

func mailsTo(s *mailsink.Sink, to string) (n int) {
	for _, m := range s.Mails() {
		if m.To == to {
			n++
		}
	}
	return n
}

func TestPeopleInviteEachOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newTown(t, db)
		w.member("jo@example.com")
		w.member("li@example.com")
		jo, li := w.token("jo@example.com", ""), w.token("li@example.com", "")
		var i struct{ ID, Email, State string }
		first := w.want(201, "POST", "/api/v1/organisation/invitations", obj{"email": "Li@Example.com"}, jo, "Idempotency-Key: one")
		first.into(t, &i)
		again := w.want(201, "POST", "/api/v1/organisation/invitations", obj{"email": "Li@Example.com"}, jo, "Idempotency-Key: one")
		if i.State != "open" || string(again.body) != string(first.body) {
			t.Errorf("%s\n%s", first.body, again.body)
		}
		if e := w.want(409, "POST", "/api/v1/organisation/invitations", obj{"email": "li@example.com"}, jo); e.reason() != policy.AlreadyInvited {
			t.Errorf("%s", e.body)
		}
		w.code("Li@example.com", 1) // two mails that wait together may arrive in either order
		w.want(200, "POST", "/api/v1/organisation/invitations/"+i.ID+"/resend", nil, jo)
		w.want(404, "POST", "/api/v1/organisation/invitations/"+i.ID+"/resend", nil, li)
		w.want(404, "DELETE", "/api/v1/organisation/invitations/"+i.ID, nil, li)
		var ss sessionBodyRead
		w.want(200, "POST", "/api/v1/organisation/invitations/accept", obj{"code": w.code("Li@example.com", 2)}, li).into(t, &ss)
		li = "Authorization: Bearer " + ss.Token
		var members struct {
			Items []accountBodyRead
			Next  string
		}
		w.want(200, "GET", "/api/v1/organisation/members?limit=1", nil, li).into(t, &members)
		seen := members.Items[0].Email
		w.want(200, "GET", "/api/v1/organisation/members?limit=1&cursor="+members.Next, nil, li).into(t, &members)
		if len(members.Items) != 1 || members.Items[0].Email == seen {
			t.Errorf("%+v behind %s", members, seen)
		}
		w.want(201, "POST", "/api/v1/organisation/invitations", obj{"email": "max@example.com"}, li).into(t, &i)
		var open struct{ Items []struct{ ID string } }
		w.want(200, "GET", "/api/v1/organisation/invitations", nil, jo).into(t, &open)
		if len(open.Items) != 1 || open.Items[0].ID != i.ID {
			t.Errorf("%+v", open)
		}
		w.want(204, "DELETE", "/api/v1/organisation/invitations/"+i.ID, nil, jo)
	})
}

// TestINV9TheAnswersOfHTTPTellNobodyWhoHasAnAccount: status, headers and body, byte by byte but for ids and times.
func TestINV9TheAnswersOfHTTPTellNobodyWhoHasAnAccount(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newTown(t, db)
	w.member("known@example.com")
	random := regexp.MustCompile(`(c_|r_|i_)[0-9a-z]{26}|\d{4}-\d\d-\d\dT[0-9:.]+Z|[a-z]*known@example.com`)
	tell := func(email string) (list []string) {
		for _, row := range []struct {
			path string
			body obj
		}{
			{"/api/v1/signup", obj{"email": email, "password": password, "name": "Jo"}},
			{"/api/v1/password/reset", obj{"email": email}},
			{"/api/v1/session", obj{"email": email, "password": "wrong " + password}},
		} {
			e := w.do("POST", row.path, row.body)
			e.header.Del("Date")
			var p struct{ Signup, Reset string }
			_ = json.Unmarshal(e.body, &p)
			list = append(list, random.ReplaceAllString(fmt.Sprintln(row.path, e.status, e.header, string(e.body)), "*"))
			if p.Signup != "" {
				e = w.do("POST", "/api/v1/signup/verify", obj{"signup": p.Signup, "code": "2222-2222-2222"})
				list = append(list, random.ReplaceAllString(fmt.Sprintln(e.status, string(e.body)), "*"))
			}
			if p.Reset != "" {
				e = w.do("POST", "/api/v1/password/reset/confirm", obj{"reset": p.Reset, "code": "2222-2222-2222", "password": password})
				list = append(list, random.ReplaceAllString(fmt.Sprintln(e.status, string(e.body)), "*"))
			}
		}
		return list
	}
	known, unknown := tell("known@example.com"), tell("unknown@example.com")
	for i := range known {
		if known[i] != unknown[i] {
			t.Errorf("with an account:\n%s\nwithout:\n%s", known[i], unknown[i])
		}
	}
}

// nasty are values that begin something else where they are not taken for what they are.
var nasty = []any{
	"' OR 1=1 --", "\"; DROP TABLE accounts; --", "a\x00b", "\u202e", "\r\nBcc: eve@example.com", "<script>alert(1)</script>", "{{.Code}}", "${jndi:ldap://x}",
	"../../etc/passwd", "%00%0d%0a", strings.Repeat("A", 5000), strings.Repeat("é", 300), "c_' --", "i_" + strings.Repeat("0", 26), "\ufffd", "0", "-1",
	nil, true, 0, -1, 1e308,
	[]any{},
	[]any{"a", "b"},
	obj{},
	obj{"$ne": ""},
	obj{"email": obj{"a": []any{nil}}},
}

// TestT85NothingThatIsSentIsEverAFaultOfOurs: every route of accounts, with each field in turn taken for something nasty, signed in and not.
func TestT85NothingThatIsSentIsEverAFaultOfOurs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newTown(t, db)
		w.member("jo@example.com")
		bearer := w.token("jo@example.com", "")
		bodies := map[string]obj{
			"POST /api/v1/signup":                                           {"email": "x@example.com", "password": password, "name": "Jo", "organisation": "Org"},
			"POST /api/v1/signup/verify":                                    {"signup": "c_0", "code": "2222-2222-2222"},
			"POST /api/v1/password/reset":                                   {"email": "x@example.com"},
			"POST /api/v1/password/reset/confirm":                           {"reset": "c_0", "code": "2222-2222-2222", "password": password},
			"POST /api/v1/session":                                          {"email": "x@example.com", "password": password, "code": "123456", "token": true},
			"POST /api/v1/session/factor":                                   {"code": "123456"},
			"PATCH /api/v1/account":                                         {"name": "Jo"},
			"POST /api/v1/account/password":                                 {"password": "wrong " + password, "new_password": "another " + password},
			"POST /api/v1/account/totp":                                     {"password": "wrong " + password},
			"POST /api/v1/account/totp/confirm":                             {"code": "123456"},
			"POST /api/v1/account/totp/remove":                              {"password": "wrong " + password, "code": "123456"},
			"PATCH /api/v1/organisation":                                    {"name": "Org"},
			"POST /api/v1/organisation/invitations":                         {"email": "y@example.com"},
			"POST /api/v1/organisation/invitations/accept":                  {"code": "2222-2222-2222"},
			"POST /api/v1/organisation/invitations/%27%20--/resend":         {},
			"DELETE /api/v1/organisation/invitations/i_%00":                 nil,
			"GET /api/v1/organisation/members?limit=-1":                     nil,
			"GET /api/v1/organisation/members?limit=1%27&cursor=x":          nil,
			"GET /api/v1/organisation/members?cursor=ImFfXHUwMDAwIg":        nil, // "a_\u0000"
			"GET /api/v1/organisation/invitations?cursor=eyJhIjpbMV19":      nil,
			"GET /api/v1/organisation/invitations?cursor=Ilx1ZDgwMCI&limit": nil,
		}
		send := func(method, path string, body any) {
			for _, headers := range [][]string{nil, {bearer}, {"Cookie: __Host-session=' OR 1=1; x=\xff"}} {
				if e := w.do(method, path, body, headers...); e.status >= 500 {
					t.Errorf("%s %s %v: %d %s", method, path, body, e.status, e.body)
				}
			}
		}
		for name, body := range bodies {
			method, path, _ := strings.Cut(name, " ")
			send(method, path, body)
			for field, right := range body {
				unlimit(t, db) // or most would be refused for their number alone
				for _, value := range nasty {
					body[field] = value
					send(method, path, body)
				}
				body[field] = right
			}
			for _, text := range []string{"", "null", "[]", "{", `{"a":1}`, `{"email":"a@b.example","email":"c@d.example"}`, `{"operator":true}`, "\xff", strings.Repeat("[", 9999)} {
				send(method, path, text)
			}
		}
		if e := w.do("GET", "/api/v1/account", nil, bearer); e.status != 200 {
			t.Errorf("what was sent has ended the session: %d %s", e.status, e.body)
		}
	})
}

// unlimit forgets how often something was tried.
func unlimit(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM limits`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestT85AFieldThatNobodyMayNameIsRefused: nobody makes an operator, a factor or another's id by naming it.
func TestT85AFieldThatNobodyMayNameIsRefused(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newTown(t, db)
	w.member("jo@example.com")
	bearer := w.token("jo@example.com", "")
	for _, field := range []string{"operator", "id", "org", "organisation_id", "actor", "email", "factor_set", "Operator"} {
		e := w.do("PATCH", "/api/v1/account", obj{"name": "Jo", field: "x"}, bearer)
		if e.status != 400 || e.reason() != policy.Malformed || !strings.Contains(string(e.body), field) {
			t.Errorf("%s: %d %s", field, e.status, e.body)
		}
	}
}

func TestT85APageOfAnotherSiteCannotActWithTheCookie(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newTown(t, db)
	w.member("jo@example.com")
	e := w.want(200, "POST", "/api/v1/session", obj{"email": "jo@example.com", "password": password})
	jar := "Cookie: " + strings.Split(e.header.Get("Set-Cookie"), ";")[0]
	for name, headers := range map[string][]string{
		"another site":      {jar, "Sec-Fetch-Site: cross-site"},
		"another origin":    {jar, "Origin: https://evil.example"},
		"a sibling of ours": {jar, "Sec-Fetch-Site: same-site"},
	} {
		if e := w.do("DELETE", "/api/v1/sessions", nil, headers...); e.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, e.status, e.body)
		}
	}
	w.want(200, "GET", "/api/v1/session", nil, jar)
	// A form sends no JSON.
	if e := w.do("PATCH", "/api/v1/account", `{"name":"Eve"}`, jar, "Content-Type: text/plain"); e.status != 400 {
		t.Errorf("text/plain: %d", e.status)
	}
	w.want(204, "DELETE", "/api/v1/sessions", nil, jar, "Sec-Fetch-Site: same-origin")
}

func TestTooManyTriesAreAnsweredWithATime(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t))
	w := newTown(t, db)
	w.member("jo@example.com")
	for range 10 {
		w.want(401, "POST", "/api/v1/session", obj{"email": "jo@example.com", "password": "wrong " + password})
	}
	e := w.want(429, "POST", "/api/v1/session", obj{"email": "jo@example.com", "password": password})
	if after := e.header.Get("Retry-After"); e.reason() != policy.RateLimit || len(after) != 3 {
		t.Errorf("Retry-After %q, %s", after, e.body)
	}
}
