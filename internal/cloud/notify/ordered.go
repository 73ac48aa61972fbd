package notify

import (
	"context"
	"fmt"
	"slices"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

// An Ordered is a request that can drop the load of devices.
type Ordered struct {
	Devices []string // their ids
	Actor   cloud.Actor
	Action  policy.Action
	Params  map[string]string // complete
	At      time.Time
	Expires time.Time // what has not begun by then never does
}

var orderedText = mail.Form(`{{.Who}} has ordered, at {{.At}}:

    {{.What}}

of
{{range .Devices}}
    {{.}}{{end}}{{if .More}}
    and {{.More}} more{{end}}

It begins before {{.Expires}}, or never.

If that was to be: there is nothing to do. If it was not: cancel it, change
your password, end the shares that should not be, and look into the log at
{{.URL}}
`)

// mostNamed is how many devices one letter names.
const mostNamed = 20

// Ordered tells the owners and everybody who shares the devices, whoever ordered it among them, that their load may be dropped (T-07): a
// session in the wrong hands is noticed. Each gets one letter, which leaves behind the commit of the request. It is no notification: no
// policy asks for it and none can turn it off. Who ordered it is named to owners alone.
func (s *Service) Ordered(ctx context.Context, tx *store.Tx, o Ordered) error {
	who, err := account.ByActor(ctx, tx, o.Actor.Ref)
	if err != nil {
		return err
	}
	var order []string // of accounts, so that letters leave in one order
	concerned := map[string][]*device.Device{}
	for _, id := range o.Devices {
		d, err := device.Get(ctx, tx, id)
		if err != nil {
			return err
		}
		shares, err := device.Shares(ctx, tx, d.ID)
		if err != nil {
			return err
		}
		to := []string{d.Owner}
		for _, g := range shares {
			to = append(to, g.Account)
		}
		for _, account := range to {
			if concerned[account] == nil {
				order = append(order, account)
			}
			concerned[account] = append(concerned[account], d)
		}
	}
	for _, id := range order {
		a, err := account.ByID(ctx, tx, id)
		if err != nil {
			return err
		}
		if a == nil {
			continue // on its way out
		}
		if err := s.Mail.Put(ctx, tx, s.orderedLetter(a, concerned[id], who, o)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) orderedLetter(to *account.Account, devices []*device.Device, who *account.Account, o Ordered) mail.Message {
	owns := func(a *account.Account) func(*device.Device) bool {
		return func(d *device.Device) bool { return a != nil && d.Owner == a.ID }
	}
	by := "Somebody who may"
	switch {
	case who != nil && who.ID == to.ID:
		by = "Your account"
	case who != nil && slices.ContainsFunc(devices, owns(to)):
		by = who.Name
	case slices.ContainsFunc(devices, owns(who)):
		by = "The owner"
	}
	facts := struct {
		Who, At, What, Expires, URL string
		Devices                     []string
		More                        int
	}{Who: by, At: mail.When(o.At), What: inWords(o.Action, o.Params), Expires: mail.When(o.Expires), URL: s.URL, More: max(0, len(devices)-mostNamed)}
	for _, d := range devices[:min(mostNamed, len(devices))] {
		serial := []rune(d.Serial)
		facts.Devices = append(facts.Devices, mail.Quote(d.Name)+", serial number ending in "+mail.Quote(string(serial[max(0, len(serial)-4):])))
	}
	subject := "An order to " + mail.Quote(devices[0].Name) + " that can switch off what it feeds"
	if len(devices) > 1 {
		subject = fmt.Sprintf("An order to %d devices that can switch off what they feed", len(devices))
	}
	return mail.Message{To: to.Email, Kind: "order", Subject: subject, Text: mail.Fill(orderedText, facts)}
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
