package account

import (
	"context"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// What is written in the log of the organisation. What concerns one person's sign-in is for that person; members see who belongs to them.
var (
	accountSignedUp  = eventlog.Declare("account.sign_up", eventlog.ByReaders)
	accountRenamed   = eventlog.Declare("account.rename", eventlog.ByReaders)
	passwordChanged  = eventlog.Declare("account.password", eventlog.ByActor)
	passwordReset    = eventlog.Declare("account.password_reset", eventlog.ByActor)
	factorSet        = eventlog.Declare("factor.set", eventlog.ByActor)
	factorRemoved    = eventlog.Declare("factor.remove", eventlog.ByActor)
	factorGiven      = eventlog.Declare("factor.give", eventlog.ByActor, "recovery_code") // refused: a wrong one behind a right password
	newPlace         = eventlog.Declare("session.new_place", eventlog.ByActor, "factor")
	signedOutAll     = eventlog.Declare("session.end_all", eventlog.ByActor)
	organisationName = eventlog.Declare("organisation.rename", eventlog.ByReaders) // a name can be a person's: it stays out
	memberJoined     = eventlog.Declare("organisation.join", eventlog.ByReaders, "invitation")
	memberLeft       = eventlog.Declare("organisation.leave", eventlog.ByReaders)
	inviteSent       = eventlog.Declare("invitation.send", eventlog.ByReaders, "invitation")
	inviteResent     = eventlog.Declare("invitation.resend", eventlog.ByReaders, "invitation")
	inviteCancelled  = eventlog.Declare("invitation.cancel", eventlog.ByReaders, "invitation")
	inviteDeclined   = eventlog.Declare("invitation.decline", eventlog.ByReaders, "invitation")
	inviteExpired    = eventlog.Declare("invitation.expire", eventlog.ByReaders, "invitation")
	inviteWrongCode  = eventlog.Declare("invitation.wrong_code", eventlog.ByReaders, "invitation")
	inviteLocked     = eventlog.Declare("invitation.lock", eventlog.ByReaders, "invitation")
)

// note writes what an actor did into the log of its organisation.
func (s *Service) note(ctx context.Context, tx *store.Tx, who cloud.Actor, action string, params map[string]string) error {
	return s.noteIn(ctx, tx, who.Org, who, action, "", params)
}

// noteIn is note for the log of any organisation; reason is why it was refused, "" where it was done.
func (s *Service) noteIn(ctx context.Context, tx *store.Tx, org string, who cloud.Actor, action string, reason policy.Reason, params map[string]string) error {
	outcome := eventlog.Done
	if reason != "" {
		outcome = eventlog.Refused
	}
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Org: org, At: s.now(), Actor: who.Ref, Action: action, Params: params, Outcome: outcome, Reason: reason, Request: who.Request,
	})
}
