package authority

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
)

// Bounds of tokens.
const (
	TokenLife = time.Hour // EDGE-14
	// maxTokens is how many an organisation may have that can still be used.
	maxTokens = 50
	maxName   = 64 // characters of an agent's name
	// keepTokens is how long it can be said of a token what became of it.
	keepTokens = 90 * 24 * time.Hour
)

// tokensADay bounds what an organisation can add to tables and log by asking for tokens and withdrawing them.
var tokensADay = limit.Limit{Name: "enrolment tokens", Most: 500, Per: 24 * time.Hour}

var (
	actionToken = eventlog.Declare("agent.token", eventlog.ByReaders, "token", "name", "expires")
	actionEnd   = eventlog.Declare("agent.token_end", eventlog.ByReaders, "token", "name")
	actionRenew = eventlog.Declare("agent.renew", eventlog.ByReaders, "agent", "ends")
)

// A Token was issued.
type Token struct {
	ID      string
	Text    string // shown once: nobody can read it again
	Name    string
	Expires time.Time
}

// IssueToken makes a token that enrols one agent into the organisation of the actor. name is what the agent will be called; it may be "".
func (a *Authority) IssueToken(ctx context.Context, tx *store.Tx, actor cloud.Actor, name string) (*Token, error) {
	if err := mayManage(policy.AgentEnroll, actor); err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(name) > maxName || eventlog.Clean(name) != name {
		return nil, cloud.RefuseField(policy.Malformed, "name", "is not one line of at most %d characters", maxName)
	}
	at := a.o.Now()
	if _, err := tx.Exec(ctx, `DELETE FROM enrolment_tokens WHERE org = $1 AND expires_at < $2`, actor.Org, at.Add(-keepTokens).UnixMilli()); err != nil {
		return nil, err
	}
	var live int
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM enrolment_tokens WHERE org = $1 AND expires_at > $2 AND used_at IS NULL`, actor.Org, at.UnixMilli()).Scan(&live)
	if err != nil {
		return nil, err
	}
	if live >= maxTokens {
		return nil, cloud.Refuse(policy.RateLimit, "there are %d tokens that nobody has used yet; use them, or wait until they end", live)
	}
	if err := limit.Spend(ctx, tx, at, tokensADay.Of(actor.Org)); err != nil {
		return nil, err
	}
	secret := a.newToken()
	t := &Token{ID: cloud.NewID("t_"), Text: secret.String(), Name: name, Expires: at.Add(TokenLife)}
	if _, err := tx.Exec(ctx, `INSERT INTO enrolment_tokens (id, digest, org, actor, name, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		t.ID, digest(secret), actor.Org, actor.Ref, name, at.UnixMilli(), t.Expires.UnixMilli()); err != nil {
		return nil, err
	}
	return t, eventlog.Append(ctx, tx, eventlog.Entry{
		Org: actor.Org, At: at, Actor: actor.Ref, Role: policy.Owner, Action: actionToken, Outcome: eventlog.Done, Request: actor.Request,
		Params: map[string]string{"token": t.ID, "name": name, "expires": t.Expires.UTC().Format(time.RFC3339)},
	})
}

// Tokens returns those of an organisation that can still be used, without their texts, the oldest first: at most 50.
func (a *Authority) Tokens(ctx context.Context, tx *store.Tx, actor cloud.Actor) (list []Token, err error) {
	if err := mayManage(policy.AgentEnroll, actor); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT id, name, expires_at FROM enrolment_tokens WHERE org = $1 AND expires_at > $2 AND used_at IS NULL
		ORDER BY expires_at, id LIMIT $3`, actor.Org, a.o.Now().UnixMilli(), maxTokens)
	if err != nil {
		return nil, fmt.Errorf("enrolment tokens: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var t Token
		var expires int64
		if err := rows.Scan(&t.ID, &t.Name, &expires); err != nil {
			return nil, fmt.Errorf("enrolment tokens: %w", err)
		}
		t.Expires = time.UnixMilli(expires).UTC()
		list = append(list, t)
	}
	return list, rows.Err()
}

// EndToken withdraws a token that nobody has used. It returns NOT_FOUND for one of another organisation, and for one that is over anyway.
func (a *Authority) EndToken(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) error {
	if err := mayManage(policy.AgentEnroll, actor); err != nil {
		return err
	}
	var name string
	at := a.o.Now()
	err := tx.QueryRow(ctx, `UPDATE enrolment_tokens SET expires_at = $1 WHERE id = $2 AND org = $3 AND used_at IS NULL AND expires_at > $1 RETURNING name`,
		at.UnixMilli(), id, actor.Org).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return cloud.Refuse(policy.NotFound, "there is no such token that could still be used")
	} else if err != nil {
		return fmt.Errorf("enrolment token: %w", err)
	}
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Org: actor.Org, At: at, Actor: actor.Ref, Role: policy.Owner, Action: actionEnd, Outcome: eventlog.Done, Request: actor.Request,
		Params: map[string]string{"token": id, "name": name},
	})
}

// newToken carries the pin of our authority where the server's certificate is of it.
func (a *Authority) newToken() (t trust.Token) {
	_, _ = rand.Read(t.Secret[:]) // it does not fail: the program ends instead
	if a.o.CertFile == "" {
		pin := trust.PinOf(a.issuer.cert)
		t.Pin = &pin
	}
	return t
}

// digest is what is kept of a token. Its secret is random, so there is nothing to try out: one hash does.
func digest(t trust.Token) []byte {
	sum := sha256.Sum256(append([]byte("upsedge enrolment token\x00"), t.Secret[:]...))
	return sum[:]
}

// mayManage is about an organisation's agents, which have no device yet: who acts for the organisation does so as the owner.
func mayManage(action policy.Action, actor cloud.Actor) error {
	if actor.Account == "" || actor.Org == "" {
		return cloud.Refuse(policy.OwnerOnly, "agents belong to an organisation, and you act for none")
	}
	if d := policy.Decide(action, policy.Owner, policy.Basic, actor.MFA); !d.Allowed {
		return cloud.Refuse(d.Reason, "agents are their owner's affair")
	}
	return nil
}

// A tokenRow is a token as it is kept.
type tokenRow struct {
	id, org, actor, name string
	expires              time.Time
	used                 time.Time // zero: not yet
	agent                string
}

// findToken returns nil for a token that never was.
func findToken(ctx context.Context, tx *store.Tx, t trust.Token) (*tokenRow, error) {
	r := &tokenRow{}
	var expires int64
	var used sql.NullInt64
	var agent sql.NullString
	err := tx.QueryRow(ctx, `SELECT id, org, actor, name, expires_at, used_at, agent FROM enrolment_tokens WHERE digest = $1`, digest(t)).
		Scan(&r.id, &r.org, &r.actor, &r.name, &expires, &used, &agent)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("enrolment token: %w", err)
	}
	r.expires, r.agent = time.UnixMilli(expires).UTC(), agent.String
	if used.Valid {
		r.used = time.UnixMilli(used.Int64).UTC()
	}
	return r, nil
}
