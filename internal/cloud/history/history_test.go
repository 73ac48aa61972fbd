package history_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud/history"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

const (
	agent  = "box-7"
	serial = "AS1"
	dev    = "d_1"
)

// epoch of every test: 2026-03-01 00:00 UTC.
var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// A world is one agent whose records come in, and what was said of it.
type world struct {
	*testing.T
	db       *store.DB
	receiver *ingest.Receiver
	follower *history.Follower
	encoder  *wire.Encoder
	boot     wire.ID
	stream   wire.ID
	seq      [3]uint64 // last number by lane
	now      time.Time
	truth    []sample
}

type sample struct {
	at    int64 // Unix ms
	point ups.Point
	value float64
}

func each(t *testing.T, fn func(w *world)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := &world{T: t, db: db, encoder: wire.NewEncoder(), boot: wire.ID{7}, stream: wire.ID{9}, now: start.Add(time.Hour)}
		w.follower = history.NewFollower(db, nil)
		w.receiver = ingest.New(db, ingest.Options{
			Now: func() time.Time { return w.now }, Sinks: ingest.Sinks{Event: history.TakeEvent, State: history.TakeState},
		})
		w.write(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
				VALUES ($1, $2, 1, $3, 'a_1', 'o_1', 'rack', 'advanced', 0, 1, 1)`, dev, serial, agent)
			return err
		})
		fn(w)
	})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) write(fn func(context.Context, *store.Tx) error) {
	w.Helper()
	w.must(w.db.Write(w.Context(), fn))
}

func (w *world) read(fn func(context.Context, *store.Tx) error) {
	w.Helper()
	w.must(w.db.Read(w.Context(), fn))
}

// stamp is an instant; mono is the time since start, so that the boot was then.
func (w *world) stamp(at time.Duration, trusted bool) wire.Stamp {
	s := wire.Stamp{BootID: w.boot, Mono: at}
	if trusted {
		s.Wall = start.Add(at)
	}
	return s
}

var layout = &ups.Layout{Columns: []ups.Column{{Point: ups.InputVoltage, Divisor: 64}, {Point: ups.Charge, Divisor: 512}, {Point: ups.StatusFlags, Divisor: 1}}}

// rows makes rows each step from an instant on.
func rows(r *rand.Rand, from, step time.Duration, n int) wire.Rows {
	s := wire.Rows{Tier: ups.TierLive, Layout: layout}
	for i := range n {
		s.At = append(s.At, (from + time.Duration(i)*step).Milliseconds())
		charge := int64(100 * 512)
		if r.IntN(10) == 0 {
			charge = ups.Absent
		}
		s.Raw = append(s.Raw, int64(230*64+r.IntN(200)), charge, 2)
	}
	return s
}

// block sends rows as a record of an epoch and notes what they say, if it is the device's.
func (w *world) block(s wire.Rows, epoch uint32, trusted bool) {
	w.Helper()
	w.blockOf(serial, w.encoder, s, epoch, trusted)
	if epoch == 1 {
		w.note(s)
	}
}

func (w *world) blockOf(unit string, e *wire.Encoder, s wire.Rows, epoch uint32, trusted bool) {
	w.Helper()
	body, err := e.Encode(nil, &wire.Block{Unit: "rack-a", Device: unit, Sections: []wire.Rows{s}})
	w.must(err)
	w.seq[wire.Samples]++
	w.send(wire.Record{Lane: wire.Samples, Seq: w.seq[wire.Samples], Class: wire.ClassSamples, Payload: body}, time.Duration(s.At[0])*time.Millisecond, epoch, trusted)
}

func (w *world) note(s wire.Rows) {
	for i, at := range s.At {
		for k, c := range s.Layout.Columns {
			if v, ok := ups.ValueOf(c.Point, s.Raw[i*len(s.Layout.Columns)+k], c.Divisor); ok {
				w.truth = append(w.truth, sample{start.UnixMilli() + at, c.Point, v})
			}
		}
	}
}

func (w *world) picture(s wire.Rows, event uint64) {
	w.Helper()
	body, err := w.encoder.EncodeAlone(nil, &wire.Block{Unit: "rack-a", Device: serial, Sections: []wire.Rows{s}})
	w.must(err)
	w.seq[wire.Events]++
	w.send(wire.Record{Lane: wire.Events, Seq: w.seq[wire.Events], Class: wire.ClassPicture, Payload: wire.PicturePayload(event, body)}, time.Duration(s.At[0])*time.Millisecond, 1, true)
}

func (w *world) event(e ups.Event, at time.Duration, trusted bool) uint64 {
	w.Helper()
	e.Unit, e.Device, e.Severity, e.Text = "rack-a", serial, ups.Warning, "something"
	body, err := wire.EncodeEvent(e)
	w.must(err)
	w.seq[wire.Events]++
	w.send(wire.Record{Lane: wire.Events, Seq: w.seq[wire.Events], Class: wire.ClassAlarm, Payload: body}, at, 1, trusted)
	return w.seq[wire.Events]
}

func (w *world) send(r wire.Record, at time.Duration, epoch uint32, trusted bool) {
	w.Helper()
	r.Stream, r.Epoch, r.Boot, r.Stamp = w.stream, epoch, 1, w.stamp(at, trusted)
	var msg []byte
	var err error
	if r.Class.Leaf() == wire.TopicSamples {
		msg, err = wire.SampleMessage(nil, agent, r)
	} else {
		msg, err = wire.EventMessage(nil, agent, r)
	}
	w.must(err)
	_, err = w.receiver.Take(w.Context(), []ingest.Message{{Topic: wire.Topic(agent, r.Class.Leaf()), Payload: msg}})
	w.must(err)
}

func (w *world) follow() {
	w.Helper()
	_, err := w.follower.Follow(w.Context())
	w.must(err)
}

var asked = []ups.Point{ups.InputVoltage, ups.Charge}

// ask compares an answer with what is reckoned from everything that was sent.
func (w *world) ask(from, to, step time.Duration) []history.Series {
	w.Helper()
	q := history.Question{Device: dev, Points: asked, From: start.Add(from), To: start.Add(to), Step: step}
	got, err := history.NewReader(w.db, func() time.Time { return w.now }).Ask(w.Context(), &q)
	w.must(err)
	width := q.Step.Milliseconds()
	first, last := q.From.UnixMilli()/width*width, (q.To.UnixMilli()+width-1)/width*width
	for i, p := range asked {
		want := map[int64]*history.Cell{}
		for _, s := range w.truth {
			if s.point != p || s.at < first || s.at >= last {
				continue
			}
			c := want[s.at/width]
			if c == nil {
				c = &history.Cell{Min: math.Inf(1), Max: math.Inf(-1)}
				want[s.at/width] = c
			}
			c.N++
			c.Min, c.Max, c.Sum = min(c.Min, s.value), max(c.Max, s.value), c.Sum+s.value
		}
		if len(got[i].Cells) != len(want) {
			w.Fatalf("%v of %v to %v by %v: %d cells, want %d", p, from, to, step, len(got[i].Cells), len(want))
		}
		for _, c := range got[i].Cells {
			x := want[c.At.UnixMilli()/width]
			if x == nil || c.At.UnixMilli()%width != 0 || c.N != x.N || c.Min != x.Min || c.Max != x.Max || math.Abs(c.Sum-x.Sum) > 1e-6*math.Abs(x.Sum) {
				w.Fatalf("%v at %v by %v: %+v, want %+v", p, c.At, step, c, x)
			}
		}
	}
	return got
}

// TestHistoryIsWhatWasSent compares answers of every kind with everything that was sent, before and behind summaries.
func TestHistoryIsWhatWasSent(t *testing.T) {
	each(t, func(w *world) {
		r := rand.New(rand.NewPCG(1, 2))
		for at := time.Duration(0); at < 5*time.Hour; at += 10 * time.Minute { // sparse, or it would take long
			s := rows(r, at, 30*time.Second, 12)
			w.block(s, 1, true)
			if r.IntN(3) == 0 { // a picture repeats rows
				w.picture(wire.Rows{Tier: s.Tier, Layout: s.Layout, At: s.At[3:6], Raw: s.Raw[9:18]}, 1)
			}
		}
		w.block(rows(r, 2*time.Hour, time.Second, 5), 2, true) // another owner's
		w.follow()
		look := func() {
			w.Helper()
			w.ask(0, 5*time.Hour, time.Minute)
			w.ask(0, 5*time.Hour, time.Hour)
			w.ask(17*time.Minute, 3*time.Hour+11*time.Minute, 10*time.Minute)
			w.ask(30*time.Minute, 40*time.Minute, 10*time.Second)
			w.ask(0, 48*time.Hour, 24*time.Hour)
			w.ask(-time.Hour, 6*time.Hour, 0)
		}
		w.now = start.Add(5 * time.Hour)
		look()
		w.now = start.Add(72 * time.Hour) // everything is settled: summaries are made, then read
		look()
		look()
		var summaries int
		w.read(func(ctx context.Context, tx *store.Tx) error {
			return tx.QueryRow(ctx, `SELECT COUNT(*) FROM summaries WHERE stale = 0`).Scan(&summaries)
		})
		if summaries < 6 {
			t.Errorf("%d summaries, want those of 5 hours and a day", summaries)
		}
		w.block(rows(r, 2*time.Hour+7*time.Minute, time.Second, 40), 1, true) // late
		w.follow()
		look()
		// A summary that came to harm is made anew.
		w.write(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE summaries SET body = $1`, []byte("damaged"))
			return err
		})
		look()
	})
}

// TestFollowersAtOnceTakeEachRecordOnce: also when they are interrupted.
func TestFollowersAtOnceTakeEachRecordOnce(t *testing.T) {
	each(t, func(w *world) {
		r := rand.New(rand.NewPCG(3, 4))
		w.now = start.Add(2 * time.Hour)
		for i := range 300 {
			w.block(rows(r, time.Duration(i)*20*time.Second, 5*time.Second, 4), 1, true)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				f := history.NewFollower(w.db, nil)
				for i := range 4 {
					ctx, cancel := context.WithTimeout(w.Context(), time.Duration(i)*30*time.Millisecond)
					_, _ = f.Follow(ctx)
					cancel()
				}
				if _, err := f.Follow(w.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.ask(0, 2*time.Hour, time.Minute)
		var latest *history.Latest
		w.read(func(ctx context.Context, tx *store.Tx) (err error) {
			latest, err = history.ReadLatest(ctx, tx, dev)
			return err
		})
		if want := start.Add(299*20*time.Second + 15*time.Second); !latest.Time().Equal(want) || latest.Values[ups.InputVoltage].Raw == nil {
			t.Errorf("latest is of %v, want %v", latest.Time(), want)
		}
	})
}

// TestT27ATimeThatIsKnownLaterIsMended: of blocks and incidents without a time, once the agent tells the clock of that boot.
func TestT27ATimeThatIsKnownLaterIsMended(t *testing.T) {
	each(t, func(w *world) {
		r := rand.New(rand.NewPCG(5, 6))
		w.now = start.Add(30 * time.Hour)
		w.block(rows(r, 10*time.Minute, time.Second, 60), 1, false)
		w.follow()
		if _, err := history.NewReader(w.db, nil).Ask(t.Context(), &history.Question{Device: dev, Points: asked, From: start, To: start.Add(time.Hour), Step: time.Minute}); err != nil {
			t.Fatal(err)
		}
		w.block(rows(r, 20*time.Minute, time.Second, 60), 1, true) // of the same boot, with a time
		w.follow()
		w.must(w.follower.Mend(t.Context()))
		w.ask(0, time.Hour, time.Minute)
		w.ask(0, time.Hour, 10*time.Second)
	})
}

func (w *world) incidents(open bool) (out []history.Incident) {
	w.Helper()
	w.read(func(ctx context.Context, tx *store.Tx) (err error) {
		out, err = history.Incidents(ctx, tx, dev, open, nil, 100)
		return err
	})
	return out
}

func TestAlarmsAreIncidentsFromRaiseToClear(t *testing.T) {
	each(t, func(w *world) {
		raise := w.event(ups.Event{ID: 101, Kind: ups.Raise, Detail: "no mains"}, time.Minute, true)
		w.event(ups.Event{ID: 102, Kind: ups.Moment}, 2*time.Minute, true)
		if open := w.incidents(true); len(open) != 1 || open[0].Event != 101 || !open[0].Raised.Equal(start.Add(time.Minute)) || open[0].Detail != "no mains" {
			t.Errorf("open: %+v", open)
		}
		w.event(ups.Event{ID: 101, Kind: ups.Clear, RaisedBy: raise, Inferred: true}, 3*time.Minute, true)
		all := w.incidents(false)
		if len(w.incidents(true)) != 0 || len(all) != 2 || !all[0].Moment || !all[1].Cleared.Equal(start.Add(3*time.Minute)) || !all[1].Inferred {
			t.Errorf("all: %+v", all)
		}
		// A clear that comes before its raise.
		w.seq[wire.Events]++ // the raise is on its way
		raise = w.seq[wire.Events]
		w.event(ups.Event{ID: 301, Kind: ups.Clear, RaisedBy: raise}, 5*time.Minute, true)
		after := w.seq[wire.Events]
		w.seq[wire.Events] = raise - 1
		w.event(ups.Event{ID: 301, Kind: ups.Raise}, 4*time.Minute, true)
		w.seq[wire.Events] = after
		if open := w.incidents(true); len(open) != 0 || len(w.incidents(false)) != 3 {
			t.Errorf("open behind an early clear: %+v", open)
		}
		// What has no time is at its arrival, and says so.
		w.boot = wire.ID{8}
		w.event(ups.Event{ID: 201, Kind: ups.Raise}, time.Minute, false)
		if open := w.incidents(true); len(open) != 1 || open[0].Certain || !open[0].Raised.Equal(w.now) {
			t.Errorf("without a time: %+v", open)
		}
	})
}

func TestInventoryHasItsChanges(t *testing.T) {
	each(t, func(w *world) {
		state := func(unit, model, firmware string) {
			w.Helper()
			w.now = w.now.Add(time.Minute)
			w.write(func(ctx context.Context, tx *store.Tx) error {
				return history.TakeState(ctx, tx, agent, &wire.FullState{Units: []wire.UnitState{{Unit: unit, Serial: serial, Model: model, Firmware: firmware}}}, w.now)
			})
		}
		state("rack-a", "", "")
		state("rack-a", "Smart-UPS 1500", "UPS 04.1")
		state("rack-a", "Smart-UPS 1500", "UPS 04.1")
		state("rack-a", "", "") // after a restart it is not known yet
		state("rack-a", "Smart-UPS 1500", "UPS 04.2")
		w.read(func(ctx context.Context, tx *store.Tx) error {
			i, err := history.ReadInventory(ctx, tx, dev)
			w.must(err)
			if i.Unit != "rack-a" || i.Model != "Smart-UPS 1500" || i.Firmware != "UPS 04.2" || !i.Since.Equal(w.now) {
				t.Errorf("%+v", i)
			}
			changes, err := history.Changes(ctx, tx, dev, 0, 10)
			var said []string
			for _, c := range changes {
				said = append(said, fmt.Sprintf("%d %s %q %q", c.Number, c.Field, c.Old, c.New))
			}
			if got := fmt.Sprint(said); got != `[3 firmware "UPS 04.1" "UPS 04.2" 2 firmware "" "UPS 04.1" 1 model "" "Smart-UPS 1500"]` {
				t.Errorf("%s", got)
			}
			return err
		})
	})
}

func TestQuestionsBeyondTheBoundsAreRefused(t *testing.T) {
	each(t, func(w *world) {
		for name, q := range map[string]history.Question{
			"no point":         {From: start, To: start.Add(time.Hour)},
			"to before from":   {Points: asked, From: start, To: start.Add(-time.Hour)},
			"too many cells":   {Points: asked, From: start, To: start.Add(10 * time.Hour), Step: time.Second},
			"half a second":    {Points: asked, From: start, To: start.Add(time.Minute), Step: 500 * time.Millisecond},
			"a century":        {Points: asked, From: start.AddDate(-100, 0, 0), To: start},
			"a day by seconds": {Points: asked, From: start, To: start.Add(30 * time.Hour), Step: 90 * time.Second},
		} {
			q.Device = dev
			if got, err := history.NewReader(w.db, nil).Ask(t.Context(), &q); err == nil {
				t.Errorf("%s: %d series", name, len(got))
			}
		}
	})
}
