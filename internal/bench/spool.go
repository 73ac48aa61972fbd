package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"upsedge/internal/sampler"
	"upsedge/internal/store"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A spoolCost is what it costs to keep what is not delivered: with the real store, and blocks of simulated traces.
type spoolCost struct {
	Kept       []keptBlocks `json:"kept"`
	Writes     []written    `json:"device_writes"`
	Records    int          `json:"records_at_start"`
	Opening    float64      `json:"opening_seconds"` // of the store, with so many records, none of it in memory where Cold
	Cold       bool         `json:"opening_cold"`
	Started    float64      `json:"start_seconds"` // of the agent, from its start until it is ready, with the full spool
	SpoolBytes int64        `json:"spool_bytes"`
	RSS        int64        `json:"resident_bytes"` // of the agent with 16 units and that spool
	MaxRSS     int64        `json:"most_resident_bytes"`
	Draining   int64        `json:"most_resident_bytes_draining"` // the same while it drains to a broker; 0: not measured
}

// keptBlocks is how many blocks of one unit a spool of 256 MiB holds.
type keptBlocks struct {
	Trace   string  `json:"trace"`
	Payload float64 `json:"bytes_per_payload"`
	Disk    float64 `json:"bytes_per_record_on_disk"` // of the whole quota
	Days    float64 `json:"days"`
}

const (
	flushEvery = 10 * time.Second // spool.flush, by default
	smallSpool = 256 << 20
	fullSpool  = 1 << 30 // spool.max_bytes, by default
)

func (b *bench) spool(ctx context.Context) (*spoolCost, error) {
	out := &spoolCost{}
	small, full := int64(smallSpool), int64(fullSpool)
	out.Records = 1_000_000
	if b.quick {
		small, full, out.Records = 4<<20, 8<<20, 10_000
	}
	for _, trace := range traces {
		k, err := b.keep(ctx, trace, small)
		if err != nil {
			return nil, fmt.Errorf("%s trace: %w", trace, err)
		}
		k.Days *= float64(smallSpool) / float64(small)
		out.Kept = append(out.Kept, k)
	}
	var err error
	if out.Writes, err = b.deviceWrites(ctx); err != nil {
		return nil, err
	}
	return out, b.large(ctx, out, full)
}

// bodies returns the blocks of a trace at the default flush interval.
func (b *bench) bodies(ctx context.Context, trace string) (out []store.Samples, err error) {
	length := traceTime
	if b.quick {
		length = 2 * time.Minute
	}
	begin := time.Now()
	batch, encoder := sampler.NewBatch(func(t time.Time) time.Duration { return t.Sub(begin) }), wire.NewEncoder()
	var room sampler.Room
	err = play(ctx, trace, begin, length, func(r *ups.Reading) error {
		batch.Put(r, sampler.Owner{Device: serial})
		return nil
	}, func(now time.Duration) error {
		if now%flushEvery != 0 {
			return nil
		}
		_, err := batch.Take(&room, func(of sampler.Owner, rows []wire.Rows) error {
			body, err := encoder.Encode(nil, &wire.Block{Unit: "rack-a", Device: of.Device, Sections: rows})
			out = append(out, store.Samples{Unit: "rack-a", Payload: body})
			return err
		})
		return err
	})
	return out, err
}

// A filler puts blocks as an agent with so many units would, one block of each unit per flush.
type filler struct {
	store  *store.Store
	blocks []store.Samples
	boot   wire.ID
	units  int
	next   int // flush
}

// put stores what n flushes have, in one commit: many at once only fill a spool sooner.
func (f *filler) put(ctx context.Context, n int) error {
	var out []store.Samples
	for range n {
		at := wire.Stamp{BootID: f.boot, Mono: time.Duration(f.next) * flushEvery, Wall: time.Now()}
		for u := range f.units {
			s := f.blocks[(f.next+7*u)%len(f.blocks)]
			s.Unit, s.First, s.Last = fmt.Sprintf("rack-%d", u), at, at
			s.Last.Mono += flushEvery
			out = append(out, s)
		}
		f.next++
	}
	return f.store.PutSamples(ctx, out)
}

func (b *bench) open(ctx context.Context, dir string, maxBytes int64) (*store.Store, error) {
	return store.Open(ctx, dir, store.Options{BootID: wire.ID{1}, MaxBytes: maxBytes})
}

// keep fills a spool until the oldest go.
func (b *bench) keep(ctx context.Context, trace string, maxBytes int64) (out keptBlocks, err error) {
	dir := filepath.Join(b.dir, "keep-"+trace)
	defer os.RemoveAll(dir)
	s, err := b.open(ctx, dir, maxBytes)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	blocks, err := b.bodies(ctx, trace)
	if err != nil {
		return out, err
	}
	f := &filler{store: s, blocks: blocks, boot: wire.ID{1}, units: 1}
	for s.Stats().Samples.Dropped[wire.GapQuota] == 0 {
		if err := errors.Join(f.put(ctx, 1000), ctx.Err()); err != nil {
			return out, err
		}
	}
	lane := s.Stats().Samples
	out = keptBlocks{
		Trace: trace, Payload: float64(lane.Bytes) / float64(lane.Records), Disk: float64(maxBytes) / float64(lane.Records),
		Days: float64(lane.Records) * flushEvery.Hours() / 24,
	}
	return out, nil
}

// large fills a spool, opens it with so many records, and runs the agent beside it when it is full.
func (b *bench) large(ctx context.Context, out *spoolCost, maxBytes int64) (err error) {
	dir := filepath.Join(b.dir, "large")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	state := filepath.Join(dir, "state")
	blocks, err := b.bodies(ctx, "noisy")
	if err != nil {
		return err
	}
	const units = 16
	fill := func(enough func(store.Stats) bool) error {
		s, err := b.open(ctx, state, maxBytes)
		if err != nil {
			return err
		}
		f := &filler{store: s, blocks: blocks, boot: wire.ID{1}, units: units}
		for !enough(s.Stats()) && err == nil {
			err = errors.Join(f.put(ctx, 100), ctx.Err())
		}
		return errors.Join(err, s.Close())
	}
	if err := fill(func(s store.Stats) bool { return int(s.Samples.Records) >= out.Records }); err != nil {
		return err
	}
	out.Cold = dropCaches()
	begin := time.Now()
	s, err := b.open(ctx, state, maxBytes)
	if err != nil {
		return err
	}
	out.Opening = time.Since(begin).Seconds()
	if err := s.Close(); err != nil {
		return err
	}
	if err := fill(func(s store.Stats) bool { return s.Samples.Dropped[wire.GapQuota] > 0 }); err != nil {
		return err
	}
	return b.besideFullSpool(ctx, out, dir, units)
}

// besideFullSpool runs the agent on the full spool, with units that answer: alone, and while it drains over TLS.
func (b *bench) besideFullSpool(ctx context.Context, out *spoolCost, dir string, units int) error {
	out.SpoolBytes = bytesBelow(filepath.Join(dir, "state"))
	f, err := startFarm(ctx, units)
	if err != nil {
		return err
	}
	defer f.stop()
	var list strings.Builder
	for i := range units {
		fmt.Fprintf(&list, "  - {name: rack-%d, tcp: {address: \"%v\", via: unit}}\n", i, farmAddress(i, f.port))
	}
	out.Started, out.RSS, out.MaxRSS, err = b.resident(ctx, dir, list.String())
	if err != nil {
		return err
	}
	broker, err := b.tlsBroker(ctx, filepath.Join(dir, "broker"))
	if errors.Is(err, errMissing) {
		return nil
	} else if err != nil {
		return err
	}
	defer broker.stop()
	fmt.Fprintf(&list, "uplink: {broker: \"tls://%s\", tls: {ca_file: %s}}\n", broker.address, filepath.Join(dir, "broker", "cert.pem"))
	_, _, out.Draining, err = b.resident(ctx, dir, list.String())
	return err
}

// resident runs the agent for a while and returns when it was ready, and its memory.
func (b *bench) resident(ctx context.Context, dir, units string) (started float64, now, most int64, err error) {
	address, err := freeAddress()
	if err != nil {
		return 0, 0, 0, err
	}
	cmd, err := b.agentOn(context.WithoutCancel(ctx), dir, address, units)
	if err != nil {
		return 0, 0, 0, err
	}
	dropCaches()
	begin := time.Now()
	proc, err := start(cmd)
	if err != nil {
		return 0, 0, 0, err
	}
	defer proc.stop()
	ready := func() bool {
		resp, err := http.Get("http://" + address + "/readyz")
		if err == nil {
			err = resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK || proc.alive() != nil
	}
	if err := errors.Join(await(ctx, time.Minute, ready), proc.alive()); err != nil {
		return 0, 0, 0, fmt.Errorf("agent beside a full spool: %w", err)
	}
	started = time.Since(begin).Seconds()
	if err := pause(ctx, b.window); err != nil {
		return 0, 0, 0, err
	}
	u, err := proc.usage()
	return started, u.now, u.rss, err
}

// dropCaches makes the kernel forget what it has in memory of files, and reports whether it could (it takes root).
func dropCaches() bool {
	unix.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0) == nil
}

func bytesBelow(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if fi, err := d.Info(); err == nil && fi.Mode().IsRegular() {
			n += fi.Size()
		}
		return nil
	})
	return n
}

func (c *spoolCost) judge(least, most func(what, format string, target, value float64)) {
	for _, k := range c.Kept {
		least(fmt.Sprintf("days of one unit at the default rates in 256 MiB, %s", k.Trace), "%.0f", 30, k.Days)
	}
	most(fmt.Sprintf("opening a store with %d records", c.Records), "%.2f s", 2, c.Opening)
	most("memory resident, 16 units with a full spool, at most", "%.1f MiB", 40, float64(max(c.MaxRSS, c.Draining))/(1<<20))
}

func (c *spoolCost) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nSpool, blocks of 10 s from simulated traces:\n")
	fmt.Fprintf(t, "trace\tbytes per block\ton disk, of the quota\tdays of one unit in 256 MiB\t\n")
	for _, k := range c.Kept {
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.1f\t\n", k.Trace, k.Payload, k.Disk, k.Days)
	}
	t.Flush()
	for _, x := range c.Writes {
		x.print(w)
	}
	fmt.Fprintf(w, "A store with %d records opens in %.2f s (%s). The agent with 16 units and a spool of %.0f MiB is ready after %.2f s; resident %.1f MiB, at most %.1f, and %.1f while it drains.\n",
		c.Records, c.Opening, map[bool]string{true: "nothing of it in memory", false: "partly in memory: not root"}[c.Cold],
		float64(c.SpoolBytes)/(1<<20), c.Started, float64(c.RSS)/(1<<20), float64(c.MaxRSS)/(1<<20), float64(c.Draining)/(1<<20))
}
