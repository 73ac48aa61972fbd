package notify

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

// An Ordered is a request that can drop the load of a device.
type Ordered struct {
	Device  string // its id
	Actor   cloud.Actor
	Action  policy.Action
	Params  map[string]string // complete
	At      time.Time
	Expires time.Time // what has not begun by then never does
}

var orderedText = mail.Form(`{{.Who}} has ordered the device "{{.Device}}" (serial number ending in
{{.Serial}}) at {{.At}} to do this:

    {{.What}}

It begins before {{.Expires}}, or never.

If that was to be: there is nothing to do. If it was not: cancel it, change
your password, end the shares that should not be, and look into the log of
the device at
{{.URL}}
`)

// Ordered tells the owner and everybody who shares the device, whoever ordered it among them, that its load may be dropped (T-07): a
// session in the wrong hands is noticed. The letters leave behind the commit of the order. It is no notification: no policy asks for it
// and none can turn it off. Who ordered it is named to the owner alone.
func (s *Service) Ordered(ctx context.Context, tx *store.Tx, o Ordered) error {
	d, err := device.Get(ctx, tx, o.Device)
	if err != nil {
		return err
	}
	shares, err := device.Shares(ctx, tx, d.ID)
	if err != nil {
		return err
	}
	who, err := account.ByActor(ctx, tx, o.Actor.Ref)
	if err != nil {
		return err
	}
	to := []string{d.Owner}
	for _, g := range shares {
		to = append(to, g.Account)
	}
	for _, id := range to {
		a, err := account.ByID(ctx, tx, id)
		if err != nil {
			return err
		}
		if a == nil {
			continue // on its way out
		}
		if err := s.Mail.Put(ctx, tx, s.orderedLetter(a, d, who, o)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) orderedLetter(to *account.Account, d *device.Device, who *account.Account, o Ordered) mail.Message {
	by := "Somebody who may order it about"
	switch {
	case who != nil && who.ID == to.ID:
		by = "Your account"
	case who != nil && to.ID == d.Owner:
		by = who.Name
	case who != nil && who.ID == d.Owner:
		by = "Its owner"
	}
	name, serial := mail.Quote(d.Name), []rune(d.Serial)
	return mail.Message{
		To: to.Email, Kind: "order", Subject: "An order to " + name + " that can switch off what it feeds",
		Text: mail.Fill(orderedText, map[string]string{
			"Who": by, "Device": name, "Serial": mail.Quote(string(serial[max(0, len(serial)-4):])), "At": mail.When(o.At), "What": inWords(o.Action, o.Params),
			"Expires": mail.When(o.Expires), "URL": s.URL,
		}),
	}
}

// inWords says what an order does, for people who have not seen the form it came from.
func inWords(action policy.Action, params map[string]string) string {
	group := "outlet group " + mail.Quote(params[ups.ParamGroup])
	switch action {
	case policy.RebootUPS:
		return "switch everything it feeds off and on again"
	case policy.RebootGroup:
		return "switch " + group + " off and on again"
	case policy.ControlOutlet:
		return "switch " + group + " " + map[string]string{
			ups.ToOn: "on", ups.ToOff: "off", ups.ToShutdown: "off until the mains are there", ups.ToCancel: "as it was: take back what is pending",
		}[params[ups.ParamTo]]
	case policy.ConfigureDevice:
		return "set " + mail.Quote(params[ups.ParamSetting]) + " to " + mail.Quote(params[ups.ParamValue])
	}
	return string(action)
}
