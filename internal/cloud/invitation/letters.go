package invitation

import (
	"context"
	"fmt"
	"text/template"

	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
)

// facts is what a letter may quote: no measurement, no address of a device, and no link that does something by itself (INV-2).
type facts struct {
	URL, Code, Until, Name, Why string
	Devices                     []string
}

var (
	inviteText = mail.Form(`{{.Name}} wants to share with you at
{{.URL}}
{{range .Devices}}
    {{.}}{{end}}

To accept, sign in there, or sign up, with this address, then enter the code

    {{.Code}}

valid once, until {{.Until}}. If you do not want to, decline with
the code, or do nothing: without it nothing is shared.
`)
	endedText = mail.Form(`Your invitation of {{.Name}} to share at
{{.URL}}
{{range .Devices}}
    {{.}}{{end}}

has ended: {{.Why}}
`)
	endedHereText = mail.Form(`An invitation of this address to share at
{{.URL}}
{{range .Devices}}
    {{.}}{{end}}

has ended: {{.Why}}
`)
)

func (s *Service) letter(to, subject string, t *template.Template, f facts) mail.Message {
	f.URL = s.URL
	return mail.Message{To: to, Subject: subject, Text: mail.Fill(t, f), Kind: "share"}
}

// lines says which devices some items are: number, name, model, and the last four characters of the serial number (INV-2).
func lines(ctx context.Context, tx *store.Tx, items []*Item) (out []string, err error) {
	for _, item := range items {
		d, err := device.Get(ctx, tx, item.Device)
		if err != nil {
			if err = notOurs(err); err != nil {
				return nil, err
			}
			continue // its owner's no more, and nobody's to read of
		}
		line, err := lineOf(ctx, tx, item.Number, d)
		if err != nil {
			return nil, err
		}
		out = append(out, line)
	}
	return out, nil
}

func lineOf(ctx context.Context, tx *store.Tx, number int, d *device.Device) (string, error) {
	text, err := device.Describe(ctx, tx, d)
	return fmt.Sprintf("%d. %s", number, text), err
}

// sendCode puts the letter with a code into the queue.
func (s *Service) sendCode(ctx context.Context, tx *store.Tx, owner *account.Account, i *Invitation, items []*Item, code string) error {
	devices, err := lines(ctx, tx, items)
	if err != nil {
		return err
	}
	m := s.letter(i.Email, "An invitation to share devices", inviteText, facts{Name: owner.Name, Devices: devices, Code: code, Until: mail.When(i.Expires)})
	m.Until = i.Expires
	return s.Mail.Put(ctx, tx, m)
}

// tellOwner writes that an invitation came to nothing, for some items, to who sent it, if there still is somebody (INV-12, INV-15).
func (s *Service) tellOwner(ctx context.Context, tx *store.Tx, i *Invitation, items []*Item, why string) error {
	a, err := account.ByID(ctx, tx, i.owner)
	if err != nil || a == nil {
		return err
	}
	devices, err := lines(ctx, tx, items)
	if err != nil {
		return err
	}
	return s.Mail.Put(ctx, tx, s.letter(a.Email, "An invitation has ended", endedText, facts{Name: i.Email, Devices: devices, Why: why}))
}

// tellInvitee writes to the invited address that an invitation has ended. devices are lines.
func (s *Service) tellInvitee(ctx context.Context, tx *store.Tx, i *Invitation, devices []string, why string) error {
	return s.Mail.Put(ctx, tx, s.letter(i.Email, "An invitation has ended", endedHereText, facts{Devices: devices, Why: why}))
}
