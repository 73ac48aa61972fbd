package api

import (
	"context"
	"net/http"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/invitation"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func (a *API) shareRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/api/v1/devices/{id}/shares", needs: policy.ShareList, read: a.listShares},
		{method: http.MethodDelete, pattern: "/api/v1/devices/{id}/shares/{share}", needs: policy.ShareRevoke, change: a.revokeShare},
		{method: http.MethodPost, pattern: "/api/v1/devices/{id}/leave", needs: policy.ShareLeave, change: a.leaveDevice},
		{method: http.MethodDelete, pattern: "/api/v1/devices/{id}", needs: policy.DeviceDelete, change: a.deleteDevice},
	}
}

// sharesBody is with whom a device is shared: five at most, so there are no pages.
type sharesBody struct {
	Shares      []shareBody           `json:"shares"`
	Invitations []shareInvitationBody `json:"invitations"` // that can still be accepted
	Free        int                   `json:"free_places"`
}

// shareBody is one share. What the owner knows of a user is the name, and the address that the owner invited.
type shareBody struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
	Actor string `json:"actor"` // as the Event Log has it
	Since Time   `json:"since"`
}

func (a *API) listShares(q *Request) (Answer, error) {
	var body sharesBody
	err := q.reading(policy.ShareList, func(ctx context.Context, tx *store.Tx, d *device.Device, _ device.Right) error {
		body = sharesBody{Shares: []shareBody{}, Invitations: []shareInvitationBody{}}
		shares, err := device.Shares(ctx, tx, d.ID)
		if err != nil {
			return err
		}
		for _, g := range shares {
			who, err := account.ByID(ctx, tx, g.Account)
			if err != nil {
				return err
			}
			b := shareBody{g.ID, eventlog.DeletedUser, g.Address, g.Actor, Time(g.Since)}
			if who != nil {
				b.Name = who.Name
			}
			body.Shares = append(body.Shares, b)
		}
		open, err := invitation.OpenOf(ctx, tx, d.ID, q.Now)
		if err != nil {
			return err
		}
		for _, i := range open {
			body.Invitations = append(body.Invitations, shareInvitationOf(i))
		}
		body.Free, err = invitation.Free(ctx, tx, d.ID, q.Now)
		return err
	})
	return Answer{Body: body}, err
}

// logShare has refusals to end a share logged.
func (q *Request) logShare(action policy.Action, params map[string]string) {
	q.Refused = func(ctx context.Context, tx *store.Tx, refusal *cloud.Error) error {
		return device.LogRefusal(ctx, tx, q.Actor, q.PathValue("id"), action, params, refusal)
	}
}

func (a *API) revokeShare(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	share := q.PathValue("share")
	q.logShare(policy.ShareRevoke, map[string]string{"share": share})
	return Answer{}, a.cfg.Devices.Revoke(ctx, tx, q.Actor, q.PathValue("id"), share)
}

func (a *API) leaveDevice(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	q.logShare(policy.ShareLeave, nil)
	return Answer{}, a.cfg.Devices.Leave(ctx, tx, q.Actor, q.PathValue("id"))
}

// deleteDevice refuses who may not delete a device. Nobody can yet: the owner is told so, and nothing is done by halves.
func (a *API) deleteDevice(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	q.logShare(policy.DeviceDelete, nil)
	_, right, err := device.May(ctx, tx, q.Actor, q.PathValue("id"), policy.DeviceDelete, q.Now)
	switch {
	case err != nil && right.Role == policy.Shared:
		return Answer{}, cloud.Refuse(policy.OwnerOnly, "only the owner deletes a device; POST /api/v1/devices/{id}/leave takes it out of your own view") // SHARE-9
	case err != nil:
		return Answer{}, err
	}
	return Answer{}, cloud.Refuse(policy.Conflict, "deleting a device comes with the erasure of its data, which this version does not have")
}
