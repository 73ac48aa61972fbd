// Package capture writes down what a unit said over its line, and reads it back, so that what an installer saw on site becomes
// a test. The format is text and stands in docs/captures.md. The package knows links and Modbus frames, but no battery: which
// registers hold names and serial numbers it is told.
//
// A Recorder is safe for concurrent use; everything else is data.
package capture

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// version is the number in the first line. A reader refuses every other.
const version = 1

// magic is the first line without the version.
const magic = "upsedge capture"

// Where a capture comes from.
const (
	FromUnit      = "unit"
	FromSimulated = "simulated"
)

// A Header says what was recorded. Empty fields are not known and not written.
type Header struct {
	From     string // FromUnit, FromSimulated
	Link     string // "serial 9600 none", "tcp unit", "tcp card"
	Slave    string // Modbus address
	Model    string
	SKU      string
	Firmware string
	Names    string // "redacted" or "kept"
	Program  string // that made it, with its version
	Made     string // the day, 2006-01-02
}

// fields are the keys of the header in the order in which they are written.
func (h *Header) fields() []field {
	return []field{
		{"from", &h.From},
		{"link", &h.Link},
		{"slave", &h.Slave},
		{"model", &h.Model},
		{"sku", &h.SKU},
		{"firmware", &h.Firmware},
		{"names", &h.Names},
		{"program", &h.Program},
		{"made", &h.Made},
	}
}

type field struct {
	key   string
	value *string
}

// An End is how an exchange ended that did not simply bring a reply, or an attempt to open the link that failed.
type End string

// The ends.
const (
	Answered    End = ""
	Silence     End = "silence"     // nothing came
	Closed      End = "closed"      // the other end closed the link, after the reply if there is one
	Failed      End = "failed"      // the link failed otherwise: unplugged
	Refused     End = "refused"     // not opened: nobody listens
	Unreachable End = "unreachable" // not opened for another reason: no such port, in use, no way
)

// An Entry is one opening of the link, or one request and what came until the next one.
type Entry struct {
	Line    int           // in the file it was parsed from; 0 otherwise
	At      time.Duration // since the beginning of the capture, to the microsecond
	Took    time.Duration // until the last byte of Reply, until the link was open, or, of Silence, as long as was waited
	Request []byte        // nil: the link was opened
	Reply   []byte        // nil: nothing came
	End     End
}

// A Capture is what was recorded.
type Capture struct {
	Header  Header
	Entries []Entry
	Cut     bool // the last line was not complete and is left out
}

// Write writes the whole capture.
func (c *Capture) Write(w io.Writer) error {
	if err := c.Header.write(w); err != nil {
		return err
	}
	for _, e := range c.Entries {
		if _, err := io.WriteString(w, e.String()+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (h Header) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d\n", magic, version)
	for _, f := range h.fields() {
		if *f.value != "" {
			fmt.Fprintf(&b, "%s: %s\n", f.key, clean(*f.value))
		}
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// clean makes one line of printable characters of what a unit says of itself.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s))
}

// String returns the line of e.
func (e Entry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s +%s", seconds(e.At), seconds(e.Took))
	if e.Request == nil {
		b.WriteString(" open")
	} else {
		fmt.Fprintf(&b, " > % X", e.Request)
	}
	if e.Request != nil || e.Reply != nil {
		b.WriteString(" <")
	}
	if e.Reply != nil {
		fmt.Fprintf(&b, " % X", e.Reply)
	}
	if e.End != Answered {
		b.WriteString(" " + string(e.End))
	}
	return b.String()
}

func seconds(d time.Duration) string {
	us := d.Microseconds()
	return fmt.Sprintf("%d.%06d", us/1e6, us%1e6)
}
