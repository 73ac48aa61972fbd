package command_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A site is an executor with a cloud's word for it, units and a store, on synctest's clock. The journal is a real file.
type site struct {
	t      testing.TB
	dir    string
	clock  *clock.Clock
	driver string
	policy command.Policy
	most   int64 // orders in the journal; 0: as in earnest
	alone  bool  // there is no cloud
	from   []string
	before *command.Executor
	log    *slog.Logger

	units map[string]*unit // by serial number
	find  func(serial string) (command.Target, bool)
	box   func(order wire.ID, unit string) command.Unit
	sink  *sink

	mu      sync.Mutex
	began   time.Time
	wall    time.Time // of the machine, with what it was set at
	wallSet bool      // a time service stands for it
	alarms  []ups.Event
	nonces  map[wire.ID]time.Time // of this session
	nonce   wire.ID
	session uint64
	counter uint64

	x    *command.Executor
	stop context.CancelFunc
	done chan error
}

// newSite is called inside of synctest.Test.
func newSite(t testing.TB, dir string) *site {
	began := time.Now().Add(-time.Hour)
	s := &site{
		t: t, dir: dir, sink: &sink{}, units: map[string]*unit{}, log: slog.New(slog.DiscardHandler),
		began:  began,
		policy: command.Policy{Allow: policy.Groups[:], MinInterval: 2 * time.Minute, DailyMax: 12},
	}
	s.clock = clock.Of(clock.Machine{
		Boot: wire.ID{9}, Mono: func() time.Duration { return time.Since(began) },
		Wall: func() time.Time {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.wall.IsZero() {
				return time.Now()
			}
			return s.wall.Add(time.Since(began))
		},
		Service: func() clock.Service {
			s.mu.Lock()
			defer s.mu.Unlock()
			return clock.Service{Set: s.wallSet, Error: time.Millisecond}
		},
	})
	s.find = func(serial string) (command.Target, bool) {
		u := s.units[serial]
		return command.Target{Name: "unit-" + serial, Unit: u}, u != nil && !u.away.Load()
	}
	s.box = func(_ wire.ID, name string) command.Unit { return s.units[strings.TrimPrefix(name, "unit-")] }
	return s
}

// told are the security events so far.
func (s *site) told() []ups.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.alarms)
}

func (s *site) unit(serial string) *unit {
	if s.units[serial] == nil {
		s.units[serial] = &unit{serial: serial}
	}
	return s.units[serial]
}

// start opens the executor and runs it, with a session and its first nonce.
func (s *site) start() error {
	x, err := command.Open(context.Background(), command.Options{
		Dir: s.dir, Policy: s.policy, Clock: s.clock, Sink: s.sink, Log: s.log,
		Find: s.find, Alone: s.alone, From: s.from, Before: s.before,
		Box: s.box,
		Alarm: func(e ups.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.alarms = append(s.alarms, e)
		},
	}.Through(s.driver).AtMost(s.most))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	s.x, s.stop, s.done = x, stop, make(chan error, 1)
	go func() { s.done <- x.Run(ctx) }()
	s.connect()
	return nil
}

func (s *site) end() {
	if s.x == nil {
		return
	}
	s.stop()
	if err := <-s.done; err != nil {
		s.t.Errorf("Run = %v", err)
	}
	if err := s.x.Close(); err != nil && !errors.Is(err, errCrash) {
		s.t.Errorf("Close = %v", err)
	}
	s.x = nil
}

// connect begins a session.
func (s *site) connect() {
	s.mu.Lock()
	s.session++
	s.nonces = map[wire.ID]time.Time{}
	s.mu.Unlock()
	s.renew()
}

// renew draws another nonce of the session.
func (s *site) renew() wire.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nonce = wire.ID{byte(s.session), byte(len(s.nonces)), 7}
	s.nonces[s.nonce] = time.Now()
	return s.nonce
}

// bind is an entry of a statement.
func bind(device string, epoch uint32, plan policy.Plan, version uint64, ended ...trust.Ended) trust.Entry {
	return trust.Entry{Device: device, Bind: &trust.Bind{
		Epoch: epoch, Plan: string(plan), ValidUntil: time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC), GrantVersion: version, Ended: ended,
	}}
}

// say applies a statement, and returns what it changed.
func (s *site) say(entries ...trust.Entry) []command.Change {
	s.t.Helper()
	changes, err := s.x.Apply(s.session, &trust.Statement{Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Entries: entries}, time.Now())
	if err != nil && s.driver == "" {
		s.t.Errorf("Apply: %v", err)
	}
	return changes
}

// command is a valid order: the owner wants the device rebooted.
func (s *site) command(id byte, device string) trust.Command {
	s.counter++
	return trust.Command{
		Agent: "box-7", Device: device, Epoch: 4, ID: wire.ID{id}, Counter: s.counter, Nonce: s.nonce, MaxAge: time.Minute, Action: "reboot.ups",
		Params: map[string]string{}, Actor: "u_1", Role: "owner", Plan: "advanced", GrantVersion: 9, IssuedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

// give hands over an order as it came on the session, and waits until everything rests.
func (s *site) give(c trust.Command) {
	s.post(c)
	synctest.Wait()
}

func (s *site) post(c trust.Command) {
	s.mu.Lock()
	nonces, session := s.nonces, s.session
	s.mu.Unlock()
	s.x.Accept(command.Order{Command: &c, Session: session, Announced: func(n wire.ID) (time.Time, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		at, ok := nonces[n]
		return at, ok
	}})
}

// final returns the end of an order: "done", "refused EXPIRED", with more than one of them all. "" is none.
func (s *site) final(id byte) string {
	out := ""
	for _, r := range s.sink.of(wire.ID{id}) {
		if !r.State.Final() || r.Repeated {
			continue
		}
		if out != "" {
			out += ", "
		}
		out += string(r.State)
		if r.Reason != "" {
			out += " " + r.Reason
		}
	}
	return out
}

func (s *site) want(id byte, want string) {
	s.t.Helper()
	if got := s.final(id); got != want {
		s.t.Errorf("order %d ended as %q, want %q", id, got, want)
	}
}

// writes is how often anything was written to any unit.
func (s *site) writes() (n int) {
	for _, u := range s.units {
		n += u.written()
	}
	return n
}

// A sink keeps results as the store does: what it has it leaves out.
type sink struct {
	crash *crasher

	mu      sync.Mutex
	journal wire.ID
	taken   uint64
	results []wire.Result
	stamps  []wire.Stamp // of the results
	refuse  error
	units   map[wire.ID]string // by order, whose its last result is
}

// refuses has the store refuse from now on; nil: not any more.
func (s *sink) refuses(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

func (s *sink) Put(_ context.Context, journal wire.ID, results []command.Outgoing) error {
	return s.crash.step(func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.refuse != nil {
			return s.refuse
		}
		if journal != s.journal {
			s.journal, s.taken = journal, 0
		}
		for _, r := range results {
			if r.Number <= s.taken {
				continue
			}
			if _, err := wire.EncodeResult(r.Result); err != nil {
				return err
			}
			s.taken = r.Number
			s.results, s.stamps = append(s.results, r.Result), append(s.stamps, r.Stamp)
			if s.units == nil {
				s.units = map[wire.ID]string{}
			}
			s.units[r.Result.Order] = fmt.Sprint(r.Unit, "/", r.Epoch)
		}
		return nil
	})
}

func (s *sink) of(id wire.ID) (out []wire.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.results {
		if r.Order == id {
			out = append(out, r)
		}
	}
	return out
}

// A unit can be told to reboot. What it was told shows in a counter, as in the registers of a real one.
type unit struct {
	serial string
	crash  *crasher
	takes  time.Duration // from the write to the effect
	locked *ups.Refusal  // answer of Check
	slow   time.Duration // of Check
	away   atomic.Bool   // nobody finds it
	stays  bool          // the command can be taken back until it has its effect

	mu      sync.Mutex
	count   int       // writes
	at      time.Time // of the last one
	told    int       // how often it was told to take a command back
	back    bool
	early   bool // it has just been connected: Cancel finds nothing to take back yet
	checked int
	recall  int           // how often Judge was told of that
	left    chan struct{} // closed when its line is taken away; nil: never
	wrote   func()        // nil, or called for each write
	twice   func()        // nil, or called when two ask it at once
	inside  bool
}

// alone notes that somebody is at work on the unit, until the function returned is called.
func (u *unit) alone() (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.inside && u.twice != nil {
		u.twice()
	}
	u.inside = true
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.inside = false
	}
}

func (u *unit) written() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.count
}

func (u *unit) Check(ctx context.Context, _ ups.Command) ([]byte, error) {
	defer u.alone()()
	u.mu.Lock()
	u.checked++
	slow := u.slow
	u.mu.Unlock()
	if !wait(ctx, slow) {
		return nil, ctx.Err()
	}
	u.mu.Lock()
	locked := u.locked
	u.mu.Unlock()
	if locked != nil {
		return nil, locked
	}
	var before []byte
	err := u.crash.step(func() error {
		before = fmt.Append(nil, u.written())
		return nil
	})
	return before, err
}

func (u *unit) Execute(ctx context.Context, _ ups.Command, before []byte, progress func(int, string)) ups.Outcome {
	defer u.alone()()
	err := u.crash.step(func() error {
		if u.wrote != nil {
			u.wrote()
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		u.count++
		u.at, u.back = time.Now(), false
		return nil
	})
	if err != nil {
		return ups.Outcome{State: ups.Unknown}
	}
	progress(10, "off")
	if out, ok := u.over(ctx, u.takes); !ok {
		return out
	}
	return u.outcome()
}

func (u *unit) outcome() ups.Outcome {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.back {
		return ups.Outcome{State: ups.Cancelled}
	}
	return ups.Outcome{State: ups.Done, Detail: "on again", Raw: []ups.RawValue{{Point: ups.StatusFlags, Raw: 2}}}
}

func (u *unit) Judge(ctx context.Context, _ ups.Command, before []byte) ups.Outcome {
	defer u.alone()()
	if u.crash.step(func() error { return nil }) != nil || !wait(ctx, time.Second) {
		return ups.Outcome{State: ups.Unknown}
	}
	if fmt.Sprint(u.written()) == string(before) {
		return ups.Outcome{State: ups.Failed, Detail: "nothing was written"}
	}
	u.mu.Lock()
	left := time.Until(u.at.Add(u.takes))
	u.mu.Unlock()
	if out, ok := u.over(ctx, left); !ok {
		return out
	}
	return u.outcome()
}

func (u *unit) Cancel(context.Context, ups.Command) error {
	var refused error
	err := u.crash.step(func() error {
		u.mu.Lock()
		defer u.mu.Unlock()
		switch {
		case u.early:
			u.early, refused = false, &ups.Refusal{Reason: ups.ReasonUnsupported, Detail: "nothing is followed yet"}
		case !u.stays:
			refused = &ups.Refusal{Reason: ups.ReasonBusy, Detail: "it is off already"}
		default:
			u.back = true
			u.told++
		}
		return nil
	})
	return errors.Join(err, refused)
}

func (u *unit) recalled() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.told
}

func (u *unit) Recalled(ups.Command) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.recall++
}

func wait(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// run runs a test of one site in a bubble.
func run(t *testing.T, fn func(t *testing.T, s *site)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir)
		s.unit("AS1")
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		defer s.end()
		s.say(bind("AS1", 4, policy.Advanced, 9))
		fn(t, s)
	})
}
