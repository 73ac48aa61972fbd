package ingest

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"upsedge/internal/wire"
)

// FuzzTake gives one Receiver whatever may come from a network. It may set it aside; it may not fail, nor answer to another agent,
// nor acknowledge what it does not have.
func FuzzTake(f *testing.F) {
	files, err := filepath.Glob("../../wire/testdata/v1/*")
	must(f, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(f, err)
		if strings.HasSuffix(name, ".hex") {
			text, err = hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
			must(f, err)
		}
		for i := range leaves {
			f.Add(uint8(i), text)
		}
	}
	r := newReceiver(f)
	f.Fuzz(func(t *testing.T, leaf uint8, payload []byte) {
		const name = "box-7" // of the golden files
		m := Message{Topic: wire.Topic(name, leaves[int(leaf)%len(leaves)]), Payload: payload, Retained: leaf > 127}
		answers, err := r.Take(t.Context(), []Message{m, m})
		must(t, err)
		for _, a := range answers {
			agent, leaf, err := wire.SplitTopic(a.Topic)
			must(t, err)
			ack, err := wire.DecodeAck(a.Payload)
			must(t, err)
			l := r.cache.lanes[laneKey{name, ack.Stream, ack.Lane}]
			if agent != name || leaf != wire.TopicAcks || l == nil || ack.Through > l.settled.mark() {
				t.Errorf("answer %s %s", a.Topic, a.Payload)
			}
		}
	})
}
