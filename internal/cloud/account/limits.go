package account

import (
	"time"

	"upsedge/internal/cloud/limit"
)

// Limits. A person who mistypes meets none of them; a guesser has, from one address at one account, forty tries in an hour, and from
// everywhere together a hundred. That somebody can keep another out by failing on purpose is bounded by the first: it counts per caller.
var (
	signInHere   = limit.Limit{Name: "sign-in here", Most: 10, Per: 15 * time.Minute}        // failures of an address from one source
	signInAll    = limit.Limit{Name: "sign-in", Most: 100, Per: time.Hour}                   // failures of an address
	signInSource = limit.Limit{Name: "sign-in source", Most: 100, Per: 15 * time.Minute}     // failures from one source, whatever the address: stuffing of lists (T-84)
	factorHere   = limit.Limit{Name: "factor here", Most: 5, Per: 15 * time.Minute}          // wrong second factors of an identity from one source
	factorAll    = limit.Limit{Name: "factor", Most: 20, Per: time.Hour}                     // wrong second factors of an identity
	LettersTo    = limit.Limit{Name: "letters", Most: 5, Per: time.Hour}                     // mails with a code that strangers have sent to an address
	lettersFrom  = limit.Limit{Name: "letters source", Most: 60, Per: time.Hour}             // mails with a code asked for from one source
	CodesWrong   = limit.Limit{Name: "codes", Most: 20, Per: time.Hour}                      // wrong codes for an address (INV-12)
	CodesSource  = limit.Limit{Name: "codes source", Most: 20, Per: time.Hour}               // wrong codes from one source
	invitesBy    = limit.Limit{Name: "invitations", Most: 50, Per: 24 * time.Hour}           // invitations by an account
	resendsOften = limit.Limit{Name: "invitation resent", Most: 1, Per: time.Minute}         // of one invitation (INV-14)
	resendsDay   = limit.Limit{Name: "invitation resent, day", Most: 5, Per: 24 * time.Hour} // of one invitation (INV-14)
)
