package store

import (
	"fmt"
	"slices"
	"testing"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// Rows that are gone from the table, wherever they stood, are missed when the lane is read, and told once (T-24).
func TestARecordThatVanishedIsTold(t *testing.T) {
	for _, lane := range wire.Lanes {
		for _, row := range []struct {
			name, harm string
			want       []seqRange
		}{
			{"the first", "DELETE FROM %s WHERE seq = 6", []seqRange{{6, 6}}},
			{"in the middle", "DELETE FROM %s WHERE seq BETWEEN 10 AND 14", []seqRange{{10, 14}}},
			{"here and there", "DELETE FROM %s WHERE seq IN (10, 12, 13)", []seqRange{{10, 10}, {12, 13}}},
			{"the last", "DELETE FROM %s WHERE seq >= 39", []seqRange{{39, 40}}},
			{"all", "DELETE FROM %s", []seqRange{{6, 40}}},
			{"the first, under a number that was acknowledged", "UPDATE %s SET seq = 2 WHERE seq = 6", []seqRange{{6, 6}}},
		} {
			t.Run(fmt.Sprint(lane, " ", row.name), func(t *testing.T) {
				dir := fastDir(t)
				s := reopen(t, dir, Options{})
				for n := range 40 {
					must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n+1, 300)}))
					must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{event(102, ups.Moment, n)}))
				}
				must(t, s.Ack(t.Context(), lane, 5))
				must(t, s.w.plain(t.Context(), fmt.Sprintf(row.harm, laneTables[lane])))
				var told []seqRange
				for life := range 3 {
					c := newCloud()
					gaps := len(told)
					for _, l := range []wire.Lane{wire.Samples, wire.Events} {
						for _, r := range all(t, s, l) {
							c.take(t, []wire.Record{r})
							if g, err := wire.DecodeGap(r.Payload); r.Class == wire.ClassGap && err == nil && g.Lane == lane && g.Reason == wire.GapDamage && life == 0 {
								told = append(told, seqRange{g.First, g.Last})
							}
							if r.Class == wire.ClassGap && life == 1 {
								gaps--
							}
						}
						if n := int64(len(all(t, s, l))); s.Stats().Lane(l).Records != n {
							t.Errorf("%d records of %v counted, %d there", s.Stats().Lane(l).Records, l, n)
						}
					}
					if life == 1 && gaps != 0 {
						t.Errorf("the gaps of the first run are not those of the second: %d", gaps)
					}
					if life == 1 { // the gaps are delivered, samples still wait
						must(t, s.Ack(t.Context(), wire.Events, s.Stats().Events.Last))
					}
					if life == 2 && s.Stats().Events.Records != 0 {
						t.Errorf("%d more events: told again", s.Stats().Events.Records)
					}
					s.crash()
					s = reopen(t, dir, Options{})
				}
				if !slices.Equal(told, row.want) {
					t.Errorf("told as gaps %v, want %v", told, row.want)
				}
			})
		}
	}
}
