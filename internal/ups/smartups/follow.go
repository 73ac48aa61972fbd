package smartups

import (
	"context"
	"errors"
	"fmt"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
)

// Following is a command on its way: what was written, when, and what was seen since. It reads until it knows the end.
type following struct {
	control  *Control
	eye      *eye
	ev       *evidence
	began    time.Time
	answered bool // the unit said yes
	judging  bool // after a crash: the write is an unknown time ago
	was      past
	progress func(percent int, detail string)

	last   *ups.State
	unseen time.Duration // the longest time without a reading
	gap    time.Duration // the time without one before the last
	no     string        // the unit refused this first
	then   string        // a second write, that ended what the first began
	told   string        // the last progress
	wait   error         // why there is no reading now
	step   step
}

// A step looks at a reading and says how the command ended, nil while it has not.
type step interface {
	see(f *following, s *ups.State, after time.Duration) *ups.Outcome
	// limit is how long the end may take from the write; over is how it is then.
	limit(f *following) time.Duration
	over(f *following) ups.Outcome
}

const (
	lookEvery = time.Second
	// begins is how long a command that was taken may need to show. Outlet processes and Pending of a test show at once where they
	// were seen; nothing documents it.
	begins = 10 * time.Second
	// slack is what is added to the delays that are set.
	slack = time.Minute
)

func (f *following) run(ctx context.Context) ups.Outcome {
	f.step = deeds[f.ev.Deed].follow(f.ev)
	f.control.follows(f.ev)
	defer f.control.follows(nil)
	reads, seen := deeds[f.ev.Deed].looks(f.eye, f.ev), f.began
	for {
		s, err := f.eye.look(ctx, reads)
		now := f.control.of.cfg.Now()
		switch {
		case ctx.Err() != nil:
			return f.end(ups.Unknown, "", "not followed to its end")
		case errors.Is(err, modbus.ErrClosed):
			return f.end(ups.Left, "", "its line was taken away")
		case anotherUnit(err):
			return f.end(ups.Unknown, ups.ReasonUnreachable, plainly(err))
		case err != nil:
			f.wait = err
		default:
			f.gap, seen, f.last, f.wait = now.Sub(seen), now, s, nil
			f.unseen = max(f.unseen, f.gap)
			if out := f.step.see(f, s, now.Sub(f.began)); out != nil {
				return *out
			}
		}
		if now.Sub(f.began) > f.step.limit(f) {
			if f.wait != nil {
				return f.end(ups.Unknown, ups.ReasonUnreachable, "written, then "+plainly(f.wait))
			}
			return f.step.over(f)
		}
		if err == nil {
			f.more(ctx, now.Sub(f.began))
		}
		pause := lookEvery
		if p, ok := f.step.(pacer); ok {
			pause = p.every(f, now.Sub(f.began))
		}
		if !sleep(ctx, pause) {
			return f.end(ups.Unknown, "", "not followed to its end")
		}
	}
}

// A pacer is a step that looks at a pace of its own, not every lookEvery.
type pacer interface {
	every(f *following, after time.Duration) time.Duration
}

// An ender is a step that ends by a second write what the first began.
type ender interface {
	// next returns that write, once it is due and until wrote was told of one that may have arrived.
	next(f *following, after time.Duration) (order, bool)
	wrote(err error, after time.Duration)
}

// more writes what a step has to write still, right behind a reading that shows that the unit is the one, and never after a crash.
func (f *following) more(ctx context.Context, after time.Duration) {
	t, ok := f.step.(ender)
	if !ok || f.judging || f.eye.d.seen.doubtful(f.control.line.Links(), f.control.of.cfg.Now()) {
		return
	}
	done := f.control.myTurn(ctx)
	if done == nil {
		return
	}
	defer done()
	if o, due := t.next(f, after); due {
		err := f.control.send(ctx, o)
		f.control.ended = sent(err)
		f.control.tell(o, err)
		if err != nil && exception(err) == 0 {
			f.eye.d.trust = unsure
		}
		if t.wrote(err, after); sent(err) {
			f.then = o.String()
		}
	}
}

// sent tells whether a write that came to err may have arrived.
func sent(err error) bool {
	var request *modbus.RequestError
	return err == nil || errors.As(err, &request) && request.Sent
}

// missed tells whether something that lasts for d may have happened unseen.
func (f *following) missed(d time.Duration) bool { return f.judging || f.unseen > d }

// tell reports how far it is, each thing once.
func (f *following) tell(percent int, detail string) {
	if said := fmt.Sprint(percent, " ", detail); f.progress != nil && said != f.told {
		f.told = said
		f.progress(percent, detail)
	}
}

// end makes the outcome, with the registers that decided it.
func (f *following) end(state ups.OutcomeState, reason, detail string) ups.Outcome {
	out := ups.Outcome{State: state, Reason: reason, Detail: detail + "; written: " + f.wrote()}
	if f.judging {
		out.Detail = detail + "; judged after a restart, written or about to be: " + f.ev.written()
	}
	if f.last == nil {
		return out
	}
	for _, p := range append([]ups.Point{ups.StatusFlags, ups.StatusCause}, deeds[f.ev.Deed].shown(f.ev)...) {
		if v, ok := f.last.Raw(p); ok {
			out.Raw = append(out.Raw, ups.RawValue{Point: p, Raw: v})
		}
	}
	return out
}

// wrote names what was written: the path that was taken.
func (f *following) wrote() string {
	switch {
	case f.then != "":
		return fmt.Sprintf("%v, then %s", f.ev.write(), f.then)
	case f.no == "":
		return f.ev.write().String()
	}
	return fmt.Sprintf("%v, as the unit refused %s", f.ev.write(), f.no)
}

// saidNo is the end of a command that the unit refused: exception 4 is its normal no (section 3.4), the others say that it does not
// know the item or takes no writes here.
func (f *following) saidNo(ctx context.Context, o write, code uint8) ups.Outcome {
	if s, err := f.eye.look(ctx, f.eye.status()); err == nil {
		f.last = s
	}
	reason := ups.ReasonUPSRefused
	if code == illegalFunction || code == illegalAddress {
		reason = ups.ReasonUnsupported
	}
	said := fmt.Sprintf("the unit refused %v with exception %d", o, code)
	if g, ok := deeds[f.ev.Deed].(goalDeed); ok && f.last != nil {
		return g.saidNo(f, reason, said)
	}
	return f.end(ups.Failed, reason, said)
}

// Causes after an outlet process (section 8.1, INF). The second does not say who changed the state of a group.
const (
	causeCommand = 12
	causeOutlets = 29
)
