// Package upssim is a simulated Smart-UPS and the line it hangs on: a unit that answers Modbus requests from a register map
// whose values move as a real unit's do, a serial line that gives its bytes away one by one at the baud rate, and a TCP port.
// Drivers are tested against it, and people learn and try things with it.
//
// The map is typed from the protocol reference ("Smart-UPS over Modbus"; sections are named where they are used) and from
// nothing else: it must not import the driver's map, or one mistake would hide the other. Both are compared with the same
// tables in package upstest.
//
// What is simulated: the register map with its item rules (section 3), models of five families (families.go) and the ways
// firmwares and cards answer (variant.go); settings with the limits units enforce (section 9); commands (section 7); outlet
// processes, power failure, tests, calibration, bypass, load shedding, the battery's life (section 8); and the ways a line goes
// wrong (Faults). What is not: USB, and everything the map does not show. Where the reference leaves a question open, the choice
// taken stands in a comment.
//
// A Unit has no goroutine: it moves forward to the present whenever it is asked something, so it runs in testing/synctest
// and on explicit times alike. Unit, Faults and Stats are safe for concurrent use; a PTY has one owner.
package upssim
