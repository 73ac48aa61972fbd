package account

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"upsedge/internal/cloud"
	"upsedge/internal/policy"
)

// nameMax is the most characters of the name of a person or an organisation.
const nameMax = 80

// parseName reads the name of a person or an organisation. Names stand in mails to people who did not ask for them, so that nothing in
// one may be taken for a link or an address, or begin a line of its own (T-85): letters, marks, digits, spaces and a few signs.
func parseName(field, text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", badName(field)
	}
	name := strings.Join(strings.Fields(norm.NFC.String(text)), " ")
	if name == "" {
		return "", cloud.RefuseField(policy.Malformed, field, "a name is needed")
	}
	if utf8.RuneCountInString(name) > nameMax {
		return "", cloud.RefuseField(policy.Malformed, field, "a name has at most %d characters", nameMax)
	}
	for _, r := range name {
		if !unicode.In(r, unicode.L, unicode.M, unicode.Nd) && !strings.ContainsRune(" -'’.,&()+", r) {
			return "", badName(field)
		}
	}
	// A dot between two letters makes a link of many mail programs ("evil.example"); in a name a space follows it.
	if dotInside(name) {
		return "", badName(field)
	}
	return name, nil
}

func badName(field string) error {
	return cloud.RefuseField(policy.Malformed, field, "a name holds letters, digits, spaces and - ' . , & ( ) +, and a dot ends a word")
}

func dotInside(name string) bool {
	_, rest, found := strings.Cut(name, ".")
	for found {
		if rest != "" && !strings.ContainsAny(rest[:1], " ,.)") {
			return true
		}
		_, rest, found = strings.Cut(rest, ".")
	}
	return false
}
