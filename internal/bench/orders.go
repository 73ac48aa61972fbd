package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/store"
	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// An orderCost is how long a remote order takes inside of the agent: from the message to the instant at which the unit would be written to,
// with everything that must be on disk by then, and results going to a store beside it. The unit answers at once.
type orderCost struct {
	Orders int     `json:"orders"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Verify float64 `json:"verify_p50_ms"`
}

// swift is a unit that answers at once.
type swift struct{ written chan time.Time }

func (s swift) Check(context.Context, ups.Command) ([]byte, error) { return []byte(`{}`), nil }

func (s swift) Execute(context.Context, ups.Command, []byte, func(int, string)) ups.Outcome {
	s.written <- time.Now()
	return ups.Outcome{State: ups.Done}
}

func (s swift) Judge(context.Context, ups.Command, []byte) ups.Outcome { return ups.Outcome{} }

// spoolSink puts results where the agent puts them.
type spoolSink struct{ store *store.Store }

func (s spoolSink) Put(ctx context.Context, journal wire.ID, results []command.Outgoing) error {
	var out []store.Result
	for _, r := range results {
		payload, err := wire.EncodeResult(r.Result)
		if err != nil {
			return err
		}
		out = append(out, store.Result{Number: r.Number, Unit: r.Unit, Epoch: r.Epoch, Stamp: r.Stamp, Payload: payload})
	}
	return s.store.PutResults(ctx, journal, out)
}

func (b *bench) orders(ctx context.Context) (out *orderCost, err error) {
	n := 1000
	if b.quick {
		n = 50
	}
	dir := filepath.Join(b.dir, "orders")
	c, err := clock.New()
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, dir, store.Options{BootID: c.Boot()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	unit := swift{make(chan time.Time, 1)}
	x, err := command.Open(ctx, command.Options{
		Dir: dir, Policy: command.Policy{Allow: policy.Groups[:]}, Clock: c, Sink: spoolSink{s},
		Find: func(string) (command.Target, bool) { return command.Target{Name: "rack-a", Unit: unit}, true },
	})
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- x.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended, x.Close())
	}()
	return measureOrders(ctx, x, unit, dir, n)
}

func measureOrders(ctx context.Context, x *command.Executor, unit swift, dir string, n int) (*orderCost, error) {
	rootKey, root, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	onlineKey, online, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	keys, err := sign.Keys(root, trust.Keys{Version: 1, Keys: []trust.Key{{Kid: "online", Key: onlineKey, Purposes: []string{trust.ForStatement, trust.ForCommand}}}})
	if err != nil {
		return nil, err
	}
	verifier := trust.New("box-7", rootKey, trust.InState(dir))
	nonce, began := wire.ID{1}, time.Now()
	announced := func(id wire.ID) (time.Time, bool) { return began, id == nonce }
	var entries []trust.Entry
	for i := range n {
		entries = append(entries, trust.Entry{Device: fmt.Sprint("AS", i), Bind: &trust.Bind{Epoch: 1, Plan: "advanced", ValidUntil: began.AddDate(1, 0, 0), GrantVersion: 1}})
	}
	said, err := sign.Statement(online, "online", keys, "box-7", nonce, trust.Statement{Time: began, Entries: entries})
	if err != nil {
		return nil, err
	}
	statement, err := verifier.Statement([]byte(said), func(wire.ID) (time.Duration, bool) { return 0, true })
	if err != nil {
		return nil, err
	}
	if _, err := x.Apply(1, statement, time.Now()); err != nil {
		return nil, err
	}
	var all, verified []float64
	for i := range n { // a device each, so that none is busy with the one before
		msg, err := sign.Command(online, "online", trust.Command{
			Agent: "box-7", Device: entries[i].Device, Epoch: 1, ID: wire.ID{byte(i), byte(i >> 8), 9}, Counter: uint64(i + 1), Nonce: nonce, MaxAge: time.Hour,
			Action: ups.ActionDiagnostics, Params: map[string]string{ups.ParamTest: ups.TestSelf}, Actor: "u_1", Role: "owner", Plan: "advanced",
			GrantVersion: 1, IssuedAt: time.Now(),
		})
		if err != nil {
			return nil, err
		}
		came := time.Now()
		c, err := verifier.Command([]byte(msg))
		if err != nil {
			return nil, err
		}
		verified = append(verified, ms(time.Since(came)))
		x.Accept(command.Order{Command: c, Session: 1, Announced: announced})
		select {
		case at := <-unit.written:
			all = append(all, ms(at.Sub(came)))
		case <-time.After(10 * time.Second):
			return nil, errors.New("an order was not carried out within 10 s")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		time.Sleep(20 * time.Millisecond) // orders are rare: what the one before leaves to be written is written
	}
	slices.Sort(all)
	slices.Sort(verified)
	return &orderCost{Orders: n, P50: all[n/2], P99: all[n*99/100], Verify: verified[n/2]}, nil
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func (o *orderCost) judge(most func(what, format string, target, value float64)) {
	most("remote order, verified and on disk, before the unit is written to, p99", "%.1f ms", 10, o.P99)
}

func (o *orderCost) print(w io.Writer) {
	fmt.Fprintf(w, "\nremote orders, %d one after the other: p50 %.1f ms, p99 %.1f ms from the message to the write, two commits included; verifying alone %.2f ms\n",
		o.Orders, o.P50, o.P99, o.Verify)
}
