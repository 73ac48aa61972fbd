package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
)

// An Enrolment is what an agent gets to know.
type Enrolment struct {
	Agent       string
	Certificate []byte // PEM, its own first
	Ends        time.Time
	Authority   []byte // PEM of the authority by which to check our server; nil: one that machines know, or were told of
	Root        []byte // Ed25519, 32 bytes
	Brokers     []string
}

// Enrol makes an agent of whoever has a token and proves to have a key: csr is a signed request (PKCS #10, PEM), of which nothing but the
// public key counts. The same key with the same token gets an answer as before for as long as the token lives: the first may have been
// lost on the way. from has the address and the id of the request, and nobody who is signed in: the installer gets no right of any account.
//
// A token that is no good is refused with TOKEN_INVALID; too many of them with RATE_LIMIT.
func (a *Authority) Enrol(ctx context.Context, tx *store.Tx, from cloud.Actor, token string, csr []byte) (*Enrolment, error) {
	at := a.o.Now()
	if wait := a.guesses.wait(from.Address, at); wait > 0 {
		return nil, &cloud.Error{Reason: policy.RateLimit, Detail: "too many tokens that were none; wait, and check the token meanwhile", Retry: wait}
	}
	public, keyDigest, err := publicKey(csr)
	if err != nil {
		return nil, err
	}
	row, err := a.take(ctx, tx, from, token, at)
	if err != nil {
		return nil, err
	}
	known, err := agentByKey(ctx, tx, keyDigest)
	if err != nil {
		return nil, err
	}
	agent, again := known.id, known.id != ""
	switch {
	case !row.used.IsZero() && (!again || row.agent != agent):
		a.guesses.missed(from.Address, at)
		return nil, refuseToken(row, "this token was used at %s; ask the owner of the site for a new one", row.used)
	case !at.Before(row.expires):
		a.guesses.missed(from.Address, at)
		return nil, refuseToken(row, "this token ended at %s; ask the owner of the site for a new one", row.expires)
	case again && known.org != row.org:
		return nil, cloud.Refuse(policy.Conflict, "this key is that of an agent of another organisation; enrol with a new one (upsagent enroll --force)")
	case !again:
		agent = cloud.NewID("g_")
		if err := a.insert(ctx, tx, agent, row, keyDigest, at); err != nil {
			return nil, err
		}
	}
	return a.finish(ctx, tx, from, row, agent, public, at)
}

// finish certifies and writes everything down.
func (a *Authority) finish(ctx context.Context, tx *store.Tx, from cloud.Actor, row *tokenRow, agent string, public *ecdsa.PublicKey, at time.Time) (*Enrolment, error) {
	if row.used.IsZero() {
		if _, err := tx.Exec(ctx, `UPDATE enrolment_tokens SET used_at = $1, agent = $2 WHERE id = $3`, at.UnixMilli(), agent, row.id); err != nil {
			return nil, err
		}
		if err := eventlog.Append(ctx, tx, eventlog.Entry{
			Org: row.org, At: at, Actor: row.actor, Role: policy.Owner, Action: string(policy.AgentEnroll), Outcome: eventlog.Done, Request: from.Request,
			Params: map[string]string{"agent": agent, "name": row.name},
		}); err != nil {
			return nil, err
		}
	}
	return a.certify(ctx, tx, agent, public, at)
}

func (a *Authority) insert(ctx context.Context, tx *store.Tx, agent string, row *tokenRow, keyDigest []byte, at time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO enrolled_agents (agent, org, name, public_key, enrolled_at) VALUES ($1, $2, $3, $4, $5)`,
		agent, row.org, row.name, keyDigest, at.UnixMilli())
	return err
}

// certify issues a certificate and notes it: what is not noted is none.
func (a *Authority) certify(ctx context.Context, tx *store.Tx, agent string, public *ecdsa.PublicKey, at time.Time) (*Enrolment, error) {
	cert, err := a.issuer.agent(agent, public, at)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(cert.Raw)
	if _, err := tx.Exec(ctx, `INSERT INTO agent_certificates (fingerprint, agent, issued_at, ends_at) VALUES ($1, $2, $3, $4)`,
		sum[:], agent, at.UnixMilli(), cert.NotAfter.UnixMilli()); err != nil {
		return nil, err
	}
	e := &Enrolment{Agent: agent, Certificate: encodeCertificates(cert.Raw), Ends: cert.NotAfter, Root: a.root, Brokers: a.o.Brokers}
	if a.o.CertFile == "" {
		e.Authority = encodeCertificates(a.issuer.cert.Raw)
	}
	return e, nil
}

// take finds the token. What never was one counts as a guess.
func (a *Authority) take(ctx context.Context, tx *store.Tx, from cloud.Actor, text string, at time.Time) (*tokenRow, error) {
	t, err := trust.ParseToken(text)
	var row *tokenRow
	if err == nil {
		if row, err = findToken(ctx, tx, t); err != nil {
			return nil, err
		}
	}
	if row == nil {
		a.guesses.missed(from.Address, at)
		return nil, cloud.RefuseField(policy.TokenInvalid, "token", "this token is not known here: check that it was copied whole, or ask the owner of the site for a new one")
	}
	return row, nil
}

// A tokenError is the refusal of a token that was one. Its organisation logs it.
type tokenError struct {
	refusal *cloud.Error
	row     *tokenRow
}

func (e *tokenError) Error() string { return e.refusal.Error() }
func (e *tokenError) Unwrap() error { return e.refusal }

func refuseToken(row *tokenRow, format string, when time.Time) error {
	return &tokenError{&cloud.Error{Reason: policy.TokenInvalid, Field: "token", Detail: fmt.Sprintf(format, stamp(when))}, row}
}

// NoteRefused writes the refusal of a token into the log of the organisation it is of; of one that never was, nowhere.
func (a *Authority) NoteRefused(ctx context.Context, tx *store.Tx, from cloud.Actor, err error) error {
	var refused *tokenError
	if !errors.As(err, &refused) {
		return nil
	}
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Org: refused.row.org, At: a.o.Now(), Actor: refused.row.actor, Role: policy.Owner, Action: string(policy.AgentEnroll), Outcome: eventlog.Refused,
		Reason: refused.refusal.Reason, Request: from.Request, Params: map[string]string{"name": refused.row.name},
	})
}

// publicKey reads a request and checks that who made it has the key. Nothing else in it counts.
func publicKey(csr []byte) (*ecdsa.PublicKey, []byte, error) {
	block, _ := pem.Decode(csr)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, nil, cloud.RefuseField(policy.Malformed, "csr", "is not a certificate request in PEM")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, nil, cloud.RefuseField(policy.Malformed, "csr", "is not a certificate request")
	}
	public, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, nil, cloud.RefuseField(policy.Malformed, "csr", "the key is not one of ECDSA P-256")
	}
	if err := r.CheckSignature(); err != nil {
		return nil, nil, cloud.RefuseField(policy.Malformed, "csr", "its signature is not by its key")
	}
	sum := sha256.Sum256(r.RawSubjectPublicKeyInfo)
	return public, sum[:], nil
}

type knownAgent struct{ id, org string }

// agentByKey returns the agent that has a key; the zero value for a key that is new here.
func agentByKey(ctx context.Context, tx *store.Tx, keyDigest []byte) (k knownAgent, err error) {
	err = tx.QueryRow(ctx, `SELECT agent, org FROM enrolled_agents WHERE public_key = $1 AND revoked_at IS NULL`, keyDigest).Scan(&k.id, &k.org)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return k, err
}
