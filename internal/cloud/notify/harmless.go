package notify

import (
	"strings"
	"unicode"

	"upsedge/internal/cloud/eventlog"
)

// harmless makes of what an agent said one line of at most most characters that no mail program takes for a link or an address: it is quoted
// to people who did not ask for it (T-85). Beside mail.Quote, which is for names, it leaves measured values readable: "53.2 V, 80 %".
func harmless(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		switch r {
		case '。', '．', '｡', '․', '﹒': // dots, to who looks a name up
			return '.'
		case '"', '“', '”', '„':
			return '\'' // what is quoted ends at our own quotes
		case '＠', '﹫':
			return '@'
		case '／', '⁄', '∕':
			return '/'
		case '：', '﹕', '∶':
			return ':'
		}
		return r
	}, eventlog.Clean(text))
	var b strings.Builder
	var last rune = ' '
	n := 0
	for _, r := range text {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		// "evil.example", "//host", "mailto:x", "a@b": a space takes the link apart.
		if last == '.' && unicode.IsLetter(r) || last == '/' && r == '/' || last == ':' && r != ' ' && !unicode.IsDigit(r) || last == '@' || r == '@' && last != ' ' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		last = r
	}
	return strings.TrimSpace(b.String())
}
