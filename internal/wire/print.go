package wire

import (
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"upsedge/internal/ups"
)

// Print writes the header and every row of p for people: decoded values in their units, names of bits. What was not read is "-".
func (p *PublishedBlock) Print(w io.Writer) error {
	r := &p.Record
	_, err := fmt.Fprintf(w, "agent   %s\nstream  %v\nlane    %v\nseq     %d\nepoch   %d\nboot    %d\nboot id %v\nmono    %v\ntime    %s\nbody    %d bytes\n",
		p.Agent, r.Stream, r.Lane, r.Seq, r.Epoch, r.Boot, r.Stamp.BootID, r.Stamp.Mono, wallText(r.Stamp.Wall), len(r.Payload))
	if err == nil && r.Class == ClassPicture {
		_, err = fmt.Fprintf(w, "picture of event %d\n", p.Event)
	}
	if err != nil || p.Block == nil {
		return err
	}
	return p.Block.Print(w, r.Stamp)
}

func wallText(t time.Time) string {
	if t.IsZero() {
		return "not trusted"
	}
	return t.UTC().Format(wallLayout)
}

// Print writes every row of b for people, a table per section. With a trusted stamp of the same boot rows carry the time of
// the wall clock, otherwise seconds since the boot.
func (b *Block) Print(w io.Writer, at Stamp) error {
	if _, err := fmt.Fprintf(w, "unit    %q\ndevice  %q\n", b.Unit, b.Device); err != nil {
		return err
	}
	for i := range b.Sections {
		if err := b.Sections[i].print(w, at); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rows) print(w io.Writer, at Stamp) error {
	hash := "not encodable"
	if h, err := HashLayout(r.Layout); err == nil {
		hash = h.String()
	}
	cols := r.Layout.Columns
	if _, err := fmt.Fprintf(w, "\n%v: %d rows, %d points, schema %s\n", r.Tier, len(r.At), len(cols), hash); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := []string{"time"}
	for _, c := range cols {
		line = append(line, heading(c.Point))
	}
	fmt.Fprintln(tw, strings.Join(line, "\t")) // a tabwriter's errors come with Flush
	for i, ms := range r.At {
		line = append(line[:0], rowTime(ms, at))
		for k, c := range cols {
			line = append(line, FormatValue(c.Point, r.Raw[i*len(cols)+k], c.Divisor))
		}
		fmt.Fprintln(tw, strings.Join(line, "\t"))
	}
	return tw.Flush()
}

func heading(p ups.Point) string {
	if u := p.Info().Unit; u != "" && p.Info().Kind != ups.Date {
		return p.String() + "/" + u
	}
	return p.String()
}

func rowTime(ms int64, at Stamp) string {
	if at.Wall.IsZero() {
		return fmt.Sprintf("%d.%03d", ms/1000, max(ms%1000, -(ms%1000)))
	}
	return at.Wall.Add(time.Duration(ms-at.Mono.Milliseconds()) * time.Millisecond).UTC().Format(wallLayout)
}

// FormatValue writes a raw integer for people, without its unit: "-" where there is no value, the names of the bits set, the
// name of an enumeration's value, a date.
func FormatValue(p ups.Point, raw int64, divisor uint16) string {
	switch kind := p.Info().Kind; {
	case raw == ups.Absent:
		return "-"
	case p == ups.Efficiency && raw < 0, kind == ups.Code:
		return codeName(p, raw)
	case kind == ups.Flags, kind == ups.Choice:
		return bitNames(p, uint64(raw))
	case kind == ups.Date:
		return ups.Day(raw).Format(time.DateOnly)
	}
	v, _ := ups.ValueOf(p, raw, divisor)
	return strconv.FormatFloat(v, 'f', decimals(divisor), 64)
}

// decimals is how many digits behind the point tell two neighbouring raw integers apart: 1/512 is 0.002.
func decimals(divisor uint16) (n int) {
	for d := 1; d < int(divisor); d *= 10 {
		n++
	}
	return n
}

func codeName(p ups.Point, raw int64) string {
	for _, n := range ups.Names(p) {
		if int64(n.Number) == raw {
			return n.Name
		}
	}
	return strconv.FormatInt(raw, 10)
}

// bitNames joins the names of the bits set; a bit without a name is its number.
func bitNames(p ups.Point, v uint64) string {
	if v == 0 {
		return "0"
	}
	var out []string
	for ; v != 0; v &= v - 1 {
		bit := bits.TrailingZeros64(v)
		name := "bit" + strconv.Itoa(bit)
		for _, n := range ups.Names(p) {
			if n.Number == bit {
				name = n.Name
			}
		}
		out = append(out, name)
	}
	return strings.Join(out, "+")
}
