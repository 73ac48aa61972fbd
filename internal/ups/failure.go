package ups

import "errors"

// A Failure says why a unit could not be read, as far as anyone outside the driver cares. Drivers' and transports' errors
// tell theirs through a method Failure() Failure; FailureOf finds it in a wrapped error.
type Failure uint8

// The failures. The zero value means that the error said nothing.
const (
	FailureUnknown     Failure = iota
	FailureNoAnswer            // nothing came back in time: unit off, Modbus off, cable out
	FailureRefused             // the connection was refused or closed at once: Modbus TCP off, or another master connected
	FailureUnreachable         // the port does not exist or cannot be opened, no route to the host
	FailureGarbled             // something came back that is not an answer to the question
	FailureImplausible         // an answer of the right shape whose content cannot be (READ-7; protocol reference, section 10)
	FailureException           // the unit answered with a Modbus exception
	FailureUnsupported         // the unit is not a Smart-UPS, or its map is not one we know
	FailureAnotherUnit         // a unit with another serial number answers than the one that was connected to
	failureCount
)

var failureNames = [...]string{"unknown", "no-answer", "refused", "unreachable", "garbled", "implausible", "exception", "unsupported", "another-unit"}

// Failures are all of them, the zero value first.
func Failures() []Failure {
	out := make([]Failure, failureCount)
	for i := range out {
		out[i] = Failure(i)
	}
	return out
}

// String returns the name used in logs, "no-answer" for instance.
func (f Failure) String() string {
	if int(f) < len(failureNames) {
		return failureNames[f]
	}
	return failureNames[FailureUnknown]
}

// FailureOf returns the failure that err or an error it wraps tells of, FailureUnknown if none does.
func FailureOf(err error) Failure {
	var f interface{ Failure() Failure }
	if errors.As(err, &f) {
		return f.Failure()
	}
	return FailureUnknown
}
