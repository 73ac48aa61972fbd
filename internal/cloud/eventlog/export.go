package eventlog

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"upsedge/internal/cloud/store"
)

// Formats of exports.
const (
	CSV  = "csv"
	JSON = "json"
)

// Bounds of an export.
const (
	exportPage = 500       // entries in memory at a time, read in one transaction
	exportMost = 1_000_000 // entries; more are asked for by time
)

// Export writes the entries of a view in the order of their time, page by page: neither memory nor a transaction grows with their number.
// head is a signed head of the chain (see Signer.Current), "" without one; a CSV has no place for it. An export that would have more than a
// million entries is cut there, and its last line says so.
func Export(ctx context.Context, db *store.DB, out io.Writer, format string, v View, f Filter, head string) error {
	buffered := bufio.NewWriterSize(out, 32<<10)
	w, err := newWriter(buffered, format, head)
	if err != nil {
		return err
	}
	names, written := Names{}, 0
	var after *Position
	for {
		var lines []Line
		var page []*Logged
		err := db.Read(ctx, func(ctx context.Context, tx *store.Tx) (err error) { // it may run again: after is not its to move
			if page, err = list(ctx, tx, v, f, after, exportPage, ">", "ASC"); err != nil {
				return err
			}
			lines, err = named(ctx, tx, page, names)
			return err
		})
		if err != nil {
			return err
		}
		if n := len(page); n > 0 {
			at := page[n-1].Position()
			after = &at
		}
		for i := range lines {
			if err := w.line(&lines[i]); err != nil {
				return err
			}
		}
		written += len(lines)
		if whole := len(lines) < exportPage; whole || written >= exportMost {
			if err := w.end(whole); err != nil {
				return err
			}
			return buffered.Flush()
		}
	}
}

func named(ctx context.Context, tx *store.Tx, page []*Logged, names Names) ([]Line, error) {
	lines := make([]Line, 0, len(page))
	for _, l := range page {
		name, err := names.Of(ctx, tx, l.Actor)
		if err != nil {
			return nil, err
		}
		lines = append(lines, l.Line(name))
	}
	return lines, nil
}

// Lines returns entries as they are shown.
func Lines(ctx context.Context, tx *store.Tx, entries []*Logged) ([]Line, error) {
	return named(ctx, tx, entries, Names{})
}

// A writer writes one format.
type writer interface {
	line(l *Line) error
	end(whole bool) error
}

func newWriter(out *bufio.Writer, format, head string) (writer, error) {
	switch format {
	case CSV:
		w := &csvWriter{csv.NewWriter(out)}
		return w, w.Write(csvHeader)
	case JSON:
		b, err := json.Marshal(head)
		if err == nil {
			_, err = fmt.Fprintf(out, `{"head":%s,"entries":[`, b)
		}
		return &jsonWriter{out: out}, err
	}
	return nil, fmt.Errorf("export format %.20q, want %s or %s", format, CSV, JSON)
}

type jsonWriter struct {
	out *bufio.Writer
	n   int
}

func (w *jsonWriter) line(l *Line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if w.n++; w.n > 1 {
		_ = w.out.WriteByte(',') // a later call tells its error
	}
	_ = w.out.WriteByte('\n')
	_, err = w.out.Write(b)
	return err
}

func (w *jsonWriter) end(whole bool) error {
	_, err := fmt.Fprintf(w.out, "\n],\"complete\":%v}\n", whole)
	return err
}

type csvWriter struct{ *csv.Writer }

var csvHeader = []string{
	"time", "arrived", "device", "organisation", "epoch", "number", "actor", "actor_name", "role", "action", "params", "outcome", "reason", "plan",
	"decided", "request_id", "previous", "hash",
}

func (w *csvWriter) line(l *Line) error {
	var params []string
	for _, name := range slices.Sorted(maps.Keys(l.Params)) {
		params = append(params, name+"="+l.Params[name])
	}
	row := []string{
		l.Time, l.Arrived, l.Device, l.Org, strconv.FormatUint(uint64(l.Epoch), 10), strconv.FormatInt(l.Number, 10), l.Actor, l.Name, l.Role, l.Action,
		strings.Join(params, "; "), l.Outcome, l.Reason, l.Plan, l.Decided, l.Request, l.Previous, l.Hash,
	}
	for i := range row {
		row[i] = defused(row[i])
	}
	return w.Write(row)
}

func (w *csvWriter) end(whole bool) error {
	if !whole {
		if err := w.Write([]string{"there is more: ask for a shorter time"}); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// defused keeps a spreadsheet from taking a text for a formula: one that begins like it gets an apostrophe before it (T-54). Line breaks, within
// quotes or not, become spaces.
func defused(s string) string {
	s = strings.NewReplacer("\r", " ", "\n", " ", "\t", " ").Replace(s)
	if t := strings.TrimLeft(s, " "); t != "" && strings.ContainsRune("=+-@|%＝＋－＠", []rune(t)[0]) {
		return "'" + s
	}
	return s
}
