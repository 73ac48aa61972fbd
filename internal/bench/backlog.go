package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"upsedge/internal/sampler"
	"upsedge/internal/store"
	"upsedge/internal/uplink"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A drained is how a backlog left the box: the real store and session in this process, mosquitto with TLS, and the receiver as a
// process of its own that acknowledges what it has on disk.
type drained struct {
	Link     string  `json:"link"`
	Hours    float64 `json:"hours_of_backlog"`
	Units    int     `json:"units"`
	Records  int64   `json:"records"`
	Disk     int64   `json:"bytes_on_disk"` // of the database at the beginning
	Seconds  float64 `json:"seconds"`       // it took, or was watched
	Left     int64   `json:"records_left"`  // when the watching ended
	Times    float64 `json:"times_real_time"`
	Used     float64 `json:"share_of_link"` // bytes within TLS's socket, up; 0 on a free link
	Alarms   int     `json:"alarms"`
	Alarm50  float64 `json:"alarm_to_ack_p50_ms"`
	Alarm99  float64 `json:"alarm_to_ack_p99_ms"`
	AlarmMax float64 `json:"alarm_to_ack_max_ms"`
}

const (
	backlogUnits = 10
	thinLink     = 256_000 // bits per second
	thinDelay    = 25 * time.Millisecond
)

// backlogs drains a day of ten units over a free link, and as much as there is time for over a thin one.
func (b *bench) backlogs(ctx context.Context) (out []drained, err error) {
	hours, watch := 24.0, 2*time.Minute
	if b.whole {
		watch = time.Hour
	}
	if b.quick {
		hours, watch = 0.25, 2*time.Second
	}
	for _, thin := range []bool{false, true} {
		d := drained{Link: "free", Hours: hours, Units: backlogUnits}
		limit := 10 * time.Minute
		if thin {
			d.Link, limit = "256 kbit/s", watch
		}
		if err := b.drain(ctx, &d, thin, limit); err != nil {
			return nil, fmt.Errorf("backlog over a link that is %s: %w", d.Link, err)
		}
		out = append(out, d)
	}
	return out, nil
}

func (b *bench) drain(ctx context.Context, d *drained, thin bool, limit time.Duration) (err error) {
	dir, err := os.MkdirTemp(b.dir, "backlog-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	broker, err := b.tlsBroker(ctx, dir)
	if err != nil {
		return err
	}
	defer broker.stop()
	receiver, err := start(exec.CommandContext(context.WithoutCancel(ctx), b.receiver,
		"--broker", "tls://"+broker.address, "--dir", filepath.Join(dir, "cloud"), "--ca", filepath.Join(dir, "cert.pem"), "--log", "warn"))
	if err != nil {
		return err
	}
	defer receiver.stop()
	s, err := b.fillBacklog(ctx, d, filepath.Join(dir, "state"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	address := broker.address
	var link *slowLink
	if thin {
		if link, err = newSlowLink(broker.address, thinLink, thinDelay); err != nil {
			return err
		}
		defer link.close()
		address = link.address()
	}
	picture, err := b.picture(ctx)
	if err != nil {
		return err
	}
	alarms := &alarmTimes{store: s, picture: picture, put: map[uint64]time.Time{}}
	files, err := uplink.ReadCredentials(filepath.Join(dir, "cert.pem"), "", "")
	if err != nil {
		return err
	}
	session := uplink.New(uplink.Config{
		Broker: &url.URL{Scheme: "tls", Host: address}, TLS: files, AgentID: benchAgent, Boot: s.Boot(), Version: "bench",
		Full:  func() *wire.FullState { return &wire.FullState{Agent: benchAgent, Stream: s.Stream(), Boot: s.Boot()} },
		Cloud: cloudOf(s), Observe: uplink.Observer{Delivered: alarms.delivered},
	}, s)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	failed := make(chan error, 2)
	began := time.Now()
	wg.Go(func() { failed <- session.Run(ctx) })
	wg.Go(func() { failed <- alarms.raise(ctx) })
	err = await(ctx, limit, func() bool {
		return s.Stats().Samples.Records == 0 || receiver.alive() != nil || len(failed) > 0
	})
	d.Seconds, d.Left = time.Since(began).Seconds(), s.Stats().Samples.Records
	if errors.Is(err, context.DeadlineExceeded) && thin {
		err = nil // a part of it is enough to tell the rate
	}
	if link != nil {
		up, _ := link.bytes()
		d.Used = float64(up) / (d.Seconds * thinLink / 8)
	}
	cancel()
	wg.Wait()
	d.Times = d.Hours * 3600 * float64(d.Records-d.Left) / float64(d.Records) / d.Seconds
	alarms.sum(d)
	return errors.Join(err, receiver.alive(), <-failed, <-failed)
}

func cloudOf(s *store.Store) *uplink.Cloud {
	return &uplink.Cloud{
		Stream: s.Stream(), Last: func(l wire.Lane) uint64 { return s.Stats().Lane(l).Last },
		Order: func(context.Context, uplink.Order) (bool, error) {
			return false, errors.New("nobody sends orders here")
		},
	}
}

// fillBacklog makes the store of a box that was alone for so long, commit by commit as it would have been.
func (b *bench) fillBacklog(ctx context.Context, d *drained, dir string) (*store.Store, error) {
	blocks, err := b.bodies(ctx, "noisy")
	if err != nil {
		return nil, err
	}
	s, err := b.open(ctx, dir, fullSpool)
	if err != nil {
		return nil, err
	}
	f := &filler{store: s, blocks: blocks, boot: wire.ID{1}, units: d.Units}
	for at := time.Duration(0); at.Hours() < d.Hours; at += flushEvery {
		if err := errors.Join(f.put(ctx, 1), ctx.Err()); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	d.Records, d.Disk = s.Stats().Samples.Records, s.Stats().FileBytes
	return s, nil
}

// alarmTimes raises alarms while the backlog drains, and measures each from before it is put until the cloud has acknowledged it.
type alarmTimes struct {
	store   *store.Store
	picture []byte

	mu   sync.Mutex
	put  map[uint64]time.Time // by the number of the record
	took []time.Duration
}

// picture is what a unit on a serial line said in 30 s.
func (b *bench) picture(ctx context.Context) (body []byte, err error) {
	begin := time.Now()
	batch, encoder := sampler.NewBatch(func(t time.Time) time.Duration { return t.Sub(begin) }), wire.NewEncoder()
	var room sampler.Room
	const long = 30 * time.Second
	err = play(ctx, "noisy", begin, long, func(r *ups.Reading) error {
		batch.Put(r, sampler.Owner{Device: serial})
		return nil
	}, func(now time.Duration) error {
		if now < long {
			return nil
		}
		_, err := batch.Take(&room, func(of sampler.Owner, rows []wire.Rows) (err error) {
			body, err = encoder.EncodeAlone(nil, &wire.Block{Unit: "rack-0", Device: of.Device, Sections: rows})
			return err
		})
		return err
	})
	return body, err
}

// raise puts an alarm every 150 ms on average, each tenth with a picture.
func (a *alarmTimes) raise(ctx context.Context) error {
	for i := 0; ; i++ {
		if pause(ctx, time.Duration(50+rand.IntN(200))*time.Millisecond) != nil {
			return nil
		}
		event := store.Event{Event: ups.Event{
			ID: 101, Kind: ups.Moment, Severity: ups.Warning, Unit: "rack-0", Device: serial, Text: "UPS on battery",
			Detail: "LowInputVoltage", Raw: []ups.RawValue{{Point: ups.StatusFlags, Raw: 4}, {Point: ups.StatusCause, Raw: 2}},
		}, Stamp: wire.Stamp{BootID: wire.ID{1}, Mono: 24 * time.Hour}}
		number := uint64(1)
		if i%10 == 0 {
			event.Picture = &store.Samples{Unit: "rack-0", First: event.Stamp, Last: event.Stamp, Payload: a.picture}
			number = 2
		}
		begin := time.Now()
		a.mu.Lock() // or it might be acknowledged before its number is known
		err := a.store.PutEvents(context.WithoutCancel(ctx), "rack-0", nil, []store.Event{event})
		a.put[a.store.Stats().Events.Last-number+1] = begin
		a.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

func (a *alarmTimes) delivered(rec wire.Record, at time.Time) {
	if rec.Class != wire.ClassAlarm {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if begin, known := a.put[rec.Seq]; known {
		a.took = append(a.took, at.Sub(begin))
		delete(a.put, rec.Seq)
	}
}

func (a *alarmTimes) sum(d *drained) {
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.Sort(a.took)
	if d.Alarms = len(a.took); d.Alarms > 0 {
		d.Alarm50, d.Alarm99 = millis(a.took[len(a.took)/2]), millis(a.took[len(a.took)*99/100])
		d.AlarmMax = millis(a.took[len(a.took)-1])
	}
}

func judgeBacklogs(rows []drained, least, most func(what, format string, target, value float64)) {
	for _, d := range rows {
		if d.Used == 0 {
			least(fmt.Sprintf("backlog of %.0f h of %d units, free link, times real time", d.Hours, d.Units), "%.0f", 50, d.Times)
		} else {
			least("the same over "+d.Link+", share of the link", "%.1f %%", 90, 100*d.Used)
		}
		most("alarm to the cloud's acknowledgement meanwhile, p99", "%.0f ms", 500, d.Alarm99)
	}
}

func printBacklogs(w io.Writer, rows []drained) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nBacklog of %d units, blocks of 10 s of the noisy trace; MQTT within TLS, acknowledged by a receiver with a disk of its own:\n", backlogUnits)
	fmt.Fprintf(t, "link\thours\trecords\ton disk\tdrained\tin\ttimes real time\tof the link\talarms\tp50\tp99\tmax\t\n")
	for _, d := range rows {
		fmt.Fprintf(t, "%s\t%.2f\t%d\t%.1f MiB\t%.1f %%\t%.0f s\t%.0f\t%.1f %%\t%d\t%.0f ms\t%.0f ms\t%.0f ms\t\n", d.Link, d.Hours, d.Records, float64(d.Disk)/(1<<20),
			100*float64(d.Records-d.Left)/float64(d.Records), d.Seconds, d.Times, 100*d.Used, d.Alarms, d.Alarm50, d.Alarm99, d.AlarmMax)
	}
	t.Flush()
}
