package smartups

import (
	"context"
	"errors"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
)

// An eye reads what a command needs to know, now and ahead of all polling, as strictly as a driver reads: it is a driver of its own
// on the same line, which has been told who the unit must be.
type eye struct {
	d     *Driver
	about *about
}

// eye returns a new one. The unit has to be connected: a *ups.Refusal says that it is not.
func (c *Control) eye() (*eye, error) {
	a := c.of.about.Load()
	switch {
	case a == nil:
		return nil, &ups.Refusal{Reason: ups.ReasonUnreachable, Detail: "the unit is not connected"}
	case a.serial == "":
		return nil, &ups.Refusal{Reason: ups.ReasonUnsupported, Detail: "the unit has no serial number by which it could be told from another"}
	}
	d := New(Config{Name: c.of.cfg.Name, Line: c.line, UnitID: c.of.cfg.UnitID, Card: a.profile.card, Now: c.of.cfg.Now, Log: c.of.cfg.Log})
	d.priority, d.trust, d.noHoles = modbus.Urgent, unsure, a.noHoles
	d.constant = map[ups.Point]string{ups.Serial: a.serial}
	d.profile = a.profile
	d.profile.spoken = map[uint16]bool{}
	return &eye{d, a}, nil
}

// trusted spares an eye the proof that another one has just had: of who the unit is, over the link that is there now.
func (e *eye) trusted() {
	e.d.trust = inStep
	e.d.seen = sighting{link: e.d.cfg.Line.Links(), at: e.d.cfg.Now()}
}

// status are the reads of the status block: one, where the unit lets undefined registers be read.
func (e *eye) status() []*read {
	pl := newPlanner(e.d.timing(), e.about.profile)
	pl.holes = !e.about.noHoles
	return pl.tier(ups.TierStatus)
}

// delays are the reads of what is set for the groups: off, on and stay-off delays.
func (e *eye) delays(groups []ups.Group) []*read {
	var items []*register
	for i := range registers {
		r := &registers[i]
		g := r.point.Info().Group
		for _, of := range groups {
			if g == of && r.addr >= firstDelay && r.addr < firstDelay+delayItems*uint16(len(ups.Groups)) {
				items = append(items, r)
			}
		}
	}
	pl := newPlanner(e.d.timing(), e.about.profile)
	pl.holes = false
	return pl.reads(ups.TierSettings, items)
}

// The delays of a group are five registers: off, on, stay-off (2), least runtime (section 5.4; D3).
const (
	firstDelay = 1029
	delayItems = 5
)

// countdowns are the reads of how long the groups wait, of a unit that tells it. They count as settings, which may all be ones: so read
// countdowns of which none runs.
func (e *eye) countdowns() []*read {
	var items []*register
	for i := range registers {
		if r := &registers[i]; r.point.Info().Kind == ups.Countdown && r.fam != unlisted && e.about.profile.wants(r) {
			items = append(items, r)
		}
	}
	pl := newPlanner(e.d.timing(), e.about.profile)
	pl.holes = !e.about.noHoles
	return pl.reads(ups.TierSettings, items)
}

// turnOff returns the countdown until a group goes off, and whether one runs; turnOn until it comes on.
func turnOff(s *ups.State, g ups.Group) (seconds int64, runs bool) {
	return s.Raw(ups.MainTurnOff + 3*ups.Point(g-ups.MainGroup))
}

func turnOn(s *ups.State, g ups.Group) (seconds int64, runs bool) {
	return s.Raw(ups.MainTurnOn + 3*ups.Point(g-ups.MainGroup))
}

// look makes reads, and once more what came to nothing: a command is not lost for one damaged reply.
func (e *eye) look(ctx context.Context, reads []*read) (*ups.State, error) {
	s := ups.NewState()
	for _, rd := range reads {
		var r ups.Reading
		e.d.answering = false
		err := e.d.readInStep(ctx, rd, &r)
		if err != nil && ctx.Err() == nil && exception(err) == 0 && !anotherUnit(err) {
			err = e.d.readInStep(ctx, rd, &r)
		}
		switch {
		case refused(err) && rd.fields[0].point.Info().Kind == ups.Countdown: // a unit that does not tell them
			continue
		case err != nil:
			return nil, err
		}
		s.Apply(&r)
	}
	return s, nil
}

// anotherUnit tells whether err says that another unit answers.
func anotherUnit(err error) bool { return ups.FailureOf(err) == ups.FailureAnotherUnit }

// unreachable is the refusal of a command for a read that failed.
func unreachable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &ups.Refusal{Reason: ups.ReasonUnreachable, Detail: plainly(err)}
}

// plainly says what went wrong without what an error may carry: addresses, and serial numbers.
func plainly(err error) string {
	if anotherUnit(err) {
		return "another unit answers in its place"
	}
	return "the unit cannot be read (" + ups.FailureOf(err).String() + ")"
}

// sleep waits for d and reports whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
