package trust

import (
	"crypto/ed25519"
	"fmt"
	"sync"
	"time"

	"upsedge/internal/wire"
)

// MaxAge is how old the nonce of a session may be when the statement for it arrives. The cloud answers at once, a link of
// 256 kbit/s brings the largest statement in half a minute, and a session renews its nonce.
const MaxAge = 2 * time.Minute

// Announced returns how long ago a nonce was announced on the session that a message came on, by the monotonic clock of the boot;
// ok is false for every other nonce.
type Announced func(nonce wire.ID) (age time.Duration, ok bool)

// Versions remembers the highest version of a list of keys. Save returns when it is on disk.
type Versions interface {
	Load() (uint64, error) // 0: none yet
	Save(version uint64) error
}

// A Verifier accepts what the cloud says to one agent. It is safe for concurrent use.
type Verifier struct {
	agent    string
	root     ed25519.PublicKey
	versions Versions

	mu      sync.Mutex
	highest uint64
	err     error // the version could not be had: nothing is accepted
}

// New returns a Verifier for the agent of that name. When the version of the keys cannot be had, it refuses everything and
// says why: an agent that has forgotten which keys were revoked must not guess.
func New(agent string, root ed25519.PublicKey, versions Versions) *Verifier {
	v := &Verifier{agent: agent, root: root, versions: versions}
	v.highest, v.err = versions.Load()
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
	if s.Keys, err = verifyKeys(v.root, list); err != nil {
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
	if err := v.advance(s.Keys.Version); err != nil {
		return nil, err
	}
	return s, nil
}

// advance raises the version that no list may be below. It is on disk before a statement counts.
func (v *Verifier) advance(version uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.err != nil:
		return fmt.Errorf("version of the keys: %w", v.err)
	case version < v.highest:
		return wrongKey("list of keys %d after %d", version, v.highest)
	case version == v.highest:
		return nil
	}
	if err := v.versions.Save(version); err != nil {
		return fmt.Errorf("version of the keys: %w", err)
	}
	v.highest = version
	return nil
}
