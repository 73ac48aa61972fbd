package invitation

import (
	"context"
	"errors"
	"slices"
	"strings"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/onetime"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Invite asks an address to share devices of the actor: one invitation, one code, one letter for those of them that can be shared (INV-4).
// Each device is decided alone (SHARE-5); outcomes are in the order of the request. A RefusedError says that none could: nothing is sent, and who
// calls has LogRefused write it down. The answer does not depend on whether the address has an account (INV-9).
func (s *Service) Invite(ctx context.Context, tx *store.Tx, who cloud.Actor, devices []string, email string) (*Invitation, []Outcome, error) {
	if err := checkDevices(devices); err != nil {
		return nil, nil, err
	}
	at, err := account.ParseAddress(email)
	if err != nil {
		return nil, nil, err
	}
	owner, err := account.ByID(ctx, tx, who.Account)
	if err != nil {
		return nil, nil, err
	}
	if owner == nil {
		return nil, nil, cloud.Refuse(policy.NotFound, "there is no such account")
	}
	invitee, err := account.ByAddress(ctx, tx, at)
	if err != nil {
		return nil, nil, err
	}
	now := s.Now()
	i := &Invitation{
		ID: cloud.NewID(idPrefix), Email: at.Mail, State: Open, Created: now, Sent: now, Expires: now.Add(life), owner: who.Account, inviter: who.Ref, key: at.Key,
	}
	outcomes := make([]Outcome, len(devices))
	for _, n := range inOrder(devices) {
		if outcomes[n], err = s.decide(ctx, tx, who, owner, invitee, i, devices[n]); err != nil {
			return nil, nil, err
		}
	}
	if err := none(outcomes); err != nil {
		return nil, nil, err
	}
	if err := limit.Spend(ctx, tx, now, lettersBy.Of(i.owner), lettersTo.Of(i.key)); err != nil {
		return nil, nil, err
	}
	for n := range outcomes {
		o := &outcomes[n]
		if o.Refused != nil {
			err = device.LogRefusal(ctx, tx, who, o.Device, policy.ShareInvite, nil, o.Refused)
		} else {
			err = s.addItem(ctx, tx, who, i, o)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return i, outcomes, s.send(ctx, tx, owner, i)
}

// checkDevices refuses with MALFORMED what no form asks for.
func checkDevices(devices []string) error {
	sorted := slices.Sorted(slices.Values(devices))
	if len(devices) == 0 || len(devices) > MaxDevices || len(slices.Compact(sorted)) != len(devices) {
		return cloud.RefuseField(policy.Malformed, "devices", "name 1 to %d devices, each once", MaxDevices)
	}
	return nil
}

// inOrder returns the places of ids in their order: so that of two who take rows at once neither has what the other waits for.
func inOrder(ids []string) []int {
	order := make([]int, len(ids))
	for n := range order {
		order[n] = n
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(ids[a], ids[b]) })
	return order
}

// decide judges one device of an invitation that is being made.
func (s *Service) decide(ctx context.Context, tx *store.Tx, who cloud.Actor, owner, invitee *account.Account, i *Invitation, id string) (Outcome, error) {
	o := Outcome{Device: id, Free: NotTold}
	err := s.mayInvite(ctx, tx, who, owner, invitee, i, id)
	o.Refused, err = refusal(err)
	if err != nil {
		return o, err
	}
	if r := o.Refused; r == nil || r.Reason != policy.NotFound && r.Reason != policy.OwnerOnly {
		o.Free, err = Free(ctx, tx, id, s.Now())
	}
	if o.Refused == nil {
		o.Free--
	}
	return o, err
}

// mayInvite says why a device cannot be shared with an address now, in the order that is fixed: existence, role, plan, limits.
func (s *Service) mayInvite(ctx context.Context, tx *store.Tx, who cloud.Actor, owner, invitee *account.Account, i *Invitation, id string) error {
	if _, _, err := device.May(ctx, tx, who, id, policy.ShareInvite, s.Now()); err != nil {
		return err // NOT_FOUND, OWNER_ONLY (SHARE-6), PLAN_BASIC (PLAN-2)
	}
	if err := take(ctx, tx, id); err != nil {
		return err
	}
	if keyOf(owner) == i.key {
		return cloud.RefuseField(policy.SelfShare, "email", "that is your own address") // SHARE-11
	}
	// Where nobody has the address the same is asked of nobody (INV-9).
	account := ""
	if invitee != nil {
		account = invitee.ID
	}
	shared, err := device.GrantOf(ctx, tx, id, account)
	if err != nil {
		return err
	}
	if shared != nil {
		return cloud.RefuseField(policy.AlreadyShared, "email", "the device is shared with that address") // INV-8
	}
	if err := s.expireOf(ctx, tx, id); err != nil {
		return err
	}
	open, err := tx.Texts(ctx, `SELECT invitation FROM device_invitation_devices WHERE device = $1 AND email_key = $2 AND state = 'open'`, id, i.key)
	if err != nil {
		return err
	}
	if len(open) > 0 {
		return cloud.RefuseField(policy.AlreadyInvited, "email", "that address has an invitation for the device that is open") // INV-7
	}
	free, err := Free(ctx, tx, id, s.Now())
	if err != nil {
		return err
	}
	if free < 1 {
		return cloud.Refuse(policy.ShareLimit, "a device can be shared with %d others, open invitations included", device.MaxShares) // SHARE-2 to SHARE-4
	}
	return nil
}

// keyOf is the verified address of an account as it is compared.
func keyOf(a *account.Account) string {
	at, err := account.ParseAddress(a.Email)
	if err != nil {
		return strings.ToLower(a.Email) // it was taken once; what rules there are now is not its affair
	}
	return at.Key
}

func (s *Service) addItem(ctx context.Context, tx *store.Tx, who cloud.Actor, i *Invitation, o *Outcome) error {
	d, err := device.Get(ctx, tx, o.Device)
	if err != nil {
		return err
	}
	o.Number = len(i.Items) + 1
	i.Items = append(i.Items, Item{Device: d.ID, Number: o.Number, State: Open, epoch: d.Epoch})
	_, err = tx.Exec(ctx, `INSERT INTO device_invitation_devices (invitation, device, number, epoch, email_key, state) VALUES ($1, $2, $3, $4, $5, $6)`,
		i.ID, d.ID, o.Number, int64(d.Epoch), i.key, Open)
	if err != nil {
		return err
	}
	return note(ctx, tx, d.ID, s.step(who, policy.Owner, string(policy.ShareInvite), "", i))
}

func (s *Service) send(ctx context.Context, tx *store.Tx, owner *account.Account, i *Invitation) error {
	code := onetime.New(onetime.Mail)
	_, err := tx.Exec(ctx, `INSERT INTO device_invitations (id, owner, inviter, email, email_key, sealed, state, created_at, sent_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, i.ID, i.owner, i.inviter, i.Email, i.key, onetime.Seal(code), i.State, i.Created.UnixMilli(),
		i.Sent.UnixMilli(), i.Expires.UnixMilli())
	if err != nil {
		return err
	}
	return s.sendCode(ctx, tx, owner, i, i.open(), code)
}

// LogRefused writes down that nothing of an invitation was done (LOG-1): by each device, why. err is what Invite returned.
func LogRefused(ctx context.Context, tx *store.Tx, who cloud.Actor, devices []string, err error) error {
	refused, ours := refusal(err)
	if ours != nil || refused == nil || refused.Reason == policy.Malformed {
		return ours // it came to no action
	}
	outcomes := map[string]*cloud.Error{}
	if each := (*RefusedError)(nil); errors.As(err, &each) {
		for _, o := range each.Outcomes {
			outcomes[o.Device] = o.Refused
		}
	}
	for _, id := range slices.Sorted(slices.Values(devices)) {
		why := refused
		if own := outcomes[id]; own != nil {
			why = own
		}
		if err := device.LogRefusal(ctx, tx, who, eventlog.Clean(id), policy.ShareInvite, nil, why); err != nil {
			return err
		}
	}
	return nil
}
