package invitation

import (
	"context"
	"errors"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// The steps of an invitation (INV-19), in the log of each of its devices; share.invite, which begins it, is of the matrix. What somebody did
// who has no right on the device is for the owner.
var (
	resent    = eventlog.Declare("share.resend", eventlog.ByReaders, "invitation")
	cancelled = eventlog.Declare("share.cancel", eventlog.ByReaders, "invitation")
	accepted  = eventlog.Declare("share.accept", eventlog.ByReaders, "invitation", "share")
	expired   = eventlog.Declare("share.expire", eventlog.ByReaders, "invitation")
	declined  = eventlog.Declare("share.decline", eventlog.ByOwner, "invitation")
	wrongCode = eventlog.Declare("share.wrong_code", eventlog.ByOwner, "invitation")
	locked    = eventlog.Declare("share.lock", eventlog.ByOwner, "invitation")
)

// step begins the entry of one.
func (s *Service) step(who cloud.Actor, role policy.Role, action string, reason policy.Reason, i *Invitation) eventlog.Entry {
	e := eventlog.Entry{
		At: s.Now(), Actor: who.Ref, Role: role, Action: action, Params: map[string]string{"invitation": i.ID},
		Outcome: eventlog.Done, Reason: reason, Request: who.Request,
	}
	if reason != "" {
		e.Outcome = eventlog.Refused
	}
	return e
}

// note writes an entry into the log of a device that is still there.
func note(ctx context.Context, tx *store.Tx, id string, e eventlog.Entry) error {
	if _, err := device.Get(ctx, tx, id); err != nil {
		return notOurs(err)
	}
	e.Device = id
	return eventlog.Append(ctx, tx, e)
}

// noteOwn writes a refusal that is about no device into the log of the organisation of who asked.
func (s *Service) noteOwn(ctx context.Context, tx *store.Tx, who cloud.Actor, action string, params map[string]string, reason policy.Reason) error {
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Org: who.Org, At: s.Now(), Actor: who.Ref, Role: policy.Nobody, Action: action, Params: params, Outcome: eventlog.Refused, Reason: reason, Request: who.Request,
	})
}

// refusal returns what of an error is one, and what is our own affair.
func refusal(err error) (*cloud.Error, error) {
	var e *cloud.Error
	if errors.As(err, &e) {
		return e, nil
	}
	return nil, err
}

// notOurs is err unless it is a refusal, which is told apart.
func notOurs(err error) error {
	_, err = refusal(err)
	return err
}
