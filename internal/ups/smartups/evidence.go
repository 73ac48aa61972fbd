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
	OrAddr  uint16 `json:"or_addr,omitempty"` // what may be written instead where the unit refuses that, 0: nothing
	OrWord  uint32 `json:"or_word,omitempty"`
	Targets uint16 `json:"targets,omitempty"` // groups it is about, bits as in 590
	Off     int64  `json:"off"`               // s, the longest delay of a target, whether it is ordered or not (D22)
	Stay    int64  `json:"stay"`
	On      int64  `json:"on"`
	Short   int64  `json:"short,omitempty"`   // s, the shortest stay-off of a target; 0: not known
	Pending uint32 `json:"pending,omitempty"` // of the groups together, before a cancel
	Status  uint32 `json:"status"`
	Cause   int64  `json:"cause"`
	Test    uint32 `json:"test"` // 23, which is sticky

	Seen seenNote `json:"seen,omitzero"` // more of that, of tests and alarms

	Setting *settingNote `json:"setting,omitempty"` // of the deed that writes one, in place of Word
}

const evidenceVersion = 2

// ofSetting tells whether there is a setting where there is to be one, and one of the map.
func (ev *evidence) ofSetting() bool {
	if ev.Deed != deedSetting || ev.Setting == nil {
		return ev.Deed != deedSetting && ev.Setting == nil
	}
	r := registerOf(ev.Setting.Point)
	_, listed := ups.SettingOf(ev.Setting.Point)
	return listed && r.addr == ev.Addr
}

// write is what is to be written.
func (ev *evidence) write() write {
	if n := ev.Setting; n != nil {
		return setting{ev.Addr, n.Words}
	}
	return order{ev.Addr, ev.Word}
}

// whole tells whether the unit's own status word has to change on the way: only then its cause says anything (section 3.5).
func (ev *evidence) whole() bool { return ev.Targets&1 != 0 || ev.Addr == signallingCommand }

// written names what is written, or may be.
func (ev *evidence) written() string {
	o := ev.write().String()
	if ev.OrAddr != 0 {
		o += " or " + order{ev.OrAddr, ev.OrWord}.String()
	}
	return o
}

// groups are the targets.
func (ev *evidence) groups() (out []ups.Group) {
	return groupsOf(ev.Targets)
}

// groupsOf are the groups of bits as in 590.
func groupsOf(bits uint16) (out []ups.Group) {
	for i, g := range ups.Groups {
		if bits&(1<<i) != 0 {
			out = append(out, g)
		}
	}
	return out
}

// bitOf is the bit of a group in 590.
func bitOf(g ups.Group) uint16 { return 1 << (g - ups.MainGroup) }

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
	if _, ok := deeds[ev.Deed]; ev.Version != evidenceVersion || !ok || !ev.ofSetting() {
		return nil, errors.New("it is of another version")
	}
	return ev, nil
}
