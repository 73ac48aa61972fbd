package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"upsedge/internal/policy"
)

// CloudChain is the chain of entries about no device and no organisation.
const CloudChain = "cloud"

// A Hash is a SHA-256.
type Hash [sha256.Size]byte

// A Logged is an entry as it stands in the log.
type Logged struct {
	Entry
	Chain    string
	Number   int64 // from 1, without holes
	Epoch    uint32
	Previous Hash // zeros of the first
	Hash     Hash
}

// chain says where an entry stands.
func (e *Entry) chain() string {
	switch {
	case e.Device != "":
		return e.Device
	case e.Org != "":
		return e.Org
	}
	return CloudChain
}

// domain begins what is hashed: no other hash of this program, and none of another form, is ever taken for one of an entry.
const domain = "upsedge event log entry 1\x00"

// sum returns the hash of an entry, over every field of it. DESIGN.md has the encoding byte by byte.
func (l *Logged) sum() Hash {
	b := make([]byte, 0, 512)
	b = append(b, domain...)
	b = append(b, l.Previous[:]...)
	b = text(b, l.Chain)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Number))
	b = binary.BigEndian.AppendUint32(b, l.Epoch)
	b = text(b, l.Org)
	b = text(b, l.Device)
	b = binary.BigEndian.AppendUint64(b, uint64(l.At.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(l.Arrived.UnixMilli()))
	for _, s := range []string{l.Actor, string(l.Role), l.Action, l.Outcome, string(l.Reason), l.Request, string(l.Plan), l.Decided} {
		b = text(b, s)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Params)))
	for _, name := range slices.Sorted(maps.Keys(l.Params)) {
		b = text(text(b, name), l.Params[name])
	}
	return sha256.Sum256(b)
}

func text(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// encodeParams returns the one form in which parameters are stored: names in order, no white space, no escapes for the sake of HTML.
func encodeParams(params map[string]string) string {
	if len(params) == 0 {
		return "{}"
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(params) // a map of texts: nothing to fail
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

const columns = `chain, n, epoch, org, device, at, arrived, actor, role, action, params, outcome, reason, request, plan, decided, previous, hash`

// scan reads a row of columns. plain says that the row has the one form in which this package writes it: parameters in their order, numbers
// in their range, hashes of their length.
func scan(rows interface{ Scan(...any) error }) (l *Logged, plain bool, err error) {
	l = &Logged{}
	var epoch, at, arrived int64
	var params string
	var previous, hash []byte
	err = rows.Scan(&l.Chain, &l.Number, &epoch, &l.Org, &l.Device, &at, &arrived, &l.Actor, &l.Role, &l.Action, &params, &l.Outcome,
		&l.Reason, &l.Request, &l.Plan, &l.Decided, &previous, &hash)
	if err != nil {
		return nil, false, err
	}
	l.Epoch, l.At, l.Arrived = uint32(epoch), time.UnixMilli(at).UTC(), time.UnixMilli(arrived).UTC()
	plain = json.Unmarshal([]byte(params), &l.Params) == nil && encodeParams(l.Params) == params && int64(l.Epoch) == epoch &&
		copy(l.Previous[:], previous) == len(previous) && len(previous) == len(l.Previous) &&
		copy(l.Hash[:], hash) == len(hash) && len(hash) == len(l.Hash)
	return l, plain, nil
}

// planThen is the plan a device had at an instant, by its row (PLAN-9).
func planThen(plan policy.Plan, validUntil, standardUntil int64, at time.Time) policy.Plan {
	switch ms := at.UnixMilli(); {
	case validUntil == 0 || ms < validUntil:
		return plan
	case plan == policy.Advanced && ms < standardUntil:
		return policy.Standard
	}
	return policy.Basic
}
