package smartups

import (
	"context"
	"fmt"
	"math/bits"

	"upsedge/internal/ups/modbus"
)

// The command items this program writes (protocol reference, section 5.5).
const (
	outletCommand      = 1538 // two registers
	signallingCommand  = 1540
	testCommand        = 1541
	calibrationCommand = 1542
	panelCommand       = 1543
)

// OutletCommand_BF (section 7.3), as far as it is used.
const (
	outletCancel   = 1 << 0
	outletOn       = 1 << 1
	outletOff      = 1 << 2
	outletShutdown = 1 << 3
	outletReboot   = 1 << 4
	useOnDelay     = 1 << 6
	useOffDelay    = 1 << 7

	firstTarget   = 8 // bit of the main group; SOG[0] to SOG[2] follow
	outletTargets = 0xF << firstTarget

	fromSerial = 1 << 14 // RJ45 port
	fromCard   = 1 << 15 // SmartSlot 1 (INF)
	fromTCP    = 1 << 17 // internal network 1: of the SmartConnect port, as used in practice (FIELD)
)

const (
	requestShutdown = 1 // of 1540, section 7.4

	// Of 1543, section 7.7. The short test ends the continuous one.
	shortTest      = 1 << 0
	continuousTest = 1 << 1
	muteAlarms     = 1 << 2 // those that are active
	unmuteAlarms   = 1 << 3
	ackBattery     = 1 << 5
	ackWiring      = 1 << 6 // 990
)

// A writable is a register this program may write, with what may be written there.
type writable struct {
	addr, words uint16
	may         func(v uint32) bool
}

// writables are all of them (T-55). There is no other way from here to a unit: send looks here, and nothing else writes. What is
// not in the list is refused before it is on the line: 593 above all, which changes the output frequency, and every bit of 1536.
var writables = []writable{
	{outletCommand, 2, mayOutlets},
	{signallingCommand, 1, func(v uint32) bool { return v == requestShutdown }},
	{testCommand, 1, mayTry},
	{calibrationCommand, 1, mayTry},
	{panelCommand, 1, oneOf(shortTest | continuousTest | muteAlarms | unmuteAlarms | ackBattery | ackWiring)},
}

func mayTry(v uint32) bool { return v == startTrial || v == abortTrial }

// outletForms are the commands with the delays each may be combined with (section 7.3). ColdBootAllowed, on without mains, is
// nobody's wish.
var outletForms = map[uint32]uint32{
	outletCancel:   0,
	outletOn:       useOnDelay,
	outletOff:      useOffDelay,
	outletShutdown: useOnDelay | useOffDelay,
	outletReboot:   useOnDelay | useOffDelay,
}

// mayOutlets takes one command with delays it knows, for at least one group, from exactly one source (section 7.3, rules 1 to 3).
func mayOutlets(v uint32) bool {
	command := v &^ (outletTargets | fromSerial | fromCard | fromTCP)
	delays, ok := outletForms[command&^(useOnDelay|useOffDelay)]
	return ok && command&(useOnDelay|useOffDelay)&^delays == 0 &&
		v&outletTargets != 0 && bits.OnesCount32(v&(fromSerial|fromCard|fromTCP)) == 1
}

// A write is one to a unit: an order of the command block, or a setting.
type write interface {
	// words are the registers, whole items, the high word first, and at which address; an error if it is none that may be written.
	words() (addr uint16, words []uint16, err error)
	String() string
}

// An order is one write of a command.
type order struct {
	addr uint16
	v    uint32
}

// String names the write as people find it in the protocol reference: "1538 = 0x000043D0".
func (o order) String() string {
	if o.addr == outletCommand {
		return fmt.Sprintf("%d = 0x%08X", o.addr, o.v)
	}
	return fmt.Sprintf("%d = %d", o.addr, o.v)
}

func (o order) words() (uint16, []uint16, error) {
	for _, w := range writables {
		switch {
		case w.addr != o.addr || !w.may(o.v):
		case w.words == 2:
			return o.addr, []uint16{uint16(o.v >> 16), uint16(o.v)}, nil
		default:
			return o.addr, []uint16{uint16(o.v)}, nil
		}
	}
	return 0, nil, fmt.Errorf("write %v: not in the list of what is ever written", o)
}

// A Writer is a Line that also writes; it is a [modbus.Line] or stands for one.
type Writer interface {
	Line
	WriteHolding(ctx context.Context, p modbus.Priority, unit uint8, addr uint16, values []uint16) error
}

// send writes an order or a setting, once, with function 16: some firmware refuses 6 (D7).
func (c *Control) send(ctx context.Context, o write) error {
	addr, words, err := o.words()
	if err != nil {
		return err
	}
	return c.line.WriteHolding(ctx, modbus.Urgent, c.of.cfg.UnitID, addr, words)
}
