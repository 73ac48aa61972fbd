package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Version is the version of the JSON messages: the value of "v". The rules of FORMAT.md say when it changes.
const Version = 1

// MaxJSON is the length of the longest JSON message in bytes. A state of 1000 units with all their alarms has about half.
const MaxJSON = 1 << 20

// maxBody is the length of the longest body of an event: what could be stored can also be sent, with its numbers.
const maxBody = MaxJSON - 1024

// A VersionError says that a message is of a version this program does not know.
type VersionError struct {
	What    string // "events message", "sample block" …
	Version uint64
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s of version %d, this program knows version %d", e.What, e.Version, Version)
}

// An object is a JSON object as it stood on the wire. encoding/json alone would take "SEQ" for "seq", the last of two equal
// names, and null for a number left out; a record's identity must have one reading.
type object struct {
	fields []field
	err    error // the first thing found wrong
}

type field struct {
	name string
	raw  json.RawMessage
}

// parseObject reads exactly one object with distinct names and nothing behind it.
func parseObject(b []byte) (*object, error) {
	if len(b) > MaxJSON {
		return nil, fmt.Errorf("%d bytes of JSON, want at most %d", len(b), MaxJSON)
	}
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("not a JSON object: %w", errors.Join(err, unexpected(t)))
	}
	o, seen := &object{}, map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		f := field{name: t.(string)} // the decoder lets nothing but strings be names
		if seen[f.name] {
			return nil, fmt.Errorf("field %.40q twice", f.name)
		}
		seen[f.name] = true
		if err := dec.Decode(&f.raw); err != nil {
			return nil, err
		}
		o.fields = append(o.fields, f)
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if t, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("behind the object: %w", errors.Join(err, unexpected(t)))
	}
	return o, nil
}

func unexpected(t json.Token) error {
	if t == nil {
		return nil
	}
	return fmt.Errorf("unexpected %.40q", fmt.Sprint(t))
}

func (o *object) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

func (o *object) get(name string) (json.RawMessage, bool) {
	for _, f := range o.fields {
		if f.name == name {
			return f.raw, true
		}
	}
	return nil, false
}

// want reads a field that must be there; may one that can be absent, and says whether it was there.
func (o *object) want(name string, dst any) {
	if !o.may(name, dst) {
		o.fail(fmt.Errorf("field %q is missing", name))
	}
}

func (o *object) may(name string, dst any) bool {
	raw, ok := o.get(name)
	if !ok {
		return false
	}
	if err := scan(raw, dst); err != nil {
		o.fail(fmt.Errorf("field %q: %w", name, err))
	}
	return true
}

func scan(raw json.RawMessage, dst any) error {
	if string(raw) == "null" {
		return errors.New("is null")
	}
	switch dst := dst.(type) {
	case *seconds:
		return dst.parse(string(raw))
	default:
		return json.Unmarshal(raw, dst)
	}
}

// checkVersion reads "v".
func (o *object) checkVersion(what string) error {
	var v uint64
	if o.want("v", &v); o.err != nil {
		return o.err
	}
	if v != Version {
		return &VersionError{what, v}
	}
	return nil
}

// A builder writes a JSON object field by field, in the order of its calls.
type builder struct {
	buf []byte
	err error
}

func (b *builder) name(name string) {
	if n := len(b.buf); n > 0 && b.buf[n-1] != '{' {
		b.buf = append(b.buf, ',')
	}
	b.buf = append(append(append(b.buf, '"'), name...), '"', ':')
}

func (b *builder) put(name string, v any) {
	b.name(name)
	b.value(v)
}

func (b *builder) value(v any) {
	switch v := v.(type) {
	case uint64:
		b.buf = strconv.AppendUint(b.buf, v, 10)
	case seconds:
		b.buf = v.append(b.buf)
	default:
		w := bytes.NewBuffer(b.buf)
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false) // nobody shows these bytes in a page; "<" stays readable
		if err := enc.Encode(v); err != nil && b.err == nil {
			b.err = err
		}
		b.buf = bytes.TrimSuffix(w.Bytes(), []byte{'\n'})
	}
}

// putText leaves an empty text out.
func (b *builder) putText(name, s string) {
	if s != "" {
		b.put(name, strings.ToValidUTF8(s, "\uFFFD"))
	}
}

func (b *builder) putTrue(name string, v bool) {
	if v {
		b.put(name, true)
	}
}

func (b *builder) open()  { b.buf = append(b.buf, '{') }
func (b *builder) close() { b.buf = append(b.buf, '}') }

// seconds is a time on the monotonic clock, in JSON a decimal number of seconds with six digits behind the point: a float64
// holds it exactly enough (2^53 µs are 285 years), which nanoseconds as an integer are not after 104 days.
type seconds time.Duration

func (s seconds) append(dst []byte) []byte {
	us := time.Duration(s).Microseconds()
	return fmt.Appendf(dst, "%d.%06d", us/1e6, us%1e6)
}

// maxSeconds is the last whole second of a time.Duration.
const maxSeconds = uint64(1<<63-1)/1e9 - 1

func (s *seconds) parse(text string) error {
	whole, frac, point := strings.Cut(text, ".")
	if !digits(whole) || point && (!digits(frac) || len(frac) > 6) {
		return fmt.Errorf("%.40q is not seconds with at most six digits behind the point", text)
	}
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil || n > maxSeconds {
		return fmt.Errorf("%.40q seconds are more than %d", text, maxSeconds)
	}
	us, _ := strconv.ParseUint((frac + "000000")[:6], 10, 64) // six digits: cannot fail
	*s = seconds(time.Duration(n)*time.Second + time.Duration(us)*time.Microsecond)
	return nil
}

func digits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

// wallLayout is RFC 3339 in UTC with milliseconds.
const wallLayout = "2006-01-02T15:04:05.000Z07:00"

// putStamp writes boot_id, mono and, if the clock was trusted, time.
func (b *builder) putStamp(s Stamp) {
	if s.Mono < 0 && b.err == nil {
		b.err = fmt.Errorf("time on the monotonic clock %v is negative", s.Mono)
	}
	b.put("boot_id", s.BootID)
	b.put("mono", seconds(s.Mono))
	if s.Wall.IsZero() {
		return
	}
	if y := s.Wall.UTC().Year(); (y < 1 || y > 9999) && b.err == nil {
		b.err = fmt.Errorf("year %d", y)
	}
	b.put("time", s.Wall.UTC().Format(wallLayout))
}

// stamp reads what putStamp writes.
func (o *object) stamp() Stamp {
	var s Stamp
	var mono seconds
	o.want("boot_id", &s.BootID)
	o.want("mono", &mono)
	s.Mono = time.Duration(mono)
	var wall string
	if o.may("time", &wall) && o.err == nil {
		t, err := time.Parse(time.RFC3339Nano, wall)
		if err != nil {
			o.fail(fmt.Errorf("field %q: %.40q is not a time as RFC 3339 has it", "time", wall))
		} else if t.IsZero() || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
			o.fail(fmt.Errorf("field %q: %.40q is outside the years 1 to 9999", "time", wall))
		}
		s.Wall = t.UTC().Truncate(time.Millisecond)
	}
	return s
}
