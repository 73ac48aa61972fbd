package account

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"upsedge/internal/cloud"
	"upsedge/internal/policy"
)

// Bounds of a password in characters. The upper one bounds what is hashed; it is no rule of taste.
const (
	passwordMin = 10
	passwordMax = 256
)

// plainPassword is the one form of what may be typed on different keyboards as the same characters (NIST SP 800-63B, 3.1.1.2).
func plainPassword(text string) string { return norm.NFKC.String(text) }

// checkPassword refuses what is too short, too long, or among what everybody tries first (T-84). about holds words of the person that make
// no secret: the address and the names.
func checkPassword(field, text string, about ...string) error {
	n := utf8.RuneCountInString(text)
	switch {
	case !utf8.ValidString(text):
		return cloud.RefuseField(policy.Malformed, field, "a password is text")
	case n < passwordMin:
		return cloud.RefuseField(policy.Malformed, field, "a password has at least %d characters", passwordMin)
	case n > passwordMax:
		return cloud.RefuseField(policy.Malformed, field, "a password has at most %d characters", passwordMax)
	case common(text, about):
		return cloud.RefuseField(policy.Malformed, field, "that password is among those that are tried first")
	}
	return nil
}

// commonWords are what the lists of stolen passwords are made of once digits, signs and spelling by digits are taken off: written
// down by us, for ten characters and more; shorter ones fail by their length, and those made of a shorter word and digits by the rule below.
var commonWords = strings.Fields(`
	password passwort passwords motdepasse contrasena senha wachtwoord parola haslo welcome willkommen bienvenue letmein iloveyou admin
	administrator adminadmin superuser root toor default changeme changeit secret master login guest user test testtest tester demo example
	qwerty qwertz azerty asdf asdfgh zxcvbn zxcvbnm football baseball basketball hockey soccer liverpool arsenal chelsea barcelona juventus
	monkey dragon sunshine princess shadow superman batman spiderman pokemon starwars starwarsfan michael jennifer jordan daniel ashley
	thomas charlie jessica andrew computer internet samsung google facebook microsoft windows linux ubuntu debian summer winter spring autumn
	january february march april june july august september october november december monday friday sunday trustno whatever nothing freedom
	flower lovely loveyou hello hellohello helloworld killer matrix mustang corvette ferrari mercedes porsche cheese chocolate cookie
	banana orange purple silver golden diamond forever family mother father brother sister andrea martin robert george matthew
	correcthorsebatterystaple abcdefghij abcdefgh abcdef abcabc access system server network cisco oracle mysql postgres database
	upsedge upscloud upsagent smartups smartconnect apc apcups battery power reboot uninterruptible schneider electric
	thisismypassword mypassword passwordpassword passw myspace yourname somebody nobody everybody`)

// keyboardRows are walked along by fingers; so are the alphabet and the digits.
var keyboardRows = []string{"qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn", "1234567890", "0123456789", "abcdefghijklmnopqrstuvwxyz", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0"}

// common reports whether a guesser has the password among the first: a common word or one of the person's own with digits and signs
// around it, a walk over the keyboard, or fewer than five different characters.
func common(password string, about []string) bool {
	low := strings.ToLower(password)
	if distinct(low) < 5 || isWalk(low) || repeats(low) {
		return true
	}
	words := append(commonWords[:len(commonWords):len(commonWords)], parts(about)...)
	trimmed := strings.TrimFunc(low, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, form := range []string{trimmed, unspelled.Replace(trimmed), unspelled.Replace(low)} {
		core := strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) {
				return r
			}
			return -1
		}, form)
		if core == "" || isWalk(core) || madeOf(core, words) {
			return true
		}
	}
	return false
}

// unspelled undoes the usual spelling of letters by digits and signs.
var unspelled = strings.NewReplacer("0", "o", "1", "i", "!", "i", "3", "e", "4", "a", "@", "a", "5", "s", "$", "s", "7", "t")

func distinct(s string) int {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}

// repeats reports whether s is one piece of at most half its length, again and again.
func repeats(s string) bool {
	for n := 1; n <= 4 && n <= len(s)/2; n++ {
		if strings.HasPrefix(strings.Repeat(s[:n], len(s)/n+1), s) {
			return true
		}
	}
	return false
}

// isWalk reports whether s goes along rows of the keyboard, forward or back, in pieces of at least three keys.
func isWalk(s string) bool {
	for s != "" {
		n := longestWalk(s)
		if n < 3 {
			return false
		}
		s = s[n:]
	}
	return true
}

func longestWalk(s string) int {
	best := 0
	for _, row := range keyboardRows {
		back := reversed(row)
		for n := len(s); n > best; n-- {
			if strings.Contains(row, s[:n]) || strings.Contains(back, s[:n]) {
				best = n
			}
		}
	}
	return best
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// parts are the words of an address or a name that are long enough to stand alone.
func parts(about []string) []string {
	var list []string
	for _, text := range about {
		for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) }) {
			if len(w) >= 3 {
				list = append(list, w)
			}
		}
	}
	return list
}

// madeOf reports whether letters is one or two of words.
func madeOf(letters string, words []string) bool {
	for _, first := range words {
		rest, ok := strings.CutPrefix(letters, first)
		if !ok {
			continue
		}
		if rest == "" {
			return true
		}
		for _, second := range words {
			if rest == second {
				return true
			}
		}
	}
	return false
}
