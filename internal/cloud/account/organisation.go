package account

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/onetime"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Organisation returns that of the actor.
func (s *Service) Organisation(ctx context.Context, tx *store.Tx, who cloud.Actor) (*Organisation, error) {
	a, err := s.Get(ctx, tx, who)
	if err != nil {
		return nil, err
	}
	return &a.Org, nil
}

// RenameOrganisation changes its name; every member may.
func (s *Service) RenameOrganisation(ctx context.Context, tx *store.Tx, who cloud.Actor, name string) (*Organisation, error) {
	name, err := parseName("name", name)
	if err != nil {
		return nil, err
	}
	a, err := s.Get(ctx, tx, who)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `UPDATE organisations SET name = $1 WHERE id = $2`, name, a.Org.ID); err != nil {
		return nil, err
	}
	if err := s.note(ctx, tx, who, organisationName, nil); err != nil {
		return nil, err
	}
	a.Org.Name = name
	return &a.Org, nil
}

// Members returns up to limit accounts of the actor's organisation, in the order of their ids, behind the id after.
func (s *Service) Members(ctx context.Context, tx *store.Tx, who cloud.Actor, after string, limit int) (list []*Account, err error) {
	found, err := tx.Query(ctx, selectAccount+`a.org = $1 AND a.id > $2 ORDER BY a.id LIMIT $3`, who.Org, after, limit)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		a, err := scanAccount(found)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, found.Err()
}

// States of an invitation. All but open are final.
const (
	InviteOpen      = "open"
	InviteAccepted  = "accepted"
	InviteDeclined  = "declined"
	InviteCancelled = "cancelled"
	InviteExpired   = "expired"
	InviteLocked    = "locked"
)

// inviteLife is how long an invitation can be accepted (INV-11).
const inviteLife = 7 * 24 * time.Hour

// An Invitation asks somebody to join an organisation.
type Invitation struct {
	ID      string // i_…
	Email   string
	State   string
	Inviter string // actor
	Created time.Time
	Expires time.Time

	org    string
	sealed []byte
	tries  int64
}

const selectInvitation = `SELECT id, email, state, inviter, created_at, expires_at, org, sealed, tries FROM invitations WHERE `

func scanInvitation(row interface{ Scan(...any) error }) (*Invitation, error) {
	var i Invitation
	var created, expires int64
	if err := row.Scan(&i.ID, &i.Email, &i.State, &i.Inviter, &created, &expires, &i.org, &i.sealed, &i.tries); err != nil {
		return nil, err
	}
	i.Created, i.Expires = time.UnixMilli(created), time.UnixMilli(expires)
	return &i, nil
}

func invitations(ctx context.Context, tx *store.Tx, where string, args ...any) (list []*Invitation, err error) {
	found, err := tx.Query(ctx, selectInvitation+where, args...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		i, err := scanInvitation(found)
		if err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	return list, found.Err()
}

// Invitations returns up to limit open invitations of the actor's organisation, in the order of their ids, behind the id after.
func (s *Service) Invitations(ctx context.Context, tx *store.Tx, who cloud.Actor, after string, limit int) ([]*Invitation, error) {
	return invitations(ctx, tx, `org = $1 AND state = 'open' AND expires_at > $2 AND id > $3 ORDER BY id LIMIT $4`, who.Org, s.now().UnixMilli(), after, limit)
}

// Invite sends an invitation to an address (ORG-2). The answer does not depend on whether the address has an account (INV-9). It returns
// EMAIL_REQUIRED, EMAIL_INVALID, ALREADY_INVITED, RATE_LIMIT, and CONFLICT for who is a member, which every member can see.
func (s *Service) Invite(ctx context.Context, tx *store.Tx, who cloud.Actor, email string) (*Invitation, error) {
	at, err := ParseAddress(email)
	if err != nil {
		return nil, err
	}
	a, err := s.Get(ctx, tx, who)
	if err != nil {
		return nil, err
	}
	if known, err := one(ctx, tx, `i.email_key = $1`, at.Key); err != nil {
		return nil, err
	} else if known != nil && known.Org.ID == a.Org.ID {
		return nil, cloud.RefuseField(policy.Conflict, "email", "that address belongs to a member")
	}
	now := s.now()
	if err := s.expire(ctx, tx, `org = $1 AND email_key = $2 AND state = 'open' AND expires_at <= $3`, a.Org.ID, at.Key, now.UnixMilli()); err != nil {
		return nil, err
	}
	open, err := invitations(ctx, tx, `org = $1 AND email_key = $2 AND state = 'open'`, a.Org.ID, at.Key)
	if err != nil {
		return nil, err
	}
	if len(open) > 0 {
		return nil, cloud.RefuseField(policy.AlreadyInvited, "email", "that address has an invitation that is open")
	}
	if err := limit.Spend(ctx, tx, now, invitesBy.Of(who.Account), LettersTo.Of(at.Key)); err != nil {
		return nil, err
	}
	code := onetime.New(onetime.Mail)
	i := &Invitation{
		ID: cloud.NewID(idInvitation), Email: at.Mail, State: InviteOpen, Inviter: who.Ref, Created: now, Expires: now.Add(inviteLife), org: a.Org.ID,
	}
	if _, err := tx.Exec(ctx, `INSERT INTO invitations (id, org, email, email_key, sealed, state, inviter, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, i.ID, i.org, at.Mail, at.Key, onetime.Seal(code), i.State, i.Inviter, now.UnixMilli(), i.Expires.UnixMilli()); err != nil {
		return nil, err
	}
	if err := s.note(ctx, tx, who, inviteSent, map[string]string{"invitation": i.ID}); err != nil {
		return nil, err
	}
	return i, s.mail.Put(ctx, tx, s.inviteLetter(at.Mail, a.Name, a.Org.Name, code, i.Expires))
}

// ours returns an open invitation of the actor's organisation, or NOT_FOUND.
func (s *Service) ours(ctx context.Context, tx *store.Tx, who cloud.Actor, id string) (*Invitation, *Account, error) {
	a, err := s.Get(ctx, tx, who)
	if err != nil {
		return nil, nil, err
	}
	var list []*Invitation
	if cloud.CheckID(idInvitation, id) {
		list, err = invitations(ctx, tx, `id = $1 AND org = $2 AND state = 'open' AND expires_at > $3`, id, a.Org.ID, s.now().UnixMilli())
	}
	if err == nil && len(list) == 0 {
		err = cloud.Refuse(policy.NotFound, "there is no such open invitation")
	}
	if err != nil {
		return nil, nil, err
	}
	return list[0], a, nil
}

// CancelInvitation ends one of the actor's organisation.
func (s *Service) CancelInvitation(ctx context.Context, tx *store.Tx, who cloud.Actor, id string) error {
	i, _, err := s.ours(ctx, tx, who, id)
	if err != nil {
		return err
	}
	if err := s.end(ctx, tx, i, InviteCancelled); err != nil {
		return err
	}
	return s.note(ctx, tx, who, inviteCancelled, map[string]string{"invitation": i.ID})
}

// ResendInvitation sends a new code, from when its time counts anew; the old one is void (INV-14).
func (s *Service) ResendInvitation(ctx context.Context, tx *store.Tx, who cloud.Actor, id string) (*Invitation, error) {
	i, a, err := s.ours(ctx, tx, who, id)
	if err != nil {
		return nil, err
	}
	now := s.now()
	if err := limit.Spend(ctx, tx, now, resendsOften.Of(i.ID), resendsDay.Of(i.ID)); err != nil {
		return nil, err
	}
	code := onetime.New(onetime.Mail)
	i.Expires = now.Add(inviteLife)
	if _, err := tx.Exec(ctx, `UPDATE invitations SET sealed = $1, tries = 0, expires_at = $2 WHERE id = $3`, onetime.Seal(code), i.Expires.UnixMilli(), i.ID); err != nil {
		return nil, err
	}
	if err := s.note(ctx, tx, who, inviteResent, map[string]string{"invitation": i.ID}); err != nil {
		return nil, err
	}
	return i, s.mail.Put(ctx, tx, s.inviteLetter(i.Email, a.Name, a.Org.Name, code, i.Expires))
}

func (s *Service) end(ctx context.Context, tx *store.Tx, i *Invitation, state string) error {
	_, err := tx.Exec(ctx, `UPDATE invitations SET state = $1, ended_at = $2 WHERE id = $3`, state, s.now().UnixMilli(), i.ID)
	i.State = state
	return err
}

// expireInvitations ends those whose time is over.
func (s *Service) expireInvitations(ctx context.Context, tx *store.Tx) error {
	return s.expire(ctx, tx, `state = 'open' AND expires_at <= $1`, s.now().UnixMilli())
}

// expire ends the invitations that a condition meets, and tells who invited (INV-15).
func (s *Service) expire(ctx context.Context, tx *store.Tx, where string, args ...any) error {
	list, err := invitations(ctx, tx, where, args...)
	if err != nil {
		return err
	}
	for _, i := range list {
		if err := s.end(ctx, tx, i, InviteExpired); err != nil {
			return err
		}
		if err := s.noteIn(ctx, tx, i.org, cloud.System(""), inviteExpired, "", map[string]string{"invitation": i.ID}); err != nil {
			return err
		}
		if err := s.tellInviter(ctx, tx, i, "it was not accepted in time."); err != nil {
			return err
		}
	}
	return nil
}

// tellInviter writes to who sent an invitation, if there still is somebody.
func (s *Service) tellInviter(ctx context.Context, tx *store.Tx, i *Invitation, why string) error {
	a, err := one(ctx, tx, `a.actor = $1`, i.Inviter)
	if err != nil || a == nil {
		return err
	}
	return s.mail.Put(ctx, tx, s.inviteEndedLetter(a.Email, i.Email, a.Org.Name, why))
}

// nameOf returns the name of an organisation, "" for none.
func nameOf(ctx context.Context, tx *store.Tx, org string) (name string, err error) {
	err = tx.QueryRow(ctx, `SELECT name FROM organisations WHERE id = $1`, org).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return name, err
}
