// Package cloud is the vocabulary of the control plane: who acts (Actor), what went wrong (Error) and what things are called (NewID).
// The packages below it hold the rules, one subject each; package store below keeps their facts.
package cloud

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"upsedge/internal/policy"
)

// An Error is one that the caller is told: by its reason and, where there is one, by its detail. Every other error of the control
// plane is our own affair: 500, and logged.
type Error struct {
	Reason policy.Reason
	Detail string // one sentence for people; never a secret, never what the caller may not know
	Field  string // of the request that is meant; "" when it is not about one

	Retry time.Duration // after which it may be tried again (Retry-After); 0 where nobody can say
}

// Error returns reason and detail.
func (e *Error) Error() string {
	s := string(e.Reason)
	if e.Field != "" {
		s += " (" + e.Field + ")"
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Refuse returns an *Error.
func Refuse(reason policy.Reason, format string, args ...any) error {
	return &Error{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// RefuseField returns an *Error about a field of the request.
func RefuseField(reason policy.Reason, field, format string, args ...any) error {
	return &Error{Reason: reason, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// An Actor is who asks for something. Only Ref stands in logs and orders: an account can go, and what it did stays told of nobody.
type Actor struct {
	Ref     string // opaque: SystemRef, LocalRef, or "u_" and random characters
	Account string // "a_…"; "" of the system
	Org     string // "o_…", the organisation of the account
	MFA     bool   // a second factor was given in this session
	Address string // where the request came from, for T-14; never shown to others
	Request string // id of the request

	HasFactor bool      // the account has a second factor set up
	FactorAt  time.Time // when it was last given in this session; zero when it was not
}

// FactorLife is how long a second factor counts as fresh: long enough for a page or a few curl lines, short enough that an open
// session found later drops no load (T-07).
const FactorLife = 10 * time.Minute

// StepUp is asked before an act that can drop the load (rules, D-18): where a second factor is set up, it must have been given within
// FactorLife before now. Otherwise it returns STEP_UP_REQUIRED.
func (a Actor) StepUp(now time.Time) error {
	if a.HasFactor && (a.FactorAt.IsZero() || now.Sub(a.FactorAt) > FactorLife) {
		return Refuse(policy.StepUpRequired, "give the second factor again, then repeat the request")
	}
	return nil
}

// References of actors that are no account.
const (
	SystemRef = "system" // the control plane itself
	LocalRef  = "local"  // somebody at the unit or at the box (LOG-4)
)

// System is the control plane acting by itself.
func System(request string) Actor { return Actor{Ref: SystemRef, Request: request} }

// crockford has no I, L, O and U: nothing in it is mistaken for something else when it is read aloud or typed.
var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns prefix and 26 random characters (130 bits rounded down to 128): never used again, and says nothing.
func NewID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it does not fail: the program ends instead
	return prefix + crockford.EncodeToString(b[:])
}

// CheckID reports whether text has the form of NewID(prefix).
func CheckID(prefix, text string) bool {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || len(rest) != 26 {
		return false
	}
	_, err := crockford.DecodeString(rest)
	return err == nil
}
