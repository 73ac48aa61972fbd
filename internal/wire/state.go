package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"upsedge/internal/ups"
)

// A State is a message on the state topic, one of three: the will (Online false, only Session counts), the first of a session
// (Full nil) and the full state.
type State struct {
	Session uint64 // rises with every connection of the agent, counted in its database; from 1
	Online  bool
	Nonce   ID     // random, of this session
	Version string // of the agent
	Full    *FullState
}

// FullState is what a full state has beyond the first message of a session.
type FullState struct {
	Agent  string
	Stream ID
	Boot   uint32 // starts of the agent
	Units  []UnitState
	Allow  []string    // groups of remote orders that the agent obeys (orders.allow); none by default
	Rules  *OrderRules // nil: not told
	Now    Stamp       // when the message was made; its Wall is set while the clock is trusted
	// Clock says what the time of Now rests on.
	Clock      ClockState
	ClockError time.Duration // bound of the error of Now.Wall, in whole milliseconds; 0 where none is known
	Alarms     []ups.AlarmID // active ones of the agent itself, each id once
	// Lanes is what waits, by lane. Both spans zero: not told.
	Lanes [len(Lanes)]Waiting
}

// A UnitState is what a full state says of a unit.
type UnitState struct {
	Unit         string // name in the configuration
	Serial       string // "" while it is not known
	Model        string
	Firmware     string
	Condition    ups.Status
	Alarms       []ups.AlarmID // active ones, each id once
	Unconfirmed  []ups.AlarmID // those of Alarms that the unit has not confirmed since communication was lost or the agent began
	Since        Stamp         // of the last change of Condition or Alarms
	Epoch        uint32        // 0: no owner, or stand-alone
	PlanVersion  uint64        // confirmed; 0 when stand-alone
	GrantVersion uint64        // confirmed; 0 when stand-alone
	Drops        *Drops        // nil: not told
}

// EncodeState returns the message on the state topic.
func EncodeState(s *State) ([]byte, error) {
	if s.Session == 0 {
		return nil, errors.New("state of session 0")
	}
	var b builder
	b.open()
	b.put("v", Version)
	b.put("session", s.Session)
	if !s.Online {
		b.put("online", false)
		b.close()
		return b.buf, b.err
	}
	b.put("nonce", s.Nonce)
	b.put("version", s.Version)
	if s.Full != nil {
		if err := CheckAgent(s.Full.Agent); err != nil {
			return nil, err
		}
		b.putFull(s.Full)
	}
	b.close()
	if len(b.buf) > MaxJSON {
		return nil, fmt.Errorf("state of %d bytes, want at most %d", len(b.buf), MaxJSON)
	}
	return b.buf, b.err
}

func (b *builder) putFull(s *FullState) {
	b.put("agent", s.Agent)
	b.put("stream", s.Stream)
	b.put("boot", uint64(s.Boot))
	b.name("units")
	b.buf = append(b.buf, '[')
	for i := range s.Units {
		if i > 0 {
			b.buf = append(b.buf, ',')
		}
		b.putUnit(&s.Units[i])
	}
	b.buf = append(b.buf, ']')
	b.name("orders")
	b.open()
	b.put("allow", orEmpty(s.Allow))
	b.putRules(s.Rules)
	b.close()
	b.putClock(s)
	if len(s.Alarms) > 0 {
		b.put("alarms", s.Alarms)
	}
	if s.Lanes != [len(Lanes)]Waiting{} {
		b.putLanes(s.Lanes)
	}
}

func (b *builder) putUnit(u *UnitState) {
	b.open()
	b.put("unit", u.Unit)
	b.putText("serial", u.Serial)
	b.putText("model", u.Model)
	b.putText("firmware", u.Firmware)
	b.put("condition", orEmpty(u.Condition.Names()))
	b.put("alarms", orEmpty(u.Alarms))
	if len(u.Unconfirmed) > 0 {
		b.put("unconfirmed", u.Unconfirmed)
	}
	b.name("since")
	b.open()
	b.putStamp(u.Since)
	b.close()
	b.put("epoch", uint64(u.Epoch))
	if u.PlanVersion != 0 {
		b.put("plan_version", u.PlanVersion)
	}
	if u.GrantVersion != 0 {
		b.put("grant_version", u.GrantVersion)
	}
	b.putDrops(u.Drops)
	b.close()
}

// orEmpty makes [] of a nil slice, which would be null.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// DecodeState reads a message of the state topic. Fields and conditions it does not know are left out. It returns a
// *VersionError when the message is of another version.
func DecodeState(msg []byte) (*State, error) {
	o, err := parseObject(msg)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if err := o.checkVersion("state"); err != nil {
		return nil, err
	}
	s := &State{Online: true}
	o.may("online", &s.Online)
	if o.want("session", &s.Session); o.err == nil && s.Session == 0 {
		o.fail(errors.New("session 0"))
	}
	if s.Online {
		o.want("nonce", &s.Nonce)
		o.want("version", &s.Version)
		if _, full := o.get("units"); full {
			s.Full = o.full()
		}
	}
	if o.err != nil {
		return nil, fmt.Errorf("state: %w", o.err)
	}
	return s, nil
}

func (o *object) full() *FullState {
	s := &FullState{}
	o.want("agent", &s.Agent)
	o.want("stream", &s.Stream)
	o.want("boot", &s.Boot)
	if err := CheckAgent(s.Agent); err != nil {
		o.fail(err)
	}
	for i, raw := range o.list("units") {
		u, err := parseUnit(raw)
		if err != nil {
			o.fail(fmt.Errorf("units[%d]: %w", i, err))
			break
		}
		s.Units = append(s.Units, u)
	}
	if in := o.object("orders"); in != nil {
		in.want("allow", &s.Allow)
		s.Rules = in.rules()
		o.adopt("orders", in)
	}
	if in := o.object("clock"); in != nil {
		in.clock(s)
		o.adopt("clock", in)
	}
	o.may("alarms", &s.Alarms)
	if _, told := o.get("lanes"); told {
		o.lanes(s)
	}
	return s
}

func parseUnit(raw json.RawMessage) (u UnitState, err error) {
	o, err := parseObject(raw)
	if err != nil {
		return u, err
	}
	o.want("unit", &u.Unit)
	o.may("serial", &u.Serial)
	o.may("model", &u.Model)
	o.may("firmware", &u.Firmware)
	var names []string
	o.want("condition", &names)
	for _, name := range names {
		for i, n := range ups.StatusNames {
			if n == name {
				u.Condition |= 1 << i
			}
		}
	}
	o.want("alarms", &u.Alarms)
	o.may("unconfirmed", &u.Unconfirmed)
	u.Since = o.instant("since")
	o.want("epoch", &u.Epoch)
	o.may("plan_version", &u.PlanVersion)
	o.may("grant_version", &u.GrantVersion)
	u.Drops = o.drops()
	return u, o.err
}

func (o *object) list(name string) (out []json.RawMessage) {
	o.want(name, &out)
	return out
}

// object reads a field that is an object, nil after an error. adopt takes over what went wrong inside it.
func (o *object) object(name string) *object {
	var raw json.RawMessage
	if o.want(name, &raw); o.err != nil {
		return nil
	}
	in, err := parseObject(bytes.TrimSpace(raw))
	if err != nil {
		o.fail(fmt.Errorf("field %q: %w", name, err))
		return nil
	}
	return in
}

func (o *object) adopt(name string, in *object) {
	if in.err != nil {
		o.fail(fmt.Errorf("field %q: %w", name, in.err))
	}
}
