package doctor

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Line is one of the log, as it may be told.
type Line struct {
	At   time.Time // by the box's clock, right or not
	Text string    // level, message and what stood beside it, redacted
	Unit string    // that it is about; "": none
}

const (
	ringLines = 1000
	ringBytes = 256 << 10
)

// A Ring keeps the last lines of a log in memory, redacted: at most 1000 and 256 KiB. Use NewRing.
type Ring struct {
	mu    sync.Mutex
	lines []Line // the latest last
	bytes int
	lost  uint64 // lines that had to go
}

// NewRing returns an empty Ring.
func NewRing() *Ring { return &Ring{} }

// Lines returns what it has, the latest last, and how many lines went before them.
func (r *Ring) Lines() ([]Line, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines), r.lost
}

func (r *Ring) add(l Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, l)
	r.bytes += len(l.Text)
	n := 0
	for len(r.lines)-n > ringLines || r.bytes > ringBytes {
		r.bytes -= len(r.lines[n].Text)
		n++
	}
	r.lost += uint64(n)
	if n > 0 {
		r.lines = append([]Line(nil), r.lines[n:]...)
	}
}

// Beside returns a handler that keeps each line of Info and above, and hands those that h wants to h.
func (r *Ring) Beside(h slog.Handler) slog.Handler { return &beside{ring: r, next: h} }

type beside struct {
	ring *Ring
	next slog.Handler
	with []slog.Attr
	deep bool // inside of a group: nothing of ours is
}

// Enabled is for slog.Handler.
func (b *beside) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo || b.next.Enabled(ctx, l)
}

// Handle is for slog.Handler.
func (b *beside) Handle(ctx context.Context, rec slog.Record) error {
	if rec.Level >= slog.LevelInfo {
		b.ring.add(b.line(rec))
	}
	if !b.next.Enabled(ctx, rec.Level) {
		return nil
	}
	return b.next.Handle(ctx, rec)
}

// WithAttrs is for slog.Handler.
func (b *beside) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &beside{b.ring, b.next.WithAttrs(attrs), append(slices.Clone(b.with), attrs...), b.deep}
}

// WithGroup is for slog.Handler.
func (b *beside) WithGroup(name string) slog.Handler {
	return &beside{b.ring, b.next.WithGroup(name), b.with, true}
}

// told are the keys whose values are told as they are, where they have the form of a name, a number or a time of ours; those of free are
// redacted; of all others stands there only that they were.
var (
	told = []string{
		"unit", "line", "units", "lines", "state", "action", "reason", "version", "lane", "seq", "first", "last", "records", "attempts", "attempt", "down", "took",
		"tier", "points", "level", "count", "orders", "bytes", "epoch", "stretched_by", "asked_ms_per_second", "turnaround", "load", "worst", "ends", "alarm",
		"kind", "from", "to", "purpose", "keys", "size", "session", "agents", "cloud",
	}
	free = []string{"err", "detail", "why", "path"}

	aWord = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}(?:\.[a-z_]{1,16})?$`)
	anID  = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

func (b *beside) line(rec slog.Record) Line {
	l := Line{At: rec.Time}
	var text strings.Builder
	text.WriteString(rec.Level.String() + " " + Redact(rec.Message))
	add := func(a slog.Attr) bool {
		v := a.Value.Resolve()
		if a.Key == "unit" && v.Kind() == slog.KindString {
			l.Unit = plain(v.String())
		}
		if text.Len() < maxText {
			text.WriteString(" " + plain(a.Key) + "=" + shown(a.Key, v))
		}
		return true
	}
	for _, a := range b.with {
		add(a)
	}
	if !b.deep {
		rec.Attrs(add)
	}
	l.Text = text.String()
	return l
}

// shown is the value of an attribute, as it may be told.
func shown(key string, v slog.Value) string {
	switch v.Kind() {
	case slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindFloat64, slog.KindDuration, slog.KindTime:
		if slices.Contains(told, key) {
			return v.String()
		}
		return "…"
	}
	s := v.String()
	switch {
	case key == "order" && anID.MatchString(s):
		return s
	case slices.Contains(told, key) && aWord.MatchString(s):
		return s
	case slices.Contains(told, key) || slices.Contains(free, key):
		return Redact(s)
	}
	return "…"
}
