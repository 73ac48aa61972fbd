package eventlog

import (
	"encoding/hex"
	"time"
)

// A Line is an entry as it is shown: in answers of the HTTP interface and in exports.
type Line struct {
	Time     string            `json:"time"`
	Arrived  string            `json:"arrived,omitempty"` // where it is another time
	Device   string            `json:"device,omitempty"`
	Org      string            `json:"organisation,omitempty"`
	Epoch    uint32            `json:"epoch"`
	Number   int64             `json:"number"`
	Actor    string            `json:"actor"`
	Name     string            `json:"actor_name"`
	Role     string            `json:"role,omitempty"`
	Action   string            `json:"action"`
	Params   map[string]string `json:"params"`
	Outcome  string            `json:"outcome"`
	Reason   string            `json:"reason,omitempty"`
	Plan     string            `json:"plan,omitempty"`
	Decided  string            `json:"decided"`
	Request  string            `json:"request_id,omitempty"`
	Previous string            `json:"previous"` // hash of the entry before, hexadecimal
	Hash     string            `json:"hash"`
}

const timeLayout = "2006-01-02T15:04:05.000Z"

func stamp(t time.Time) string { return t.UTC().Format(timeLayout) }

// Line returns the entry as it is shown, with what its actor is called now.
func (l *Logged) Line(name string) Line {
	out := Line{
		Time: stamp(l.At), Device: l.Device, Org: l.Org, Epoch: l.Epoch, Number: l.Number, Actor: l.Actor, Name: name, Role: string(l.Role),
		Action: l.Action, Params: l.Params, Outcome: l.Outcome, Reason: string(l.Reason), Plan: string(l.Plan), Decided: l.Decided,
		Request: l.Request, Previous: hex.EncodeToString(l.Previous[:]), Hash: hex.EncodeToString(l.Hash[:]),
	}
	if out.Params == nil {
		out.Params = map[string]string{}
	}
	if !l.Arrived.Equal(l.At) {
		out.Arrived = stamp(l.Arrived)
	}
	return out
}
