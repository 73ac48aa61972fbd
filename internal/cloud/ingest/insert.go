package ingest

import (
	"fmt"
	"strings"

	"upsedge/internal/cloud/store"
)

// insertSizes are how many records one statement inserts, the largest first: few of them, for each is prepared once per connection.
// A statement costs PostgreSQL's client a round trip, and with 64 records instead of one it stores four times as many messages.
// SQLite looks for each of its parameters among all of them: with 64 records it stores half as many.
var insertSizes = [...]int{64, 8, 1}

// recordFields of one row of records.
const recordFields = 12

var insertRecords = func() (out [len(insertSizes)]string) {
	for i, n := range insertSizes {
		rows := make([]string, n)
		for row := range rows {
			places := make([]string, recordFields)
			for f := range places {
				places[f] = fmt.Sprintf("$%d", row*recordFields+f+1)
			}
			rows[row] = "(" + strings.Join(places, ", ") + ")"
		}
		out[i] = `INSERT INTO records (lane, seq, arrival, arrived, late, class, epoch, boot, boot_id, mono, wall, payload) VALUES ` + strings.Join(rows, ", ")
	}
	return out
}()

// insert takes a record up. It is in the table when flush has been called.
func (b *batch) insert(l *lane, r *record, late bool) {
	l.arrivals++
	l.changed = true
	l.highest = max(l.highest, r.Seq)
	l.settled.add(r.Seq, r.Seq)
	b.fresh = append(b.fresh, l.id, int64(r.Seq), l.arrivals, millis(b.now), store.Flag(late), r.class,
		int64(r.Epoch), int64(r.Boot), r.Stamp.BootID[:], r.Stamp.Mono.Microseconds(), wallOf(r.Stamp), r.Payload)
	b.tellEvent(l, r, late)
}

// flush puts into the table what was taken up.
func (b *batch) flush() {
	for i, n := range insertSizes {
		if n > 1 && b.tx.Dialect() == store.SQLite {
			continue
		}
		for n *= recordFields; len(b.fresh) >= n; b.fresh = b.fresh[n:] {
			b.exec(insertRecords[i], b.fresh[:n]...)
		}
	}
	b.fresh = b.fresh[:0]
}
