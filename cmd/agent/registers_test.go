package main

import (
	"fmt"
	"strings"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
)

// registers says where points stand in the unit, from the protocol reference, sections 5.1 and 5.2, and not from the driver.
var registers = map[ups.Point]struct {
	addr   uint16
	words  int
	signed bool
}{
	ups.StatusFlags: {0, 2, false}, ups.StatusCause: {2, 1, true}, ups.MainOutlet: {3, 2, false}, ups.SOG0Outlet: {6, 2, false},
	ups.Signalling: {18, 1, false}, ups.GeneralError: {19, 1, false}, ups.PowerError: {20, 2, false}, ups.BatteryError: {22, 1, false},
	ups.BatteryTest: {23, 1, false}, ups.Calibration: {24, 1, false}, ups.UserInterface: {26, 1, false},
	ups.Runtime: {128, 2, false}, ups.Charge: {130, 1, false}, ups.BatteryVoltage: {131, 1, true}, ups.BatteryTemperature: {135, 1, true},
	ups.LoadReal: {136, 1, false}, ups.LoadApparent: {138, 1, false}, ups.OutputCurrent: {140, 1, false}, ups.OutputVoltage: {142, 1, false},
	ups.OutputFrequency: {144, 1, false}, ups.OutputEnergy: {145, 2, false}, ups.InputStatus: {150, 1, false}, ups.InputVoltage: {151, 1, false},
	ups.Efficiency: {154, 1, true},
}

// A picture is what the registers of a unit held at one moment.
type picture map[ups.Point]int64

func take(u *upssim.Unit) picture {
	p := picture{}
	regs := u.Registers(0, 180)
	for point, r := range registers {
		v := int64(regs[r.addr])
		switch {
		case r.words == 2:
			v = v<<16 | int64(regs[r.addr+1])
		case r.signed:
			v = int64(int16(regs[r.addr]))
		}
		p[point] = v
	}
	return p
}

// shows reports whether every value of r that the picture knows is the one in it, how many those are, and what differs.
func (p picture) shows(r row) (compared int, differs string) {
	var out []string
	for point, v := range r.values {
		want, ok := p[point]
		if !ok {
			continue
		}
		if compared++; v != want {
			out = append(out, fmt.Sprintf("%v is %d, want %d", point, v, want))
		}
	}
	return compared, strings.Join(out, "; ")
}
