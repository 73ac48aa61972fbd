package trust

import (
	"crypto/ed25519"
	"fmt"
	"sync"
	"time"

	"upsedge/internal/wire"
)

// MaxAge is how old the nonce of a session may be when a statement for it arrives. A session renews its nonce every quarter of an
// hour and knows the last two; a statement on an older one is somebody's recording.
const MaxAge = 35 * time.Minute

// ClockAge is how old the nonce may be for the time in a statement to be worth anything: the true time lies between Statement.Time
// and that plus the age. The cloud answers a nonce at once, and a link of 256 kbit/s brings the largest statement in half a minute.
const ClockAge = 2 * time.Minute

// Announced returns how long ago a nonce was announced on the session that a message came on, by the monotonic clock of the boot;
// ok is false for every other nonce.
type Announced func(nonce wire.ID) (age time.Duration, ok bool)

// Lists remembers the newest list of keys, as the root signed it. Save returns when it is on disk.
type Lists interface {
	Load() (list string, err error) // "": none yet
	Save(list string) error
}

// A Verifier accepts what the cloud says to one agent. It is safe for concurrent use.
type Verifier struct {
	agent string
	root  ed25519.PublicKey
	lists Lists

	mu   sync.Mutex
	keys *Keys // the newest list; nil: none was ever seen
	err  error // it could not be had: nothing is accepted
}

// New returns a Verifier for the agent of that name. When the list of keys that was accepted last cannot be had, it refuses everything and
// says why: an agent that has forgotten which keys were revoked must not guess.
func New(agent string, root ed25519.PublicKey, lists Lists) *Verifier {
	v := &Verifier{agent: agent, root: root, lists: lists}
	text, err := lists.Load()
	if err != nil {
		v.err = fmt.Errorf("list of keys: %w", err)
	} else if text != "" {
		if v.keys, err = VerifyKeys(root, text); err != nil {
			// No Refusal: it came to harm on our own disk, which is nobody's fault who sends orders.
			v.err = fmt.Errorf("the list of keys on disk is damaged, the agent has to be enrolled again: %v", err)
		}
	}
	return v
}

// Statement verifies a message of the topic orders as a statement for the session it came on. The error is a *Refusal, or says that the
// version of the keys cannot be kept on disk.
func (v *Verifier) Statement(msg []byte, announced Announced) (*Statement, error) {
	e, err := open(string(msg), Type(ForStatement), MaxStatement)
	if err != nil {
		return nil, err
	}
	// The key that signed it stands in a list inside of it, which the root has signed.
	o := outer(e.payload)
	list := o.text("keys", MaxKeyList, jwsChar)
	if o.err != nil {
		return nil, o.err
	}
	s := &Statement{}
	if s.Keys, err = VerifyKeys(v.root, list); err != nil {
		return nil, fmt.Errorf("list of keys: %w", err)
	}
	key, err := s.Keys.For(e.kid, ForStatement)
	if err != nil {
		return nil, err
	}
	if err := e.verify(key); err != nil {
		return nil, err
	}
	agent, nonce, err := s.body(e.payload)
	if err != nil {
		return nil, err
	}
	if agent != v.agent {
		return nil, notForUs("a statement for agent %q", agent)
	}
	age, ok := announced(nonce)
	if !ok {
		return nil, expired("a statement for another session")
	}
	if s.Age = age; age < 0 || age > MaxAge {
		return nil, expired("the nonce is %v old, want at most %v", age.Round(time.Second), MaxAge)
	}
	if err := v.advance(s.Keys, list); err != nil {
		return nil, err
	}
	return s, nil
}

// Command verifies a message of the topic orders as a command for this agent: its size and form, its signature by a key that may sign
// commands, and whom it is for, in this order. Everything else that must hold (design, section 7) is the caller's to check. The error is
// a *Refusal, or says that the list of keys cannot be had.
func (v *Verifier) Command(msg []byte) (*Command, error) {
	e, err := open(string(msg), Type(ForCommand), MaxCommand)
	if err != nil {
		return nil, err
	}
	c, err := readCommand(e.payload)
	if err != nil {
		return nil, err
	}
	keys, err := v.newest()
	if err != nil {
		return nil, err
	}
	key, err := keys.For(e.kid, ForCommand)
	if err != nil {
		return nil, err
	}
	if err := e.verify(key); err != nil {
		return nil, err
	}
	if c.Agent != v.agent {
		return nil, notForUs("a command for agent %q", c.Agent)
	}
	return c, nil
}

func (v *Verifier) newest() (*Keys, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.err != nil:
		return nil, v.err
	case v.keys == nil:
		return nil, wrongKey("no list of keys has come yet")
	}
	return v.keys, nil
}

// advance takes a list that must not be below the newest one. It is on disk before a statement counts.
func (v *Verifier) advance(keys *Keys, text string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.err != nil:
		return v.err
	case v.keys != nil && keys.Version < v.keys.Version:
		return wrongKey("list of keys %d after %d", keys.Version, v.keys.Version)
	case v.keys != nil && keys.Version == v.keys.Version:
		return nil
	}
	if err := v.lists.Save(text); err != nil {
		return fmt.Errorf("list of keys: %w", err)
	}
	v.keys = keys
	return nil
}
