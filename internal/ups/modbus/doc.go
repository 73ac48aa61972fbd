// Package modbus owns one line: the serial port or TCP connection on which one or more units answer Modbus requests.
//
// A [Line] sends one request at a time over a [Link], keeps the silence the unit needs between frames, matches every
// reply strictly with its question, and reopens the link when it is lost. It knows registers and units, but no battery:
// what the numbers mean, and that a line must be resynchronised with a known block after a time-out, is the driver's.
//
// goburrow/modbus is the client and packager; its transporters are not used, because they oversleep, never recover from
// a late reply, do not reconnect and race (design, section 4). The transporters here know the length of the reply from
// the request, so that the line sleeps until the computed end of the reply and then reads it in one piece.
//
// What a line learns of its speed is kept as long as it runs: the turnaround and the time-out of each unit, and whether the silence
// before a request has to be 45 ms rather than 35. [Line.Timing] tells.
//
// [Line.ReadHolding] and [Line.WriteHolding] may be called from any number of goroutines; one at a time owns
// the line: the one in [Line.Run], or a caller who finds it at rest (desk.go). A write is sent at most once, whatever happens.
//
// Sources: Modbus Application Protocol V1.1b3; Modbus over Serial Line V1.02; APC application note 176 (AN176), 4.2.2
// for the timing; protocol reference, sections 2, 3.6, 10, 12 and 13.
package modbus
