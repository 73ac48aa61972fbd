package command_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/smartups"
	"upsedge/internal/ups/upssim"
)

// A dice may be thrown by whoever writes to a unit: an order, and who takes it back.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func (d *dice) throw(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}

// A rig is a simulated unit that outlives processes, with the driver of whichever lives.
type rig struct {
	sim   *upssim.Unit
	crash *crasher
	odd   *dice  // of what its line does; nil: nothing happens to a write
	took  func() // nil, or called for each write that the unit took
	cable *cable
	ctl   *smartups.Control
}

// A cable is the line of one process to a unit, as package modbus has it: what is read takes time, and a write may be lost on its way or its
// answer on the way back. Each write is a step of the process.
type cable struct {
	*rig
	cut chan struct{} // closed when the process is dead
}

// connect is what a process does at first.
func (r *rig) connect(ctx context.Context) error {
	r.cable = &cable{rig: r, cut: make(chan struct{})}
	d := smartups.New(smartups.Config{Name: "rack-a", Line: r.cable, UnitID: 1})
	_, err := d.Connect(ctx, nil)
	r.ctl = smartups.NewControl(d, r.cable)
	return err
}

func (c *cable) failed(function uint8, addr uint16, sent bool, err error) error {
	return &modbus.RequestError{Function: function, Unit: 1, Address: addr, Count: 1, Sent: sent, Err: err}
}

// turnaround is what an exchange takes.
const turnaround = 40 * time.Millisecond

func (c *cable) gone(ctx context.Context) error {
	select {
	case <-time.After(turnaround):
		if c.crash.died() {
			return modbus.ErrClosed
		}
		return nil
	case <-c.cut:
		return modbus.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *cable) ReadHolding(ctx context.Context, _ modbus.Priority, _ uint8, addr, count uint16, dst []uint16) ([]uint16, error) {
	if err := c.gone(ctx); err != nil {
		return nil, c.failed(3, addr, false, err)
	}
	reply := c.sim.Handle(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{3}, addr), count))
	if reply[0] != 3 {
		return nil, c.failed(3, addr, true, &modbus.ExceptionError{Function: 3, Code: reply[1]})
	}
	for i := range int(count) {
		dst[i] = binary.BigEndian.Uint16(reply[2+2*i:])
	}
	return dst[:count], nil
}

func (c *cable) WriteHolding(ctx context.Context, _ modbus.Priority, _ uint8, addr uint16, values []uint16) error {
	if err := c.gone(ctx); err != nil {
		return c.failed(16, addr, false, err)
	}
	pdu := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{16}, addr), uint16(len(values)))
	pdu = append(pdu, byte(2*len(values)))
	for _, v := range values {
		pdu = binary.BigEndian.AppendUint16(pdu, v)
	}
	fate := 9
	if c.odd != nil {
		fate = c.odd.throw(10)
	}
	var reply []byte
	err := c.crash.step(func() error {
		if fate > 0 {
			if reply = c.sim.Handle(pdu); c.took != nil && reply[0] == 16 {
				c.took()
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return c.failed(16, addr, true, modbus.ErrClosed)
	case fate <= 1:
		return c.failed(16, addr, true, modbus.ErrTimeout)
	case reply[0] != 16:
		return c.failed(16, addr, true, &modbus.ExceptionError{Function: 16, Code: reply[1]})
	}
	return nil
}

func (c *cable) Timing(uint8) modbus.Timing {
	return modbus.Timing{ByteTime: time.Millisecond, Gap: 35 * time.Millisecond, Turnaround: 10 * time.Millisecond}
}

func (c *cable) Links() uint64 { return 1 }

// end is the end of the process.
func (r *rig) end() {
	if r.cable != nil {
		close(r.cable.cut)
		r.cable = nil
	}
}

// target is what the process has of the unit.
func (r *rig) target(name string) (command.Target, bool) {
	if r == nil || r.ctl == nil {
		return command.Target{}, false
	}
	return command.Target{Name: name, Unit: r.ctl}, true
}

// written are the writes that the unit took, oldest first.
func (r *rig) written() (out []string) {
	for _, w := range r.sim.Writes() {
		if w.Exception == 0 {
			out = append(out, w.String())
		}
	}
	return out
}
