package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A Result tells of an order. Number is the one its journal gave it, rising.
type Result struct {
	Number  uint64
	Unit    string // "" with epoch 0: of no unit
	Epoch   uint32
	Stamp   wire.Stamp
	Payload []byte // made by wire.EncodeResult
	// Events are what it is told as besides. They become the records directly behind the result.
	Events []ups.Event
}

// takenName stands in the table units for the journal of orders: no unit can be called so. Its state is the journal, and the number of
// the last result that was taken of it.
const takenName = "#orders"

// PutResults stores results of a journal of orders in their order, in one commit. Those it has taken before, by their number, it leaves
// out: so a journal that forgets only behind this call hands over each exactly once, over any crash. Results are never dropped at the quota;
// samples, pictures and alarms make room.
func (s *Store) PutResults(ctx context.Context, journal wire.ID, results []Result) error {
	if len(results) == 0 {
		return nil
	}
	return s.write(ctx, fmt.Sprintf("put %d results", len(results)), durable, func(t *tx) {
		through, taken := t.lanes[wire.Events].last, t.takenOf(journal)
		for _, r := range results {
			if r.Number <= taken {
				continue
			}
			taken = r.Number
			t.put(wire.Events, wire.ClassResult, owner{r.Unit, r.Epoch}, r.Stamp, r.Payload)
			for _, e := range r.Events {
				t.putEvent(r.Unit, Event{Event: e, Epoch: r.Epoch, Stamp: r.Stamp})
			}
		}
		if t.lanes[wire.Events].last == through {
			return
		}
		t.saveState(takenName, binary.LittleEndian.AppendUint64(bytes.Clone(journal[:]), taken))
		t.makeRoom(wire.Events, through, results[len(results)-1].Stamp)
		t.leaveRoom()
	})
}

// takenOf returns the number of the last result taken of a journal; 0 for another one than the last, and where it came to harm: a result
// may then come twice.
func (t *tx) takenOf(journal wire.ID) uint64 {
	var stored, seal any
	if !t.get([]any{&stored, &seal}, "SELECT state, seal FROM units WHERE unit = ?", takenName) || stored == nil {
		return 0
	}
	state, ok := t.s.openState(takenName, stored, seal)
	if !ok || len(state) != len(journal)+8 {
		t.damagedRows("units", 1)
		return 0
	}
	if !bytes.Equal(state[:len(journal)], journal[:]) {
		return 0
	}
	return binary.LittleEndian.Uint64(state[len(journal):])
}
