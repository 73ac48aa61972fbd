package smartups

import (
	"errors"
	"fmt"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
)

// An ImplausibleError says that an answer of the right shape cannot be the unit's: one of its items holds what it never
// holds (protocol reference, section 10; event catalogue, READ-7). Nothing of the answer is believed.
type ImplausibleError struct {
	Point  ups.Point // 0: not one item but the whole block
	Reason string    // with the value, "0x00000006 is two states at once"
}

func (e *ImplausibleError) Error() string {
	if e.Point == 0 {
		return "implausible answer: " + e.Reason
	}
	return fmt.Sprintf("implausible answer: %s %s", e.Point, e.Reason)
}

// Failure tells that the content of an answer cannot be.
func (e *ImplausibleError) Failure() ups.Failure { return ups.FailureImplausible }

// A UnitChangedError says that another unit answers than the one that was connected to. While its serial number is another one,
// every Read fails with it, until Connect is called again.
type UnitChangedError struct {
	Point   ups.Point // what differs: the serial number, a rating, the outlet groups
	Was, Is string
}

func (e *UnitChangedError) Error() string {
	return fmt.Sprintf("another unit answers: %s was %q and is %q", e.Point, e.Was, e.Is)
}

// Failure tells that another unit answers where the serial number says so. Whatever else differs cannot be: it does not change
// while a unit is connected, but it is not what a unit is known by.
func (e *UnitChangedError) Failure() ups.Failure {
	if e.Point == ups.Serial {
		return ups.FailureAnotherUnit
	}
	return ups.FailureImplausible
}

// An UnsupportedError says that the device is not a Smart-UPS, or speaks a register map that is not known. Asking again does
// not help.
type UnsupportedError struct{ Reason string }

func (e *UnsupportedError) Error() string { return "unsupported unit: " + e.Reason }

// Failure tells that the unit cannot be used.
func (e *UnsupportedError) Failure() ups.Failure { return ups.FailureUnsupported }

// exception returns the code of the Modbus exception that err is, 0 if it is none.
func exception(err error) uint8 {
	if e, ok := errors.AsType[*modbus.ExceptionError](err); ok {
		return e.Code
	}
	return 0
}

// refused tells whether err says that there is nothing to be read.
func refused(err error) bool {
	code := exception(err)
	return code == illegalFunction || code == illegalAddress
}

// The exceptions that the driver tells apart (protocol reference, section 3.4).
const (
	illegalFunction = 1
	illegalAddress  = 2
	deviceFailure   = 4
)
