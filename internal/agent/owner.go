package agent

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/sampler"
	"upsedge/internal/ups"
)

// Owners says whose the units are, by the serial numbers they report themselves (rules, DEV-1, DEV-5). On an agent without a cloud they
// are its broker's: everything is published in epoch 0. On an enrolled one what is bound is published in its epoch, and of what is not
// nothing leaves the box but the serial number and the condition, in the full state (design, section 5).
//
// What is known comes from the journal of orders, where it survives restarts. What is not known is not bound (EDGE-10): then nothing is
// published, and reading, alarms and metrics go on.
//
// It may be used concurrently.
type owners struct {
	enrolled atomic.Bool

	mu    sync.Mutex
	binds map[string]command.Bind                // by serial number; only those with an epoch
	said  func() (map[string]command.Bind, bool) // what the cloud has said of devices; nil: there is nobody to ask
	heard bool                                   // binds are what it has said
}

// of returns whose the unit with this serial number is.
func (o *owners) of(serial string) sampler.Owner {
	if !o.cloud() {
		return sampler.Owner{Device: serial}
	}
	b, ok := o.bind(serial)
	return sampler.Owner{Device: serial, Epoch: b.Epoch, Local: !ok}
}

// bind returns what the cloud has said of a device.
func (o *owners) bind(serial string) (command.Bind, bool) {
	if o == nil {
		return command.Bind{}, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	b, ok := o.binds[serial]
	return b, ok && serial != "" && b.Epoch != 0
}

// was returns whose a unit was when its alarms were saved, as long as it still is: of what happens before it says who it is, such as
// that it says nothing at all.
func (o *owners) was(e known) sampler.Owner {
	if !o.cloud() {
		return sampler.Owner{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for serial, b := range o.binds {
		if b.Epoch != 0 && e.Told() == b.Epoch && e.Answered(serial) {
			return sampler.Owner{Device: serial, Epoch: b.Epoch}
		}
	}
	return sampler.Owner{Local: true}
}

// known is what an alarm engine remembers of its unit.
type known interface {
	Told() uint32
	Answered(serial string) bool
}

// ask says who knows what the cloud has said: another journal, with another enrolment, knows other devices.
func (o *owners) ask(said func() (map[string]command.Bind, bool)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.said, o.binds, o.heard = said, nil, false; said != nil {
		o.binds, o.heard = said()
	}
}

// learn takes what the cloud has said, and reports whether any of it is news.
func (o *owners) learn() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.said == nil {
		return false
	}
	binds, known := o.said()
	if !known {
		return false
	}
	news := !maps.EqualFunc(o.binds, binds, func(a, b command.Bind) bool { return a == b })
	o.binds, o.heard = maps.Clone(binds), true
	return news
}

// rebind makes the units those of whom the cloud says. What was read before stays with who it was read for; what is read from now on
// is the new owner's, and so are the alarms that are active, which are told anew.
func (s *site) rebind() {
	s.applying.Lock() // no line comes or goes meanwhile
	defer s.applying.Unlock()
	if s.owners.learn() {
		s.ownAll()
	}
}

// ownAll gives each unit to whom it belongs. The caller holds applying.
func (s *site) ownAll() {
	for _, u := range s.all() {
		s.own(u, time.Now())
	}
	s.notify() // the full state confirms it
}

// own gives a unit to whom it belongs now.
func (s *site) own(u *unit, now time.Time) {
	u.turn.Lock()
	defer u.turn.Unlock()
	u.mu.Lock()
	var out outcome
	if u.state.Text(ups.Serial) == "" { // it has not answered yet in this run
		u.owner = u.owners.was(u.alarms)
		out.owner = u.owner
	} else {
		out = u.settle(now, u.belong(now))
	}
	u.mu.Unlock()
	s.recorder.add(u.cfg.Name, out)
}

// belong finds out whose the unit is, now that its serial number is known. It returns the alarms that are active, where they are to be
// told to somebody else from now on. The caller holds mu.
func (u *unit) belong(at time.Time) (told []ups.Event) {
	serial, was := u.state.Text(ups.Serial), u.owner
	if serial == "" {
		return nil // what it was before it fell silent
	}
	defer func() {
		if u.owner != was {
			u.since = at
		}
	}()
	if u.owner = u.owners.of(serial); !u.owners.cloud() {
		if u.alarms.Is(807) { // the cloud is gone
			return copied(u.alarms.Unowned(at, false))
		}
		return nil
	}
	if u.alarms.Knows() && !u.alarms.Answered(serial) {
		u.alarms.Vacate()
	}
	if u.owner.Local {
		return copied(u.alarms.Unowned(at, true))
	}
	u.alarms.Register(serial)
	told = copied(u.alarms.Unowned(at, false))
	if u.alarms.Told() != u.owner.Epoch {
		told = append(told, copied(u.alarms.TellAnew(at, u.owner.Epoch))...)
	}
	for i := range told {
		told[i].Device = serial // the engine may not have heard of it yet
	}
	u.fresh = u.fresh || u.owner != was
	return told
}

// reader returns whose a reading is: nobody's, where it came before the unit has said in this run who it is.
func (u *unit) reader() sampler.Owner {
	if u.owners.cloud() && u.state.Text(ups.Serial) == "" {
		return sampler.Owner{Local: true}
	}
	return u.owner
}

// cloud reports whether there is one.
func (o *owners) cloud() bool { return o != nil && o.enrolled.Load() }

// copied copies events of an engine, which reuses them.
func copied(events []ups.Event) (out []ups.Event) {
	for _, e := range events {
		e.Raw = append([]ups.RawValue(nil), e.Raw...)
		out = append(out, e)
	}
	return out
}

// part gives the last word about a device to its owner when another unit answers in its place: that this is so (714), and nothing
// about the other one.
func (out *outcome) part(was sampler.Owner) {
	if was.Device == "" || was.Local || was.Device == out.owner.Device {
		return
	}
	for i, e := range out.events {
		if e.ID == 714 && e.Kind == ups.Raise {
			e.Device, e.Detail, e.Raw = was.Device, "", nil
			out.parting, out.was = []ups.Event{e}, was
			out.events = append(out.events[:i:i], out.events[i+1:]...)
			if out.picture != nil { // it shows the other one, or whose index it had is another
				out.picture = nil
			}
			return
		}
	}
}

// local reports whether an event stays on this box: those of a unit that is nobody's, and that it is.
func (out *outcome) local(e ups.Event) bool { return e.Unit != "" && (out.owner.Local || e.ID == 807) }

// belongs returns whose what is read is.
func (u *unit) belongs() sampler.Owner {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.owner
}

// certain reports whether what is known of owners is what the cloud has said: that a unit is nobody's may else only not be known.
func (o *owners) certain() bool {
	if !o.cloud() {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.heard
}

// lastOwner returns whose a unit is, or was when it was read last, and whether that is certain. That it is nobody's is certain once it has
// said in this run who it is: its alarms, by which the run before knew, are saved behind the first samples of an epoch, and a kill may
// have come in between.
func (u *unit) lastOwner() (of sampler.Owner, certain bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.owner, !u.owner.Local || u.state.Text(ups.Serial) != "" && u.owners.certain()
}
