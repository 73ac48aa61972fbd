package notify

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/onetime"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Kinds of recipients.
const (
	KindOwn     = "own"     // the account's own verified address
	KindMail    = "mail"    // another one, which has to confirm
	KindWebhook = "webhook" // an URL
)

// States of recipients. On alone gets something.
const (
	Unconfirmed = "unconfirmed" // of an address that has not given its code
	On          = "on"
	Off         = "off"    // by the account
	Failed      = "failed" // a webhook through which nothing got for failingFor, or that said that it is gone
	Gone        = "gone"   // by who has the address
)

// A Recipient is where a policy's messages go.
type Recipient struct {
	ID      string // nr_…
	Policy  string
	Account string
	Kind    string
	Address string // of a mail, or the URL; "" of KindOwn
	State   string
	Secret  string // of a webhook; told when it is made, and never again
	Failing time.Time
	Created time.Time

	key, offCode      string
	sealed, oldSealed string // secrets of a webhook, as the database has them
	oldSecret         string
	oldUntil          time.Time
}

var (
	recipientAdded   = eventlog.Declare("notification.recipient_add", eventlog.ByActor, "policy", "recipient", "kind")
	recipientChanged = eventlog.Declare("notification.recipient_change", eventlog.ByActor, "policy", "recipient", "state")
	recipientRemoved = eventlog.Declare("notification.recipient_remove", eventlog.ByActor, "policy", "recipient")
	secretRotated    = eventlog.Declare("notification.secret_rotate", eventlog.ByActor, "policy", "recipient")
)

var errNoRecipient = cloud.Refuse(policy.NotFound, "there is no such recipient")

const recipientColumns = `r.id, r.policy, r.account, r.kind, r.address, r.address_key, r.state, r.off_code, r.secret, r.old_secret, r.old_until, r.failing, r.created_at`

func scanRecipient(row interface{ Scan(...any) error }) (*Recipient, error) {
	var r Recipient
	var oldUntil, failing, created int64
	err := row.Scan(&r.ID, &r.Policy, &r.Account, &r.Kind, &r.Address, &r.key, &r.State, &r.offCode, &r.sealed, &r.oldSealed, &oldUntil, &failing, &created)
	r.oldUntil, r.Created = time.UnixMilli(oldUntil), time.UnixMilli(created).UTC()
	if failing != 0 {
		r.Failing = time.UnixMilli(failing).UTC()
	}
	return &r, err
}

func recipientsWhere(ctx context.Context, tx *store.Tx, where string, args ...any) (out []Recipient, err error) {
	rows, err := tx.Query(ctx, `SELECT `+recipientColumns+` FROM notification_recipients r WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRecipient(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, *r)
	}
	return out, rows.Err()
}

// Recipients returns those of a policy, in the order of their ids.
func (s *Service) Recipients(ctx context.Context, tx *store.Tx, p *Policy) ([]Recipient, error) {
	return recipientsWhere(ctx, tx, `r.policy = $1 ORDER BY r.id`, p.ID)
}

// recipient returns one of a policy of the actor's own.
func (s *Service) recipient(ctx context.Context, tx *store.Tx, actor cloud.Actor, id, of string) (*Policy, *Recipient, error) {
	p, err := s.Get(ctx, tx, actor, of)
	if err != nil {
		return nil, nil, err
	}
	r, err := scanRecipient(tx.QueryRow(ctx, `SELECT `+recipientColumns+` FROM notification_recipients r WHERE r.id = $1 AND r.policy = $2`, id, p.ID))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, errNoRecipient
	}
	return p, r, err
}

// Bounds of letters to people who did not ask for them, beside account.LettersTo of each address.
var (
	addressesBy  = limit.Limit{Name: "notification addresses", Most: 20, Per: 24 * time.Hour} // asked for by an account
	resendsOften = limit.Limit{Name: "notification code resent", Most: 1, Per: time.Minute}   // of one recipient
	resendsDay   = limit.Limit{Name: "notification code resent, day", Most: 5, Per: 24 * time.Hour}
	testsOften   = limit.Limit{Name: "notification test", Most: 6, Per: time.Hour} // of one recipient
)

const (
	codeLife   = 7 * 24 * time.Hour   // of a code that confirms an address, as of an invitation (INV-11)
	codeTries  = 5                    // wrong codes, then a new one has to be sent (INV-12)
	refusalFor = 365 * 24 * time.Hour // an address that was taken off is not asked again by that account
)

// AddRecipient adds one of a kind to a policy of the actor's own. An address gets a letter with a code, and nothing else before it was given
// back; a webhook has its secret in what is returned, this once.
func (s *Service) AddRecipient(ctx context.Context, tx *store.Tx, actor cloud.Actor, id, kind, address string) (*Recipient, error) {
	p, err := s.Get(ctx, tx, actor, id)
	if err != nil {
		return nil, err
	}
	have, err := s.Recipients(ctx, tx, p)
	if err != nil {
		return nil, err
	}
	if len(have) >= recipientsMax {
		return nil, cloud.Refuse(policy.Conflict, "a notification policy has at most %d recipients", recipientsMax)
	}
	r := Recipient{Kind: kind, State: On}
	switch kind {
	case KindOwn:
	case KindMail:
		at, err := account.ParseAddress(address)
		if err != nil {
			return nil, err
		}
		r.Address, r.key, r.State = at.Mail, at.Key, Unconfirmed
	case KindWebhook:
		u, err := s.out.parse(address)
		if err != nil {
			return nil, err
		}
		r.Address, r.Secret = u.String(), newSecret()
	default:
		return nil, cloud.RefuseField(policy.Malformed, "kind", "%.20q is not own, mail or webhook", kind)
	}
	for _, h := range have {
		if h.Kind == r.Kind && h.key == r.key && (r.Kind != KindWebhook || h.Address == r.Address) {
			return nil, cloud.Refuse(policy.Conflict, "the policy has this recipient")
		}
	}
	if r.Kind == KindMail {
		if err := s.mayAsk(ctx, tx, actor, r.key); err != nil {
			return nil, err
		}
	}
	made, err := s.insertRecipient(ctx, tx, p, r)
	if err != nil {
		return nil, err
	}
	if made.Kind == KindMail {
		if err := s.sendCode(ctx, tx, made); err != nil {
			return nil, err
		}
	}
	return made, note(ctx, tx, actor, recipientAdded, map[string]string{"policy": p.ID, "recipient": made.ID, "kind": kind})
}

// mayAsk bounds what strangers send to an address.
func (s *Service) mayAsk(ctx context.Context, tx *store.Tx, actor cloud.Actor, key string) error {
	n, err := number(ctx, tx, `SELECT COUNT(*) FROM notification_refusals WHERE account = $1 AND address_key = $2 AND at > $3`,
		actor.Account, key, s.Now().Add(-refusalFor).UnixMilli())
	if err != nil {
		return err
	}
	if n > 0 {
		return cloud.RefuseField(policy.Conflict, "email", "who has that address does not want to be asked again")
	}
	return limit.Spend(ctx, tx, s.Now(), addressesBy.Of(actor.Account), account.LettersTo.Of(key))
}

func (s *Service) insertRecipient(ctx context.Context, tx *store.Tx, p *Policy, r Recipient) (*Recipient, error) {
	r.ID, r.Policy, r.Account, r.Created = cloud.NewID(idRecipient), p.ID, p.Account, s.Now().UTC().Truncate(time.Millisecond)
	if r.Kind == KindMail {
		r.offCode = onetime.New(onetime.Mail)
	}
	_, err := tx.Exec(ctx, `INSERT INTO notification_recipients (id, policy, account, kind, address, address_key, state, expires_at, tries, off_code, secret, old_secret,
		old_until, failing, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, $9, '', 0, 0, $10)`,
		r.ID, r.Policy, r.Account, r.Kind, r.Address, r.key, r.State, r.offCode, s.Secrets.Seal(secretOf(r.ID), r.Secret), r.Created.UnixMilli())
	return &r, err
}

// secretOf is what the secrets of a webhook are sealed for: in another row they do not open.
func secretOf(id string) string { return "webhook " + id }

// openSecrets gives a recipient the secrets that it signs with.
func (s *Service) openSecrets(r *Recipient) (err error) {
	if r.Secret, err = s.Secrets.Open(secretOf(r.ID), r.sealed); err != nil {
		return err
	}
	r.oldSecret, err = s.Secrets.Open(secretOf(r.ID), r.oldSealed)
	return err
}

// newSecret is 32 random bytes, as receivers get it.
func newSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it does not fail: the program ends instead
	return secretPrefix + base64.StdEncoding.EncodeToString(b[:])
}

// RemoveRecipient ends one of the actor's own; what waits for it is withdrawn.
func (s *Service) RemoveRecipient(ctx context.Context, tx *store.Tx, actor cloud.Actor, of, id string) error {
	p, r, err := s.recipient(ctx, tx, actor, id, of)
	if err != nil {
		return err
	}
	if err := s.stop(ctx, tx, r); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM notification_recipients WHERE id = $1`, r.ID); err != nil {
		return err
	}
	return note(ctx, tx, actor, recipientRemoved, map[string]string{"policy": p.ID, "recipient": r.ID})
}

// stop withdraws everything that waits for a recipient, the letter with its code included.
func (s *Service) stop(ctx context.Context, tx *store.Tx, r *Recipient) error {
	if err := s.withdraw(ctx, tx, whyRecipient, `recipient = $1`, r.ID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM notification_held WHERE recipient = $1`, r.ID); err != nil {
		return err
	}
	_, err := s.Mail.Withdraw(ctx, tx, r.ID)
	return err
}

// Switch turns a recipient on or off. One that has to confirm, or was taken off by who has the address, cannot be turned on.
func (s *Service) Switch(ctx context.Context, tx *store.Tx, actor cloud.Actor, of, id string, on bool) (*Recipient, error) {
	p, r, err := s.recipient(ctx, tx, actor, id, of)
	if err != nil {
		return nil, err
	}
	if r.State == Unconfirmed || r.State == Gone {
		return nil, cloud.Refuse(policy.Conflict, "the recipient is %s", r.State)
	}
	if r.State = Off; on {
		r.State = On
	} else if err := s.stop(ctx, tx, r); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `UPDATE notification_recipients SET state = $1, failing = 0 WHERE id = $2`, r.State, r.ID); err != nil {
		return nil, err
	}
	r.Failing = time.Time{}
	return r, note(ctx, tx, actor, recipientChanged, map[string]string{"policy": p.ID, "recipient": r.ID, "state": r.State})
}

// oldSecretFor is how long the secret of before signs beside the new one.
const oldSecretFor = 24 * time.Hour

// Rotate gives a webhook another secret, which is in what is returned. Messages are signed with both for a day.
func (s *Service) Rotate(ctx context.Context, tx *store.Tx, actor cloud.Actor, of, id string) (*Recipient, error) {
	p, r, err := s.recipient(ctx, tx, actor, id, of)
	if err != nil {
		return nil, err
	}
	if r.Kind != KindWebhook {
		return nil, cloud.Refuse(policy.Conflict, "only a webhook has a secret")
	}
	r.Secret, r.oldUntil = newSecret(), s.Now().Add(oldSecretFor)
	if _, err := tx.Exec(ctx, `UPDATE notification_recipients SET secret = $1, old_secret = $2, old_until = $3 WHERE id = $4`,
		s.Secrets.Seal(secretOf(r.ID), r.Secret), r.sealed, r.oldUntil.UnixMilli(), r.ID); err != nil {
		return nil, err
	}
	return r, note(ctx, tx, actor, secretRotated, map[string]string{"policy": p.ID, "recipient": r.ID})
}
