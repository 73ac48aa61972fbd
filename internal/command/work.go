package command

import (
	"context"
	"errors"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A hand is an order in hand: the only one of its device that changes anything.
type hand struct {
	o *Order // nil: found in the journal
	e *entry // of the goroutine that works on it

	// guarded by Executor.mu
	phase  phase
	unit   Unit          // while running
	revoke bool          // it is to end before it begins
	told   bool          // the unit was told to take it back, or a process before may have told it
	why    policy.Reason // the right it lost while it ran (PLAN-11), "": none
}

type phase uint8

const (
	checking phase = iota // nothing was written, and nothing will be once revoke is set
	running
)

const (
	checkWithin = 30 * time.Second // a line that has just come back is read in a few
	// judgeWithin is how long a unit is asked what became of an order after a restart: a box that was fed by the unit starts before the unit
	// answers, and a network card takes a minute or two.
	judgeWithin = 5 * time.Minute
	judgeEvery  = time.Second
	// progressEvery is the least time between two records that tell how far an order is.
	progressEvery = 2 * time.Second
)

// decide judges an order and begins it.
func (x *Executor) decide(ctx context.Context, o *Order) {
	c := o.Command
	j, err := x.journal()
	if err != nil {
		x.unheard(o, policy.LocalPolicy, "the journal of orders cannot be written")
		return
	}
	known, err := j.find(c.ID)
	x.look(j, err)
	switch {
	case err != nil:
		x.unheard(o, policy.LocalPolicy, "the journal of orders cannot be read")
		return
	case known != nil && o.local:
		x.follow.tell(known.result())
		return
	case known != nil:
		x.answerAgain(known)
		return
	}
	if r := x.flood(o); r != nil {
		x.unheard(o, policy.Reason(r.Reason), r.Detail)
		return
	}
	e := &entry{cmd: c}
	if t, ok := x.o.Find(c.Device); ok {
		e.unit = t.Name
	}
	h := &hand{o: o, e: e}
	x.mu.Lock()
	if x.active[c.ID] { // its answer comes
		x.mu.Unlock()
		return
	}
	var r *ups.Refusal
	if x.j != j { // it was lost meanwhile
		r = refuse(policy.LocalPolicy, "the journal of orders failed")
	} else if r = x.judge(o, e); r == nil && c.Action != string(policy.OrderCancel) {
		x.hands[c.Device] = h
	}
	if r == nil {
		x.active[c.ID] = true
	}
	x.mu.Unlock()
	switch {
	case r != nil:
		x.refuse(o, e, r)
	case c.Action == string(policy.OrderCancel):
		if !x.cancel(ctx, o, e) {
			x.rest(e)
		}
	default:
		x.works.Go(func() { x.carryOut(ctx, h) })
	}
}

// refuse ends an order that was not accepted.
func (x *Executor) refuse(o *Order, e *entry, r *ups.Refusal) {
	e.state, e.reason, e.detail = wire.OrderRefused, policy.Reason(r.Reason), oneLine(r.Detail, maxDetail)
	switch err := x.conclude(e); {
	case errors.Is(err, errFull):
		x.unheard(o, policy.RateLimit, "the journal of orders is full")
	case err != nil:
		x.unheard(o, e.reason, e.detail)
	}
}

// unheard tells of a refusal that cannot go into the journal. Nothing was done, and should the order come again it is judged again.
func (x *Executor) unheard(o *Order, reason policy.Reason, detail string) {
	e := &entry{cmd: o.Command, state: wire.OrderRefused, reason: reason, detail: detail, ended: x.stamp()}
	if t, ok := x.o.Find(o.Command.Device); ok {
		e.unit = t.Name
	}
	x.shown.add(e)
	x.count(o.Command.Action, wire.OrderRefused, reason)
	if o.local {
		x.follow.tell(e.result()) // and nobody else
	} else {
		x.security(622, o.Command.Device, string(reason)+": "+detail)
	}
	x.log.Warn("order refused", "order", o.Command.ID, "action", o.Command.Action, "reason", string(reason), "detail", detail)
}

// carryOut is the life of an order that was judged, to its end.
func (x *Executor) carryOut(ctx context.Context, h *hand) {
	defer x.release(h)
	unit, ok := x.prepare(ctx, h)
	if !ok {
		return
	}
	outcome := unit.Execute(ctx, h.e.command(), h.e.before, x.progress(h.e))
	if outcome.State == ups.Left { // the line was taken out of the configuration, or another took its place
		x.askUnit(ctx, h)
		return
	}
	x.finish(ctx, h, outcome)
}

// prepare brings an order to where it is written to the unit, at most atOnce of them at a time. What is followed then, a calibration for
// hours, keeps no other waiting.
func (x *Executor) prepare(ctx context.Context, h *hand) (unit Unit, ok bool) {
	select {
	case x.slots <- struct{}{}:
		defer func() { <-x.slots }()
	case <-ctx.Done():
		return nil, false
	}
	unit, r := x.ready(ctx, h)
	if ctx.Err() != nil {
		return nil, false // it was never accepted
	}
	if r != nil {
		x.refuse(h.o, h.e, r)
		return nil, false
	}
	return unit, x.accept(ctx, h) && x.begin(ctx, h, unit)
}

// ready asks the unit, and judges once more what may have changed meanwhile.
func (x *Executor) ready(ctx context.Context, h *hand) (Unit, *ups.Refusal) {
	c := h.o.Command
	if actions[policy.Action(c.Action)].params == nil || ofBox(c.Action) && x.o.Box == nil {
		return nil, refuse(policy.Unsupported, "this version does not carry out %s", c.Action)
	}
	t, ok := x.find(c)
	if !ok {
		return nil, refuse(policy.UPSUnreachable, "no unit here reports this serial number now")
	}
	h.e.unit = t.Name
	within, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	before, err := t.Unit.Check(within, h.e.command())
	if r := (*ups.Refusal)(nil); errors.As(err, &r) {
		return nil, r
	} else if err != nil {
		x.log.Warn("a unit could not be asked", "unit", t.Name, "err", err)
		return nil, refuse(policy.UPSUnreachable, "the unit could not be asked")
	}
	if len(before) > maxBefore {
		return nil, refuse(policy.Unsupported, "what is to be remembered of the unit is too long")
	}
	h.e.before = before
	return t.Unit, nil
}

// accept writes down that an order is taken. Nothing was written to the unit before.
func (x *Executor) accept(ctx context.Context, h *hand) bool {
	if r := x.still(h, func() {}); r != nil {
		x.end(ctx, h, r)
		return false
	}
	e := h.e
	err := x.write("accept an order", func(t *tx) {
		at := x.stamp()
		e.state = wire.OrderReceived
		t.tell(e.outgoing(at))
		e.state = wire.OrderAccepted
		t.add(e)
		t.tell(e.outgoing(at))
		if limited(e.cmd) {
			t.drop(e.cmd.Device)
		}
	})
	switch {
	case errors.Is(err, errFull):
		x.refuse(h.o, e, refuse(policy.RateLimit, "the journal of orders is full"))
		return false
	case err != nil:
		x.end(ctx, h, refuse(policy.LocalPolicy, "the journal of orders could not be written"))
		return false
	}
	x.log.Info("order accepted", "order", e.cmd.ID, "action", e.cmd.Action, "unit", e.unit)
	x.stir()
	return true
}

// begin writes down that an order runs, directly before it does. Rights are judged for the last time (PERM-10).
func (x *Executor) begin(ctx context.Context, h *hand, unit Unit) bool {
	h.e.state, h.e.boot = wire.OrderRunning, x.stamp().BootID
	err := x.write("begin an order", func(t *tx) {
		t.update(h.e)
		t.tell(h.e.outgoing(x.stamp()))
	})
	if err != nil {
		x.end(ctx, h, refuse(policy.LocalPolicy, "the journal of orders could not be written"))
		return false
	}
	x.stir()
	if r := x.still(h, func() { h.phase, h.unit = running, unit }); r != nil {
		x.end(ctx, h, r)
		return false
	}
	return true
}

// still returns why an order must not go on; if nothing says so, then is done before anything else can be.
func (x *Executor) still(h *hand, then func()) *ups.Refusal {
	x.mu.Lock()
	defer x.mu.Unlock()
	if h.revoke {
		return refuse(policy.Cancelled, "it was cancelled before it began")
	}
	if r := x.again(h.o, h.e); r != nil {
		return r
	}
	then()
	return nil
}

// end ends an order before anything was written to the unit.
func (x *Executor) end(ctx context.Context, h *hand, r *ups.Refusal) {
	h.e.state, h.e.reason, h.e.detail = wire.OrderRefused, policy.Reason(r.Reason), oneLine(r.Detail, maxDetail)
	if h.e.reason == policy.Cancelled {
		h.e.state = wire.OrderCancelled
	}
	x.insist(ctx, h.e)
}

// finish ends an order with what it came to at the unit. When the agent is told to stop while it is not known, it stays running: the next
// run asks the unit.
func (x *Executor) finish(ctx context.Context, h *hand, o ups.Outcome) {
	if ctx.Err() != nil && (o.State == ups.Unknown || o.State == 0) {
		return
	}
	h.e.outcome(o)
	x.mu.Lock()
	if h.why != "" && h.e.state == wire.OrderCancelled {
		h.e.reason = h.why
	} else if h.why != "" {
		h.e.detail = oneLine(string(h.why)+" came while it ran, and it was not taken back: "+h.e.detail, maxDetail)
	}
	x.mu.Unlock()
	if h.e.state == wire.OrderCancelled && h.e.reason == "" {
		h.e.reason = policy.Cancelled
	}
	x.insist(ctx, h.e)
}

// judgeUnit ends an order that was running when the agent ended.
func (x *Executor) judgeUnit(ctx context.Context, h *hand) {
	defer x.release(h)
	x.askUnit(ctx, h)
}

// askUnit ends an order by what its unit shows, as soon as one is found that reports its serial number. The unit is only read.
func (x *Executor) askUnit(ctx context.Context, h *hand) {
	over := time.NewTimer(judgeWithin)
	defer over.Stop()
	outcome := ups.Outcome{State: ups.Unknown, Reason: ups.ReasonUnreachable, Detail: "the unit has not answered since the agent, or its line, was started again"}
	x.reach(h, nil)
	for {
		if t, ok := x.find(h.e.cmd); ok {
			recalled := x.reach(h, t.Unit)
			if c, can := t.Unit.(Canceller); can && recalled {
				c.Recalled(h.e.command())
			}
			if w, can := t.Unit.(Witness); can {
				w.Witnessed(h.e.command(), h.e.progress, h.e.boot != (wire.ID{}) && h.e.boot != x.stamp().BootID)
			}
			o := t.Unit.Judge(ctx, h.e.command(), h.e.before)
			switch {
			case o.State == ups.Left: // once more
				x.reach(h, nil)
				over.Reset(judgeWithin)
			case o.State != ups.Unknown || o.Reason != ups.ReasonUnreachable:
				x.finish(ctx, h, o)
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-over.C:
			x.finish(ctx, h, outcome)
			return
		case <-time.After(judgeEvery):
		}
	}
}

// reach notes by what the unit of an order is reached now, nil: it is not. It reports whether the unit may have been told to take the
// order back.
func (x *Executor) reach(h *hand, u Unit) (told bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	h.unit = u
	return h.told
}

// rest notes that nobody is at work on an order any more.
func (x *Executor) rest(e *entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.active, e.cmd.ID)
}

// release lets the device go.
func (x *Executor) release(h *hand) {
	x.rest(h.e)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hands[h.e.cmd.Device] == h {
		delete(x.hands, h.e.cmd.Device)
	}
}

// conclude writes down how an order ended, once: what has an end keeps it. It is on disk, with the result for the store, when nil is returned.
func (x *Executor) conclude(e *entry) error {
	first := false
	err := x.write("end an order", func(t *tx) {
		at := x.stamp()
		switch was := t.order(e.cmd.ID); {
		case t.err != nil:
		case was == nil:
			final := e.outgoing(at)
			received := final
			received.Result.State, received.Result.Reason, received.Result.Detail, received.Result.Raw = wire.OrderReceived, "", "", nil
			t.tell(received)
			e.ended = at
			t.add(e)
			t.tell(final)
			first = true
		case !was.state.Final():
			e.ended = at
			t.update(e)
			t.tell(e.outgoing(at))
			first = true
		}
	})
	if err != nil {
		return err
	}
	x.stir()
	if first {
		x.shown.add(e)
		x.count(e.cmd.Action, e.state, e.reason)
		x.log.Info("order ended", "order", e.cmd.ID, "action", e.cmd.Action, "unit", e.unit, "state", string(e.state), "reason", string(e.reason))
	}
	return nil
}

// insist concludes for as long as ctx lets it. What it does not come to, the next run does.
func (x *Executor) insist(ctx context.Context, e *entry) {
	for {
		err := x.conclude(e)
		if err == nil {
			return
		}
		select {
		case <-time.After(leastReopen / 4):
		case <-ctx.Done():
			_ = x.conclude(e) // the last try
			return
		}
	}
}

// progress tells now and then how far an order is. Each ten that it gets farther is told at once, and noted: it is what a judge knows after
// a crash.
func (x *Executor) progress(e *entry) func(int, string) {
	var last time.Time
	told := *e
	return func(percent int, detail string) {
		percent, detail = min(max(percent, 0), 100), oneLine(detail, maxDetail)
		further := percent/10 > e.progress/10
		if percent == told.progress && detail == told.detail || !further && time.Since(last) < progressEvery {
			return
		}
		last, told.progress, told.detail = time.Now(), percent, detail
		if further {
			e.progress = percent / 10 * 10
		}
		_ = x.write("tell how far an order is", func(t *tx) {
			if further {
				t.update(e)
			}
			if !t.crowded() { // the end is told for certain
				t.tell(told.outgoing(x.stamp()))
			}
		})
		x.stir()
	}
}
