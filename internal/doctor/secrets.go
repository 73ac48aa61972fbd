package doctor

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// Secrets are what must not be in any bundle: whatever the files say that the agent uses to prove who it is, or to open something. Each is
// looked for as it stands, in base64 and in hexadecimal digits.
type Secrets struct{ all []secret }

type secret struct {
	of    string // in words
	forms [][]byte
}

// A SecretError says that a bundle would have told a secret. It does not say which one stood where.
type SecretError struct{ Of, File string }

func (e *SecretError) Error() string {
	return fmt.Sprintf("%s would have had what is in %s: no bundle is made", e.File, e.Of)
}

const (
	maxSecretFile = 1 << 20
	// leastSecret is the shortest text that is looked for inside of others; shorter ones only where they stand alone.
	leastSecret = 8
	shortest    = 4 // and those not at all: "apc" is in half of all words here
)

// Text adds a secret in words: a password, a token.
func (s *Secrets) Text(of, text string) {
	if text = strings.TrimSpace(text); len(text) >= shortest {
		s.add(of, []byte(text), len(text) >= leastSecret)
	}
}

// Key adds the bytes of a key.
func (s *Secrets) Key(of string, raw []byte) {
	if len(raw) >= leastSecret {
		s.add(of, raw, true)
	}
}

func (s *Secrets) add(of string, raw []byte, coded bool) {
	x := secret{of: of, forms: [][]byte{slices.Clone(raw)}}
	if quoted, err := json.Marshal(string(raw)); err == nil && utf8.Valid(raw) { // as it would stand in a file of the bundle
		x.forms = append(x.forms, bytes.Trim(quoted, `"`))
	}
	if coded {
		x.forms = append(x.forms, []byte(hex.EncodeToString(raw)), []byte(strings.ToUpper(hex.EncodeToString(raw))))
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			x.forms = append(x.forms, []byte(e.EncodeToString(raw)))
		}
	}
	s.all = append(s.all, x)
}

// PEM adds every private key of a file, and each of its lines: half of a key is half of a secret. A file that is not there has none.
func (s *Secrets) PEM(of, path string) {
	text := read(path)
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return
		}
		if !strings.Contains(b.Type, "PRIVATE KEY") {
			continue
		}
		s.Key(of, b.Bytes)
		for line := range bytes.Lines(pem.EncodeToMemory(b)) {
			if line = bytes.TrimSpace(line); len(line) >= 16 && !bytes.HasPrefix(line, []byte("-----")) {
				s.all = append(s.all, secret{of, [][]byte{line}})
			}
		}
	}
}

// Lines adds what stands in a file of credentials: each line, and each word of it behind a colon or an equals sign.
func (s *Secrets) Lines(of, path string) {
	for line := range strings.Lines(string(read(path))) {
		line = strings.TrimSpace(line)
		s.Text(of, line)
		if i := strings.IndexAny(line, ":="); i >= 0 { // before it stands what it is
			line = line[i+1:]
		}
		for _, word := range strings.Fields(line) {
			s.Text(of, strings.Trim(word, `"',`))
		}
	}
}

func read(path string) []byte {
	f, err := os.Open(path)
	if path == "" || err != nil {
		return nil
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, maxSecretFile))
	return b
}

// find returns whose secret stands in b, "" if none does.
func (s *Secrets) find(b []byte) string {
	for _, x := range s.all {
		for _, form := range x.forms {
			if len(form) >= leastSecret && bytes.Contains(b, form) || len(form) < leastSecret && alone(b, form) {
				return x.of
			}
		}
	}
	return ""
}

// alone reports whether a short text stands somewhere with neither letter nor digit beside it.
func alone(b, short []byte) bool {
	word := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
	}
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], short)
		if i < 0 {
			return false
		}
		at += i
		end := at + len(short)
		if (at == 0 || !word(b[at-1])) && (end == len(b) || !word(b[end])) {
			return true
		}
	}
}
