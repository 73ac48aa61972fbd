// Package ups is the vocabulary every other package speaks: what can be measured (Point), what one read of a unit said
// (Reading), what is known of a unit now (State), the states shown to people (Status), alarms (Alarm, Event) and who a unit
// is (Identity). It does no I/O, imports the standard library only, and knows neither a line nor a register address; the
// cloud shares it with the agent.
//
// Point is the one catalogue: the name, unit, kind and metric of everything a unit can say stand in points.go and nowhere
// else. Sampler, wire, metrics and cloud iterate over it. A new measurement is one row there and one in the driver's map.
//
// Values are the integers a unit sent, never floats. Raw and divisor together are the value; a value that was not read, or
// that the unit marks as not applicable, is Absent and never zero.
//
// Nothing here is safe for concurrent use unless it says so; plain values may be copied.
package ups
