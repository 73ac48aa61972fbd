package eventlog

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"upsedge/internal/cloud"
	"upsedge/internal/policy"
)

// An Entry is what is written down of one act (LOG-2).
type Entry struct {
	Device  string            // "d_…"; "" when it is about none
	Org     string            // "o_…"; "" for the device's, or of nobody
	At      time.Time         // when it happened; zero: now
	Arrived time.Time         // when the cloud learnt of it; zero: at At
	Actor   string            // cloud.Actor.Ref: the opaque reference
	Role    policy.Role       // that allowed it, or in which it was refused; "" where roles have no say
	Action  string            // declared
	Params  map[string]string // declared of the action
	Outcome string            // one of the constants below
	Reason  policy.Reason     // why not; "" where it was done
	Request string            // id of the request, or of the order
	Plan    policy.Plan       // at the time; "": the device's as of At
	Decided string            // ByCloud or ByAgent; "": ByCloud
	Own     bool              // a refusal that is an entry however often it comes, since something else bounds it

	more int64 // refusals that had no entry
}

// Outcomes.
const (
	Done      = "done"
	Refused   = "refused"
	Failed    = "failed"
	Accepted  = "accepted" // begun; another entry will tell how it ended
	Cancelled = "cancelled"
	Expired   = "expired"
	Unknown   = "unknown" // nobody can say whether it was done
)

// Where it was decided.
const (
	ByCloud = "cloud"
	ByAgent = "agent"
)

// Outcomes lists the outcomes.
var Outcomes = [...]string{Done, Refused, Failed, Accepted, Cancelled, Expired, Unknown}

// maxText is the longest text of an entry, in bytes; what is longer is cut.
const maxText = 256

// actorRef has no room for a name or an address.
var actorRef = regexp.MustCompile(`^(u_[a-z0-9_]{1,40}|` + cloud.SystemRef + `|` + cloud.LocalRef + `)$`)

// A FieldError is a mistake of the program: the entry says something that is not declared, or lacks something.
type FieldError struct{ Action, Field, Why string }

func (e *FieldError) Error() string {
	return fmt.Sprintf("event log: action %.60q: %s: %s", e.Action, e.Field, e.Why)
}

// complete checks the entry against the declarations and returns it as it will be stored.
func (e Entry) complete(now time.Time) (Entry, error) {
	d, ok := declared[e.Action]
	if !ok {
		return e, &FieldError{e.Action, "action", "is not declared"}
	}
	for name := range e.Params {
		if !slices.Contains(d.params, name) {
			return e, &FieldError{e.Action, "parameter " + name, "is not declared"}
		}
	}
	switch {
	case !actorRef.MatchString(e.Actor):
		return e, &FieldError{e.Action, "actor", "is no opaque reference"}
	case !slices.Contains(Outcomes[:], e.Outcome):
		return e, &FieldError{e.Action, "outcome", fmt.Sprintf("%.40q is none", e.Outcome)}
	case e.Decided != "" && e.Decided != ByCloud && e.Decided != ByAgent:
		return e, &FieldError{e.Action, "decided", fmt.Sprintf("%.40q is nobody", e.Decided)}
	}
	if e.Decided == "" {
		e.Decided = ByCloud
	}
	if e.At.IsZero() {
		e.At = now
	}
	if e.Arrived.IsZero() {
		e.Arrived = e.At
	}
	e.At, e.Arrived = millis(e.At), millis(e.Arrived)
	params := maps.Clone(e.Params)
	for name, value := range params {
		params[name] = Clean(value)
	}
	e.Params = params
	e.addMore()
	e.Request, e.Reason = Clean(e.Request), policy.Reason(Clean(string(e.Reason)))
	e.Role, e.Plan = policy.Role(Clean(string(e.Role))), policy.Plan(Clean(string(e.Plan)))
	return e, nil
}

func millis(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// Clean makes one line of printable characters out of any bytes, at most maxText of them (T-54): what is none becomes U+FFFD. Characters
// that turn the direction of writing are none.
func Clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) { // IsPrint: of all spaces, only U+0020; no controls, no format characters
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, string(unicode.ReplacementChar)))
	if len(text) <= maxText {
		return text
	}
	const more = "…"
	cut := maxText - len(more)
	for !isStart(text[cut]) {
		cut--
	}
	return text[:cut] + more
}

// Printable reports whether Clean would change no character.
func Printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar })
}

// isStart reports whether a character of UTF-8 begins with b.
func isStart(b byte) bool { return b&0xc0 != 0x80 }
