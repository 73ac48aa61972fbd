package authority

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// An Agent is one that was enrolled.
type Agent struct {
	ID, Org, Name string
	Enrolled      time.Time
	Revoked       time.Time // zero: it is one
	Ends          time.Time // of the newest certificate
}

const agentColumns = `agent, org, name, enrolled_at, revoked_at, (SELECT MAX(ends_at) FROM agent_certificates c WHERE c.agent = enrolled_agents.agent)`

func scanAgent(row interface{ Scan(...any) error }) (*Agent, error) {
	g := &Agent{}
	var enrolled int64
	var revoked, ends sql.NullInt64
	if err := row.Scan(&g.ID, &g.Org, &g.Name, &enrolled, &revoked, &ends); err != nil {
		return nil, err
	}
	g.Enrolled, g.Ends = time.UnixMilli(enrolled).UTC(), time.UnixMilli(ends.Int64).UTC()
	if revoked.Valid {
		g.Revoked = time.UnixMilli(revoked.Int64).UTC()
	}
	return g, nil
}

// Get returns an agent, nil if there never was one of that name.
func (a *Authority) Get(ctx context.Context, tx *store.Tx, agent string) (*Agent, error) {
	g, err := scanAgent(tx.QueryRow(ctx, `SELECT `+agentColumns+` FROM enrolled_agents WHERE agent = $1`, agent))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	return g, nil
}

// List returns at most limit agents of an organisation that were not removed, the oldest first, behind the one given; nil: from the first.
func (a *Authority) List(ctx context.Context, tx *store.Tx, org string, behind *Agent, limit int) (list []Agent, err error) {
	at, id := int64(-1), ""
	if behind != nil {
		at, id = behind.Enrolled.UnixMilli(), behind.ID
	}
	rows, err := tx.Query(ctx, `SELECT `+agentColumns+` FROM enrolled_agents
		WHERE org = $1 AND revoked_at IS NULL AND (enrolled_at > $2 OR enrolled_at = $2 AND agent > $3) ORDER BY enrolled_at, agent LIMIT $4`, org, at, id, limit)
	if err != nil {
		return nil, fmt.Errorf("agents: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		g, err := scanAgent(rows)
		if err != nil {
			return nil, fmt.Errorf("agents: %w", err)
		}
		list = append(list, *g)
	}
	return list, rows.Err()
}

// OrgOf returns the organisation of an agent; "" where it is none, or none any more.
func (a *Authority) OrgOf(ctx context.Context, tx *store.Tx, agent string) (org string, err error) {
	err = tx.QueryRow(ctx, `SELECT org FROM enrolled_agents WHERE agent = $1 AND revoked_at IS NULL`, agent).Scan(&org)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return org, err
}

// Revoke ends an agent of the actor's organisation: its certificates are none any more, and behind the commit Options.Ended is told.
// An agent that is not there, of others, or ended before is NOT_FOUND.
func (a *Authority) Revoke(ctx context.Context, tx *store.Tx, actor cloud.Actor, agent string) error {
	if err := mayManage(policy.AgentRemove, actor); err != nil {
		return err
	}
	at := a.o.Now()
	var name string
	err := tx.QueryRow(ctx, `UPDATE enrolled_agents SET revoked_at = $1 WHERE agent = $2 AND org = $3 AND revoked_at IS NULL RETURNING name`,
		at.UnixMilli(), agent, actor.Org).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return cloud.Refuse(policy.NotFound, "there is no such agent")
	} else if err != nil {
		return fmt.Errorf("remove an agent: %w", err)
	}
	if a.o.Ended != nil {
		tx.After(func() { a.o.Ended(agent) })
	}
	if a.o.Removed != nil {
		if err := a.o.Removed(ctx, tx, agent); err != nil {
			return err
		}
	}
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Org: actor.Org, At: at, Actor: actor.Ref, Role: policy.Owner, Action: string(policy.AgentRemove), Outcome: eventlog.Done, Request: actor.Request,
		Params: map[string]string{"agent": agent, "name": name},
	})
}

// within bounds the look into the database that a connection waits for.
const within = 10 * time.Second

// Authorize returns the agent of a certificate. A *cloud.Error is a refusal, in words for the agent's log; any other error says that it cannot
// be found out now.
func (a *Authority) Authorize(cert *x509.Certificate) (agent string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err = a.o.DB.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		agent, err = a.authorize(ctx, tx, cert, a.o.Now())
		return err
	})
	return agent, err
}

// authorize judges the dates as of the instant at.
func (a *Authority) authorize(ctx context.Context, tx *store.Tx, cert *x509.Certificate, at time.Time) (string, error) {
	if err := a.issuer.verify(cert, at); err != nil {
		var dates x509.CertificateInvalidError
		if errors.As(err, &dates) && dates.Reason == x509.Expired {
			return "", cloud.Refuse(policy.Unauthenticated, "the certificate is valid from %s to %s", stamp(cert.NotBefore), stamp(cert.NotAfter))
		}
		return "", cloud.Refuse(policy.Unauthenticated, "the certificate is not of this cloud")
	}
	var agent string
	var revoked sql.NullInt64
	sum := sha256.Sum256(cert.Raw)
	err := tx.QueryRow(ctx, `SELECT g.agent, g.revoked_at FROM agent_certificates c JOIN enrolled_agents g ON g.agent = c.agent WHERE c.fingerprint = $1`, sum[:]).
		Scan(&agent, &revoked)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && agent != cert.Subject.CommonName:
		return "", cloud.Refuse(policy.Unauthenticated, "the certificate is not known here")
	case err != nil:
		return "", fmt.Errorf("agent of a certificate: %w", err)
	case revoked.Valid:
		return "", cloud.Refuse(policy.Unauthenticated, "the agent was removed at %s", stamp(time.UnixMilli(revoked.Int64)))
	}
	return agent, nil
}

// Renew issues the next certificate of an agent that shows its present one, cert, on this very connection. csr may be of the same key or of
// a new one. A certificate that has ended is good for RenewAfterEnd more, for the same key alone. The one before stays valid until its end:
// the answer may get lost.
func (a *Authority) Renew(ctx context.Context, tx *store.Tx, from cloud.Actor, cert *x509.Certificate, csr []byte) (*Enrolment, error) {
	at := a.o.Now()
	public, keyDigest, err := publicKey(csr)
	if err != nil {
		return nil, err
	}
	judged := at
	if late := at.After(cert.NotAfter); late && at.Before(cert.NotAfter.Add(RenewAfterEnd)) && public.Equal(cert.PublicKey) {
		judged = cert.NotAfter
	}
	agent, err := a.authorize(ctx, tx, cert, judged)
	if err != nil {
		return nil, err
	}
	other, err := agentByKey(ctx, tx, keyDigest)
	if err != nil {
		return nil, err
	}
	if other.id != "" && other.id != agent {
		return nil, cloud.RefuseField(policy.Conflict, "csr", "this key is another agent's")
	}
	var org string
	if err := tx.QueryRow(ctx, `UPDATE enrolled_agents SET public_key = $1 WHERE agent = $2 RETURNING org`, keyDigest, agent).Scan(&org); err != nil {
		return nil, fmt.Errorf("renew a certificate: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM agent_certificates WHERE agent = $1 AND ends_at < $2`, agent, at.Add(-RenewAfterEnd).UnixMilli()); err != nil {
		return nil, err
	}
	e, err := a.certify(ctx, tx, agent, public, at)
	if err != nil {
		return nil, err
	}
	return e, eventlog.Append(ctx, tx, eventlog.Entry{
		Org: org, At: at, Actor: cloud.SystemRef, Action: actionRenew, Outcome: eventlog.Done, Request: from.Request,
		Params: map[string]string{"agent": agent, "ends": stamp(e.Ends)},
	})
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
