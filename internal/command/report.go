package command

import (
	"context"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// Answers to orders that are known: 20 at once, then one in 5 s. Who may publish on orders can send one order again and again; every
// answer is a commit, and a record that is never dropped.
const (
	repeatBurst = 20
	reportOnce  = 64 // results in one commit of the store
)

var repeatEvery = rate.Every(5 * time.Second)

// Between two attempts to hand results to a store that refuses.
const (
	leastPause = 250 * time.Millisecond
	mostPause  = 10 * time.Second
)

// stir tells the reporter that there is something for the store.
func (x *Executor) stir() {
	select {
	case x.news <- struct{}{}:
	default:
	}
}

// answerAgain sends the stored answer to an order that came again (EDGE-6).
func (x *Executor) answerAgain(e *entry) {
	if !x.repeat.Allow() {
		x.security(627, e.cmd.Device, "an order that is known came again")
		return
	}
	crowded := false
	err := x.write("answer an order again", func(t *tx) {
		if crowded = t.crowded(); crowded {
			return
		}
		o := e.outgoing(x.stamp())
		o.Result.Repeated = true
		t.tell(o)
	})
	if err != nil {
		x.log.Warn("an order that is known could not be answered", "order", describe(e), "err", err)
		return
	}
	if crowded {
		x.security(627, e.cmd.Device, "an order that is known came again, and too many results wait for it to be answered")
	}
	x.stir()
}

// report hands results to the store until ctx ends. They leave the journal when the store has them.
func (x *Executor) report(ctx context.Context) {
	pause := leastPause
	for {
		more, err := x.handOver(ctx)
		switch {
		case ctx.Err() != nil:
			return // they wait for the next start
		case more && err == nil:
			pause = leastPause
			continue
		case err == nil:
			select {
			case <-x.news:
			case <-ctx.Done():
			}
			continue
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		if pause == leastPause {
			x.log.Warn("results of orders wait: they cannot be stored", "err", err)
		}
		pause = min(2*pause, mostPause)
	}
}

// handOver hands over the oldest results, and reports whether there were any.
func (x *Executor) handOver(ctx context.Context) (more bool, err error) {
	j, err := x.journal()
	if err != nil {
		return false, nil // opening it says that there are news
	}
	of, out, err := j.waiting(reportOnce)
	if x.look(j, err); err != nil || len(out) == 0 {
		return false, err
	}
	for i := range out {
		out[i].Stamp = x.o.Clock.Complete(out[i].Stamp)
	}
	through := out[len(out)-1].Number
	if !x.o.Alone { // what was ordered on site before there was a cloud is not the cloud's (design, section 5)
		out = slices.DeleteFunc(out, func(o Outgoing) bool { return o.Unit != "" && o.Epoch == 0 })
	}
	if err := x.o.Sink.Put(ctx, of, out); err != nil {
		return true, err
	}
	err = j.delivered(through)
	x.look(j, err)
	return true, err
}
