package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

// TestT85WebhooksReachTheInternetAlone: every address that a name may lead to is judged before anything is dialled.
func TestT85WebhooksReachTheInternetAlone(t *testing.T) {
	for address, want := range map[string]bool{
		"93.184.215.14": true, "2606:4700::1111": true, "1.1.1.1": true, "172.32.0.1": true, "100.128.0.1": true,
		"127.0.0.1": false, "127.8.8.8": false, "::1": false, // loopback
		"10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, "fc00::1": false, "fd00:ec2::254": false, // private
		"169.254.1.1": false, "169.254.169.254": false, "fe80::1": false, "168.63.129.16": false, "192.0.0.192": false, // link-local, metadata
		"100.64.0.1": false, "100.100.100.200": false, // shared by providers
		"224.0.0.1": false, "239.255.255.250": false, "ff02::1": false, "255.255.255.255": false, "240.0.0.1": false, // multicast, broadcast, reserved
		"0.0.0.0": false, "0.1.2.3": false, "::": false, // unspecified
		"::ffff:127.0.0.1": false, "::ffff:93.184.215.14": true, "::127.0.0.1": false, // IPv4 in IPv6: judged as what it is
		"64:ff9b::7f00:1": false, "64:ff9b::5db8:d70e": false, "64:ff9b:1::1": false, // NAT64
		"2002:7f00:1::": false, "2001::1": false, "2001:db8::1": false, "3fff::1": false, "192.0.2.1": false, "198.51.100.1": false, "203.0.113.1": false, "198.18.0.1": false,
		"5f00::1": false, "4000::1": false, "fe80::1%eth0": false,
	} {
		dialled := false
		d := &dialer{
			resolve: func(context.Context, string, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr(address)}, nil
			},
			dial: func(_ context.Context, _, to string) (net.Conn, error) {
				dialled = true
				if host, _, _ := net.SplitHostPort(to); host != netip.MustParseAddr(address).Unmap().String() {
					t.Errorf("%s: dialled %s, and not what was judged", address, to)
				}
				return nil, errors.New("enough")
			},
		}
		if _, err := d.connect(t.Context(), "hooks.example:443", true); dialled != want || errors.Is(err, errForbidden) == want {
			t.Errorf("%s: dialled %v, %v", address, dialled, err)
		}
		dialled = false
		if _, err := d.connect(t.Context(), "hooks.example:80", false); dialled || !errors.Is(err, errForbidden) {
			t.Errorf("%s without TLS: dialled %v, %v", address, dialled, err)
		}
	}
}

// TestT85ANameWithOneForbiddenAddressIsNotDialled, and one that answers otherwise the next time is judged anew.
func TestT85ANameWithOneForbiddenAddressIsNotDialled(t *testing.T) {
	answers := [][]string{{"93.184.215.14", "10.0.0.1"}, {"93.184.215.14"}, {"127.0.0.1"}}
	dialled, asked := []string(nil), 0
	d := &dialer{
		resolve: func(context.Context, string, string) (out []netip.Addr, err error) {
			for _, a := range answers[asked] {
				out = append(out, netip.MustParseAddr(a))
			}
			asked++
			return out, nil
		},
		dial: func(_ context.Context, _, to string) (net.Conn, error) {
			dialled = append(dialled, to)
			return nil, errors.New("enough")
		},
	}
	for range answers {
		_, _ = d.connect(t.Context(), "hooks.example:443", true)
	}
	if !slices.Equal(dialled, []string{"93.184.215.14:443"}) {
		t.Errorf("dialled %q", dialled)
	}
	open := &dialer{allow: prefixes("10.1.0.0/16"), dial: d.dial}
	dialled = nil
	for _, to := range []string{"10.1.2.3:80", "10.2.0.1:80", "[::ffff:10.1.2.3]:80"} {
		_, _ = open.connect(t.Context(), to, false)
	}
	if !slices.Equal(dialled, []string{"10.1.2.3:80"}) {
		t.Errorf("of the operator's networks: %q", dialled)
	}
}

func TestT85URLsAreReadStrictly(t *testing.T) {
	s := newSender(nil)
	for text, want := range map[string]bool{
		"https://hooks.example/ups?key=1": true, "https://hooks.example": true, "https://hooks.example:8443/": true, "https://1.1.1.1/x": true, "https://[2606:4700::1111]/": true,
		"http://hooks.example/": false, "ftp://hooks.example/": false, "https:hooks.example": false, "//hooks.example": false, "https://": false, "": false, "hooks.example": false,
		"https://user@hooks.example/": false, "https://user:pass@hooks.example/": false, "https://hooks.example@evil.example/": false,
		"https://hooks.example/#x": false, "https://hooks.example/#": false, "https://hooks.example:22/": false, "https://hooks.example:80/": false, "https://hooks.example:0443/": false,
		"https://hooks.example:/": false, "https://hooks.example:99999/": false, "https://localhost/": false, "https://db/": false, "https://hooks.example./": false,
		"https://127.0.0.1/": false, "https://[::1]/": false, "https://[::ffff:127.0.0.1]/": false, "https://10.0.0.1/": false, "https://169.254.169.254/latest": false,
		"https://2130706433/": false, "https://0x7f.1/": false, "https://0x7f000001/": false, "https://127.1/": false, "https://0177.0.0.1/": false, "https://[fe80::1%25eth0]/": false,
		"https://hooks.example/a b": false, "https://hooks.example/\r\nHost: x": false, "https://hooks.example\\@evil.example/": false, "https://höoks.example/": false, "https://-.example/": false,
		"https://" + strings.Repeat("a", 1100) + ".example/": false,
	} {
		if _, err := s.parse(text); (err == nil) != want {
			t.Errorf("%.80q: %v", text, err)
		}
	}
	if _, err := newSender(prefixes("10.1.0.0/16")).parse("http://10.1.0.5:8080/hook"); err != nil {
		t.Errorf("in the operator's network: %v", err)
	}
}

func TestT85NoProxyOfTheEnvironmentAndNoRedirectIsFollowed(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	w := newWorld(t, sqlite(t))
	p, _ := w.hook(w.ada)
	w.hooks.header = http.Header{"Location": {w.hooks.URL + "/elsewhere"}}
	w.hooks.answer(http.StatusTemporaryRedirect)
	w.alarm(ups.Raise, 0)
	w.spread()
	if got := w.hooks.taken(); len(got) != 1 || got[0].path != "/u_ada" {
		t.Errorf("%+v", got)
	}
	if got := w.states(p); !slices.Equal(got, []string{"event waiting redirect"}) {
		t.Errorf("%q", got)
	}
	if r := w.s.out.client.Transport.(byScheme); r.https.Proxy != nil || r.http.Proxy != nil {
		t.Error("a proxy is asked for")
	}
}

// fits reports whether a signature is that of a secret, reckoned from the convention alone.
func fits(h hookTaken, secret string) bool {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(h.header.Get("webhook-id") + "." + h.header.Get("webhook-timestamp") + "." + h.body))
	return slices.Contains(strings.Fields(h.header.Get("webhook-signature")), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func TestAWebhookIsSignedAndBothSecretsHoldForADay(t *testing.T) {
	each(t, func(w *world) {
		p, r := w.hook(w.ada)
		if n := w.count(`SELECT COUNT(*) FROM notification_recipients WHERE secret LIKE 'whsec%' OR secret = ''`); n != 0 {
			t.Error("the secret lies open")
		}
		w.alarm(ups.Raise, 0)
		w.spread()
		var next *Recipient
		w.do(func(ctx context.Context, tx *store.Tx) (err error) {
			next, err = w.s.Rotate(ctx, tx, w.ada, p.ID, r.ID)
			return err
		})
		w.alarm(ups.Raise, 0)
		w.spread()
		w.move(24 * time.Hour)
		w.alarm(ups.Raise, 0)
		w.spread()
		got := w.hooks.taken()
		if len(got) != 3 {
			t.Fatalf("%d came", len(got))
		}
		for i, want := range [][2]bool{{true, false}, {true, true}, {false, true}} {
			if fits(got[i], r.Secret) != want[0] || fits(got[i], next.Secret) != want[1] {
				t.Errorf("message %d fits the old secret %v, the new one %v", i, fits(got[i], r.Secret), fits(got[i], next.Secret))
			}
			if id := got[i].header.Get("webhook-id"); !strings.HasPrefix(id, "nd_") || !strings.Contains(got[i].body, `"id":"`+id+`"`) {
				t.Errorf("id %q of %s", id, got[i].body)
			}
		}
	})
}

func TestAWebhookIsTriedEightTimesUnderOneIDAndTurnedOffWhenItFailsForLong(t *testing.T) {
	each(t, func(w *world) {
		w.mailing()
		p, r := w.hook(w.ada)
		w.hooks.answer(http.StatusInternalServerError)
		w.alarm(ups.Raise, 0)
		begun := w.clock()
		for w.clock().Sub(begun) < 30*time.Hour {
			w.spread()
			w.move(30 * time.Minute)
		}
		got := w.hooks.taken()
		if len(got) != int(attemptsMost) || !slices.Equal(w.states(p), []string{"event failed status"}) {
			t.Errorf("%d attempts, %q", len(got), w.states(p))
		}
		for _, h := range got {
			if h.header.Get("webhook-id") != got[0].header.Get("webhook-id") || h.body != got[0].body {
				t.Errorf("another message: %+v", h)
			}
		}
		w.move(failingFor)
		w.alarm(ups.Raise, 0)
		w.spread()
		if m, err := w.sink.Wait(t.Context(), "ada@example.com", 1); err != nil || m.Header.Get("Subject") != "A webhook was turned off" || strings.Contains(m.Text, "/u_ada") {
			t.Errorf("%v %q", err, m.Text)
		}
		if n := w.count(`SELECT COUNT(*) FROM notification_recipients WHERE id = $1 AND state = 'failed'`, r.ID); n != 1 {
			t.Error("it is on")
		}
		w.hooks.answer(200)
		w.move(time.Second)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.s.Switch(ctx, tx, w.ada, p.ID, r.ID, true)
			return err
		})
		w.alarm(ups.Raise, 0)
		w.spread()
		if got := w.states(p); got[0] != "event sent" {
			t.Errorf("turned on again: %q", got)
		}
	})
}

func TestAWebhookThatIsGoneIsAskedNoMore(t *testing.T) {
	each(t, func(w *world) {
		p, _ := w.hook(w.ada)
		w.hooks.answer(http.StatusGone)
		w.alarm(ups.Raise, 0)
		w.spread()
		w.alarm(ups.Raise, 0)
		w.move(time.Hour)
		w.spread()
		if got := w.states(p); !slices.Equal(got, []string{"event failed status"}) || len(w.hooks.taken()) != 1 {
			t.Errorf("%q", got)
		}
		if n := w.count(`SELECT COUNT(*) FROM mails WHERE kind = $1`, noticeKind); n != 1 {
			t.Errorf("%d letters to its owner", n)
		}
	})
}

// TestOneSlowReceiverDelaysNobodyElse: it and its account take their share and no more.
func TestOneSlowReceiverDelaysNobodyElse(t *testing.T) {
	s := newSender(nil)
	for i := range 10 {
		if got := s.take("slow.example", "a_1"); got != (i < hostMost) {
			t.Errorf("attempt %d at the slow host: %v", i, got)
		}
	}
	if !s.take("other.example", "a_1") || !s.take("third.example", "a_1") || s.take("fourth.example", "a_1") {
		t.Error("of one account")
	}
	if !s.take("fourth.example", "a_2") {
		t.Error("another account waits for the slow one")
	}
	s.give("slow.example", "a_1")
	if !s.take("slow.example", "a_3") {
		t.Error("room was given back")
	}
}

// TestSeveralProcessesSendEachWebhookOnce: they share the table by claims; one that died in the middle is followed by another, with the same id.
func TestSeveralProcessesSendEachWebhookOnce(t *testing.T) {
	each(t, func(w *world) {
		w.hook(w.ada)
		for range 10 {
			w.alarm(ups.Raise, 0)
		}
		w.must(w.s.Spread(t.Context()))
		other, err := New(w.s.Options)
		w.must(err)
		other.out.client = w.s.out.client
		ids := func() map[string]int {
			ids := map[string]int{}
			for _, h := range w.hooks.taken() {
				ids[h.header.Get("webhook-id")]++
			}
			return ids
		}
		for end := time.Now().Add(30 * time.Second); len(ids()) < 10 && time.Now().Before(end); {
			w.must(w.s.startDue(t.Context()))
			w.must(other.startDue(t.Context()))
			w.s.out.wait()
			other.out.wait()
		}
		if got := ids(); len(got) != 10 || len(w.hooks.taken()) != 10 {
			t.Errorf("%d came under %d ids", len(w.hooks.taken()), len(got))
		}
		w.alarm(ups.Raise, 0)
		w.must(w.s.Spread(t.Context()))
		var id string
		w.must(w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return tx.QueryRow(ctx, `SELECT id FROM notification_deliveries WHERE state = 'waiting'`).Scan(&id)
		}))
		if d, _, err := other.claim(t.Context(), id); err != nil || d == nil {
			t.Fatal(d, err)
		}
		w.spread()
		if got := ids(); got[id] != 0 {
			t.Error("a claim was taken from who has it")
		}
		w.move(claimFor)
		w.spread()
		if got := ids(); got[id] != 1 {
			t.Errorf("a claim must end: %v", got)
		}
	})
}

func TestATestMessageIsBounded(t *testing.T) {
	each(t, func(w *world) {
		p, r := w.hook(w.ada)
		test := func(ctx context.Context, tx *store.Tx) error {
			_, err := w.s.Test(ctx, tx, w.ada, p.ID, r.ID)
			return err
		}
		for range testsOften.Most {
			w.do(test)
		}
		if got := w.refused(test); got != policy.RateLimit {
			t.Errorf("%q", got)
		}
		w.spread()
		if got := w.hooks.taken(); len(got) == 0 || !strings.Contains(got[0].body, `"type":"webhook.test"`) {
			t.Errorf("%+v", got)
		}
	})
}
