package account

import (
	"context"
	"strings"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/onetime"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Join accepts an invitation with the code from the mail: the account of token becomes a member of the organisation that invited its
// address, and of no other (DEV-6). It gives no right on any device (ORG-3). The session gets another token; the account's others end.
//
// The code is looked for among the invitations to the account's own verified address: one that is meant for somebody else is CODE_UNKNOWN
// like one that never was (INV-13). A wrong code is a try at each of them that is open.
func (s *Service) Join(ctx context.Context, who cloud.Actor, token, code string) (*Session, error) {
	var ss *Session
	err := s.decide(ctx, func(ctx context.Context, tx *store.Tx) (refused, err error) {
		old, err := s.resume(ctx, tx, token)
		if err != nil {
			return err, notOurs(err)
		}
		meant, refused, err := s.meant(ctx, tx, of(old.Account, who), old.Account, code)
		if refused != nil || err != nil {
			return refused, err
		}
		if ss, refused, err = s.move(ctx, tx, of(old.Account, who), old, meant); err != nil {
			return nil, err
		}
		return refused, nil
	})
	if err != nil {
		return nil, err
	}
	return ss, nil
}

// DeclineInvitation ends an invitation to an organisation, with the code from the mail, and tells who sent it (INV-15). The answers to other codes are
// those of Join.
func (s *Service) DeclineInvitation(ctx context.Context, who cloud.Actor, token, code string) error {
	return s.decide(ctx, func(ctx context.Context, tx *store.Tx) (refused, err error) {
		ss, err := s.resume(ctx, tx, token)
		if err != nil {
			return err, notOurs(err)
		}
		who := of(ss.Account, who)
		meant, refused, err := s.meant(ctx, tx, who, ss.Account, code)
		if refused != nil || err != nil {
			return refused, err
		}
		if err := s.end(ctx, tx, meant, InviteDeclined); err != nil {
			return nil, err
		}
		if err := s.noteIn(ctx, tx, meant.org, who, inviteDeclined, "", map[string]string{"invitation": meant.ID}); err != nil {
			return nil, err
		}
		return nil, s.tellInviter(ctx, tx, meant, "it was declined.")
	})
}

// meant returns the open invitation that a code is for, among those to the verified address of an account; or why not, counted.
func (s *Service) meant(ctx context.Context, tx *store.Tx, who cloud.Actor, a *Account, code string) (meant *Invitation, refused, err error) {
	key, now := strings.ToLower(a.Email), s.now()
	limits := []limit.Count{CodesWrong.Of(key), CodesSource.Of(Source(who.Address))}
	if err := limit.Reached(ctx, tx, now, limits...); err != nil {
		return nil, err, notOurs(err)
	}
	list, err := invitations(ctx, tx, `email_key = $1 ORDER BY created_at DESC, id LIMIT 100`, key)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range list {
		if onetime.Fits(i.sealed, code, onetime.Mail) {
			meant = i
		}
	}
	if meant == nil {
		if err := limit.Add(ctx, tx, now, limits...); err != nil {
			return nil, nil, err
		}
		return nil, codeUnknown(), s.wrongCode(ctx, tx, who, list)
	}
	return meant, s.stillOpen(meant), nil
}

// stillOpen says why an invitation whose code is right is of no use.
func (s *Service) stillOpen(i *Invitation) error {
	switch {
	case i.State == InviteAccepted || i.State == InviteDeclined:
		return cloud.RefuseField(policy.CodeUsed, "code", "that code was used")
	case i.State == InviteLocked:
		return cloud.RefuseField(policy.CodeLocked, "code", "too many wrong codes; ask to be invited again")
	case i.State == InviteExpired || i.State == InviteOpen && !s.now().Before(i.Expires):
		return cloud.RefuseField(policy.CodeExpired, "code", "that code was valid until %s", mail.When(i.Expires))
	case i.State != InviteOpen:
		return codeUnknown() // cancelled: as if it had not been
	}
	return nil
}

// wrongCode counts a try at each open invitation, and locks those that have had too many (INV-12).
func (s *Service) wrongCode(ctx context.Context, tx *store.Tx, who cloud.Actor, list []*Invitation) error {
	for _, i := range list {
		if i.State != InviteOpen || !s.now().Before(i.Expires) {
			continue
		}
		if _, err := tx.Exec(ctx, `UPDATE invitations SET tries = tries + 1 WHERE id = $1`, i.ID); err != nil {
			return err
		}
		if err := s.noteIn(ctx, tx, i.org, who, inviteWrongCode, policy.CodeUnknown, map[string]string{"invitation": i.ID}); err != nil {
			return err
		}
		if i.tries+1 < codeTries {
			continue
		}
		if err := s.lock(ctx, tx, who, i); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) lock(ctx context.Context, tx *store.Tx, who cloud.Actor, i *Invitation) error {
	if err := s.end(ctx, tx, i, InviteLocked); err != nil {
		return err
	}
	if err := s.noteIn(ctx, tx, i.org, who, inviteLocked, policy.CodeLocked, map[string]string{"invitation": i.ID}); err != nil {
		return err
	}
	org, err := nameOf(ctx, tx, i.org)
	if err != nil {
		return err
	}
	const why = "five wrong codes were entered. A new invitation can be sent."
	if err := s.mail.Put(ctx, tx, s.inviteEndedLetter(i.Email, i.Email, org, why)); err != nil {
		return err
	}
	return s.tellInviter(ctx, tx, i, why)
}

// move makes the account a member of the organisation of an invitation.
func (s *Service) move(ctx context.Context, tx *store.Tx, who cloud.Actor, old *Session, i *Invitation) (ss *Session, refused, err error) {
	a := old.Account
	if refused, err := s.mayLeave(ctx, tx, a); refused != nil || err != nil {
		return nil, refused, err
	}
	if err := s.end(ctx, tx, i, InviteAccepted); err != nil {
		return nil, nil, err
	}
	if _, err := tx.Exec(ctx, `UPDATE accounts SET org = $1 WHERE id = $2`, i.org, a.ID); err != nil {
		return nil, nil, err
	}
	if err := s.note(ctx, tx, who, memberLeft, nil); err != nil {
		return nil, nil, err
	}
	if err := s.noteIn(ctx, tx, i.org, who, memberJoined, "", map[string]string{"invitation": i.ID}); err != nil {
		return nil, nil, err
	}
	if err := s.endAll(ctx, tx, a); err != nil {
		return nil, nil, err
	}
	if old.Account, err = byIdentity(ctx, tx, a.identity); err != nil {
		return nil, nil, err
	}
	ss, err = s.begin(ctx, tx, old.Account, "", old.Began, old.FactorAt)
	return ss, nil, err
}

// mayLeave refuses with CONFLICT who has devices, which would be left behind an agent of another organisation (DEV-6), and the last member
// of an organisation with agents, or with tokens for some, which nobody could remove any more.
func (s *Service) mayLeave(ctx context.Context, tx *store.Tx, a *Account) (refused, err error) {
	var devices, others, agents int64
	err = tx.QueryRow(ctx, `SELECT (SELECT COUNT(*) FROM devices WHERE owner = $1 AND ended_at IS NULL),
		(SELECT COUNT(*) FROM accounts WHERE org = $2 AND id <> $1 AND closed_at IS NULL),
		(SELECT COUNT(*) FROM enrolled_agents WHERE org = $2 AND revoked_at IS NULL) +
			(SELECT COUNT(*) FROM enrolment_tokens WHERE org = $2 AND used_at IS NULL AND expires_at > $3)`,
		a.ID, a.Org.ID, s.now().UnixMilli()).Scan(&devices, &others, &agents)
	switch {
	case err != nil:
		return nil, err
	case devices > 0:
		return cloud.Refuse(policy.Conflict, "you own devices, which belong to your present organisation: delete them first"), nil
	case others == 0 && agents > 0:
		return cloud.Refuse(policy.Conflict, "your present organisation has agents, or tokens to enrol some, and no other member: remove them first"), nil
	}
	return nil, nil
}
