package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"upsedge/internal/config"
	"upsedge/internal/ups"
)

// Advice says what a failure to read a unit means and what to do about it, in the words of somebody who stands in front of the
// unit with a cable in hand.
func Advice(u config.Unit, err error) string {
	what, do := Advise(u, err)
	if what == "" {
		return err.Error()
	}
	return fmt.Sprintf("%s %s (%v)", what, do, err)
}

// Advise is Advice in two parts, without the error itself: both are "" where there is nothing to add to that.
func Advise(u config.Unit, err error) (what, do string) {
	const menu = "on its display choose Menu type Advanced, then Configuration, Modbus"
	switch f := ups.FailureOf(err); {
	case f == ups.FailureNoAnswer && u.Serial != nil:
		return "Nothing answers on the serial port.", fmt.Sprintf("Modbus is off on a new unit: %s, and enable it for the serial port "+
			"(\"Ser+USB\" on units with a network port). Then check the cable (940-0625A), the port, and that the slave ID on the display is %d.", menu, u.UnitID)
	case f == ups.FailureNoAnswer:
		return "The address accepts a connection and nothing answers.", fmt.Sprintf("If the agent runs and has this unit, ask it: upsagent read. Otherwise "+
			"%s, TCP Protocols: Read-Only or Read-Write, and check that the slave ID is %d and that Master IP Addr is 000.000.000.000 or this box.", menu, u.UnitID)
	case f == ups.FailureRefused:
		return "The connection is refused.", "Another master is connected (the agent on this box, perhaps; most units serve one at a time), or Modbus TCP is off on the unit: " +
			menu + ", TCP Protocols."
	case f == ups.FailureUnreachable && u.Serial != nil:
		return portAdvice(err)
	case f == ups.FailureUnreachable:
		return "The address cannot be reached.", "Check the address, the cable and the network."
	case f == ups.FailureGarbled:
		return "Something answers, but not with Modbus as it should.", "Check baud rate and parity, that this is the port of the UPS, and that nothing else uses the line."
	case f == ups.FailureUnsupported:
		return "The device speaks Modbus but is not a Smart-UPS with a register map that is known here.", "Check that this is the right port or address and slave ID."
	case errors.Is(err, context.DeadlineExceeded):
		return "The unit did not answer everything in time.", "Some take one request every 2 s: upsagent read asks it alone."
	}
	return "", ""
}

// portAdvice is about a serial port that cannot be opened.
func portAdvice(err error) (what, do string) {
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK), errors.Is(err, syscall.EBUSY):
		return "Another program has the port, and one at a time may.", "If it is the agent, ask it: upsagent status, upsagent read UNIT. Otherwise stop the other program; sudo upsagent doctor names it."
	case errors.Is(err, fs.ErrNotExist):
		return "There is no such port now.", "Plug the adapter in, or name the right port: upsagent probe asks all that there are."
	case errors.Is(err, fs.ErrPermission):
		return "No right to open the port.", "At a prompt: sudo, or sudo usermod -aG dialout $USER and log in again. If it is the service that says so: sudo upsagent doctor."
	case errors.Is(err, syscall.ENOTTY):
		return "This is no serial port.", "Name the right one: upsagent probe asks all that there are."
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		return "The system has a name for this port and nothing behind it.", "Plug the adapter in again, or name the right port: upsagent probe asks all that there are."
	}
	return "The port cannot be used.", "Is the adapter plugged in? sudo upsagent doctor says more."
}
