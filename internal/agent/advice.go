package agent

import (
	"errors"
	"fmt"
	"syscall"

	"upsedge/internal/config"
	"upsedge/internal/ups"
)

// Advice says what a failure to read a unit means and what to do about it, in the words of somebody who stands in front of the
// unit with a cable in hand.
func Advice(u config.Unit, err error) string {
	switch f := ups.FailureOf(err); {
	case f == ups.FailureNoAnswer && u.Serial != nil:
		return fmt.Sprintf("%v. Nothing answers on the serial port. Modbus is off on a new unit: on its display choose "+
			"Menu type Advanced, then Configuration, Modbus, and enable it for the serial port (\"Ser+USB\" on units with a network port). "+
			"Then check the cable (940-0625A), the port and that the slave ID on the display is %d.", err, u.UnitID)
	case f == ups.FailureNoAnswer:
		return fmt.Sprintf("%v. The address accepts a connection and nothing answers. On the display choose Menu type Advanced, then "+
			"Configuration, Modbus, TCP Protocols: Read-Only or Read-Write, and check that the slave ID is %d and that Master IP Addr "+
			"is 000.000.000.000 or this box.", err, u.UnitID)
	case f == ups.FailureRefused:
		return fmt.Sprintf("%v. Modbus TCP is off on the unit (display: Menu type Advanced, Configuration, Modbus, TCP Protocols), or another "+
			"master is connected: most units serve one at a time.", err)
	case f == ups.FailureUnreachable && (errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EBUSY)):
		return fmt.Sprintf("%v. One program at a time: stop the other one. If it is the agent, ask it: upsagent read %s.", err, u.Name)
	case f == ups.FailureUnreachable && u.Serial != nil:
		return fmt.Sprintf("%v. The port cannot be used: is the adapter plugged in, and may this user open it (group dialout)?", err)
	case f == ups.FailureUnreachable:
		return fmt.Sprintf("%v. The address cannot be reached: check the address, the cable and the network.", err)
	case f == ups.FailureGarbled:
		return fmt.Sprintf("%v. Something answers, but not with Modbus as it should: check baud rate and parity, and that nothing else "+
			"uses the line.", err)
	case f == ups.FailureUnsupported:
		return fmt.Sprintf("%v. The device speaks Modbus but is not a Smart-UPS with a register map that is known here.", err)
	}
	return err.Error()
}
