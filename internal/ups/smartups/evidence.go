package smartups

import (
	"encoding/json"
	"errors"

	"upsedge/internal/ups"
)

// Evidence is what was seen before a command was written, and what was to be written: all that judging its outcome needs, also
// after a crash. It is kept in the journal as JSON; a version that is not known cannot be judged by.
type evidence struct {
	Version int    `json:"v"`
	Action  string `json:"action"`
	Deed    string `json:"deed"`              // which of the deeds
	Already string `json:"already,omitempty"` // the unit is as it should be, and nothing is written; how so
	Addr    uint16 `json:"addr"`              // the register written: which path was taken
	Word    uint32 `json:"word"`
	Targets uint16 `json:"targets,omitempty"` // groups that will go off and come back, bits as in 590
	Off     int64  `json:"off"`               // s, the longest delay of a target
	Stay    int64  `json:"stay"`
	On      int64  `json:"on"`
	Status  uint32 `json:"status"`
	Cause   int64  `json:"cause"`
	Test    uint32 `json:"test"` // 23, which is sticky

	Setting *settingNote `json:"setting,omitempty"` // of the deed that writes one, in place of Word
}

const evidenceVersion = 2

// write is what is to be written.
func (ev *evidence) write() write {
	if n := ev.Setting; n != nil {
		return setting{ev.Addr, n.Words}
	}
	return order{ev.Addr, ev.Word}
}

// groups are the targets.
func (ev *evidence) groups() (out []ups.Group) {
	for i, g := range ups.Groups {
		if ev.Targets&(1<<i) != 0 {
			out = append(out, g)
		}
	}
	return out
}

// outlets are the points of the targets.
func (ev *evidence) outlets() (out []ups.Point) {
	for _, g := range ev.groups() {
		out = append(out, g.Outlet())
	}
	return out
}

// readEvidence reads what was noted before a command: of this program, or of one before it that knew two deeds and told them by the
// register they write.
func readEvidence(before []byte) (*evidence, error) {
	ev := &evidence{}
	if err := json.Unmarshal(before, ev); err != nil {
		return nil, err
	}
	if ev.Version == 1 {
		ev.Version, ev.Deed = evidenceVersion, deedReboot
		if ev.Addr == testCommand {
			ev.Deed = deedSelfTest
		}
	}
	if _, ok := deeds[ev.Deed]; ev.Version != evidenceVersion || !ok || (ev.Setting != nil) != (ev.Deed == deedSetting) {
		return nil, errors.New("it is of another version")
	}
	return ev, nil
}
