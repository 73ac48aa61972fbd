package agent

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"upsedge/internal/config"
	"upsedge/internal/ups"
)

// Advice says what a failure to read a unit means and what to do about it, in the words of somebody who stands in front of the
// unit with a cable in hand.
func Advice(u config.Unit, err error) string {
	what := meaning(u, err)
	if what == "" {
		return err.Error()
	}
	return fmt.Sprintf("%s (%v)", what, err)
}

func meaning(u config.Unit, err error) string {
	const menu = "on its display choose Menu type Advanced, then Configuration, Modbus"
	switch f := ups.FailureOf(err); {
	case f == ups.FailureNoAnswer && u.Serial != nil:
		return fmt.Sprintf("Nothing answers on the serial port. Modbus is off on a new unit: %s, and enable it for the serial port "+
			"(\"Ser+USB\" on units with a network port). Then check the cable (940-0625A), the port, and that the slave ID on the display is %d.", menu, u.UnitID)
	case f == ups.FailureNoAnswer:
		return fmt.Sprintf("The address accepts a connection and nothing answers. If the agent runs and has this unit, ask it: upsagent read. Otherwise "+
			"%s, TCP Protocols: Read-Only or Read-Write, and check that the slave ID is %d and that Master IP Addr is 000.000.000.000 or this box.", menu, u.UnitID)
	case f == ups.FailureRefused:
		return "The connection is refused. Another master is connected (the agent on this box, perhaps; most units serve one at a time), or Modbus TCP is off on the unit: " +
			menu + ", TCP Protocols."
	case f == ups.FailureUnreachable && (errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EBUSY)):
		return "Another program has the port, and one at a time may. If it is the agent, ask it: upsagent status, upsagent read UNIT. Otherwise stop the other program."
	case f == ups.FailureUnreachable && u.Serial != nil:
		return "The port cannot be used: is the adapter plugged in, and may this user open it (group dialout)?"
	case f == ups.FailureUnreachable:
		return "The address cannot be reached: check the address, the cable and the network."
	case f == ups.FailureGarbled:
		return "Something answers, but not with Modbus as it should: check baud rate and parity, and that nothing else uses the line."
	case f == ups.FailureUnsupported:
		return "The device speaks Modbus but is not a Smart-UPS with a register map that is known here."
	case errors.Is(err, context.DeadlineExceeded):
		return "The unit did not answer everything in time."
	}
	return ""
}
