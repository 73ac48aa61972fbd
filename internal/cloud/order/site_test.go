package order

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"slices"
	"time"

	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/wire"

	"pgregory.net/rapid"
)

// A site is the agent's end: a verifier, and a model of its journal. It is on disk: nothing of it is lost.
type site struct {
	t        rapid.TB
	w        *world
	verifier *trust.Verifier

	session  uint64
	nonces   map[wire.ID]time.Time
	stated   bool
	counter  uint64
	bind     trust.Bind
	known    map[wire.ID]wire.Result // the last word on each order
	effects  map[wire.ID]int
	refused  []string // codes of what was no order for it
	results  []wire.Result
	dirty    bool // a full state is to be told
	manual   bool // orders stay accepted until finish
	allow    []string
	sequence uint64
}

type noList struct{}

func (noList) Load() (string, error) { return "", nil }
func (noList) Save(string) error     { return nil }

func newSite(t rapid.TB, w *world) *site {
	return &site{
		t: t, w: w, verifier: trust.New(agentName, key("root").Public().(ed25519.PublicKey), noList{}), known: map[wire.ID]wire.Result{},
		effects: map[wire.ID]int{}, allow: []string{"reboot", "diagnostics"},
	}
}

func (s *site) begin() (uint64, wire.ID) {
	s.session++
	s.nonces, s.stated = map[wire.ID]time.Time{}, false
	return s.session, s.renew()
}

// renew makes a nonce.
func (s *site) renew() (nonce wire.ID) {
	s.sequence++
	binary.BigEndian.PutUint64(nonce[:], s.sequence)
	s.nonces[nonce] = s.w.clock
	return nonce
}

func (s *site) receive(msg []byte) {
	st, err := s.verifier.Statement(msg, func(n wire.ID) (time.Duration, bool) {
		at, ok := s.nonces[n]
		return s.w.clock.Sub(at), ok
	})
	if err == nil {
		s.stated, s.dirty = true, true
		for _, e := range st.Entries {
			if e.Device == serial && (e.Bind.Epoch > s.bind.Epoch || e.Bind.Epoch == s.bind.Epoch && e.Bind.GrantVersion > s.bind.GrantVersion) {
				before := s.bind
				if s.bind = *e.Bind; before.Epoch == s.bind.Epoch { // the journal forgets none
					s.bind.Ended = append(slices.Clone(before.Ended), s.bind.Ended...)
				}
			}
		}
		return
	}
	c, err := s.verifier.Command(msg)
	if err != nil {
		s.refused = append(s.refused, err.Error())
		return
	}
	s.command(c)
}

// command is the agent's order of checks (design, section 7), as far as it can be told apart here.
func (s *site) command(c *trust.Command) {
	if last, ok := s.known[c.ID]; ok {
		last.Repeated = true
		s.results = append(s.results, last)
		return
	}
	r := wire.Result{Order: c.ID, Device: c.Device, Unit: "rack", Action: c.Action, Actor: c.Actor, Role: c.Role, Plan: c.Plan}
	if code := s.judge(c); code != "" {
		r.State, r.Reason = wire.OrderRefused, string(code)
		s.tell(r)
		return
	}
	s.counter = c.Counter
	if c.Action == string(policy.OrderCancel) {
		s.cancel(c, r)
		return
	}
	s.put(r, wire.OrderReceived)
	s.put(r, wire.OrderAccepted)
	if s.manual {
		return
	}
	s.finish(c.ID, wire.OrderDone)
}

func (s *site) judge(c *trust.Command) policy.Reason {
	at, ok := s.nonces[c.Nonce]
	switch {
	case c.Device != serial || c.Epoch != s.bind.Epoch:
		return policy.NotBound
	case !ok || !s.stated || s.w.clock.Sub(at) > c.MaxAge:
		return policy.Expired
	case c.Counter <= s.counter:
		return policy.OutOfOrder
	}
	for _, e := range s.bind.Ended {
		if e.Actor == c.Actor && c.GrantVersion < e.GrantVersion {
			return policy.GrantStale
		}
	}
	return policy.Decide(policy.Action(c.Action), policy.Role(c.Role), policy.Lesser(policy.Plan(s.bind.Plan), policy.Plan(c.Plan)), c.MFA).Reason
}

func (s *site) cancel(c *trust.Command, r wire.Result) {
	var target wire.ID
	_ = target.UnmarshalText([]byte(c.Params["order"]))
	last, ok := s.known[target]
	if !ok || last.State.Final() {
		r.State, r.Reason = wire.OrderRefused, string(policy.NotFound)
		s.tell(r)
		return
	}
	s.finish(target, wire.OrderCancelled)
	s.put(r, wire.OrderDone)
}

// finish ends an order that was accepted.
func (s *site) finish(id wire.ID, state wire.OrderState) {
	r := s.known[id]
	if r.State.Final() || r.State == "" {
		return
	}
	s.put(r, wire.OrderRunning)
	if state == wire.OrderDone {
		s.effects[id]++
	}
	s.put(r, state)
}

func (s *site) put(r wire.Result, state wire.OrderState) {
	r.State, r.Repeated = state, false
	s.tell(r)
}

func (s *site) tell(r wire.Result) {
	s.known[r.Order] = r
	s.results = append(s.results, r)
}

func (s *site) tellState() {
	s.t.Helper()
	if !s.stated || !s.dirty || !s.w.link.up {
		return
	}
	s.dirty = false
	full := &wire.FullState{Agent: agentName, Allow: s.allow, Units: []wire.UnitState{{Unit: "rack", Serial: serial, Epoch: s.bind.Epoch, GrantVersion: s.bind.GrantVersion}}}
	s.w.write(func(ctx context.Context, tx *store.Tx) error {
		return s.w.book.State(ctx, tx, agentName, full, s.w.clock)
	})
}

func (s *site) tellResults() {
	s.t.Helper()
	for s.w.link.up && len(s.results) > 0 {
		r := s.results[0]
		s.results = s.results[1:]
		s.bring(r)
	}
}

// bring hands one result to the cloud.
func (s *site) bring(r wire.Result) {
	s.t.Helper()
	s.w.write(func(ctx context.Context, tx *store.Tx) error {
		at := ingest.Stored{Agent: agentName, Arrived: s.w.clock, Time: ingest.Time{Kind: ingest.Trusted, At: s.w.clock.Add(-time.Second)}}
		return s.w.book.Result(ctx, tx, agentName, at, &wire.PublishedEvent{Agent: agentName, Result: &r, Record: wire.Record{Epoch: s.bind.Epoch}})
	})
}
