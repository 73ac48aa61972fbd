package licence

import (
	"context"
	"text/template"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// facts is what a letter may quote. Device is harmless (mail.Quote); names of people are so since they were given.
type facts struct {
	URL, Device, Serial, Who, Plan, Until, Next string
	Days                                        int
}

var (
	appliedText = mail.Form(`{{.Who}} has put a licence on your device "{{.Device}}"
(serial number {{.Serial}}): {{.Days}} days of {{.Plan}}.

It is now on the plan {{.Until}}.
You find its log at
{{.URL}}
`)
	warningText = mail.Form(`The device "{{.Device}}" (serial number {{.Serial}}) is on the
plan {{.Plan}} until {{.Until}}.
{{.Next}}

Whoever has it, or shares it, can put a licence on it at
{{.URL}}
before or after that.
`)
	endedText = mail.Form(`The plan {{.Plan}} of the device "{{.Device}}" (serial number {{.Serial}})
has ended, {{.Until}}.
{{.Next}}

Whoever has it, or shares it, can put a licence on it at
{{.URL}}
Then everything is as it was before; nothing that was stored is lost.
`)
)

// planNames are what letters call plans.
var planNames = map[policy.Plan]string{policy.Basic: "Basic", policy.Standard: "Standard", policy.Advanced: "Advanced"}

// until is a plan with its end.
func until(plan policy.Plan, end time.Time) string {
	if !end.Before(device.Forever) {
		return planNames[plan]
	}
	return planNames[plan] + " until " + mail.When(end)
}

// follows says what follows a plan, and what is lost by that (PLAN-4, PLAN-8).
func follows(next policy.Plan, end time.Time) string {
	if next == policy.Basic {
		return "It is on Basic from then on: no history, no notifications, no remote control,\nno invitations. Who shares it still does. The UPS protects as before."
	}
	return "It is on " + until(next, end) + " from then on: outlet groups\ncannot be rebooted or switched any more."
}

func (s *Service) letter(kind, to, subject string, t *template.Template, f facts) mail.Message {
	f.URL = s.url
	return mail.Message{To: to, Subject: subject, Text: mail.Fill(t, f), Kind: kind}
}

// tellOwner writes to the owner that somebody else has put a licence on the device.
func (s *Service) tellOwner(ctx context.Context, tx *store.Tx, actor cloud.Actor, d *device.Device, u Use) error {
	if actor.Account == d.Owner {
		return nil
	}
	owner, err := account.ByID(ctx, tx, d.Owner)
	if err != nil || owner == nil {
		return err
	}
	who, err := account.ByActor(ctx, tx, actor.Ref)
	if err != nil {
		return err
	}
	f := facts{Device: mail.Quote(d.Name), Serial: mail.Quote(d.Serial), Who: "Somebody who shares it", Plan: planNames[u.Plan], Days: u.Days, Until: until(d.PlanAt(u.At), d.EndAt(u.At))}
	if who != nil {
		f.Who = who.Name
	}
	return s.mail.Put(ctx, tx, s.letter("licence", owner.Email, "A licence was put on "+f.Device, appliedText, f))
}

// concerned returns the addresses of owner and shared users of a device.
func concerned(ctx context.Context, tx *store.Tx, d *device.Device) (list []string, err error) {
	shares, err := device.Shares(ctx, tx, d.ID)
	if err != nil {
		return nil, err
	}
	accounts := []string{d.Owner}
	for _, g := range shares {
		accounts = append(accounts, g.Account)
	}
	for _, id := range accounts {
		a, err := account.ByID(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		if a != nil {
			list = append(list, a.Email)
		}
	}
	return list, nil
}

func (s *Service) tell(ctx context.Context, tx *store.Tx, d *device.Device, subject string, t *template.Template, f facts) error {
	list, err := concerned(ctx, tx, d)
	if err != nil {
		return err
	}
	for _, to := range list {
		if err := s.mail.Put(ctx, tx, s.letter("plan", to, subject, t, f)); err != nil {
			return err
		}
	}
	return nil
}

// warned is logged when people were told that a plan will end (PLAN-12). Its end itself is a plan.change.
var warned = eventlog.Declare("plan.warning", eventlog.ByReaders, "days", "plan", "valid_until", "next")

// warn is for device.Registry.OnPlanWarning.
func (s *Service) warn(ctx context.Context, tx *store.Tx, d *device.Device, days int) error {
	next, end := d.Next(s.now())
	err := eventlog.Append(ctx, tx, eventlog.Entry{
		Device: d.ID, At: s.now(), Actor: cloud.SystemRef, Action: warned, Outcome: eventlog.Done,
		Params: map[string]string{"days": decimal(days), "plan": string(d.Plan), "valid_until": instant(d.ValidUntil), "next": string(next)},
	})
	if err != nil {
		return err
	}
	f := facts{Device: mail.Quote(d.Name), Serial: mail.Quote(d.Serial), Plan: planNames[d.Plan], Until: mail.When(d.ValidUntil), Next: follows(next, end)}
	return s.tell(ctx, tx, d, "The plan "+f.Plan+" of "+f.Device+" ends "+d.ValidUntil.UTC().Format("on 2 January 2006"), warningText, f)
}

// ended is for device.Registry.OnPlanEnd: the last of the warnings, "expired".
func (s *Service) ended(ctx context.Context, tx *store.Tx, d *device.Device, old policy.Plan, end time.Time) error {
	f := facts{Device: mail.Quote(d.Name), Serial: mail.Quote(d.Serial), Plan: planNames[old], Until: mail.When(end), Next: follows(d.Plan, d.ValidUntil)}
	return s.tell(ctx, tx, d, "The plan "+f.Plan+" of "+f.Device+" has ended", endedText, f)
}
