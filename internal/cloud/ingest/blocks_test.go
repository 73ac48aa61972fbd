package ingest

import (
	"testing"

	"upsedge/internal/wire"
)

// encoded is a block of an encoder that has announced its schema before, or announces it now.
func (b *box) encoded(seq uint64, from int64, rows int) wire.Record {
	b.t.Helper()
	body, err := b.enc.Encode(nil, testBlock(from, rows))
	must(b.t, err)
	return b.record(wire.Samples, wire.ClassSamples, seq, body)
}

func rowsOfAgent(t testing.TB, r *Receiver, b *box) RowCount {
	t.Helper()
	n, err := r.Reader().Rows(t.Context(), b.name)
	must(t, err)
	return n
}

func TestABlockWhoseSchemaHasNotComeIsStoredAndReadLater(t *testing.T) {
	both(t, testABlockWhoseSchemaHasNotComeIsStoredAndReadLater)
}

func testABlockWhoseSchemaHasNotComeIsStoredAndReadLater(t *testing.T) {
	c, b := config(t), newBox(t, "rack7")
	r := opened(t, c, Options{})
	one, two := b.encoded(1, 0, 5), b.encoded(2, 1000, 5)
	wantMarks(t, take(t, r, b.publish(two)), "rack7 samples 0")
	if n := rowsOfAgent(t, r, b); n != (RowCount{Unreadable: 1}) {
		t.Errorf("before the schema: %+v", n)
	}
	wantMarks(t, take(t, r, b.publish(one)), "rack7 samples 2")
	if n := rowsOfAgent(t, r, b); n != (RowCount{Rows: 10}) {
		t.Errorf("with the schema: %+v", n)
	}
	// It is kept for ever.
	r = restarted(t, c, r, Options{})
	take(t, r, b.publish(b.encoded(3, 2000, 5)))
	if n := rowsOfAgent(t, r, b); n != (RowCount{Rows: 15}) {
		t.Errorf("after a restart: %+v", n)
	}
	wantTold(t, r)
}

func TestRowsOfAPictureAreCountedOnce(t *testing.T) { both(t, testRowsOfAPictureAreCountedOnce) }

func testRowsOfAPictureAreCountedOnce(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	body, err := b.enc.EncodeAlone(nil, testBlock(500, 20)) // 15 of them are in the block, too
	must(t, err)
	picture := b.record(wire.Events, wire.ClassPicture, 2, wire.PicturePayload(1, body))
	wantMarks(t, take(t, r, b.publish(b.alarm(1, "one")), b.publish(picture), b.publish(b.block(1, 0, 20))), "rack7 events 2", "rack7 samples 1")
	if n := rowsOfAgent(t, r, b); n != (RowCount{Rows: 25, Repeated: 15}) {
		t.Errorf("rows %+v, want 25 and 15 repeated", n)
	}
}
