package ingest

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"upsedge/internal/cloud/store"
)

// What the operator is told of. 840 is its number in the event catalogue; the others are names of the threat model, section 6, or
// like them.
const (
	Silent         = "840"                      // device without communication: its agent is silent
	CloneSuspected = "identity.clone_suspected" // one identity, two contents; numbers that went back
	SecondSession  = "identity.second_session"  // a session that goes on behind its end
	Malformed      = "ingest.malformed"         // a message that breaks the format
	UnknownVersion = "ingest.unknown_version"   // a message of a version this program does not know
	Unreadable     = "ingest.unreadable"        // a record whose body is not what its class has; it is stored as it came
	Refused        = "ingest.refused"           // a sound message that could not be stored though the database is well: a mistake of ours
	DatabaseLost   = "ingest.forgotten"         // an agent was told that we have what we have no more
)

// notice tells the operator of something: the first time as a row and a line of the log, again as a count until it has ended.
func (b *batch) notice(agent, what, subject, detail string) {
	if b.err != nil {
		return
	}
	first, err := Tell(b.ctx, b.tx, b.now, agent, what, subject, detail)
	if b.fail(err); !first {
		return
	}
	b.tx.After(func() {
		b.r.log.Warn("told the operator", "agent", agent, "event", what, "subject", subject, "detail", detail)
	})
}

// Tell tells the operator of something that this or another part of the cloud has found, in its transaction: the first time as a row,
// again as a count until it has ended. first says which.
func Tell(ctx context.Context, tx *store.Tx, now time.Time, agent, what, subject, detail string) (first bool, err error) {
	again, err := tx.Exec(ctx, `UPDATE notices SET times = times + 1, last_at = $1 WHERE agent = $2 AND what = $3 AND subject = $4 AND ended_at IS NULL`,
		millis(now), agent, what, subject)
	if err != nil || again > 0 {
		return false, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO notices (agent, what, subject, detail, times, first_at, last_at) VALUES ($1, $2, $3, $4, 1, $5, $5)`,
		agent, what, subject, detail, millis(now))
	return err == nil, err
}

// endNotice ends what notice has begun.
func (b *batch) endNotice(agent, what, subject string) {
	ended := b.exec(`UPDATE notices SET ended_at = $1 WHERE agent = $2 AND what = $3 AND subject = $4 AND ended_at IS NULL`,
		millis(b.now), agent, what, subject)
	if ended > 0 {
		b.tx.After(func() {
			b.r.log.LogAttrs(b.ctx, slog.LevelInfo, "over", slog.String("agent", agent), slog.String("event", what))
		})
	}
}

// A Notice is what the operator is told.
type Notice struct {
	Agent, What, Subject, Detail string
	Times                        int64
	First, Last                  time.Time
	Ended                        time.Time // zero: it is not over, or has no end
}

// Notices lists what the operator is told, the oldest first.
func (r *Reader) Notices(ctx context.Context) ([]Notice, error) {
	const query = `SELECT agent, what, subject, detail, times, first_at, last_at, ended_at FROM notices ORDER BY id`
	return list(ctx, r, query, nil, func(rows *sql.Rows) (n Notice, err error) {
		var first, last int64
		var ended *int64
		err = rows.Scan(&n.Agent, &n.What, &n.Subject, &n.Detail, &n.Times, &first, &last, &ended)
		n.First, n.Last = fromMillis(first), fromMillis(last)
		if ended != nil {
			n.Ended = fromMillis(*ended)
		}
		return n, err
	})
}
