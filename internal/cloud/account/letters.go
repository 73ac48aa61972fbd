package account

import (
	"text/template"
	"time"

	"upsedge/internal/cloud/mail"
)

// Letters are plain text. What people have typed and is quoted in one has passed parseName: it holds no link, no address and no line of
// its own. No letter has a link that does something by itself (INV-2).

// facts is what a letter may quote.
type facts struct {
	URL, Code, Until, Name, Organisation, What, Where, When string
}

var (
	signUpText = mail.Form(`Somebody, presumably you, wants an account at
{{.URL}}
with this address. The code is

    {{.Code}}

valid once, until {{.Until}}. If it was not you, do nothing: without the code
there will be no account.
`)
	haveAccountText = mail.Form(`Somebody, presumably you, wanted an account at
{{.URL}}
with this address, which has one already. Sign in with it; if the password
is lost, ask for another one there. If it was not you, do nothing.
`)
	resetText = mail.Form(`Somebody, presumably you, has forgotten the password of the account with
this address at
{{.URL}}
The code to set another one is

    {{.Code}}

valid once, until {{.Until}}. If it was not you, do nothing: the password
stays as it is.
`)
	noAccountText = mail.Form(`Somebody, presumably you, asked for another password of the account with
this address at
{{.URL}}
There is none. If it was you, try another address of yours, or sign up.
`)
	inviteText = mail.Form(`{{.Name}} invites you to join the organisation "{{.Organisation}}" at
{{.URL}}
Sign in there, or sign up, with this address, then enter the code

    {{.Code}}

valid once, until {{.Until}}. Joining gives you no right on any device; devices
are shared one by one. If you do not want to join, decline with the code, or do
nothing.
`)
	inviteEndedText = mail.Form(`Your invitation of {{.Name}} to the organisation "{{.Organisation}}" at
{{.URL}}
has ended: {{.What}}
`)
	placeText = mail.Form(`Your account at
{{.URL}}
was signed in to from a network where it was not used lately:

    {{.Where}}, {{.When}}

If it was not you, change the password, which ends all sessions.
`)
	noticeText = mail.Form(`{{.What}} ({{.When}}, {{.URL}})

If it was not you, ask for another password there, and tell who runs it.
`)
)

func (s *Service) letter(kind, to, subject string, t *template.Template, f facts) mail.Message {
	f.URL = s.opts.URL
	return mail.Message{To: to, Subject: subject, Text: mail.Fill(t, f), Kind: kind}
}

// codeLetter is the letter of a sign-up or a reset: with the code where the code is for who has the address, without where it is not.
func (s *Service) codeLetter(purpose string, fits bool, to, code string, until time.Time) mail.Message {
	f := facts{Code: code, Until: mail.When(until)}
	var m mail.Message
	switch {
	case purpose == purposeSignUp && fits:
		m = s.letter("signup", to, "Your code to sign up", signUpText, f)
	case purpose == purposeSignUp:
		m = s.letter("signup", to, "You have an account", haveAccountText, facts{})
	case fits:
		m = s.letter("reset", to, "Your code for another password", resetText, f)
	default:
		m = s.letter("reset", to, "There is no account with this address", noAccountText, facts{})
	}
	m.Until = until
	return m
}

func (s *Service) inviteLetter(to, inviter, organisation, code string, until time.Time) mail.Message {
	m := s.letter("invitation", to, "An invitation to "+organisation, inviteText,
		facts{Name: inviter, Organisation: organisation, Code: code, Until: mail.When(until)})
	m.Until = until
	return m
}

// inviteEndedLetter tells that an invitation came to nothing.
func (s *Service) inviteEndedLetter(to, whom, organisation, why string) mail.Message {
	return s.letter("invitation", to, "An invitation has ended", inviteEndedText, facts{Name: whom, Organisation: organisation, What: why})
}

func (s *Service) placeLetter(a *Account, where string, at time.Time) mail.Message {
	return s.letter("notice", a.Email, "A sign-in from a new place", placeText, facts{Where: where, When: mail.When(at)})
}

func (s *Service) noticeLetter(a *Account, subject, what string) mail.Message {
	return s.letter("notice", a.Email, subject, noticeText, facts{What: what, When: mail.When(s.now())})
}
