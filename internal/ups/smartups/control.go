package smartups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
)

// A Control carries out commands on the unit of a driver, which goes on reading it meanwhile. It reads for itself, urgently, and
// believes the unit as little as the driver does: before each command the verification block and the serial number come in first.
//
// It may be used concurrently; of Execute and Judge one at a time.
//
// Source: protocol reference, sections 3.6, 7, 8.1, 8.2 and 8.4. None of it was ever tried on a unit.
type Control struct {
	of   *Driver
	line Writer

	cancelled atomic.Bool // Cancel has written since the last Execute began
	takenBack atomic.Bool // and the unit said yes, while nothing had gone off

	turn  chan struct{} // holds one: who writes while a command is followed
	ended bool          // of turn: the command that is followed was ended by a second write

	mu      sync.Mutex
	checked check     // the last one that let a command go
	running *evidence // of the command that is followed, nil for none
	without refusal   // of outlet commands
	witness past      // for the next Judge
}

// A refusal is the exception with which a unit answered an outlet command since it was connected to.
type refusal struct {
	by   *about
	code uint8
}

// A check is what Check saw, and over which link.
type check struct {
	command string
	before  string
	links   uint64
	at      time.Time
}

// about is what is known of a connected unit; it does not change.
type about struct {
	serial  string
	sku     string
	profile profile
	noHoles bool
}

// NewControl returns what carries out commands on the unit that d reads. line is that of d.
func NewControl(d *Driver, line Writer) *Control {
	return &Control{of: d, line: line, turn: make(chan struct{}, 1)}
}

// myTurn waits until nobody else writes to a unit that is followed: who takes a command back and what ends it by itself may want to at the
// same moment, and both are to be told once. It returns what gives the turn back, nil when ctx ended first.
func (c *Control) myTurn(ctx context.Context) (done func()) {
	select {
	case c.turn <- struct{}{}:
		return func() { <-c.turn }
	case <-ctx.Done():
		return nil
	}
}

// Serial returns the serial number of the unit that is connected, "" while none is.
func (c *Control) Serial() string {
	if a := c.of.about.Load(); a != nil {
		return a.serial
	}
	return ""
}

// Check reads the unit now and answers whether the command may go (rules, EDGE-8; T-12): nil, or a *ups.Refusal. What judging the
// outcome will need is in before.
func (c *Control) Check(ctx context.Context, cmd ups.Command) (before []byte, err error) {
	e, err := c.eye()
	if err != nil {
		return nil, err
	}
	ev, err := c.plan(ctx, e, cmd)
	if err != nil {
		return nil, err
	}
	links := c.line.Links()
	if before, err = json.Marshal(ev); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked = check{fmt.Sprint(cmd), string(before), links, c.of.cfg.Now()}
	return before, nil
}

// fresh is how long a check counts: a journal's sync on slow flash. After that Execute looks once more before it writes.
const fresh = 500 * time.Millisecond

// stillGood tells whether the check that said before counts still. It counts once.
func (c *Control) stillGood(cmd ups.Command, before []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.checked
	c.checked = check{}
	return was.command == fmt.Sprint(cmd) && was.before == string(before) && was.links == c.line.Links() && c.of.cfg.Now().Sub(was.at) < fresh
}

// Execute writes, once, and follows the status registers to the end. progress, if not nil, is told where it is. before is what
// Check returned. Where ctx ends first the outcome is ups.Unknown, where the line is closed it is ups.Left; Judge can find out more.
func (c *Control) Execute(ctx context.Context, cmd ups.Command, before []byte, progress func(percent int, detail string)) ups.Outcome {
	if !c.stillGood(cmd, before) {
		again, err := c.Check(ctx, cmd)
		if err != nil {
			return notWritten(err)
		}
		if !sameWrite(before, again) {
			return ups.Outcome{State: ups.Refused, Reason: ups.ReasonBusy, Detail: "the unit's state has changed since it was looked at, and with it what would be written"}
		}
		before = again
	}
	ev, err := readEvidence(before)
	if err != nil {
		return ups.Outcome{State: ups.Refused, Reason: ups.ReasonUnsupported, Detail: "what was noted before cannot be read: " + err.Error()}
	}
	if ev.Already != "" {
		return c.already(ctx, ev)
	}
	e, err := c.eye()
	if err != nil {
		return notWritten(err)
	}
	e.trusted()
	done := c.myTurn(ctx)
	if done == nil {
		return notWritten(ctx.Err())
	}
	c.ended = false
	done()
	c.cancelled.Store(false)
	c.takenBack.Store(false)
	o := ev.write()
	err = c.send(ctx, o)
	c.tell(o, err)
	f := &following{control: c, eye: e, ev: ev, progress: progress}
	if code := exception(err); code != 0 && ev.Addr == outletCommand {
		c.learn(e.about, code)
		if f.instead(ctx, code) {
			o = f.ev.write()
			err = c.send(ctx, o)
			c.tell(o, err)
		}
	}
	f.began, f.answered = c.of.cfg.Now(), err == nil
	switch request := (*modbus.RequestError)(nil); {
	case err == nil:
	case exception(err) != 0:
		return f.saidNo(ctx, o, exception(err))
	case !errors.As(err, &request) || !request.Sent:
		return ups.Outcome{State: ups.Refused, Reason: ups.ReasonUnreachable, Detail: "not written: " + plainly(err)}
	default:
		f.eye.d.trust = unsure
	}
	f.tell(5, "written: "+f.wrote())
	return f.run(ctx)
}

// sameWrite tells whether what would be written now is what the journal says, by which it is judged after a crash.
func sameWrite(noted, now []byte) bool {
	was, err := readEvidence(noted)
	if err != nil {
		return false
	}
	is, err := readEvidence(now)
	return err == nil && (is.Already != "" || was.Already == "" && was.written() == is.written())
}

// already is the outcome where the unit is as the command would have it: nothing is written. One more look shows the registers.
func (c *Control) already(ctx context.Context, ev *evidence) ups.Outcome {
	e, err := c.eye()
	if err != nil {
		return notWritten(err)
	}
	e.trusted()
	f := &following{control: c, eye: e, ev: ev}
	if f.last, err = e.look(ctx, deeds[ev.Deed].looks(e, ev)); err != nil {
		return notWritten(unreachable(err))
	}
	out := f.end(ups.Done, "", "")
	out.Detail = ups.AlreadySo + ", nothing was written: " + ev.Already
	return out
}

// tell logs what became of a write.
func (c *Control) tell(o write, err error) {
	switch request := (*modbus.RequestError)(nil); {
	case err == nil:
		c.of.cfg.Log.Info("command written to the unit", "write", o.String())
	case exception(err) != 0:
		c.of.cfg.Log.Warn("the unit refused a command", "write", o.String(), "exception", exception(err))
	case errors.As(err, &request) && request.Sent:
		c.of.cfg.Log.Warn("a command was sent to the unit and not confirmed", "write", o.String(), "err", err)
	default:
		c.of.cfg.Log.Warn("a command could not be sent to the unit", "write", o.String(), "err", err)
	}
}

// notWritten is the outcome of a command that was not written for err.
func notWritten(err error) ups.Outcome {
	if r, ok := errors.AsType[*ups.Refusal](err); ok {
		return ups.Outcome{State: ups.Refused, Reason: r.Reason, Detail: r.Detail}
	}
	return ups.Outcome{State: ups.Refused, Reason: ups.ReasonUnreachable, Detail: plainly(err)}
}

// Judge is Execute after a crash: it only reads. What is under way is followed to its end.
func (c *Control) Judge(ctx context.Context, cmd ups.Command, before []byte) ups.Outcome {
	ev, err := readEvidence(before)
	if err != nil || ev.Action != cmd.Action {
		return ups.Outcome{State: ups.Unknown, Detail: "what was noted before cannot be read"}
	}
	was, began := c.testimony(), c.of.cfg.Now()
	e, err := c.eye()
	for err != nil && c.of.cfg.Now().Sub(began) < judgeWaits && sleep(ctx, time.Second) { // the unit is not connected yet
		e, err = c.eye()
	}
	if err != nil {
		return ups.Outcome{State: ups.Unknown, Reason: ups.ReasonUnreachable, Detail: "the unit does not answer; how it ended is not known"}
	}
	if ev.Already != "" { // then nothing was written, whatever became of the unit since
		if out := c.already(ctx, ev); out.State == ups.Done {
			return out
		}
		return ups.Outcome{State: ups.Done, Detail: "already so when it was looked at, nothing was written: " + ev.Already}
	}
	f := &following{control: c, eye: e, ev: ev, began: c.of.cfg.Now(), judging: true, was: was}
	return f.run(ctx)
}

// judgeWaits is how long Judge waits for a unit to connect: its box may be up before it, as the unit feeds it.
const judgeWaits = 2 * time.Minute

// Cancel takes back the command that Execute or Judge follows: a reboot that waits for its off-delay, a test that runs. nil means that
// it was written; how the command ended Execute then says. Of a *ups.Refusal nothing was taken; of another error nobody knows.
func (c *Control) Cancel(ctx context.Context, cmd ups.Command) error {
	c.mu.Lock()
	ev := c.running
	c.mu.Unlock()
	if ev == nil || ev.Action != cmd.Action {
		return &ups.Refusal{Reason: ups.ReasonUnsupported, Detail: "it does not run any more"}
	}
	e, err := c.eye()
	if err != nil {
		return err
	}
	done := c.myTurn(ctx)
	if done == nil {
		return unreachable(ctx.Err())
	}
	defer done()
	if c.ended {
		return busy("it is being ended already")
	}
	d := deeds[ev.Deed]
	s, err := e.look(ctx, d.looks(e, ev))
	if err != nil {
		return unreachable(err)
	}
	o, err := d.back(ev, s)
	if err != nil {
		return err
	}
	c.cancelled.Store(true)
	err = c.send(ctx, o)
	switch request := (*modbus.RequestError)(nil); {
	case err == nil:
		c.takenBack.Store(true)
		return nil
	case exception(err) != 0:
		c.cancelled.Store(false)
		return &ups.Refusal{Reason: ups.ReasonUPSRefused, Detail: fmt.Sprintf("the unit refused %v with exception %d", o, exception(err))}
	case !errors.As(err, &request) || !request.Sent:
		c.cancelled.Store(false)
		return unreachable(err)
	}
	return fmt.Errorf("%v was sent, and %s", o, plainly(err)) // it may have been taken
}

// Recalled says, before Judge, that a process before may have told the unit to take the command back: that the unit was told something
// since is then no sign that the command was carried out.
func (c *Control) Recalled(ups.Command) { c.cancelled.Store(true) }

// follows notes which command is followed.
func (c *Control) follows(ev *evidence) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = ev
}
