package capture

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	mostLine  = 4096             // characters: the longest frame is 260 bytes, and a line has two and the garbage behind them
	mostLines = 1 << 20          // half a day of reading as fast as a line goes
	mostTime  = 30 * 24 * 3600e9 // ns
)

// Parse reads a capture. Its error names the line. A last line that is not complete is left out: whoever wrote it was
// interrupted.
func Parse(r io.Reader) (*Capture, error) {
	p := &parser{c: &Capture{}}
	in := bufio.NewReaderSize(r, mostLine)
	for {
		text, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			if p.n == 0 {
				return nil, errors.New("capture, line 1: empty")
			}
			p.c.Cut = len(text) > 0
			return p.c, nil
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("capture, line %d: longer than %d characters", p.n+1, mostLine)
		case err != nil:
			return nil, err
		}
		p.n++
		if err := p.line(strings.TrimSpace(string(text))); err != nil {
			return nil, fmt.Errorf("capture, line %d: %w", p.n, err)
		}
	}
}

type parser struct {
	c    *Capture
	n    int // lines so far
	body bool
}

func (p *parser) line(l string) error {
	switch {
	case p.n == 1:
		return first(l)
	case p.n > mostLines:
		return fmt.Errorf("more than %d lines", mostLines)
	case l == "":
		p.body = true
		return nil
	case l[0] == '#':
		return nil
	case !p.body:
		return p.c.Header.set(l)
	}
	e, err := entry(l)
	if err != nil {
		return err
	}
	e.Line = p.n
	p.c.Entries = append(p.c.Entries, e)
	return nil
}

func first(l string) error {
	v, ok := strings.CutPrefix(l, magic+" ")
	switch {
	case !ok:
		return fmt.Errorf("%q is not how a capture begins: %q", shorten(l), fmt.Sprint(magic, " ", version))
	case v != fmt.Sprint(version):
		return fmt.Errorf("format %q, and only %d is known", shorten(v), version)
	}
	return nil
}

// set takes a line of the header. A key that is not known is of a later program and passed over.
func (h *Header) set(l string) error {
	key, value, ok := strings.Cut(l, ":")
	if !ok {
		return fmt.Errorf("%q is not a key with its value; an empty line ends the header", shorten(l))
	}
	for _, f := range h.fields() {
		if f.key == key {
			*f.value = clean(value)
		}
	}
	return nil
}

func entry(l string) (e Entry, err error) {
	words := strings.Fields(l)
	if len(words) < 3 || words[1][0] != '+' {
		return e, fmt.Errorf("%q does not begin with a time and a duration", shorten(l))
	}
	if e.At, err = duration(words[0]); err == nil {
		e.Took, err = duration(words[1][1:])
	}
	if err != nil {
		return e, err
	}
	words = words[2:]
	ends := []End{Silence, Closed, Failed}
	switch words[0] {
	case "open":
		words, ends = words[1:], []End{Closed, Failed, Refused, Unreachable}
	case ">":
		if e.Request, words, err = bytes(words[1:]); err != nil {
			return e, err
		}
		if e.Request == nil {
			return e, errors.New("a request without bytes")
		}
		if len(words) == 0 || words[0] != "<" {
			return e, errors.New("a request without < and what came")
		}
	default:
		return e, fmt.Errorf("%q is neither open nor >", shorten(words[0]))
	}
	if len(words) > 0 && words[0] == "<" {
		if e.Reply, words, err = bytes(words[1:]); err != nil {
			return e, err
		}
	}
	return e, e.end(words, ends)
}

// end takes the rest of a line, which is how it ended.
func (e *Entry) end(words []string, ends []End) error {
	if len(words) > 1 {
		return fmt.Errorf("%q behind the end", shorten(words[1]))
	}
	if len(words) == 1 {
		for _, known := range ends {
			if words[0] == string(known) {
				e.End = known
			}
		}
		if e.End == Answered {
			return fmt.Errorf("%q is neither a byte in hexadecimal nor one of %v", shorten(words[0]), ends)
		}
	}
	switch {
	case e.Request != nil && e.Reply == nil && e.End == Answered:
		return errors.New("neither a reply nor how it ended")
	case e.Reply != nil && (e.End == Silence || e.End == Refused || e.End == Unreachable):
		return fmt.Errorf("a reply, and yet %s", e.End)
	}
	return nil
}

// bytes takes the words that are bytes.
func bytes(words []string) (out []byte, rest []string, err error) {
	for len(words) > 0 && len(words[0]) == 2 {
		b, err := hex.DecodeString(words[0])
		if err != nil {
			return nil, nil, fmt.Errorf("%q is not a byte in hexadecimal", words[0])
		}
		out, words = append(out, b...), words[1:]
	}
	return out, words, nil
}

func duration(s string) (time.Duration, error) {
	if strings.Trim(s, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is not a number of seconds", shorten(s))
	}
	d, err := time.ParseDuration(s + "s")
	if err != nil || d > mostTime {
		return 0, fmt.Errorf("%q is not a number of seconds", shorten(s))
	}
	return d.Truncate(time.Microsecond), nil
}

func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
