package doctor

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"upsedge/internal/ups"
)

// A Bundle is one that was made.
type Bundle struct {
	Data   []byte // tar.gz
	Digest [sha256.Size]byte
	Table  Table
}

// A Table is the first file of a bundle.
type Table struct {
	About string     `json:"about"` // the unit; "": all
	Made  *time.Time `json:"made,omitempty"`
	Files []Entry    `json:"files"`
	Left  []string   `json:"left_out"`
}

// An Entry is a file in a Table.
type Entry struct {
	File   string `json:"file"`
	What   string `json:"what"`
	Why    string `json:"why"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Sum is the digest as it is told: hexadecimal digits.
func (b *Bundle) Sum() string { return hex.EncodeToString(b.Digest[:]) }

// ErrTooBig is returned for what does not fit even without log and metrics.
var ErrTooBig = errors.New("the support bundle is too big")

// Make makes a bundle, and looks through every file of it for every secret before: with one in it there is none (*SecretError). What does not
// fit is cut, the log and the metrics first, and the table says so.
func Make(f *Facts, secrets *Secrets) (*Bundle, error) {
	for share := 1; share <= 64; share *= 4 { // of what log and metrics may have
		b, err := f.pack(secrets, share)
		if err != nil || len(b.Data) <= MaxBytes {
			return b, err
		}
	}
	return nil, ErrTooBig
}

// A part is a file at work.
type part struct {
	*Item
	data []byte
}

func (f *Facts) pack(secrets *Secrets, share int) (*Bundle, error) {
	left := slices.Clone(f.Left)
	parts, err := f.parts(&left, share)
	if err != nil {
		return nil, err
	}
	table := Table{About: f.About, Made: f.Made, Left: left}
	if table.Left == nil {
		table.Left = []string{}
	}
	raw := 0
	for _, p := range parts {
		sum := sha256.Sum256(p.data)
		table.Files = append(table.Files, Entry{p.File, p.What, p.Why, len(p.data), hex.EncodeToString(sum[:])})
		raw += len(p.data)
	}
	first, err := encode(table)
	if err != nil {
		return nil, err
	}
	parts = append([]part{{itemOf(fileContents), first}}, parts...)
	if raw+len(first) > MaxRaw {
		return nil, ErrTooBig
	}
	for _, p := range parts {
		if err := f.look(p, secrets); err != nil {
			return nil, err
		}
	}
	data, err := archive(parts)
	return &Bundle{data, sha256.Sum256(data), table}, err
}

// look is the last look at a file: nothing secret is in it, and nothing of units that it is not about.
func (f *Facts) look(p part, secrets *Secrets) error {
	if of := secrets.find(p.data); of != "" {
		return &SecretError{of, p.File}
	}
	for _, o := range f.Others {
		if len(o.Serial) >= shortest && bytes.Contains(p.data, []byte(o.Serial)) {
			return fmt.Errorf("%s would have had the serial number of another unit: no bundle is made", p.File)
		}
	}
	return nil
}

// parts are all files but the first.
func (f *Facts) parts(left *[]string, share int) (parts []part, err error) {
	units := f.Units
	if units == nil {
		units = []Unit{}
	}
	orders := f.Orders
	if orders == nil {
		orders = []Order{}
	}
	checks := f.Checks
	if checks == nil {
		checks = []Checked{}
	}
	for _, v := range []struct {
		file string
		of   any
	}{
		{fileBuild, f.Build},
		{fileBox, f.Box},
		{fileConfig, f.Config},
		{fileUnits, units},
		{fileSpool, f.Spool},
		{fileClock, f.Clock},
		{fileCertificates, f.Certificates},
		{fileUplink, f.Uplink},
		{fileChecks, checks},
		{fileOrders, orders},
	} {
		item := itemOf(v.file)
		data, err := encode(v.of)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.file, err)
		}
		if len(data) > item.most {
			*left = append(*left, fmt.Sprintf("%s: it would have had %d bytes, at most %d fit", v.file, len(data), item.most))
			continue
		}
		parts = append(parts, part{item, data})
	}
	metrics, err := f.metrics(itemOf(fileMetrics).most/share, left)
	if err != nil {
		return nil, err
	}
	return append(parts, part{itemOf(fileMetrics), metrics}, part{itemOf(fileLog), f.log(itemOf(fileLog).most/share, left)}), nil
}

// encode is the JSON of a file. What is in it is for people: < stays what it is.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return out.Bytes(), err
}

// A cut takes what fits of what is written, in whole lines, and leaves out series of units that are hidden.
type cut struct {
	out  bytes.Buffer
	most int
	hide [][]byte // labels of units that it is not about
	rest []byte   // of a line
	lost bool
}

var errFull = errors.New("full")

// Write is for io.Writer.
func (c *cut) Write(b []byte) (int, error) {
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			break
		}
		line := append(c.rest, b[:i+1]...)
		c.rest, b = nil, b[i+1:]
		if slices.ContainsFunc(c.hide, func(h []byte) bool { return bytes.Contains(line, h) }) {
			continue
		}
		if c.lost = c.lost || c.out.Len()+len(line) > c.most; c.lost {
			return n, errFull
		}
		c.out.Write(line)
	}
	if len(c.rest)+len(b) > c.most {
		c.lost = true
		return n, errFull
	}
	c.rest = append(c.rest, b...)
	return n, nil
}

func (f *Facts) metrics(most int, left *[]string) ([]byte, error) {
	if f.Metrics == nil {
		return nil, nil
	}
	c := &cut{most: most}
	for _, o := range f.Others {
		for _, label := range []string{"ups", "line"} {
			c.hide = append(c.hide, fmt.Appendf(nil, "%s=%q", label, o.Name))
		}
	}
	if err := f.Metrics(c); err != nil && !errors.Is(err, errFull) {
		*left = append(*left, fileMetrics+": "+Redact(err.Error()))
	}
	if c.lost {
		*left = append(*left, fmt.Sprintf("%s: what is beyond its first %d bytes", fileMetrics, c.out.Len()))
	}
	return c.out.Bytes(), nil
}

// log is what fits of the lines, the last ones; those about other units are left out, and of the others their names.
func (f *Facts) log(most int, left *[]string) []byte {
	var lines []string
	size, others, cut := 0, 0, 0
	var names []string
	for _, o := range f.Others {
		names = append(names, o.Name, o.Serial)
	}
	for _, l := range slices.Backward(f.Log) {
		if l.Unit != "" && slices.Contains(names, l.Unit) {
			others++
			continue
		}
		line := l.At.UTC().Format("2006-01-02T15:04:05.000Z") + " " + hidden(l.Text, names) + "\n"
		if size += len(line); size > most {
			cut++
			continue
		}
		lines = append(lines, line)
	}
	if cut > 0 {
		*left = append(*left, fileLog+": "+ups.Count(cut, "line")+" before those")
	}
	if others > 0 {
		*left = append(*left, fileLog+": "+ups.Count(others, "line")+" about other units")
	}
	slices.Reverse(lines)
	return []byte(strings.Join(lines, ""))
}

// hidden puts "…" in the place of names.
func hidden(text string, names []string) string {
	for _, n := range names {
		for n != "" && alone([]byte(text), []byte(n)) {
			text = without(text, n)
		}
	}
	return text
}

func without(text, name string) string {
	for at := 0; ; {
		i := strings.Index(text[at:], name)
		if i < 0 {
			return text
		}
		if at += i; alone([]byte(text[max(0, at-1):min(len(text), at+len(name)+1)]), []byte(name)) {
			return text[:at] + "…" + text[at+len(name):]
		}
		at += len(name)
	}
}

// archive packs files; the same files make the same bytes.
func archive(parts []part) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	for _, p := range parts {
		if err := writeTar(z, p.File, p.data); err != nil {
			return nil, err
		}
	}
	_, err := z.Write(make([]byte, 2*tarBlock)) // the end
	err = errors.Join(err, z.Close())
	return out.Bytes(), err
}

// ReadTable reads what a bundle says is in it. It looks at its beginning alone.
func ReadTable(data []byte) (*Table, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("this is no support bundle: %w", err)
	}
	name, size, err := readTar(z)
	if err != nil || name != fileContents || size > int64(itemOf(fileContents).most) {
		return nil, errors.New("this is no support bundle")
	}
	var table Table
	if err := json.NewDecoder(io.LimitReader(z, size)).Decode(&table); err != nil {
		return nil, fmt.Errorf("this is no support bundle: %w", err)
	}
	return &table, nil
}
