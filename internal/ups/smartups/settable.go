package smartups

import (
	"fmt"
	"slices"
)

// A settable is a setting this program may write, the whole item at once, with what may be written there. It is the second half of the
// list of what is ever written (T-55).
type settable struct {
	addr, words uint16
	may         func(v uint32) bool // of a text: of each of its registers
}

// Protocol reference, sections 5.3, 5.4, 6.17, 6.18 and 9. Neither 592, 593 and 644 (the output), nor load shedding (1054 to 1073), nor
// anything of SOG[3].
var settables = slices.Concat(
	[]settable{
		{595, 1, between(0, 36524)}, // days; to the end of 2099
		{596, 8, printable},
		{604, 8, printable},
		{612, 8, printable},
		{620, 8, printable},
		{628, 8, printable},
		{1024, 1, oneOf(0x3F)},
		{1026, 1, between(100, 300)}, // V
		{1027, 1, between(60, 240)},  // V
		{1028, 1, oneOf(0x07)},
	},
	delaysAt(1029), delaysAt(1034), delaysAt(1039), delaysAt(1044),
)

// delaysAt are those of one outlet group: off, on, stay-off and least runtime, in seconds. Never -1, which may mean "disabled" (section 9).
func delaysAt(addr uint16) []settable {
	return []settable{{addr, 1, between(0, 32767)}, {addr + 1, 1, between(0, 32767)}, {addr + 2, 2, between(4, 300)}, {addr + 4, 1, between(0, 32767)}}
}

func between(least, most uint32) func(uint32) bool {
	return func(v uint32) bool { return v >= least && v <= most }
}

// oneOf takes exactly one of these bits.
func oneOf(mask uint32) func(uint32) bool {
	return func(v uint32) bool { return v != 0 && v&(v-1) == 0 && v&^mask == 0 }
}

func printable(v uint32) bool {
	high, low := v>>8, v&0xFF
	return v <= 0xFFFF && min(high, low) >= ' ' && max(high, low) <= '~'
}

// A setting is one write of a setting.
type setting struct {
	addr uint16
	regs []uint16
}

// String names the write as people find it in the protocol reference, "1035 = 30"; not what somebody calls a thing.
func (s setting) String() string {
	switch len(s.regs) {
	case 1:
		return fmt.Sprintf("%d = %d", s.addr, s.regs[0])
	case 2:
		return fmt.Sprintf("%d = %d", s.addr, uint32(s.regs[0])<<16|uint32(s.regs[1]))
	}
	return fmt.Sprintf("%d = a text", s.addr)
}

func (s setting) words() (uint16, []uint16, error) {
	if !s.listed() {
		return 0, nil, fmt.Errorf("write %v: not in the list of what is ever written", s)
	}
	return s.addr, s.regs, nil
}

func (s setting) listed() bool {
	return slices.ContainsFunc(settables, func(w settable) bool {
		return w.addr == s.addr && int(w.words) == len(s.regs) && w.takes(s.regs)
	})
}

func (w settable) takes(regs []uint16) bool {
	if len(regs) == 2 {
		return w.may(uint32(regs[0])<<16 | uint32(regs[1]))
	}
	return !slices.ContainsFunc(regs, func(v uint16) bool { return !w.may(uint32(v)) })
}
