package authority_test

import (
	"testing"
	"time"

	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

func TestEDGE14ATokenEnrolsOneAgentOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		token := w.token(ada)
		box := newBox(t)
		e, err := w.enrol(token.Text, box.csr(t))
		must(t, err)
		cert := certificate(t, e.Certificate)
		if agent, err := w.Authorize(cert); err != nil || agent != e.Agent || cert.Subject.CommonName != agent {
			t.Errorf("Authorize = %q, %v, enrolled as %q", agent, err, e.Agent)
		}
		if _, err := w.enrol(token.Text, newBox(t).csr(t)); true {
			refused(t, "the token with another key", err, policy.TokenInvalid, "was used at "+w.clock.now().UTC().Format("2006-01-02T15:04"))
		}
		again, err := w.enrol(token.Text, box.csr(t))
		must(t, err)
		if again.Agent != e.Agent {
			t.Errorf("asked again with the same key the agent is %q, was %q", again.Agent, e.Agent)
		}
		w.clock.pass(authority.TokenLife)
		_, err = w.enrol(token.Text, box.csr(t))
		refused(t, "again an hour later", err, policy.TokenInvalid, "ended at")
	})
}

func TestEDGE14AnUnusedTokenEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		token := w.token(ada)
		w.clock.pass(time.Hour - time.Second)
		if _, err := w.enrol(w.token(ada).Text, newBox(t).csr(t)); err != nil {
			t.Error(err)
		}
		w.clock.pass(time.Second)
		_, err := w.enrol(token.Text, newBox(t).csr(t))
		refused(t, "after an hour", err, policy.TokenInvalid, "ended at "+token.Expires.UTC().Format(time.RFC3339))
	})
}
