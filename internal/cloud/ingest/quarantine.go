package ingest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"upsedge/internal/wire"
)

// Bounds of what is set aside because it cannot be understood. The oldest makes room.
const (
	maxQuarantine = 500      // messages
	maxSpecimen   = 64 << 10 // bytes kept of each
)

// quarantine keeps a message that is not stored, and so never acknowledged to its agent, for a person to look at. The broker is
// told that it arrived: it would deliver it again for ever.
func (b *batch) quarantine(m Message, cause error) {
	if b.err != nil {
		return
	}
	what := Malformed
	var version *wire.VersionError
	if errors.As(cause, &version) {
		what = UnknownVersion
	}
	b.setAsideAs(what, m, cause)
}

func (b *batch) setAsideAs(what string, m Message, cause error) {
	reason := clean(cause.Error(), 300)
	b.keepSpecimen(m, reason)
	// A topic that is none of an agent has no name that could be trusted to be short.
	agent, _, _ := wire.SplitTopic(m.Topic)
	b.notice(agent, what, "", fmt.Sprintf("%s: %s", clean(m.Topic, 120), reason))
}

// refuse sets a message aside that is sound and cannot be stored. That this succeeds says that the database is well.
func (r *Receiver) refuse(ctx context.Context, m Message, cause error) error {
	_, err := r.commit(ctx, agentsOf([]Message{m}), func(b *batch) {
		b.setAsideAs(Refused, m, cause)
	})
	return err
}

func (b *batch) keepSpecimen(m Message, reason string) {
	h := sha256.New()
	fmt.Fprintf(h, "%q ", m.Topic)
	h.Write(m.Payload)
	hash := h.Sum(nil)
	if b.exec(`UPDATE quarantine SET copies = copies + 1, last_at = $1 WHERE hash = $2`, millis(b.now), hash) > 0 {
		return
	}
	part := m.Payload[:min(len(m.Payload), maxSpecimen)]
	if part == nil {
		part = []byte{}
	}
	b.exec(`INSERT INTO quarantine (hash, topic, reason, copies, first_at, last_at, length, payload) VALUES ($1, $2, $3, 1, $4, $4, $5, $6)`,
		hash, clean(m.Topic, 300), reason, millis(b.now), len(m.Payload), part)
	b.exec(`DELETE FROM quarantine WHERE id <= (SELECT id FROM quarantine ORDER BY id DESC LIMIT 1 OFFSET $1)`, maxQuarantine)
}

// clean makes a text of what came from outside: UTF-8 without control characters, n bytes at most.
func clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// A Specimen is a message that could not be understood.
type Specimen struct {
	Topic, Reason string
	Copies        int64
	First, Last   time.Time
	Length        int    // of the message, bytes
	Payload       []byte // its first 64 KiB
}

// Quarantine lists what could not be understood, the oldest first.
func (r *Reader) Quarantine(ctx context.Context) ([]Specimen, error) {
	const query = `SELECT topic, reason, copies, first_at, last_at, length, payload FROM quarantine ORDER BY id`
	return list(ctx, r, query, nil, func(rows *sql.Rows) (s Specimen, err error) {
		var first, last int64
		err = rows.Scan(&s.Topic, &s.Reason, &s.Copies, &first, &last, &s.Length, &s.Payload)
		s.First, s.Last = fromMillis(first), fromMillis(last)
		return s, err
	})
}
