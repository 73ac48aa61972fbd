package notify

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Prefixes of ids.
const (
	idPolicy    = "np_"
	idRecipient = "nr_"
	idDelivery  = "nd_"
)

// Bounds of what one account may have.
const (
	policiesMax   = 20  // of an account
	devicesMax    = 500 // of a policy
	recipientsMax = 10  // of a policy
	nameMax       = 100 // characters
)

// A Policy says of which devices an account is told what, and where.
type Policy struct {
	ID      string // np_…
	Account string // whose it is: nobody else sees or changes it (NOTE-1)
	Name    string
	Enabled bool
	Selection
	Created time.Time
}

// What is logged of policies: the own account alone sees it, and no address and no name stands there (LOG-10).
var (
	policyCreated = eventlog.Declare("notification.policy_create", eventlog.ByActor, "policy")
	policyChanged = eventlog.Declare("notification.policy_change", eventlog.ByActor, "policy")
	policyDeleted = eventlog.Declare("notification.policy_delete", eventlog.ByActor, "policy")
)

// errNone is the answer for policies and recipients that are not the actor's, whether there are such or not.
var errNone = cloud.Refuse(policy.NotFound, "there is no such notification policy")

const policyColumns = `p.id, p.account, p.name, p.enabled, p.created_at, ` + selectionColumns

func scanPolicy(row interface{ Scan(...any) error }) (*Policy, error) {
	var p Policy
	var enabled, created int64
	var sel selectionRow
	if err := row.Scan(append([]any{&p.ID, &p.Account, &p.Name, &enabled, &created}, sel.into()...)...); err != nil {
		return nil, err
	}
	p.Enabled, p.Created, p.Selection = enabled != 0, time.UnixMilli(created).UTC(), sel.selection()
	return &p, nil
}

// Get returns a policy of the actor's own account; NOT_FOUND for every other (NOTE-1).
func (s *Service) Get(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (*Policy, error) {
	p, err := scanPolicy(tx.QueryRow(ctx, `SELECT `+policyColumns+` FROM notification_policies p WHERE p.id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNone
	}
	if err != nil {
		return nil, err
	}
	if p.Account != actor.Account {
		return nil, errNone
	}
	return p, nil
}

// List returns up to limit policies of the actor's account behind the id after, in the order of their ids.
func (s *Service) List(ctx context.Context, tx *store.Tx, actor cloud.Actor, after string, limit int) (out []Policy, err error) {
	rows, err := tx.Query(ctx, `SELECT `+policyColumns+` FROM notification_policies p WHERE p.account = $1 AND p.id > $2 ORDER BY p.id LIMIT $3`, actor.Account, after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		p, err := scanPolicy(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, *p)
	}
	return out, rows.Err()
}

// check holds the name and the selection to what they may be.
func (p *Policy) check() error {
	p.Name = strings.TrimSpace(p.Name)
	if n := utf8.RuneCountInString(p.Name); n < 1 || n > nameMax || !eventlog.Printable(p.Name) {
		return cloud.RefuseField(policy.Malformed, "name", "1 to %d printable characters", nameMax)
	}
	return p.Selection.check()
}

// Create keeps a new policy of the actor's account, without devices; its own verified address is the first recipient.
func (s *Service) Create(ctx context.Context, tx *store.Tx, actor cloud.Actor, p Policy) (*Policy, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	n, err := number(ctx, tx, `SELECT COUNT(*) FROM notification_policies WHERE account = $1`, actor.Account)
	if err != nil {
		return nil, err
	}
	if n >= policiesMax {
		return nil, cloud.Refuse(policy.Conflict, "an account has at most %d notification policies", policiesMax)
	}
	p.ID, p.Account, p.Created = cloud.NewID(idPolicy), actor.Account, s.Now().UTC().Truncate(time.Millisecond)
	_, err = tx.Exec(ctx, `INSERT INTO notification_policies (id, account, name, enabled, least, events, raised, cleared, silence, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, p.ID, p.Account, p.Name, store.Flag(p.Enabled), int64(p.Least), strings.Join(p.Events, " "),
		store.Flag(p.Raised), store.Flag(p.Cleared), store.Flag(p.Silence), p.Created.UnixMilli())
	if err != nil {
		return nil, err
	}
	if _, err := s.insertRecipient(ctx, tx, &p, Recipient{Kind: KindOwn, State: On}); err != nil {
		return nil, err
	}
	return &p, note(ctx, tx, actor, policyCreated, map[string]string{"policy": p.ID})
}

// Change keeps what p says of the name, the switch and the selection. p comes from Get in this transaction.
func (s *Service) Change(ctx context.Context, tx *store.Tx, actor cloud.Actor, p *Policy) error {
	if err := p.check(); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE notification_policies SET name = $1, enabled = $2, least = $3, events = $4, raised = $5, cleared = $6, silence = $7
		WHERE id = $8 AND account = $9`, p.Name, store.Flag(p.Enabled), int64(p.Least), strings.Join(p.Events, " "), store.Flag(p.Raised), store.Flag(p.Cleared), store.Flag(p.Silence), p.ID, actor.Account)
	if err != nil {
		return err
	}
	return note(ctx, tx, actor, policyChanged, map[string]string{"policy": p.ID})
}

// Delete ends a policy of the actor's own account with everything of it; what waits is withdrawn.
func (s *Service) Delete(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) error {
	p, err := s.Get(ctx, tx, actor, id)
	if err != nil {
		return err
	}
	devices, err := s.Devices(ctx, tx, p)
	if err != nil {
		return err
	}
	for _, m := range devices {
		if err := s.logTaken(ctx, tx, actor, p.ID, m.Device); err != nil {
			return err
		}
	}
	if err := s.withdraw(ctx, tx, whyPolicy, `policy = $1`, p.ID); err != nil {
		return err
	}
	for _, table := range []string{"notification_members", "notification_recipients", "notification_deliveries", "notification_held"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE policy = $1`, p.ID); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM notification_policies WHERE id = $1`, p.ID); err != nil {
		return err
	}
	return note(ctx, tx, actor, policyDeleted, map[string]string{"policy": p.ID})
}

// note writes down what an account did with its own policies, in the log of its organisation, for it alone.
func note(ctx context.Context, tx *store.Tx, actor cloud.Actor, action string, params map[string]string) error {
	return eventlog.Append(ctx, tx, eventlog.Entry{Org: actor.Org, Actor: actor.Ref, Action: action, Params: params, Outcome: eventlog.Done, Request: actor.Request})
}

// number asks for one number.
func number(ctx context.Context, tx *store.Tx, query string, args ...any) (n int64, err error) {
	err = tx.QueryRow(ctx, query, args...).Scan(&n)
	return n, err
}
