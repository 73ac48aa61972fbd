package command

import (
	"context"
	"errors"
	"maps"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// Between two attempts to open the journal.
const (
	leastReopen = time.Second
	mostReopen  = 30 * time.Second
)

// openJournal opens the journal and takes over what it knows. What was bound before it is written into one that is new.
func (x *Executor) openJournal(ctx context.Context) error {
	x.mu.Lock()
	suspect, again := x.suspect, x.before
	x.mu.Unlock()
	j, err := openJournal(ctx, x.o, suspect, again)
	if err != nil {
		return err
	}
	x.inherit(ctx, j)
	binds, err := j.binds()
	if err != nil {
		return errors.Join(err, j.close())
	}
	drops, lost, err := j.dropped()
	if err != nil {
		return errors.Join(err, j.close())
	}
	x.limits.learn(x.o.Clock.Mono(time.Now()), drops, lost)
	// Read before anybody can add to it: what nobody has in hand now is of a process, or a journal, that is gone.
	live, err := j.live()
	if err != nil {
		return errors.Join(err, j.close())
	}
	ended, err := j.lately(mostShown)
	if err != nil {
		return errors.Join(err, j.close())
	}
	x.applying.Lock()
	defer x.applying.Unlock()
	x.mu.Lock()
	known := maps.Clone(x.binds)
	x.suspect = false
	x.mu.Unlock()
	for device, b := range j.saved {
		if known[device] == nil {
			known[device] = b
		}
	}
	err = j.write("keep what is bound", func(t *tx) {
		for device, b := range known {
			if had := binds[device]; had == nil || had.Epoch < b.Epoch || had.Epoch == b.Epoch && had.GrantVersion < b.GrantVersion {
				t.saveBind(device, b)
				binds[device] = b
			}
		}
	})
	if err != nil {
		return errors.Join(err, j.close())
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.before { // later ones are in memory already
		for _, e := range ended {
			x.shown.add(e)
		}
	}
	x.before = true
	x.j, x.counter = j, max(x.counter, j.meta.counter)
	x.setBinds(binds)
	for _, e := range live {
		if x.active[e.cmd.ID] {
			continue
		}
		x.follow.tell(e.result())
		h := &hand{e: e, phase: running, told: e.recall.Told}
		if h.told {
			h.why = e.recall.Why
		}
		x.left = append(x.left, h)
		if e.inUnit() {
			x.hands[e.cmd.Device], x.active[e.cmd.ID] = h, true
		}
	}
	x.stir()
	return nil
}

// inUnit reports whether the unit may be at work on the order: only its registers can say.
func (e *entry) inUnit() bool {
	return e.state == wire.OrderRunning && e.cmd.Action != string(policy.OrderCancel)
}

// journal returns the open journal.
func (x *Executor) journal() (*journal, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.j == nil {
		return nil, errNoJournal
	}
	return x.j, nil
}

// write makes a commit of the journal. One that fails takes the journal out of use.
func (x *Executor) write(what string, fn func(*tx)) error {
	j, err := x.journal()
	if err != nil {
		return err
	}
	var done *tx
	err = j.write(what, func(t *tx) {
		fn(t)
		done = t
	})
	if x.look(j, err); err == nil {
		if len(done.drops) > 0 {
			x.limits.dropped(x.o.Clock.Mono(time.Now()), done.drops)
			if x.o.Dropped != nil {
				x.o.Dropped()
			}
		}
		x.letGo(done.told)
		x.follow.tell(done.told...)
	}
	return err
}

// letGo lets the devices go whose orders have ended: who hears of the end may give the next one at once.
func (x *Executor) letGo(told []wire.Result) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range told {
		if h := x.hands[r.Device]; h != nil && h.e.cmd.ID == r.Order && r.State.Final() {
			delete(x.hands, r.Device)
		}
	}
}

// look takes a journal out of use that has failed.
func (x *Executor) look(j *journal, err error) {
	if !errors.Is(err, errNoJournal) {
		return
	}
	x.mu.Lock()
	mine := x.j == j
	if mine {
		x.j, x.suspect = nil, structural(err)
	}
	x.mu.Unlock()
	if !mine {
		return
	}
	x.log.Error("the journal of orders failed; no remote order is obeyed until it is open again", "err", err)
	if err := j.close(); err != nil {
		x.log.Debug("journal of orders not closed in order", "err", err)
	}
	select {
	case x.lose <- struct{}{}:
	default:
	}
}

// keepJournal opens the journal whenever there is none, until ctx ends, and goes on with what an opened one has in hand.
func (x *Executor) keepJournal(ctx context.Context) {
	pause := leastReopen
	for {
		if _, err := x.journal(); err != nil {
			err = x.openJournal(ctx)
			if err != nil {
				x.log.Debug("journal of orders not opened", "err", err)
				select {
				case <-time.After(pause):
				case <-ctx.Done():
					return
				}
				pause = min(2*pause, mostReopen)
				continue
			}
			x.log.Info("the journal of orders is open again")
		}
		pause = leastReopen
		x.resume(ctx)
		select {
		case <-x.lose:
		case <-ctx.Done():
			return
		}
	}
}

// resume goes on with what was found in the journal: what was accepted and not begun never will be, what was running is judged.
func (x *Executor) resume(ctx context.Context) {
	x.mu.Lock()
	left := x.left
	x.left = nil
	x.mu.Unlock()
	for _, h := range left {
		if h.e.inUnit() {
			x.log.Warn("an order was running when the agent ended; the unit is asked what became of it", "order", describe(h.e))
			x.works.Go(func() { x.judgeUnit(ctx, h) })
			continue
		}
		h.e.resumed()
		_ = x.conclude(h.e) // or the next opening does
	}
}

// resumed ends an order that nobody is at work on and that is not running in a unit.
func (e *entry) resumed() {
	if e.state == wire.OrderRunning { // of another order: what it came to shows there
		e.state, e.reason, e.detail = wire.OrderUnknown, "", "the agent ended while the unit was told to take the order back"
		return
	}
	e.state, e.reason, e.detail = wire.OrderExpired, policy.Expired, "the agent ended before anything was written to the unit"
}
