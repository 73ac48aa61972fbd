package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"upsedge/internal/cloud"
	"upsedge/internal/policy"
)

// HashCost is what one password costs to hash: argon2id, RFC 9106.
type HashCost struct {
	Time    uint32 // passes over the memory
	Memory  uint32 // KiB
	Threads uint8
}

// DefaultHashCost is 19 MiB, two passes, one thread (OWASP's least for argon2id): about 25 ms of one core, and what bounds the memory
// of many sign-ins at once is hashers, below. A password hashed at another cost is hashed anew at its next sign-in.
var DefaultHashCost = HashCost{Time: 2, Memory: 19 << 10, Threads: 1}

const (
	hashers     = 4                // at once: 4 × 19 MiB
	hashWaiters = 64               // who waits for one of them; more are told to come again
	hashPatient = 10 * time.Second // and how long they wait
	hashBytes   = 32
	saltBytes   = 16
)

// A hasher makes and compares hashes of passwords, a few at a time.
type hasher struct {
	cost    HashCost
	working chan struct{}
	waiting chan struct{}
	dummy   string // what the password of an address without an account is compared with
}

func newHasher(cost HashCost) *hasher {
	h := &hasher{cost: cost, working: make(chan struct{}, hashers), waiting: make(chan struct{}, hashers+hashWaiters)}
	h.dummy = h.seal(cloud.NewID(""))
	return h
}

// make returns the hash of password with its cost and salt, in the form of the PHC string format. It returns RATE_LIMIT when too many wait.
func (h *hasher) make(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	return h.seal(password), nil
}

// fits compares password with sealed, or with a hash of nothing where sealed is "", which takes as long and never fits.
func (h *hasher) fits(ctx context.Context, sealed, password string) (bool, error) {
	known := sealed != ""
	if !known {
		sealed = h.dummy
	}
	cost, salt, sum, err := parseHash(sealed)
	if err != nil {
		return false, err
	}
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	got := argon2.IDKey([]byte(password), salt, cost.Time, cost.Memory, cost.Threads, uint32(len(sum)))
	return subtle.ConstantTimeCompare(got, sum) == 1 && known, nil
}

// stale reports whether sealed was made at another cost than now.
func (h *hasher) stale(sealed string) bool {
	cost, _, _, err := parseHash(sealed)
	return err != nil || cost != h.cost
}

func (h *hasher) enter(ctx context.Context) error {
	tooMany := &cloud.Error{Reason: policy.RateLimit, Detail: "too many sign-ins at once", Retry: time.Second}
	select {
	case h.waiting <- struct{}{}:
	default:
		return tooMany
	}
	patience := time.NewTimer(hashPatient)
	defer patience.Stop()
	select {
	case h.working <- struct{}{}:
		return nil
	case <-patience.C:
		<-h.waiting
		return tooMany
	case <-ctx.Done():
		<-h.waiting
		return ctx.Err()
	}
}

func (h *hasher) leave() { <-h.working; <-h.waiting }

func (h *hasher) seal(password string) string {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt)
	sum := argon2.IDKey([]byte(password), salt, h.cost.Time, h.cost.Memory, h.cost.Threads, hashBytes)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.cost.Memory, h.cost.Time, h.cost.Threads, b64(salt), b64(sum))
}

var errHash = errors.New("not an argon2id hash of this program")

// parseHash reads what seal wrote. Costs beyond any that this program sets are refused: a row must not be able to take the machine's memory.
func parseHash(sealed string) (cost HashCost, salt, sum []byte, err error) {
	parts := strings.Split(sealed, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return cost, nil, nil, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &cost.Memory, &cost.Time, &cost.Threads); err != nil {
		return cost, nil, nil, errHash
	}
	if cost.Memory > 1<<20 || cost.Time < 1 || cost.Time > 64 || cost.Threads < 1 {
		return cost, nil, nil, errHash
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	sum, sumErr := base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || sumErr != nil || len(salt) < 8 || len(sum) != hashBytes {
		return cost, nil, nil, errHash
	}
	return cost, salt, sum, nil
}
