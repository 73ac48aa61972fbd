package agent

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups/upssim"
)

const day = 24 * time.Hour

// certified is when the certificates of these tests were made: they are good for a year.
var certified = enterTime.Add(-30 * day)

// A secured bubble is one whose broker speaks TLS.
type secured struct {
	*bubble
	unit *upssim.Unit
	ring *keyRing
	own  *authority // whom the agent trusts, and who made its certificate
	conf *tls.Config
}

// newSecured is called inside of synctest.Test. The broker's certificate is in order.
func newSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{
		bubble: newBubble(t, "- {name: rack-a, tcp: {address: \"rack-a:502\"}, poll: "+quick+"}\n"), ring: newKeyRing(t),
		own: newAuthority(t, time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), certified.Add(30*365*day)),
	}
	s.unit = upssim.New(upssim.Options{Seed: 1})
	s.plug("rack-a", s.unit)
	s.text = strings.Replace(s.text, `{broker: "tcp://127.0.0.1:1883", insecure: true, agent_id: rack7}`,
		fmt.Sprintf(`{broker: "tls://cloud.example", tls: {ca_file: %s, cert_file: %s, key_file: %s}}`, s.ring.ca, s.ring.cert, s.ring.key), 1)
	s.ring.trust(s.own)
	s.ring.put(s.own.issue("rack7", certified, certified.Add(365*day)))
	s.conf = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: s.own.pool(), Time: func() time.Time { return certified.Add(day) }}
	s.present(s.own.issue("cloud.example", certified, certified.Add(365*day)))
	return s
}

// change changes the broker's side from the next connection on.
func (s *secured) change(how func(*tls.Config)) {
	conf := s.conf.Clone()
	how(conf)
	s.conf = conf
	s.way.secure(conf)
}

// present lets the broker show a certificate from the next connection on.
func (s *secured) present(c tls.Certificate) {
	s.change(func(conf *tls.Config) { conf.Certificates = []tls.Certificate{c} })
}

// speak lets it speak only these versions and suites.
func (s *secured) speak(least, most uint16, suites ...uint16) {
	s.change(func(conf *tls.Config) { conf.MinVersion, conf.MaxVersion, conf.CipherSuites = least, most, suites })
}

// await waits for an event of the agent's own, at most for a time.
func (b *bubble) await(kind string, id int, within time.Duration) (notice, bool) {
	a := actor{b: b}
	return a.await(kind, id, within)
}

// impostors are brokers that must not be believed.
var impostors = []struct {
	name  string
	spoil func(s *secured)
	said  string // in the one line of the log, and in the event
	// unproven: the dates say it, and while nobody knows the time nothing is wrong with them.
	unproven bool
}{
	{"expired before our own was made", func(s *secured) { s.present(s.own.issue("cloud.example", certified.Add(-90*day), certified.Add(-day))) }, "not valid now", false},
	{"expired since", func(s *secured) { s.present(s.own.issue("cloud.example", certified, enterTime.Add(-day))) }, "not valid now", true},
	{"not yet valid", func(s *secured) { s.present(s.own.issue("cloud.example", enterTime.Add(day), enterTime.Add(90*day))) }, "not valid now", true},
	{"another name", func(s *secured) { s.present(s.own.issue("elsewhere.example", certified, certified.Add(365*day))) }, "for another name", false},
	{"another device's", func(s *secured) { s.present(s.own.issue("rack8", certified, certified.Add(365*day))) }, "for another name", false},
	{"self-signed", func(s *secured) {
		s.present(newAuthority(s.t, certified, certified.Add(day)).issue("cloud.example", certified, certified.Add(365*day)))
	}, "not signed by an authority we trust", false},
	{"TLS 1.0", func(s *secured) { s.speak(tls.VersionTLS10, tls.VersionTLS10) }, "too old or too weak", false},
	{"TLS 1.1", func(s *secured) { s.speak(tls.VersionTLS10, tls.VersionTLS11) }, "too old or too weak", false},
	{"no forward secrecy", func(s *secured) {
		s.speak(0, tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256)
		s.present(s.own.issueRSA("cloud.example", certified, certified.Add(365*day)))
	}, "too old or too weak", false},
	{"no AEAD", func(s *secured) {
		s.speak(0, tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA)
	}, "too old or too weak", false},
}

// TestABrokerThatMustNotBeBelievedGetsNothing: it is told in one line, with 822, and what is measured and raised meanwhile waits
// on disk until a broker comes that can be believed. The same whatever the clock of the box shows while it is not set (T-17).
func TestABrokerThatMustNotBeBelievedGetsNothing(t *testing.T) {
	for _, clock := range []struct {
		name  string
		shows time.Time // while no time service sets it
	}{
		{"set", time.Time{}},
		{"1970", time.Unix(0, 0)},
		{"2038", time.Date(2038, 1, 19, 3, 14, 7, 0, time.UTC)},
	} {
		for _, r := range impostors {
			t.Run(clock.name+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSecured(t)
					unset := !clock.shows.IsZero()
					if unset {
						s.setClock(clock.shows, false)
					}
					r.spoil(s)
					s.judge(r.said, unset && r.unproven)
				})
			})
		}
	}
}

// lines counts those of the log with all of these in them.
func (b *bubble) lines(all ...string) (n int) {
	for line := range strings.Lines(b.log.String()) {
		if !slices.ContainsFunc(all, func(s string) bool { return !strings.Contains(line, s) }) {
			n++
		}
	}
	return n
}

// judge starts an agent before a broker that must not be believed, and lets a better one come. With believed it is believed as
// long as nobody knows the time.
func (s *secured) judge(said string, believed bool) {
	t := s.t
	t.Helper()
	s.start()
	if believed {
		if _, ok := s.await("event", 810, time.Minute); !ok {
			t.Fatal("no session while nobody knows the time")
		}
		s.setClock(time.Now(), true)
		said = "was out of date"
		time.Sleep(10 * time.Second)
	}
	heard := len(s.cloud.events())
	s.unit.SetMains(false)
	time.Sleep(3 * time.Minute)
	if n := len(s.cloud.events()); n != heard {
		t.Errorf("it was told %v", s.cloud.events()[heard:])
	}
	if n := s.lines("msg=\"broker ", said); n != 1 && !(believed && n == 2) { // once for the session, once for the one that was not made
		t.Errorf("%d lines say %q", n, said)
	}
	if n := s.lines("alarm=822"); n != 1 {
		t.Errorf("822 was raised %d times", n)
	}
	s.speak(0, 0)
	s.present(s.own.issue("cloud.example", certified, certified.Add(365*day)))
	for _, want := range []string{"clear 822", "raise 822", "raise 820", "clear 820", "raise 101"} {
		kind, id, _ := strings.Cut(want, " ")
		n, _ := strconv.Atoi(id)
		if _, ok := s.await(kind, n, 5*time.Minute); !ok && (n != 101) {
			t.Errorf("no %s: %v", want, s.cloud.events())
		}
	}
	if !slices.Contains(s.cloud.words(0), "raise 101") {
		t.Errorf("what was raised meanwhile did not come: %v", s.cloud.words(0))
	}
}

// TestRenewedFilesAreUsed: certificate, key and authorities are replaced one after the other while the agent runs. What does not
// fit together yet is told once and ends nothing; what does is used by a new session within two minutes, and 823 goes.
func TestRenewedFilesAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t)
		s.ring.put(s.own.issue("rack7", certified, enterTime.Add(20*day)))
		s.start()
		raise, ok := s.await("raise", 823, time.Minute)
		if !ok || raise.Detail != "it ends on 2026-03-21" {
			t.Fatalf("823 of 20 days: %+v", raise)
		}
		time.Sleep(30 * time.Second) // the files are looked at on the minute, and are not replaced at one instant
		next, other := s.own.issue("rack7", certified, enterTime.Add(90*day)), s.own.issue("rack8", certified, enterTime.Add(90*day))
		for _, half := range []func(){
			func() { s.ring.putCert(next) },                                           // its key is still the old one
			func() { s.ring.write(s.ring.cert, []byte("-----BEGIN CERTIFICATE---")) }, // and this is half a file
			func() { s.ring.put(other) },                                              // of another agent
		} {
			half()
			said := s.lines("cannot be used yet")
			time.Sleep(10 * time.Minute)
			if n := s.lines("cannot be used yet") - said; n != 1 {
				t.Errorf("%d lines, want 1", n)
			}
		}
		if n := s.way.dialled(); n != 1 {
			t.Fatalf("%d connections before anything fits", n)
		}
		s.ring.put(next)
		time.Sleep(2*time.Minute + 5*time.Second)
		if n := s.way.dialled(); n != 2 {
			t.Errorf("%d connections, want a second one with the renewed certificate", n)
		}
		if clear, ok := s.await("clear", 823, time.Minute); !ok || clear.RaisedBy != raise.Seq {
			t.Errorf("823 is not cleared: %v", s.cloud.events())
		}
		// Another authority: at first both are trusted, then the broker's certificate is replaced.
		heir := newAuthority(t, certified, certified.Add(365*day))
		s.ring.trust(s.own, heir)
		time.Sleep(2*time.Minute + 5*time.Second)
		s.present(heir.issue("cloud.example", certified, certified.Add(365*day)))
		s.way.cut(false)
		time.Sleep(2 * time.Minute)
		if n := s.way.dialled(); n != 4 || s.lines("alarm=822") != 0 || s.lines("alarm=820") != 0 {
			t.Errorf("%d connections, want one for the new authority and one to the new certificate", n)
		}
		for _, r := range s.cloud.states()[1:] {
			if r.Online != nil && !*r.Online {
				t.Error("a renewal says that the agent is offline")
			}
		}
	})
}
