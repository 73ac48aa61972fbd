package authority_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

func TestT01OnlyCertificatesOfAgentsThatAreSomeAreAuthorised(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, foreign := newWorld(t, db), newWorld(t, db)
		b := newBox(t)
		e, err := w.enrol(w.token(ada).Text, b.csr(t))
		must(t, err)
		cert := certificate(t, e.Certificate)
		if _, err := w.Authorize(cert); err != nil {
			t.Error(err)
		}
		_, err = foreign.Authorize(cert)
		refused(t, "another cloud's", err, policy.Unauthenticated, "not of this cloud")
		must(t, w.write(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE agent_certificates SET fingerprint = $1`, []byte("x"))
			return err
		}))
		_, err = w.Authorize(cert)
		refused(t, "one that was not noted", err, policy.Unauthenticated, "not known here")
		_, err = w.renew(cert, b.csr(t))
		refused(t, "renewal by one that was not noted", err, policy.Unauthenticated)
		e, err = w.enrol(w.token(ada).Text, newBox(t).csr(t))
		must(t, err)
		cert = certificate(t, e.Certificate)
		must(t, w.write(func(ctx context.Context, tx *store.Tx) error { return w.Revoke(ctx, tx, ada, e.Agent) }))
		_, err = w.Authorize(cert)
		refused(t, "a removed agent's", err, policy.Unauthenticated, "was removed at")
		_, err = w.renew(cert, b.csr(t))
		refused(t, "renewal of a removed agent", err, policy.Unauthenticated, "was removed at")
		if !slices.Equal(w.ended, []string{e.Agent}) {
			t.Errorf("ended: %q", w.ended)
		}
		w.clock.pass(authority.AgentLife + time.Second)
		_, err = w.Authorize(cert)
		refused(t, "one that has ended", err, policy.Unauthenticated, "valid from")
	})
}

func TestEDGE12ACertificateIsOfAnAgentAndOfNothingElse(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	e, err := w.enrol(w.token(ada).Text, newBox(t).csr(t))
	must(t, err)
	c := certificate(t, e.Certificate)
	if !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || c.IsCA || len(c.DNSNames)+len(c.IPAddresses) > 0 || !cloud.CheckID("g_", c.Subject.CommonName) {
		t.Errorf("use %v, authority %v, names %v %v, name %q", c.ExtKeyUsage, c.IsCA, c.DNSNames, c.IPAddresses, c.Subject.CommonName)
	}
}

func TestDEV6AnAgentBelongsToTheOrganisationOfItsToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		b := newBox(t)
		e, err := w.enrol(w.token(ada).Text, b.csr(t))
		must(t, err)
		_, err = w.enrol(w.token(eve).Text, b.csr(t))
		refused(t, "the same key for another organisation", err, policy.Conflict)
		err = w.write(func(ctx context.Context, tx *store.Tx) error { return w.Revoke(ctx, tx, eve, e.Agent) })
		refused(t, "removed by another organisation", err, policy.NotFound)
		must(t, w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			of, err := w.OrgOf(ctx, tx, e.Agent)
			if of != ada.Org {
				t.Errorf("it is of %q", of)
			}
			list, listErr := w.List(ctx, tx, eve.Org, nil, 10)
			if len(list) != 0 || listErr != nil {
				t.Errorf("others see %v, %v", list, listErr)
			}
			return err
		}))
		_, err = w.enrol(w.token(ada).Text, b.csr(t))
		must(t, err)
		err = w.write(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.IssueToken(ctx, tx, cloud.Actor{Ref: "u_nobody", Account: "a_nobody"}, "")
			return err
		})
		refused(t, "a token of nobody's organisation", err, policy.OwnerOnly)
	})
}

func TestT89GuessingIsLimitedForEachSourceAndForAll(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	csr, good := newBox(t).csr(t), w.token(ada).Text
	wrong := newWorld(t, storetest.Open(t, storetest.SQLite(t))).token(ada).Text
	try := func(address, token string) error {
		return w.write(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.Enrol(ctx, tx, cloud.Actor{Address: address, Request: "r_9"}, token, csr)
			return err
		})
	}
	for i := range 10 {
		refused(t, fmt.Sprint("guess ", i), try("2001:db8::"+fmt.Sprint(i), wrong), policy.TokenInvalid, "not known here")
	}
	refused(t, "one more from that network", try("2001:db8::99", wrong), policy.RateLimit)
	refused(t, "with a good one, from there", try("2001:db8::99", good), policy.RateLimit)
	w.clock.pass(time.Minute)
	refused(t, "a minute later", try("2001:db8::99", wrong), policy.TokenInvalid)
	refused(t, "and again", try("2001:db8::99", wrong), policy.RateLimit)
	for i := range 599 {
		err := try(fmt.Sprintf("192.0.%d.%d", i/250, i%250), wrong)
		refused(t, fmt.Sprint("guess ", i, " of many"), err, policy.TokenInvalid)
		if t.Failed() {
			t.FailNow()
		}
	}
	refused(t, "of all", try("198.51.100.1", wrong), policy.RateLimit)
	w.clock.pass(time.Minute)
	must(t, try("198.51.100.1", good))
}

func TestRenewalBehindTheEndNeedsTheSameKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		b, other := newBox(t), newBox(t)
		e, err := w.enrol(w.token(ada).Text, b.csr(t))
		must(t, err)
		cert := certificate(t, e.Certificate)
		w.clock.pass(61 * 24 * time.Hour)
		next, err := w.renew(cert, other.csr(t)) // in time a new key may come with it
		must(t, err)
		if _, err := w.Authorize(cert); err != nil {
			t.Errorf("the one before: %v", err) // the answer may have been lost
		}
		cert = certificate(t, next.Certificate)
		w.clock.pass(authority.AgentLife + time.Hour)
		_, err = w.renew(cert, b.csr(t))
		refused(t, "behind the end with another key", err, policy.Unauthenticated, "valid from")
		again, err := w.renew(cert, other.csr(t))
		must(t, err)
		if got, err := w.Authorize(certificate(t, again.Certificate)); err != nil || got != e.Agent {
			t.Errorf("Authorize = %q, %v", got, err)
		}
		w.clock.pass(authority.AgentLife + authority.RenewAfterEnd + time.Hour)
		_, err = w.renew(certificate(t, again.Certificate), other.csr(t))
		refused(t, "31 days behind the end", err, policy.Unauthenticated, "valid from")
	})
}
