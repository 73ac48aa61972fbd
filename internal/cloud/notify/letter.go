package notify

import (
	"fmt"
	"strings"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/ups"
)

// Letters are plain text, with times in UTC. What people have typed and agents have said is quoted harmlessly; no letter has a link that does
// something by itself.

const (
	detailShown = 160 // of what the agent says beside it
)

func when(t time.Time) string { return t.UTC().Format("2 January 2006 15:04:05 UTC") }

// sentence says what happened, in words.
func (e *event) sentence() string {
	if e.step == Cleared {
		return "over: " + harmless(e.words, detailShown)
	}
	return harmless(e.words, detailShown)
}

// late says that something is told long after it happened.
func (s *Service) late(e *event) bool { return s.Now().Sub(e.at) > lateAfter }

func (s *Service) eventLetter(p *Policy, r *Recipient, d *device.Device, e *event) mail.Message {
	subject := fmt.Sprintf("%s: %s (%s)", mail.Quote(d.Name), e.sentence(), severityWord(e.severity))
	var b strings.Builder
	fmt.Fprintf(&b, "Device:    \"%s\"\nWhat:      %s\nSeverity:  %s\n", mail.Quote(d.Name), e.sentence(), severityWord(e.severity))
	if e.code != Silence {
		fmt.Fprintf(&b, "Event:     %s\n", e.code)
	}
	if e.outlet != "" {
		fmt.Fprintf(&b, "Outlets:   %s\n", mail.Quote(e.outlet))
	}
	if e.detail != "" {
		fmt.Fprintf(&b, "Detail:    %s\n", harmless(e.detail, detailShown))
	}
	switch {
	case !e.certain:
		subject = "Time unknown: " + subject
		fmt.Fprintf(&b, "When:      not known; we heard of it on %s\n", when(e.arrived))
	case s.late(e):
		subject = "Late: " + subject
		fmt.Fprintf(&b, "When:      %s\nWe heard of it only on %s: this is not news.\n", when(e.at), when(e.arrived))
	default:
		fmt.Fprintf(&b, "When:      %s\n", when(e.at))
	}
	return mail.Message{Subject: subject, Text: b.String() + s.foot(p, r)}
}

func severityWord(v ups.Severity) string {
	if v < ups.Informational || v > ups.Critical {
		return "unknown severity"
	}
	return v.String()
}

// digestShown is how many devices a digest names.
const digestShown = 50

func (s *Service) digestLetter(p *Policy, r *Recipient, rows []heldRow) mail.Message {
	total, worst, since, until := sum(rows)
	var b strings.Builder
	fmt.Fprintf(&b, "Events that your policy asks for and that were not told one by one,\nbecause there were too many of them or they are old: %d.\n\n", total)
	fmt.Fprintf(&b, "They happened between %s\nand %s; the worst is %s.\n\n", when(since), when(until), severityWord(worst))
	for i, h := range rows {
		if i == digestShown {
			fmt.Fprintf(&b, "  and %s\n", ups.Count(len(rows)-i, "more device"))
			break
		}
		fmt.Fprintf(&b, "  %6d  \"%s\"\n", h.number, mail.Quote(h.name))
	}
	return mail.Message{Subject: fmt.Sprintf("%s of %s (%s)", ups.Count(total, "more event"), ups.Count(len(rows), "device"), severityWord(worst)), Text: b.String() + s.foot(p, r)}
}

// sum says of what is held how many events that are, the worst, and between when they happened.
func sum(rows []heldRow) (total int64, worst ups.Severity, since, until time.Time) {
	for _, h := range rows {
		total, worst = total+h.number, max(worst, h.worst)
		if since.IsZero() || h.since.Before(since) {
			since = h.since
		}
		if h.until.After(until) {
			until = h.until
		}
	}
	return total, worst, since, until
}

func (s *Service) testLetter(p *Policy, r *Recipient) mail.Message {
	return mail.Message{
		Subject: "A test of your notifications",
		Text:    "This is a test, asked for on " + when(s.Now()) + ". Nothing has happened.\n" + s.foot(p, r),
	}
}

// foot says why somebody gets a letter and how to be taken off.
func (s *Service) foot(p *Policy, r *Recipient) string {
	if r.Kind == KindOwn {
		return fmt.Sprintf("\n-- \nYour notification policy \"%s\" at\n%s\nasks for this. Change it or turn it off there.\n", mail.Quote(p.Name), s.URL)
	}
	return "\n-- \n" + s.takenOff(r)
}

// takenOff is how each letter to somebody else's address ends.
func (s *Service) takenOff(r *Recipient) string {
	return fmt.Sprintf(`This address was given to
%s
for such letters. To get none any more and not be asked again, no account is
needed; send recipient and code to /api/v1/notification-recipients/leave there:

  {"recipient": "%s", "code": "%s"}
`, s.URL, r.ID, r.offCode)
}

// askLetter asks an address. name is of the account that asks, and is harmless.
func (s *Service) askLetter(r *Recipient, name, code string, until time.Time) mail.Message {
	text := fmt.Sprintf(`%s wants to have notifications about power supplies (UPS) sent to this
address from
%s
If you agree, send recipient and code to /api/v1/notification-recipients/confirm
there, or give them to who asked:

  {"recipient": "%s", "code": "%s"}

    %s

valid once, until %s. If you do not agree, do nothing: without the code
nothing is sent.

-- 
%s`, mail.Quote(name), s.URL, r.ID, code, code, when(until), s.takenOff(r))
	return mail.Message{To: r.Address, Subject: "May notifications be sent to this address?", Text: text, Kind: askKind, Key: r.ID, Until: until}
}

// failedLetter tells an account that a webhook was turned off.
func (s *Service) failedLetter(to string, p *Policy, r *Recipient, gone bool) mail.Message {
	why := "nothing has got through to it for three days"
	if gone {
		why = "it answered that it is gone (410)"
	}
	return mail.Message{
		To: to, Kind: noticeKind, Subject: "A webhook was turned off",
		Text: fmt.Sprintf("A webhook of your notification policy \"%s\" at\n%s\nwas turned off: %s. Its host is\n\n    %s\n\nTurn it on again there when it works.\n",
			mail.Quote(p.Name), s.URL, why, hostOf(r.Address)),
	}
}
