package command

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// An entry is an order as the journal knows it.
type entry struct {
	cmd      *trust.Command
	unit     string      // name in the configuration; "": not known
	bound    bool        // the device was bound under the epoch of the command
	counted  uint64      // its counter, where it came to that check
	plan     policy.Plan // that it was judged by; "": it did not come to that
	before   []byte      // of Unit.Check
	state    wire.OrderState
	reason   policy.Reason
	detail   string
	progress int     // how far it is, while it runs
	boot     wire.ID // of the box, when it began
	raw      []ups.RawValue
	recall   recall
	local    bool       // given on site
	ended    wire.Stamp // when it ended, zero while it has not
}

// A recall is what was done to take back an order that runs. It goes to disk before the unit is told.
type recall struct {
	Why  policy.Reason `json:"why,omitempty"`  // the right that was lost; "": somebody ordered it
	Told bool          `json:"told,omitempty"` // the unit was told, or about to be
}

const (
	maxBefore = 8 << 10 // bytes; what a driver reads before it writes is some dozen registers
	maxDetail = 500     // bytes
	maxRaw    = 64
)

// outcome takes over how an order ended at the unit.
func (e *entry) outcome(o ups.Outcome) {
	e.state = map[ups.OutcomeState]wire.OrderState{
		ups.Done: wire.OrderDone, ups.Failed: wire.OrderFailed, ups.Cancelled: wire.OrderCancelled, ups.Refused: wire.OrderRefused,
	}[o.State]
	if e.state == "" {
		e.state = wire.OrderUnknown
	}
	e.reason, e.detail, e.progress = policy.Reason(o.Reason), oneLine(o.Detail, maxDetail), 0
	if e.state == wire.OrderRefused && e.reason == "" {
		e.reason = policy.UPSRefused
	}
	e.raw = nil
	for _, r := range o.Raw {
		if len(e.raw) < maxRaw && !slices.ContainsFunc(e.raw, func(had ups.RawValue) bool { return had.Point == r.Point }) {
			e.raw = append(e.raw, r)
		}
	}
}

// result is what is told of the entry in its present state.
func (e *entry) result() wire.Result {
	c := e.cmd
	return wire.Result{
		Order: c.ID, Device: c.Device, Unit: e.unit, Action: c.Action, State: e.state, Reason: string(e.reason), Progress: e.progress,
		Detail: e.detail, Actor: c.Actor, Role: c.Role, Plan: string(e.plan), Raw: e.raw,
	}
}

// outgoing tells of the entry in its present state. The record is the unit's in the epoch of the order, or, where the device is not
// bound so or not here, the agent's own.
func (e *entry) outgoing(at wire.Stamp) Outgoing {
	o := Outgoing{Stamp: at, Result: e.result(), private: e.private()}
	if e.bound && e.unit != "" {
		o.Unit, o.Epoch = e.unit, e.cmd.Epoch
	}
	return o
}

// command is what the unit is told.
func (e *entry) command() ups.Command {
	return ups.Command{Action: e.cmd.Action, Params: e.cmd.Params}
}

// entryJSON is how an entry is kept.
type entryJSON struct {
	Device       string            `json:"device"`
	Epoch        uint32            `json:"epoch"`
	Counter      uint64            `json:"counter"`
	Nonce        wire.ID           `json:"nonce"`
	MaxAge       time.Duration     `json:"max_age"`
	Action       string            `json:"action"`
	Params       map[string]string `json:"params,omitempty"`
	Actor        string            `json:"actor"`
	Role         string            `json:"role"`
	Plan         string            `json:"plan"`
	GrantVersion uint64            `json:"grant_version"`
	MFA          bool              `json:"mfa,omitempty"`
	IssuedAt     time.Time         `json:"issued_at"`
	Unit         string            `json:"unit,omitempty"`
	Bound        bool              `json:"bound,omitempty"`
	Judged       policy.Plan       `json:"judged,omitempty"`
	Before       []byte            `json:"before,omitempty"`
	Reason       policy.Reason     `json:"reason,omitempty"`
	Detail       string            `json:"detail,omitempty"`
	Raw          []rawJSON         `json:"raw,omitempty"`
	Recall       recall            `json:"recall,omitzero"`
	Progress     int               `json:"progress,omitempty"`
	Boot         wire.ID           `json:"boot,omitzero"`
	Local        bool              `json:"local,omitempty"`
	Ended        *stampJSON        `json:"ended,omitempty"`
}

// stampJSON is how an instant is kept.
type stampJSON struct {
	Boot wire.ID       `json:"boot"`
	Mono time.Duration `json:"mono"`
	Wall *time.Time    `json:"wall,omitempty"`
}

func stampOf(s wire.Stamp) *stampJSON {
	v := &stampJSON{Boot: s.BootID, Mono: s.Mono}
	if !s.Wall.IsZero() {
		v.Wall = &s.Wall
	}
	return v
}

func (v *stampJSON) stamp() wire.Stamp {
	s := wire.Stamp{BootID: v.Boot, Mono: v.Mono}
	if v.Wall != nil {
		s.Wall = v.Wall.UTC()
	}
	return s
}

type rawJSON struct {
	Point string `json:"p"`
	Value int64  `json:"v"`
}

func (e *entry) encode() ([]byte, error) {
	c := e.cmd
	v := entryJSON{
		Device: c.Device, Epoch: c.Epoch, Counter: c.Counter, Nonce: c.Nonce, MaxAge: c.MaxAge, Action: c.Action, Params: c.Params, Actor: c.Actor,
		Role: c.Role, Plan: c.Plan, GrantVersion: c.GrantVersion, MFA: c.MFA, IssuedAt: c.IssuedAt, Unit: e.unit, Bound: e.bound, Judged: e.plan,
		Before: e.before, Reason: e.reason, Detail: e.detail, Recall: e.recall, Local: e.local,
		Progress: e.progress, Boot: e.boot,
	}
	if e.ended.BootID != (wire.ID{}) {
		v.Ended = stampOf(e.ended)
	}
	for _, r := range e.raw {
		v.Raw = append(v.Raw, rawJSON{r.Point.String(), r.Raw})
	}
	return json.Marshal(v)
}

// decodeEntry reads a row. Points that this program does not know are left out.
func decodeEntry(id wire.ID, state int64, body []byte) (*entry, error) {
	if state < 0 || state >= int64(len(wire.OrderStates)) {
		return nil, fmt.Errorf("order %v in state %d", id, state)
	}
	var v entryJSON
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("order %v: %w", id, err)
	}
	if v.Params == nil {
		v.Params = map[string]string{}
	}
	e := &entry{
		cmd: &trust.Command{
			Device: v.Device, Epoch: v.Epoch, ID: id, Counter: v.Counter, Nonce: v.Nonce, MaxAge: v.MaxAge, Action: v.Action, Params: v.Params,
			Actor: v.Actor, Role: v.Role, Plan: v.Plan, GrantVersion: v.GrantVersion, MFA: v.MFA, IssuedAt: v.IssuedAt,
		},
		unit: v.Unit, bound: v.Bound, plan: v.Judged, before: v.Before, state: wire.OrderStates[state], reason: v.Reason, detail: v.Detail,
		recall: v.Recall, progress: v.Progress, boot: v.Boot, local: v.Local,
	}
	if v.Ended != nil {
		e.ended = v.Ended.stamp()
	}
	for _, r := range v.Raw {
		if p, ok := ups.PointByName(r.Point); ok {
			e.raw = append(e.raw, ups.RawValue{Point: p, Raw: r.Value})
		}
	}
	return e, nil
}

func numberOf(s wire.OrderState) int64 { return int64(slices.Index(wire.OrderStates[:], s)) }

// An Outgoing is a result on its way to the store.
type Outgoing struct {
	Number uint64 // rises; given once in a journal
	Unit   string // whose record it is; "" with epoch 0: the agent's own
	Epoch  uint32
	Stamp  wire.Stamp
	Result wire.Result

	private bool // it is told on site alone
}

// outgoingJSON is how an Outgoing is kept.
type outgoingJSON struct {
	Unit   string          `json:"unit,omitempty"`
	Epoch  uint32          `json:"epoch,omitempty"`
	Boot   wire.ID         `json:"boot"`
	Mono   time.Duration   `json:"mono"`
	Wall   *time.Time      `json:"wall,omitempty"`
	Result json.RawMessage `json:"result"`
}

func encodeOutgoing(o Outgoing) ([]byte, error) {
	body, err := wire.EncodeResult(o.Result)
	if err != nil {
		return nil, err
	}
	v := outgoingJSON{Unit: o.Unit, Epoch: o.Epoch, Boot: o.Stamp.BootID, Mono: o.Stamp.Mono, Result: body}
	if !o.Stamp.Wall.IsZero() {
		v.Wall = &o.Stamp.Wall
	}
	return json.Marshal(v)
}

func decodeOutgoing(number uint64, body []byte) (Outgoing, error) {
	var v outgoingJSON
	if err := json.Unmarshal(body, &v); err != nil {
		return Outgoing{}, fmt.Errorf("result %d: %w", number, err)
	}
	r, err := wire.DecodeResult(v.Result)
	if err != nil {
		return Outgoing{}, fmt.Errorf("result %d: %w", number, err)
	}
	o := Outgoing{Number: number, Unit: v.Unit, Epoch: v.Epoch, Stamp: wire.Stamp{BootID: v.Boot, Mono: v.Mono}, Result: r}
	if v.Wall != nil {
		o.Stamp.Wall = v.Wall.UTC()
	}
	return o, nil
}
