package trust

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"upsedge/internal/wire"
)

// An object is a JSON object of exactly the fields asked for. encoding/json alone would take "NONCE" for "nonce", the last of
// two equal names, any field beside them, and null for a number left out: what was signed must have one reading.
type object struct {
	what   string
	fields map[string]json.RawMessage
	err    error // the first thing found wrong
}

// parse reads one object that has each of names once, nothing else and nothing behind it.
func parse(what string, b []byte, names ...string) *object {
	o := &object{what: what, fields: make(map[string]json.RawMessage, len(names))}
	for _, c := range b {
		// Every value has an alphabet of its own without quotes and backslashes, so that nothing needs an escape.
		if c < ' ' || c > '~' || c == '\\' {
			o.fail("has the byte %#02x", c)
			return o
		}
	}
	for _, name := range names {
		o.fields[name] = nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		o.fail("is not an object")
		return o
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			o.fail("is not JSON")
			return o
		}
		name := t.(string) // the decoder lets nothing but strings be names
		if had, known := o.fields[name]; !known || had != nil {
			o.fail("has the field %.40q, unknown or twice", name)
			return o
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			o.fail("is not JSON at %.40q", name)
			return o
		}
		o.fields[name] = raw
	}
	if _, err := dec.Token(); err != nil {
		o.fail("is not JSON")
	} else if _, err := dec.Token(); err != io.EOF {
		o.fail("has something behind it")
	}
	for _, name := range names {
		if o.fields[name] == nil {
			o.fail("has no %q", name)
		}
	}
	return o
}

func (o *object) fail(format string, args ...any) {
	if o.err == nil {
		o.err = malformed("%s %s", o.what, fmt.Sprintf(format, args...))
	}
}

// adopt takes over what was wrong with a part.
func (o *object) adopt(part *object) {
	if o.err == nil {
		o.err = part.err
	}
}

// text returns a string of 1 to most characters, each of which ok allows.
func (o *object) text(name string, most int, ok func(c byte) bool) string {
	if o.err != nil {
		return ""
	}
	raw := o.fields[name]
	if len(raw) < 3 || raw[0] != '"' || len(raw)-2 > most {
		o.fail("has %q that is not a text of 1 to %d characters", name, most)
		return ""
	}
	s := string(raw[1 : len(raw)-1]) // there are no escapes
	for i := range len(s) {
		if !ok(s[i]) {
			o.fail("has %q with the character %q", name, s[i])
			return ""
		}
	}
	return s
}

// is checks a field that has one value only.
func (o *object) is(name, value string) {
	if o.err == nil && string(o.fields[name]) != value {
		o.fail("has %q that is not %s", name, value)
	}
}

// number returns an integer of least to most, digits only.
func (o *object) number(name string, least, most uint64) uint64 {
	if o.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(o.fields[name]), 10, 64) // JSON has no leading zeros
	if err != nil || n < least || n > most {
		o.fail("has %q that is not a number from %d to %d", name, least, most)
		return 0
	}
	return n
}

// id returns 128 bits, 32 hexadecimal digits in lower case.
func (o *object) id(name string) (id wire.ID) {
	s := o.text(name, 32, func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' })
	if o.err == nil {
		if err := id.UnmarshalText([]byte(s)); err != nil {
			o.fail("has %q that is not 32 hexadecimal digits", name)
		}
	}
	return id
}

// timeLayout is RFC 3339 in UTC with milliseconds, in one form.
const timeLayout = "2006-01-02T15:04:05.000Z"

// time returns an instant of the years 2020 to 2199: nothing was signed before, and no program of this format works after.
func (o *object) time(name string) time.Time {
	s := o.text(name, len(timeLayout), func(byte) bool { return true })
	t, err := time.Parse(timeLayout, s)
	if o.err == nil && (err != nil || t.Format(timeLayout) != s || t.Year() < 2020 || t.Year() > 2199) {
		o.fail("has %q that is not a time like %s of the years 2020 to 2199", name, timeLayout)
	}
	return t
}

// list returns the elements of an array of at most most.
func (o *object) list(name string, most int) []json.RawMessage {
	if o.err != nil {
		return nil
	}
	var out []json.RawMessage
	if raw := o.fields[name]; raw[0] != '[' || json.Unmarshal(raw, &out) != nil {
		o.fail("has %q that is not a list", name)
		return nil
	}
	if len(out) > most {
		o.fail("has %d %s, want at most %d", len(out), name, most)
		return nil
	}
	return out
}

// The alphabets.

func nameChar(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

func opaqueChar(c byte) bool { return 'A' <= c && c <= 'Z' || nameChar(c) }

// serialChar is what a serial number may have: printable, without space, quote and backslash.
func serialChar(c byte) bool { return c > ' ' && c <= '~' && c != '"' && c != '\\' }

func jwsChar(c byte) bool { return c == '.' || plain64(rune(c)) }
