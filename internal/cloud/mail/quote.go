package mail

import (
	"strings"
	"unicode"
)

// quoteMost is the most characters of a name in a letter.
const quoteMost = 80

// Quote makes what people have typed, the name of a device for instance, fit to stand in a letter to somebody else: nothing in it can be taken
// for a link or an address, or begin a line of its own (T-85). Letters, marks, digits, spaces and a few signs stay, a dot ends a word; what else
// there is becomes a space. It is never empty.
func Quote(text string) string {
	var b strings.Builder
	for i, r := range []rune(text) {
		if i == quoteMost {
			b.WriteString("…")
			break
		}
		switch {
		case r == '.':
			b.WriteString(". ")
		case unicode.In(r, unicode.L, unicode.M, unicode.Nd) || strings.ContainsRune("-'’,&()+", r):
			b.WriteRune(r)
		default:
			b.WriteByte(' ')
		}
	}
	if out := strings.Join(strings.Fields(b.String()), " "); strings.Trim(out, " .,-…") != "" {
		return out
	}
	return "(no name)"
}
